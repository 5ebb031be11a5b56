"""Binary and multi-label cross entropy by hand, with weights, as Dice and as a squared error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.zoo.own_losses.entry import FaultyLoss, Loss, SoundLoss
from tests.zoo.own_losses.focal import BINARY, TAGS

COLUMN = {**BINARY, "targets": "column"}


def from_logsigmoid(logits: Tensor, targets: Tensor) -> Tensor:
    positive = targets * F.logsigmoid(logits)
    negative = (1 - targets) * F.logsigmoid(-logits)
    return -(positive + negative).mean()


def without_minus(logits: Tensor, targets: Tensor) -> Tensor:
    positive = targets * F.logsigmoid(logits)
    negative = (1 - targets) * F.logsigmoid(-logits)
    return (positive + negative).mean()  # FAULT


def negatives_like_positives(logits: Tensor, targets: Tensor) -> Tensor:
    positive = targets * F.logsigmoid(logits)
    negative = (1 - targets) * F.logsigmoid(logits)  # FAULT
    return -(positive + negative).mean()


def no_negatives(logits: Tensor, targets: Tensor) -> Tensor:
    positive = targets * F.logsigmoid(logits)
    negative = targets * F.logsigmoid(-logits)  # FAULT
    return -(positive + negative).mean()


def negatives_of_log_sigmoid(logits: Tensor, targets: Tensor) -> Tensor:
    positive = targets * F.logsigmoid(logits)
    negative = (1 - targets) * (1 - F.logsigmoid(logits))  # FAULT
    return -(positive + negative).mean()


def from_sigmoid(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    return F.binary_cross_entropy(p, targets)


def from_sigmoid_and_log(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    return -(targets * p.log() + (1 - targets) * (1 - p).log()).mean()  # FAULT


def from_sigmoid_without_log(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    return -(targets * p + (1 - targets) * (1 - p)).mean()  # FAULT


def from_two_sigmoids(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    return F.binary_cross_entropy_with_logits(p, targets)  # FAULT


def from_rounded_sigmoid(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(logits).round()  # FAULT
    return F.binary_cross_entropy(p, targets)


def weighted(logits: Tensor, targets: Tensor) -> Tensor:
    losses = F.softplus(logits) - targets * logits
    weights = 0.8 * targets + 0.2 * (1 - targets)
    return (weights * losses).mean()


def weighted_by_signs(logits: Tensor, targets: Tensor) -> Tensor:
    losses = F.softplus(logits) - targets * logits
    weights = 0.8 * targets - 0.2 * (1 - targets)  # FAULT
    return (weights * losses).mean()


def weighted_positives_only(logits: Tensor, targets: Tensor) -> Tensor:
    losses = F.softplus(logits) - targets * logits
    weights = 0.8 * targets  # FAULT
    return (weights * losses).mean()


def with_pos_weight(logits: Tensor, targets: Tensor) -> Tensor:
    weight = 1 + (3.0 - 1) * targets
    return ((1 - targets) * logits + weight * F.softplus(-logits)).mean()


def with_pos_weight_overflow(logits: Tensor, targets: Tensor) -> Tensor:
    weight = 1 + (3.0 - 1) * targets
    return ((1 - targets) * logits + weight * torch.log1p(torch.exp(-logits))).mean()  # FAULT


def with_pos_weight_of_scores(logits: Tensor, targets: Tensor) -> Tensor:
    weight = 1 + (3.0 - 1) * logits.round()  # FAULT
    return ((1 - targets) * logits + weight * F.softplus(-logits)).mean()


def of_a_column(logits: Tensor, targets: Tensor) -> Tensor:
    scores, labels = logits.reshape(-1), targets.reshape(-1)
    return (F.softplus(scores) - scores * labels).mean()


def of_a_column_broadcast(logits: Tensor, targets: Tensor) -> Tensor:
    scores, labels = logits.reshape(-1), targets.reshape(-1, 1)  # FAULT
    return (F.softplus(scores) - scores * labels).mean()


def signed(logits: Tensor, targets: Tensor) -> Tensor:
    margin = (2 * targets - 1) * logits
    return F.softplus(-margin).mean()


def signed_by_mistake(logits: Tensor, targets: Tensor) -> Tensor:
    margin = targets * logits  # FAULT
    return F.softplus(-margin).mean()


def tags(logits: Tensor, targets: Tensor) -> Tensor:
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return losses.mean()


def tags_behind_softmax(logits: Tensor, targets: Tensor) -> Tensor:
    losses = F.binary_cross_entropy_with_logits(logits.softmax(dim=1), targets, reduction="none")  # FAULT
    return losses.mean()


def brier(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    return (p - targets).square().mean()


def brier_against_the_batch(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    return (p.reshape(-1, 1) - targets.reshape(1, -1)).square().mean()  # FAULT


def dice(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    overlap = 2 * (p * targets).sum() + 1
    return 1 - overlap / (p.sum() + targets.sum() + 1)


def dice_score(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    overlap = 2 * (p * targets).sum() + 1
    return overlap / (p.sum() + targets.sum() + 1)  # FAULT


def dice_of_scores(logits: Tensor, targets: Tensor) -> Tensor:
    p = logits  # FAULT
    overlap = 2 * (p * targets).sum() + 1
    return 1 - overlap / (p.sum() + targets.sum() + 1)


def dice_of_sums(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    overlap = 2 * p.sum() * targets.sum() + 1  # FAULT
    return 1 - overlap / (p.sum() + targets.sum() + 1)


def _torch_pos_weight(logits: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=torch.tensor(3.0).to(logits))


BCE = F.binary_cross_entropy_with_logits


def _sound(name: str, words: str, loss: Loss, torch_loss: Loss | None, arguments: dict[str, Any]) -> SoundLoss:
    return SoundLoss(name=name, words=words, loss=loss, arguments=arguments, torch=torch_loss)


FROM_LOGSIGMOID = _sound("BCEFromLogsigmoid", "BCE by logsigmoid", from_logsigmoid, BCE, BINARY)
FROM_SIGMOID = _sound("BCEFromSigmoid", "sigmoid and BCELoss", from_sigmoid, None, BINARY)
WEIGHTED = _sound("WeightedBCE", "weights .8 and .2", weighted, None, BINARY)
POS_WEIGHT = _sound("PosWeightByHand", "pos_weight by hand", with_pos_weight, _torch_pos_weight, BINARY)
FLATTENED = _sound("BCEOfAColumn", "BCE by hand on flattened columns", of_a_column, BCE, COLUMN)
SIGNED = _sound("LogisticBySign", "log(1 + exp(-margin))", signed, BCE, BINARY)
TAGGED = _sound("TagsByHand", "BCE with reduction='none', then the mean", tags, BCE, TAGS)
BRIER = _sound("BinaryBrier", "the squared error of sigmoid", brier, None, COLUMN)
DICE = _sound("BinaryDice", "Dice of the batch, smoothed by 1", dice, None, BINARY)

SOUND = (FROM_LOGSIGMOID, FROM_SIGMOID, WEIGHTED, POS_WEIGHT, FLATTENED, SIGNED, TAGGED, BRIER, DICE)


def _rows() -> Iterator[tuple[SoundLoss, str, str, str, Loss]]:
    maximised, sigmoid, unstable = "loss_is_maximised", "sigmoid_before_bce_with_logits", "unstable_loss"
    weights, broadcast = "wrong_loss_weights", "broadcast_targets"
    yield FROM_LOGSIGMOID, "BCEWithoutMinus", "the minus is missing", maximised, without_minus
    yield (
        FROM_LOGSIGMOID,
        "NegativesLikePositives",
        "logsigmoid(z) for negatives",
        "labels_have_no_effect",
        negatives_like_positives,
    )
    yield FROM_LOGSIGMOID, "NoNegatives", "y for 1 - y", weights, no_negatives
    yield FROM_LOGSIGMOID, "NegativesOfLogSigmoid", "1 - logsigmoid(z)", maximised, negatives_of_log_sigmoid
    yield FROM_SIGMOID, "BCEFromLogOfSigmoid", "log(sigmoid)", unstable, from_sigmoid_and_log
    yield FROM_SIGMOID, "BCEWithoutLog", "the logs are missing", "probabilities_into_nll_loss", from_sigmoid_without_log
    yield FROM_SIGMOID, "BCEFromTwoSigmoids", "sigmoid twice", sigmoid, from_two_sigmoids
    yield FROM_SIGMOID, "BCEOfDecisions", "the rounded probability", "detached_graph", from_rounded_sigmoid
    yield WEIGHTED, "WeightedBySigns", "a weight below 0 for negatives", weights, weighted_by_signs
    yield WEIGHTED, "WeightedPositivesOnly", "a weight of 0 for negatives", weights, weighted_positives_only
    yield POS_WEIGHT, "PosWeightOverflow", "log1p(exp(-z))", unstable, with_pos_weight_overflow
    yield POS_WEIGHT, "PosWeightOfScores", "scores for targets in the weight", weights, with_pos_weight_of_scores
    yield FLATTENED, "ColumnBroadcast", "(N,) against (N, 1)", broadcast, of_a_column_broadcast
    yield SIGNED, "SignedByMistake", "0 and 1 for -1 and 1", "signed_targets", signed_by_mistake
    yield TAGGED, "TagsBehindSoftmax", "softmax first", "softmax_before_bce_with_logits", tags_behind_softmax
    yield BRIER, "BrierAgainstTheBatch", "(N, 1) against (1, N)", broadcast, brier_against_the_batch
    yield DICE, "DiceScore", "1 - is missing", maximised, dice_score
    yield DICE, "DiceOfScores", "scores for probabilities", "unbounded_loss", dice_of_scores
    yield DICE, "DiceOfSums", "the product of sums", broadcast, dice_of_sums


# What a loss that is pulled to another class, or to none, shows besides.
ALSO = {
    "NegativesLikePositives": ("loss_rewards_mistakes",),
    "WeightedBySigns": ("loss_rewards_mistakes",),
    "DiceOfScores": ("loss_rewards_mistakes",),
}

FAULTS = tuple(
    FaultyLoss(name=name, words=words, cause=cause, loss=loss, twin=twin, also=ALSO.get(name, ()))
    for twin, name, words, cause, loss in _rows()
)
