"""Label smoothing in three forms, soft targets and a fixed teacher."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.zoo.own_losses.entry import FaultyLoss, Loss, SoundLoss
from tests.zoo.own_losses.plain import ANY, THREE

TEACHER = torch.tensor([[4.0, 1.0, 0.0], [1.0, 4.0, 1.0], [0.0, 1.0, 4.0]])


def smoothed(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    nll = -log_p.gather(1, targets.unsqueeze(1)).squeeze(1)
    uniform = -log_p.mean(dim=1)
    return (0.9 * nll + 0.1 * uniform).mean()


def smoothed_by_a_sum(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    nll = -log_p.gather(1, targets.unsqueeze(1)).squeeze(1)
    uniform = -log_p.sum(dim=1)  # FAULT
    return (0.9 * nll + 0.1 * uniform).mean()


def smoothed_over_others(logits: Tensor, targets: Tensor) -> Tensor:
    soft = torch.full_like(logits, 0.1 / (logits.shape[1] - 1))
    soft.scatter_(1, targets.unsqueeze(1), 0.9)
    return -(soft * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def smoothed_by_the_whole(logits: Tensor, targets: Tensor) -> Tensor:
    soft = torch.full_like(logits, 0.1)  # FAULT
    soft.scatter_(1, targets.unsqueeze(1), 0.9)
    return -(soft * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def smoothed_over_columns(logits: Tensor, targets: Tensor) -> Tensor:
    soft = torch.full_like(logits, 0.1 / (logits.shape[1] - 1))
    soft.scatter_(0, targets.unsqueeze(1), 0.9)  # FAULT
    return -(soft * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def smoothed_and_clipped(logits: Tensor, targets: Tensor) -> Tensor:
    soft = torch.full_like(logits, 0.1 / (logits.shape[1] - 1))
    soft.scatter_(1, targets.unsqueeze(1), 0.9)
    return -(soft * F.softmax(logits, dim=1).log()).sum(dim=1).mean()  # FAULT


def smoothed_divergence(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    soft = 0.9 * F.one_hot(targets, logits.shape[1]) + 0.1 / logits.shape[1]
    return F.kl_div(log_p, soft.to(log_p), reduction="batchmean")


def divergence_over_everything(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    soft = 0.9 * F.one_hot(targets, logits.shape[1]) + 0.1 / logits.shape[1]
    return F.kl_div(log_p, soft.to(log_p), reduction="none").mean()  # FAULT


def divergence_of_probabilities(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.softmax(logits, dim=1)  # FAULT
    soft = 0.9 * F.one_hot(targets, logits.shape[1]) + 0.1 / logits.shape[1]
    return F.kl_div(log_p, soft.to(log_p), reduction="batchmean")


def divergence_from_too_much(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    soft = 0.9 * F.one_hot(targets, logits.shape[1]) + 0.1  # FAULT
    return F.kl_div(log_p, soft.to(log_p), reduction="batchmean")


def soft_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    return -(targets * log_p).sum(dim=1).mean()


def soft_cross_entropy_of_probabilities(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(torch.softmax(logits, dim=1), dim=1)  # FAULT
    return -(targets * log_p).sum(dim=1).mean()


def distilled(logits: Tensor, targets: Tensor) -> Tensor:
    teacher = F.softmax(TEACHER[targets] / 2, dim=1)
    student = F.log_softmax(logits / 2, dim=1)
    soft = 4 * F.kl_div(student, teacher.to(student), reduction="batchmean")
    return 0.5 * soft + 0.5 * F.cross_entropy(logits, targets)


def distilled_the_wrong_way(logits: Tensor, targets: Tensor) -> Tensor:
    teacher = F.softmax(TEACHER[targets] / 2, dim=1)
    student = F.log_softmax(logits / 2, dim=1)
    soft = 4 * F.kl_div(teacher.to(student), student, reduction="batchmean")  # FAULT
    return 0.5 * soft + 0.5 * F.cross_entropy(logits, targets)


def _torch_smoothing(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, label_smoothing=0.1)


SMOOTHED = SoundLoss(
    name="Smoothed", words="label smoothing as torch's", loss=smoothed, arguments=ANY, torch=_torch_smoothing
)
OVER_OTHERS = SoundLoss(
    name="SmoothedOverOthers", words="smoothing over the other classes", loss=smoothed_over_others, arguments=ANY
)
DIVERGENCE = SoundLoss(
    name="SmoothedDivergence", words="KL from the smoothed targets", loss=smoothed_divergence, arguments=ANY
)
SOFT = SoundLoss(
    name="SoftCrossEntropy",
    words="soft or one-hot targets",
    loss=soft_cross_entropy,
    arguments={**ANY, "targets": "onehot"},
    torch=F.cross_entropy,
)
DISTILLED = SoundLoss(name="Distilled", words="a fixed teacher's scores by class", loss=distilled, arguments=THREE)

SOUND = (SMOOTHED, OVER_OTHERS, DIVERGENCE, SOFT, DISTILLED)


def _rows() -> Iterator[tuple[SoundLoss, str, str, str, Loss]]:
    excess = "unnormalised_targets"
    yield SMOOTHED, "SmoothedByASum", "a sum for the mean over classes", excess, smoothed_by_a_sum
    yield OVER_OTHERS, "SmoothedByTheWhole", ".9 and .1, .1", excess, smoothed_by_the_whole
    yield OVER_OTHERS, "SmoothedOverColumns", "scatter with dim=0", "gather_over_wrong_dim", smoothed_over_columns
    yield OVER_OTHERS, "SmoothedLogOfSoftmax", "log(softmax)", "unstable_loss", smoothed_and_clipped
    yield DIVERGENCE, "DivergenceOverEverything", "mean over N * K", "wrong_reduction", divergence_over_everything
    yield (
        DIVERGENCE,
        "DivergenceOfProbabilities",
        "softmax for log_softmax",
        "probabilities_into_nll_loss",
        divergence_of_probabilities,
    )
    yield DIVERGENCE, "DivergenceFromTooMuch", "eps added to every class", excess, divergence_from_too_much
    yield (
        SOFT,
        "SoftOfProbabilities",
        "softmax, then log_softmax",
        "softmax_before_cross_entropy",
        soft_cross_entropy_of_probabilities,
    )
    yield DISTILLED, "DistilledTheWrongWay", "log-probabilities as targets", "unstable_loss", distilled_the_wrong_way


FAULTS = tuple(
    FaultyLoss(name=name, words=words, cause=cause, loss=loss, twin=twin) for twin, name, words, cause, loss in _rows()
)
