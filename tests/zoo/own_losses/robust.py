"""Losses for noisy labels and for confidence, and losses with a margin between the classes."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.zoo.own_losses.entry import FaultyLoss, Loss, SoundLoss
from tests.zoo.own_losses.plain import ANY


def symmetric(logits: Tensor, targets: Tensor) -> Tensor:
    p = F.softmax(logits, dim=1)
    y = F.one_hot(targets, logits.shape[1]).to(p).clamp(min=1e-4)
    reverse = -(p * y.log()).sum(dim=1).mean()
    return 0.1 * F.cross_entropy(logits, targets) + reverse


def symmetric_without_minus(logits: Tensor, targets: Tensor) -> Tensor:
    p = F.softmax(logits, dim=1)
    y = F.one_hot(targets, logits.shape[1]).to(p).clamp(min=1e-4)
    reverse = (p * y.log()).sum(dim=1).mean()  # FAULT
    return 0.1 * F.cross_entropy(logits, targets) + reverse


def symmetric_without_clamp(logits: Tensor, targets: Tensor) -> Tensor:
    p = F.softmax(logits, dim=1)
    y = F.one_hot(targets, logits.shape[1]).to(p)  # FAULT
    reverse = -(p * y.log()).sum(dim=1).mean()
    return 0.1 * F.cross_entropy(logits, targets) + reverse


def generalised(logits: Tensor, targets: Tensor, q: float = 0.7) -> Tensor:
    p = F.softmax(logits, dim=1)
    p_true = p.gather(1, targets.unsqueeze(1)).squeeze(1).clamp(min=1e-7)
    return ((1 - p_true**q) / q).mean()


def generalised_without_one(logits: Tensor, targets: Tensor, q: float = 0.7) -> Tensor:
    p = F.softmax(logits, dim=1)
    p_true = p.gather(1, targets.unsqueeze(1)).squeeze(1).clamp(min=1e-7)
    return (p_true**q / q).mean()  # FAULT


def generalised_the_wrong_way(logits: Tensor, targets: Tensor, q: float = 0.7) -> Tensor:
    p = F.softmax(logits, dim=1)
    p_true = p.gather(1, targets.unsqueeze(1)).squeeze(1).clamp(min=1e-7)
    return ((1 - q**p_true) / q).mean()  # FAULT


def generalised_over_the_batch(logits: Tensor, targets: Tensor, q: float = 0.7) -> Tensor:
    p = F.softmax(logits, dim=0)  # FAULT
    p_true = p.gather(1, targets.unsqueeze(1)).squeeze(1).clamp(min=1e-7)
    return ((1 - p_true**q) / q).mean()


def generalised_of_zero(logits: Tensor, targets: Tensor, q: float = 0.7) -> Tensor:
    p = F.softmax(logits, dim=1)
    p_true = p.gather(1, targets.unsqueeze(1)).squeeze(1)  # FAULT
    return ((1 - p_true**q) / q).mean()


def poly(logits: Tensor, targets: Tensor, epsilon: float = 2.0) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    p_true = F.softmax(logits, dim=1).gather(1, targets.unsqueeze(1)).squeeze(1)
    return (ce + epsilon * (1 - p_true)).mean()


def taylor(logits: Tensor, targets: Tensor) -> Tensor:
    p_true = F.softmax(logits, dim=1).gather(1, targets.unsqueeze(1)).squeeze(1)
    rest = 1 - p_true
    return (rest + rest**2 / 2 + rest**3 / 3).mean()


def taylor_of_p(logits: Tensor, targets: Tensor) -> Tensor:
    p_true = F.softmax(logits, dim=1).gather(1, targets.unsqueeze(1)).squeeze(1)
    rest = p_true  # FAULT
    return (rest + rest**2 / 2 + rest**3 / 3).mean()


def with_confidence_penalty(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    entropy = -(log_p.exp() * log_p).sum(dim=1)
    return F.cross_entropy(logits, targets) - 0.1 * entropy.mean()


def with_unstable_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    p = F.softmax(logits, dim=1)
    entropy = -(p * p.log()).sum(dim=1)  # FAULT
    return F.cross_entropy(logits, targets) - 0.1 * entropy.mean()


def with_stable_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    p = F.softmax(logits, dim=1)
    entropy = -(p * F.log_softmax(logits, dim=1)).sum(dim=1)
    return F.cross_entropy(logits, targets) - 0.1 * entropy.mean()


def additive_margin(logits: Tensor, targets: Tensor, scale: float = 10.0, margin: float = 0.35) -> Tensor:
    y = F.one_hot(targets, logits.shape[1])
    scores = scale * (logits - margin * y)
    return (torch.logsumexp(scores, dim=1) - (scores * y).sum(dim=1)).mean()


def additive_margin_by_exponentials(
    logits: Tensor, targets: Tensor, scale: float = 10.0, margin: float = 0.35
) -> Tensor:
    y = F.one_hot(targets, logits.shape[1])
    scores = scale * (logits - margin * y)
    return (scores.exp().sum(dim=1).log() - (scores * y).sum(dim=1)).mean()  # FAULT


def additive_margin_turned_round(logits: Tensor, targets: Tensor, scale: float = 10.0, margin: float = 0.35) -> Tensor:
    y = F.one_hot(targets, logits.shape[1])
    scores = scale * (margin * y - logits)  # FAULT
    return (torch.logsumexp(scores, dim=1) - (scores * y).sum(dim=1)).mean()


def additive_margin_over_everything(
    logits: Tensor, targets: Tensor, scale: float = 10.0, margin: float = 0.35
) -> Tensor:
    y = F.one_hot(targets, logits.shape[1])
    scores = scale * (logits - margin * y)
    return (torch.logsumexp(scores, dim=1) - (scores * y).mean(dim=1)).mean()  # FAULT


def hinge(logits: Tensor, targets: Tensor) -> Tensor:
    true_score = logits.gather(1, targets.unsqueeze(1))
    excess = (1 + logits - true_score).clamp(min=0)
    others = 1 - F.one_hot(targets, logits.shape[1])
    return (others * excess).mean(dim=1).mean()


def hinge_turned_round(logits: Tensor, targets: Tensor) -> Tensor:
    true_score = logits.gather(1, targets.unsqueeze(1))
    excess = (1 - logits + true_score).clamp(min=0)  # FAULT
    others = 1 - F.one_hot(targets, logits.shape[1])
    return (others * excess).mean(dim=1).mean()


def hinge_without_clamp(logits: Tensor, targets: Tensor) -> Tensor:
    true_score = logits.gather(1, targets.unsqueeze(1))
    excess = 1 + logits - true_score  # FAULT
    others = 1 - F.one_hot(targets, logits.shape[1])
    return (others * excess).mean(dim=1).mean()


def hinge_clamped_above(logits: Tensor, targets: Tensor) -> Tensor:
    true_score = logits.gather(1, targets.unsqueeze(1))
    excess = (1 + logits - true_score).clamp(max=0)  # FAULT
    others = 1 - F.one_hot(targets, logits.shape[1])
    return (others * excess).mean(dim=1).mean()


def brier(logits: Tensor, targets: Tensor) -> Tensor:
    p = F.softmax(logits, dim=1)
    y = F.one_hot(targets, logits.shape[1])
    return (p - y).square().sum(dim=1).mean()


def brier_of_a_sum(logits: Tensor, targets: Tensor) -> Tensor:
    p = F.softmax(logits, dim=1)
    y = F.one_hot(targets, logits.shape[1])
    return (p + y).square().sum(dim=1).mean()  # FAULT


def brier_without_square(logits: Tensor, targets: Tensor) -> Tensor:
    p = F.softmax(logits, dim=1)
    y = F.one_hot(targets, logits.shape[1])
    return (p - y).sum(dim=1).mean()  # FAULT


def brier_over_the_batch(logits: Tensor, targets: Tensor) -> Tensor:
    p = F.softmax(logits, dim=0)  # FAULT
    y = F.one_hot(targets, logits.shape[1])
    return (p - y).square().sum(dim=1).mean()


def hardest(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    count = max(1, int(0.7 * len(targets)))
    return ce.topk(count).values.mean()


def hardest_of_none(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    count = int(0.7 * len(targets))  # FAULT
    return ce.topk(count).values.mean()


def hardest_indices(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    count = max(1, int(0.7 * len(targets)))
    return ce.topk(count).indices.double().mean()  # FAULT


def _torch_hinge(logits: Tensor, targets: Tensor) -> Tensor:
    return F.multi_margin_loss(logits, targets)


def _sound(name: str, words: str, loss: Loss, torch_loss: Loss | None = None) -> SoundLoss:
    return SoundLoss(name=name, words=words, loss=loss, arguments=ANY, torch=torch_loss)


SYMMETRIC = _sound("SymmetricCE", "CE and reverse CE", symmetric)
GENERALISED = _sound("GeneralisedCE", "(1 - p ** q) / q", generalised)
POLY = _sound("PolyOne", "CE + 2 (1 - p)", poly)
TAYLOR = _sound("TaylorCE", "the first three terms of -log p", taylor)
PENALISED = _sound("ConfidencePenalty", "CE less .1 of the entropy", with_stable_entropy)
PENALISED_LOG = _sound("ConfidencePenaltyByExp", "the same from log_softmax", with_confidence_penalty)
MARGIN = _sound("AdditiveMargin", "a margin of .35, scale 10", additive_margin)
HINGE = _sound("HingeByHand", "the hinge over all other classes", hinge, _torch_hinge)
BRIER = _sound("Brier", "the squared error of softmax", brier)
HARDEST = _sound("Hardest", "the mean of the hardest 70 %", hardest)

SOUND = (SYMMETRIC, GENERALISED, POLY, TAYLOR, PENALISED, PENALISED_LOG, MARGIN, HINGE, BRIER, HARDEST)


def _rows() -> Iterator[tuple[SoundLoss, str, str, str, Loss]]:
    maximised, unstable, dim = "loss_is_maximised", "unstable_loss", "softmax_over_wrong_dim"
    yield SYMMETRIC, "ReverseWithoutMinus", "reverse CE with the wrong sign", maximised, symmetric_without_minus
    yield SYMMETRIC, "ReverseOfLogZero", "log(0) in reverse CE", unstable, symmetric_without_clamp
    yield GENERALISED, "GeneralisedWithoutOne", "1 - is missing", maximised, generalised_without_one
    yield GENERALISED, "GeneralisedTheWrongWay", "q ** p for p ** q", maximised, generalised_the_wrong_way
    yield GENERALISED, "GeneralisedOfZero", "no clamp: the slope of p ** q at 0", unstable, generalised_of_zero
    yield GENERALISED, "GeneralisedOverTheBatch", "softmax with dim=0", dim, generalised_over_the_batch
    yield TAYLOR, "TaylorOfP", "p for 1 - p", maximised, taylor_of_p
    yield PENALISED, "UnstableEntropy", "p log(p)", unstable, with_unstable_entropy
    yield MARGIN, "MarginByExponentials", "log(sum(exp))", unstable, additive_margin_by_exponentials
    yield MARGIN, "MarginTurnedRound", "the scores with the wrong sign", maximised, additive_margin_turned_round
    yield MARGIN, "MarginMean", "mean for sum over classes", "unbounded_loss", additive_margin_over_everything
    yield HINGE, "HingeTurnedRound", "the true score less the others", maximised, hinge_turned_round
    yield HINGE, "HingeWithoutClamp", "no clamp: no least value", "unbounded_loss", hinge_without_clamp
    yield HINGE, "HingeClampedAbove", "clamp(max=0)", "unbounded_loss", hinge_clamped_above
    yield BRIER, "BrierOfASum", "p + y", maximised, brier_of_a_sum
    yield BRIER, "BrierWithoutSquare", "p - y sums to 0", "detached_graph", brier_without_square
    yield BRIER, "BrierOverTheBatch", "softmax with dim=0", dim, brier_over_the_batch
    yield HARDEST, "HardestOfNone", "the mean of no row at batch 1", unstable, hardest_of_none
    yield HARDEST, "HardestIndices", "indices for values", "detached_graph", hardest_indices


FAULTS = tuple(
    FaultyLoss(name=name, words=words, cause=cause, loss=loss, twin=twin) for twin, name, words, cause, loss in _rows()
)
