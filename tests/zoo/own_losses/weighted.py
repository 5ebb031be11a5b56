"""Class weights by hand: weighted cross entropy, the effective number of samples, LDAM and adjusted scores."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.own_losses.entry import FaultyLoss, Loss, SoundLoss
from tests.zoo.own_losses.plain import THREE

WEIGHTS = torch.tensor([1.0, 2.0, 4.0])
COUNTS = torch.tensor([500.0, 100.0, 20.0])


def weighted(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    weights = WEIGHTS[targets]
    return (weights * ce).sum() / weights.sum()


def weighted_by_prediction(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    weights = WEIGHTS[logits.argmax(dim=1)]  # FAULT
    return (weights * ce).sum() / weights.sum()


def weighted_by_row(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    weights = WEIGHTS.repeat(len(targets))[: len(targets)]  # FAULT
    return (weights * ce).sum() / weights.sum()


def weighted_without_sum(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    weights = WEIGHTS[targets]
    return (weights * ce).mean() / WEIGHTS[targets[0]]  # FAULT


def balanced_by_count(logits: Tensor, targets: Tensor) -> Tensor:
    share = COUNTS / COUNTS.sum()
    weights = -torch.log(share)
    return (weights[targets] * F.cross_entropy(logits, targets, reduction="none")).mean()


def balanced_by_log(logits: Tensor, targets: Tensor) -> Tensor:
    share = COUNTS / COUNTS.sum()
    weights = torch.log(share)  # FAULT
    return (weights[targets] * F.cross_entropy(logits, targets, reduction="none")).mean()


def balanced_to_nothing(logits: Tensor, targets: Tensor) -> Tensor:
    share = COUNTS / COUNTS.max()
    weights = 1 - share  # FAULT
    return (weights[targets] * F.cross_entropy(logits, targets, reduction="none")).mean()


def balanced_by_inverse(logits: Tensor, targets: Tensor) -> Tensor:
    share = COUNTS / COUNTS.max()
    weights = 1 / share
    return (weights[targets] * F.cross_entropy(logits, targets, reduction="none")).mean()


class ClassBalanced(nn.Module):
    """Weights by the effective number of samples, (1 - beta) / (1 - beta ** n)."""

    def __init__(self, beta: float = 0.99) -> None:
        super().__init__()
        effective = (1 - beta**COUNTS) / (1 - beta)
        weights = len(COUNTS) / effective / (1 / effective).sum()
        self.register_buffer("weights", weights)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        ce = F.cross_entropy(logits, targets, reduction="none")
        return (self.weights[targets] * ce).mean()


class ClassBalancedCancelled(nn.Module):
    def __init__(self, beta: float = 0.99) -> None:
        super().__init__()
        effective = (1 - beta**COUNTS) / (1 - beta)
        weights = len(COUNTS) / effective / (1 / effective).sum()
        self.register_buffer("weights", weights)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        ce = F.cross_entropy(logits, targets, reduction="none")
        return (self.weights[targets] * ce / self.weights[targets]).mean()  # FAULT


class ClassBalancedByMean(nn.Module):
    def __init__(self, beta: float = 0.99) -> None:
        super().__init__()
        effective = (1 - beta**COUNTS) / (1 - beta)
        weights = len(COUNTS) / effective / (1 / effective).sum()
        self.register_buffer("weights", weights)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        ce = F.cross_entropy(logits, targets)  # FAULT
        return (self.weights[targets] * ce).mean()


class ClassBalancedByLog(nn.Module):
    def __init__(self, beta: float = 0.99) -> None:
        super().__init__()
        effective = (1 - beta**COUNTS) / (1 - beta)
        weights = torch.log(len(COUNTS) / effective / (1 / effective).sum())  # FAULT
        self.register_buffer("weights", weights)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        ce = F.cross_entropy(logits, targets, reduction="none")
        return (self.weights[targets] * ce).mean()


class LDAM(nn.Module):
    """Margins by class, n ** -1/4, a scale, and weights that may come later (DRW)."""

    def __init__(self, scale: float = 5.0, weight: Tensor | None = None) -> None:
        super().__init__()
        margins = COUNTS**-0.25
        self.register_buffer("margins", 0.5 * margins / margins.max())
        self.scale, self.weight = scale, weight

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        index = F.one_hot(targets, logits.shape[1]).to(logits)
        lowered = logits - index * self.margins
        return F.cross_entropy(self.scale * lowered, targets, weight=self.weight)


class LDAMOfPrediction(nn.Module):
    def __init__(self, scale: float = 5.0, weight: Tensor | None = None) -> None:
        super().__init__()
        margins = COUNTS**-0.25
        self.register_buffer("margins", 0.5 * margins / margins.max())
        self.scale, self.weight = scale, weight

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        index = F.one_hot(logits.argmax(dim=1), logits.shape[1]).to(logits)  # FAULT
        lowered = logits - index * self.margins
        return F.cross_entropy(self.scale * lowered, targets, weight=self.weight)


class LDAMSelfTaught(nn.Module):
    def __init__(self, scale: float = 5.0, weight: Tensor | None = None) -> None:
        super().__init__()
        margins = COUNTS**-0.25
        self.register_buffer("margins", 0.5 * margins / margins.max())
        self.scale, self.weight = scale, weight

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        index = F.one_hot(targets, logits.shape[1]).to(logits)
        lowered = logits - index * self.margins
        return F.cross_entropy(self.scale * lowered, lowered.argmax(dim=1), weight=self.weight)  # FAULT


def adjusted(logits: Tensor, targets: Tensor) -> Tensor:
    log_prior = torch.log(COUNTS / COUNTS.sum())
    shifted = logits + log_prior
    return F.cross_entropy(shifted, targets)


def adjusted_by_a_product(logits: Tensor, targets: Tensor) -> Tensor:
    log_prior = torch.log(COUNTS / COUNTS.sum())
    shifted = logits * log_prior  # FAULT
    return F.cross_entropy(shifted, targets)


def _torch_weighted(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, weight=WEIGHTS.to(logits))


WEIGHTED = SoundLoss(
    name="WeightedByHand",
    words="class weights, divided by their sum",
    loss=weighted,
    arguments=THREE,
    torch=_torch_weighted,
)
BY_LOG_COUNT = SoundLoss(
    name="BalancedByLogCount", words="weights -log(share)", loss=balanced_by_count, arguments=THREE
)
BY_INVERSE = SoundLoss(name="BalancedByInverse", words="weights 1 / share", loss=balanced_by_inverse, arguments=THREE)
EFFECTIVE = SoundLoss(
    name="ClassBalanced", words="weights by the effective number", loss=ClassBalanced(), arguments=THREE
)
LDAM_PLAIN = SoundLoss(name="LDAM", words="margins by class, scale 5", loss=LDAM(), arguments=THREE)
LDAM_DRW = SoundLoss(name="LDAMWithDRW", words="the same with weights", loss=LDAM(weight=WEIGHTS), arguments=THREE)
ADJUSTED = SoundLoss(name="LogitAdjusted", words="scores plus log prior", loss=adjusted, arguments=THREE)

SOUND = (WEIGHTED, BY_LOG_COUNT, BY_INVERSE, EFFECTIVE, LDAM_PLAIN, LDAM_DRW, ADJUSTED)


def _rows() -> Iterator[tuple[SoundLoss, str, str, str, Loss]]:
    weights, maximised = "wrong_loss_weights", "loss_is_maximised"
    yield WEIGHTED, "WeightedByPrediction", "the predicted class as the index", weights, weighted_by_prediction
    yield WEIGHTED, "WeightedByRow", "the row as the index", weights, weighted_by_row
    yield WEIGHTED, "WeightedByFirstRow", "divided by the weight of row 0", weights, weighted_without_sum
    yield BY_LOG_COUNT, "BalancedByLog", "a minus missing: all weights below 0", maximised, balanced_by_log
    yield BY_INVERSE, "BalancedToNothing", "weight 0 for the largest class: advice", weights, balanced_to_nothing
    yield EFFECTIVE, "ClassBalancedCancelled", "weights that cancel", weights, ClassBalancedCancelled()
    yield EFFECTIVE, "ClassBalancedByMean", "weights times the mean", weights, ClassBalancedByMean()
    yield EFFECTIVE, "ClassBalancedByLog", "the log of the weights: two are below 0", weights, ClassBalancedByLog()
    yield LDAM_PLAIN, "LDAMOfPrediction", "the margin off the predicted class", weights, LDAMOfPrediction()
    yield (
        LDAM_DRW,
        "LDAMSelfTaught",
        "the prediction as the label",
        "labels_have_no_effect",
        LDAMSelfTaught(weight=WEIGHTS),
    )
    yield ADJUSTED, "AdjustedByAProduct", "times log prior", maximised, adjusted_by_a_product


# What a loss that is pulled to another class, or to none, shows besides.
ALSO = {
    "ClassBalancedByLog": ("loss_is_maximised",),
    "LDAMSelfTaught": ("wrong_loss_weights",),
}

FAULTS = tuple(
    FaultyLoss(name=name, words=words, cause=cause, loss=loss, twin=twin, also=ALSO.get(name, ()))
    for twin, name, words, cause, loss in _rows()
)
