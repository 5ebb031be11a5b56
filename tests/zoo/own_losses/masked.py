"""Rows and tokens that are left out, and dense scores (N, K, T)."""

from __future__ import annotations

from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor

from tests.zoo.own_losses.entry import FaultyLoss, Loss, SoundLoss
from tests.zoo.own_losses.plain import ANY


def masked(logits: Tensor, targets: Tensor) -> Tensor:
    kept = targets != -100
    safe = targets.masked_fill(~kept, 0)
    ce = F.cross_entropy(logits, safe, reduction="none")
    return (ce * kept).sum() / kept.sum()


def masked_mean_of_all(logits: Tensor, targets: Tensor) -> Tensor:
    kept = targets != -100
    safe = targets.masked_fill(~kept, 0)
    ce = F.cross_entropy(logits, safe, reduction="none")
    return (ce * kept).mean()  # FAULT


def masked_in_the_count_only(logits: Tensor, targets: Tensor) -> Tensor:
    kept = targets != -100
    safe = targets.masked_fill(~kept, 0)
    ce = F.cross_entropy(logits, safe, reduction="none")
    return ce.sum() / kept.sum()  # FAULT


def masked_class_zero(logits: Tensor, targets: Tensor) -> Tensor:
    kept = targets > 0  # FAULT
    safe = targets.masked_fill(~kept, 0)
    ce = F.cross_entropy(logits, safe, reduction="none")
    return (ce * kept).sum() / kept.sum()


def masked_the_wrong_way(logits: Tensor, targets: Tensor) -> Tensor:
    kept = targets != -100
    safe = targets.masked_fill(targets != -1, 0)  # FAULT
    ce = F.cross_entropy(logits, safe, reduction="none")
    return (ce * kept).sum() / kept.sum()


def by_selection(logits: Tensor, targets: Tensor) -> Tensor:
    kept = targets != -100
    log_p = F.log_softmax(logits, dim=1)[kept]
    return -log_p.gather(1, targets[kept].unsqueeze(1)).mean()


def by_selection_of_rows_first(logits: Tensor, targets: Tensor) -> Tensor:
    kept = targets != -100
    log_p = F.log_softmax(logits[kept], dim=0)  # FAULT
    return -log_p.gather(1, targets[kept].unsqueeze(1)).mean()


def by_selection_and_all(logits: Tensor, targets: Tensor) -> Tensor:
    kept = targets != -100
    log_p = F.log_softmax(logits, dim=1)[kept]
    return -log_p.gather(1, targets[kept].unsqueeze(1)).sum() / len(targets)  # FAULT


def tokens(logits: Tensor, targets: Tensor) -> Tensor:
    kept = (targets != -100).to(logits)
    log_p = F.log_softmax(logits, dim=1)
    picked = log_p.gather(1, targets.clamp(min=0).unsqueeze(1)).squeeze(1)
    return -(picked * kept).sum(dim=1).sum() / kept.sum()


def tokens_over_positions(logits: Tensor, targets: Tensor) -> Tensor:
    kept = (targets != -100).to(logits)
    log_p = F.log_softmax(logits, dim=-1)  # FAULT
    picked = log_p.gather(1, targets.clamp(min=0).unsqueeze(1)).squeeze(1)
    return -(picked * kept).sum(dim=1).sum() / kept.sum()


def tokens_mean_of_all(logits: Tensor, targets: Tensor) -> Tensor:
    kept = (targets != -100).to(logits)
    log_p = F.log_softmax(logits, dim=1)
    picked = log_p.gather(1, targets.clamp(min=0).unsqueeze(1)).squeeze(1)
    return -(picked * kept).sum(dim=1).mean() / kept.shape[1]  # FAULT


def tokens_with_padding_as_class_zero(logits: Tensor, targets: Tensor) -> Tensor:
    kept = (targets != -100).to(logits)
    log_p = F.log_softmax(logits, dim=1)
    picked = log_p.gather(1, targets.clamp(min=0).unsqueeze(1)).squeeze(1)
    return -picked.sum(dim=1).sum() / kept.sum()  # FAULT


def tokens_by_rows(logits: Tensor, targets: Tensor) -> Tensor:
    batch, classes, length = logits.shape
    rows = logits.transpose(1, 2).reshape(batch * length, classes)
    return F.cross_entropy(rows, targets.reshape(batch * length))


def tokens_by_a_view(logits: Tensor, targets: Tensor) -> Tensor:
    batch, classes, length = logits.shape
    rows = logits.reshape(batch * length, classes)  # FAULT
    return F.cross_entropy(rows, targets.reshape(batch * length))


def tokens_shifted(logits: Tensor, targets: Tensor) -> Tensor:
    batch, classes, length = logits.shape
    rows = logits.transpose(1, 2).roll(1, dims=1).reshape(batch * length, classes)  # FAULT
    return F.cross_entropy(rows, targets.reshape(batch * length))


def tokens_time_first(logits: Tensor, targets: Tensor) -> Tensor:
    batch, classes, length = logits.shape
    rows = logits.permute(2, 0, 1).reshape(batch * length, classes)  # FAULT
    return F.cross_entropy(rows, targets.reshape(batch * length))


def dense_dice_and_ce(logits: Tensor, targets: Tensor) -> Tensor:
    p = F.softmax(logits, dim=1)
    y = F.one_hot(targets, logits.shape[1]).movedim(-1, 1)
    overlap, total = (p * y).sum(dim=(0, 2)), (p + y).sum(dim=(0, 2))
    dice = (2 * overlap + 1) / (total + 1)
    return F.cross_entropy(logits, targets) + 1 - dice.mean()


def dense_dice_of_scores(logits: Tensor, targets: Tensor) -> Tensor:
    p = logits  # FAULT
    y = F.one_hot(targets, logits.shape[1]).movedim(-1, 1)
    overlap, total = (p * y).sum(dim=(0, 2)), (p + y).sum(dim=(0, 2))
    dice = (2 * overlap + 1) / (total + 1)
    return F.cross_entropy(logits, targets) + 1 - dice.mean()


MASKED = SoundLoss(name="MaskedCE", words="rows of -100 left out", loss=masked, arguments=ANY, torch=F.cross_entropy)
SELECTED = SoundLoss(
    name="SelectedCE", words="rows of -100 selected out", loss=by_selection, arguments=ANY, torch=F.cross_entropy
)
TOKENS = SoundLoss(
    name="MaskedTokens", words="tokens of -100 left out", loss=tokens, arguments=ANY, torch=F.cross_entropy
)
BY_ROWS = SoundLoss(
    name="TokensByRows", words="(N, K, T) as rows", loss=tokens_by_rows, arguments=ANY, torch=F.cross_entropy
)
DENSE = SoundLoss(name="DenseDiceAndCE", words="CE and Dice over (N, K, T)", loss=dense_dice_and_ce, arguments=ANY)

SOUND = (MASKED, SELECTED, TOKENS, BY_ROWS, DENSE)


def _rows() -> Iterator[tuple[SoundLoss, str, str, str, Loss]]:
    ignored, dim = "ignored_rows_count", "softmax_over_wrong_dim"
    yield MASKED, "MaskedMeanOfAll", "divided by all rows", ignored, masked_mean_of_all
    yield MASKED, "MaskedInTheCountOnly", "ignored rows are summed as class 0", ignored, masked_in_the_count_only
    yield MASKED, "MaskedClassZero", "class 0 left out too: advice", "wrong_loss_weights", masked_class_zero
    yield MASKED, "MaskedTheWrongWay", "every label becomes 0", "labels_have_no_effect", masked_the_wrong_way
    yield SELECTED, "SelectedOverTheBatch", "log_softmax with dim=0", dim, by_selection_of_rows_first
    yield SELECTED, "SelectedAndAll", "divided by all rows", ignored, by_selection_and_all
    yield TOKENS, "TokensOverPositions", "log_softmax over T", dim, tokens_over_positions
    yield TOKENS, "TokensMeanOfAll", "divided by all tokens", ignored, tokens_mean_of_all
    yield TOKENS, "PaddingAsClassZero", "padding is summed as class 0", ignored, tokens_with_padding_as_class_zero
    yield BY_ROWS, "TokensByAView", "a view for a transpose", "scores_out_of_order", tokens_by_a_view
    yield BY_ROWS, "TokensTimeFirst", "(T, N, K) against (N, T)", "scores_out_of_order", tokens_time_first
    yield BY_ROWS, "TokensShifted", "scores of the token before", "scores_out_of_order", tokens_shifted
    yield DENSE, "DenseDiceOfScores", "scores for probabilities", "unbounded_loss", dense_dice_of_scores


# What a loss that is pulled to another class, or to none, shows besides.
ALSO = {
    "MaskedTheWrongWay": ("loss_rewards_mistakes",),
    "DenseDiceOfScores": ("loss_rewards_mistakes",),
}

FAULTS = tuple(
    FaultyLoss(name=name, words=words, cause=cause, loss=loss, twin=twin, also=ALSO.get(name, ()))
    for twin, name, words, cause, loss in _rows()
)
