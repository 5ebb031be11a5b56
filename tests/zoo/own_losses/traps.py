"""Losses that look wrong to a naive check and are a design of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.zoo.own_losses.entry import Loss, SoundLoss
from tests.zoo.own_losses.focal import BINARY, TAGS
from tests.zoo.own_losses.plain import ANY, THREE
from tests.zoo.own_losses.weighted import WEIGHTS


def absolute_error(logits: Tensor, targets: Tensor) -> Tensor:
    p = F.softmax(logits, dim=1)
    return (1 - p.gather(1, targets.unsqueeze(1))).mean()


def squared_scores(logits: Tensor, targets: Tensor) -> Tensor:
    y = F.one_hot(targets, logits.shape[1]).to(logits)
    return F.mse_loss(logits, y)


def detached_weight(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    pt = torch.exp(-ce.detach())
    return ((1 - pt) ** 2 * ce).mean()


def with_temperature(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits / 4, targets)


def with_class_temperatures(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits * WEIGHTS.to(logits), targets)


def in_bits(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets) / math.log(2)


def per_class_of_uniform(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets) / math.log(logits.shape[1])


def half(logits: Tensor, targets: Tensor) -> Tensor:
    return 0.5 * F.cross_entropy(logits, targets)


def with_z_loss(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets) + 1e-4 * torch.logsumexp(logits, dim=1).square().mean()


def with_l2(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets) + 1e-3 * logits.square().mean()


def flooded(logits: Tensor, targets: Tensor) -> Tensor:
    loss = F.cross_entropy(logits, targets)
    return (loss - 0.05).abs() + 0.05


def easiest(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    return ce.topk(max(1, int(0.7 * len(ce))), largest=False).values.mean()


def weights_over_rows(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, weight=WEIGHTS.to(logits), reduction="none").mean()


def weights_in_float32(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, weight=WEIGHTS)


def perceptron(logits: Tensor, targets: Tensor) -> Tensor:
    true_score = logits.gather(1, targets.unsqueeze(1)).squeeze(1)
    return (logits.amax(dim=1) - true_score).mean()


def hinge_of_the_best(logits: Tensor, targets: Tensor) -> Tensor:
    true_score = logits.gather(1, targets.unsqueeze(1))
    others = logits.scatter(1, targets.unsqueeze(1), -math.inf)
    return (1 + others.amax(dim=1, keepdim=True) - true_score).clamp(min=0).mean()


def hinge_with_true_class(logits: Tensor, targets: Tensor) -> Tensor:
    true_score = logits.gather(1, targets.unsqueeze(1))
    return (1 + logits - true_score).clamp(min=0).sum(dim=1).mean()


def one_against_the_rest(logits: Tensor, targets: Tensor) -> Tensor:
    y = F.one_hot(targets, logits.shape[1]).to(logits)
    return F.binary_cross_entropy_with_logits(logits, y)


def with_epsilon(logits: Tensor, targets: Tensor) -> Tensor:
    p = F.softmax(logits, dim=1).gather(1, targets.unsqueeze(1))
    return -torch.log(p + 1e-8).mean()


def with_clamp(logits: Tensor, targets: Tensor) -> Tensor:
    p = F.softmax(logits, dim=1).gather(1, targets.unsqueeze(1))
    return -torch.log(p.clamp(min=1e-7)).mean()


def truncated(logits: Tensor, targets: Tensor) -> Tensor:
    p = F.softmax(logits, dim=1).gather(1, targets.unsqueeze(1))
    return ((1 - p.clamp(min=0.2) ** 0.7) / 0.7).mean()


def on_the_sphere(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(16 * F.normalize(logits, dim=1), targets)


def with_uniform_term(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    return F.nll_loss(log_p, targets) - 0.1 * log_p.mean()


def smoothed_below_zero(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    return 1.05 * F.nll_loss(log_p, targets) + 0.05 * log_p.mean()


def with_less_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    return F.nll_loss(log_p, targets) - 0.1 * (log_p.exp() * log_p).sum(dim=1).mean()


def dice_alone(logits: Tensor, targets: Tensor) -> Tensor:
    p, y = F.softmax(logits, dim=1), F.one_hot(targets, logits.shape[1])
    return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)


def mean_of_means(logits: Tensor, targets: Tensor) -> Tensor:
    kept = (targets != -100).to(logits)
    ce = F.cross_entropy(logits, targets, reduction="none").flatten(1)
    kept = kept.flatten(1)
    return ((ce * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1)).mean()


def summed(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, reduction="sum")


def summed_over_tags(logits: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=1).mean()


def tags_with_weights(logits: Tensor, targets: Tensor) -> Tensor:
    weight = torch.tensor([1.0, 2.0, 4.0, 0.5]).to(logits)
    return F.binary_cross_entropy_with_logits(logits, targets, weight=weight)


def tversky(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    hit, extra, lost = (p * targets).sum(), (p * (1 - targets)).sum(), ((1 - p) * targets).sum()
    return 1 - (hit + 1) / (hit + 0.3 * extra + 0.7 * lost + 1)


def balanced_over_the_batch(logits: Tensor, targets: Tensor) -> Tensor:
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    positive, negative = targets.sum().clamp(min=1), (1 - targets).sum().clamp(min=1)
    return 0.5 * (losses * targets).sum() / positive + 0.5 * (losses * (1 - targets)).sum() / negative


def squared_hinge(logits: Tensor, targets: Tensor) -> Tensor:
    return (1 - (2 * targets - 1) * logits).clamp(min=0).square().mean()


def smoothed_binary(logits: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, 0.9 * targets + 0.05)


def without_a_class(logits: Tensor, targets: Tensor) -> Tensor:
    open_classes = torch.tensor([True, True, False])
    return F.cross_entropy(logits.masked_fill(~open_classes, -math.inf), targets)


def exponential(logits: Tensor, targets: Tensor) -> Tensor:
    return torch.exp(-(2 * targets - 1) * logits).mean()


def ranked(logits: Tensor, targets: Tensor) -> Tensor:
    scores, labels = logits.reshape(-1), targets.reshape(-1)
    pairs = scores[labels == 1].unsqueeze(1) - scores[labels == 0].unsqueeze(0)
    return F.softplus(-pairs).sum() / max(1, pairs.numel())


def on_capped_scores(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(30 * torch.tanh(logits / 30), targets)


def mixed(labels: Tensor) -> Tensor:
    """Mixup: seven tenths of the row's own label, three of the next row's."""
    y = F.one_hot(labels, 3).float()
    return 0.7 * y + 0.3 * y.roll(1, dims=0)


def shared_softmax(logits: Tensor, targets: Tensor) -> Tensor:
    shares = targets / targets.sum(dim=1, keepdim=True).clamp_min(1)
    return -(shares * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def _rows() -> Iterator[tuple[str, str, Loss, dict[str, Any]]]:
    yield "AbsoluteError", "1 - p: bounded, no log", absolute_error, ANY
    yield "SquaredScores", "the squared error of scores", squared_scores, ANY
    yield "DetachedWeight", "the focal weight detached", detached_weight, ANY
    yield "Temperature", "scores over 4", with_temperature, ANY
    yield "ClassTemperatures", "scores times a factor by class", with_class_temperatures, THREE
    yield "InBits", "CE over log(2)", in_bits, ANY
    yield "OverLogK", "CE over log(K)", per_class_of_uniform, ANY
    yield "Half", "half of CE", half, ANY
    yield "ZLoss", "CE and 1e-4 logsumexp ** 2", with_z_loss, ANY
    yield "ScorePenalty", "CE and 1e-3 of the squared scores", with_l2, ANY
    yield "Flooded", "CE flooded at .05", flooded, ANY
    yield "Easiest", "the mean of the easiest 70 %", easiest, ANY
    yield "WeightsOverRows", "weights, divided by N", weights_over_rows, THREE
    yield "WeightsInFloat32", "weights that only float32 scores fit", weights_in_float32, THREE
    yield "Perceptron", "the best score less the true one", perceptron, ANY
    yield "HingeOfTheBest", "the hinge over the best other class", hinge_of_the_best, ANY
    yield "HingeWithTrueClass", "a hinge that is 1 at its least", hinge_with_true_class, ANY
    yield "OneAgainstTheRest", "BCE of each class", one_against_the_rest, ANY
    yield "WithEpsilon", "log(p + 1e-8)", with_epsilon, ANY
    yield "WithClamp", "log(p.clamp(min=1e-7))", with_clamp, ANY
    yield "Truncated", "no gradient where p is below .2", truncated, ANY
    yield "OnTheSphere", "scores normalised, times 16", on_the_sphere, ANY
    yield "UniformTerm", "CE and .1 of CE to the uniform", with_uniform_term, ANY
    yield "SmoothedBelowZero", "label smoothing of -.05", smoothed_below_zero, ANY
    yield "LessEntropy", "CE and .1 of the entropy", with_less_entropy, ANY
    yield "DiceAlone", "Dice of the batch", dice_alone, ANY
    yield "MeanOfMeans", "the mean of sequences' means", mean_of_means, ANY
    yield "Summed", "reduction='sum'", summed, {**ANY, "reduction": "sum"}
    yield "SummedOverTags", "the sum over labels, the mean over rows", summed_over_tags, TAGS
    yield "TagWeights", "a weight for each label", tags_with_weights, TAGS
    yield "SharedSoftmax", "softmax CE that the true labels share", shared_softmax, TAGS
    yield "Tversky", "Tversky index of the batch", tversky, BINARY
    yield "BalancedBatch", "the means of positives and of negatives", balanced_over_the_batch, BINARY
    yield "SquaredHinge", "the squared hinge", squared_hinge, BINARY
    yield "SmoothedBinary", "targets .05 and .95", smoothed_binary, BINARY
    yield "WithoutAClass", "a class that is closed to all rows", without_a_class, THREE
    yield "Exponential", "exp(-margin), beyond float32 at 89", exponential, BINARY
    yield "Ranked", "pairs of a positive and a negative: 0 at batch 1", ranked, BINARY
    yield "CappedScores", "30 tanh(z / 30)", on_capped_scores, ANY
    yield "Mixup", "targets that mix two rows", F.cross_entropy, {**THREE, "targets": mixed}


ADVICE = {"WithoutAClass": ("loss_stays_finite",)}
TRAPS = tuple(
    SoundLoss(name=name, words=words, loss=loss, arguments=arguments, advice=ADVICE.get(name, ()))
    for name, words, loss, arguments in _rows()
)
