from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.checks.planted import result_of
from tests.zoo import sound

CHECK = "targets_fit_loss"


def squared_error(logits: Tensor, targets: Tensor) -> Tensor:
    return (torch.sigmoid(logits) - targets).square().mean()


@pytest.mark.parametrize(
    ("targets", "cause"),
    [
        ("float_index", "wrong_target_dtype"),
        (lambda y: y.int(), "wrong_target_dtype"),
        (lambda y: y.bool(), "wrong_target_dtype"),
        (lambda y: y.unsqueeze(1), "wrong_target_dtype"),
        (lambda y: y + 1, "labels_out_of_range"),
        (lambda y: y - 1, "labels_out_of_range"),
        (lambda y: (y + 1) % 3, "labels_out_of_range"),
    ],
    ids=["float", "int32", "bool", "column of indices", "from one", "from minus one", "next class"],
)
def test_targets_of_cross_entropy(targets, cause: str):
    result = result_of(CHECK, lambda: sound.MLP(3), num_classes=3, targets=targets)
    assert (result.outcome, result.verdict.cause) == ("failed", cause)


def test_labels_from_one_into_a_head_with_a_spare_score_are_found():
    result = result_of(CHECK, lambda: sound.MLP(4), num_classes=4, targets=lambda y: (y + 1).clamp(max=3))
    assert result.verdict.cause == "labels_out_of_range"


@pytest.mark.parametrize(
    ("targets", "cause"),
    [("signed", "signed_targets"), ("index", "wrong_target_dtype"), ("column", "wrong_target_dtype")],
)
def test_targets_of_bce_with_logits(targets, cause: str):
    result = result_of(CHECK, lambda: sound.OneLogit(True), task="binary", targets=targets)
    assert (result.outcome, result.verdict.cause) == ("failed", cause)


def test_integers_against_a_column_of_logits_are_of_the_wrong_dtype():
    # A single column has no class 1, but BCE has no classes to be out of range of.
    result = result_of(CHECK, lambda: sound.OneLogit(False), task="binary", targets="index")
    assert result.verdict.cause == "wrong_target_dtype"


@pytest.mark.parametrize("loss", [sound.bce_by_hand, squared_error])
@pytest.mark.parametrize(("squeeze", "targets"), [(False, "float_index"), (True, "column")])
def test_broadcast_targets_are_found(loss, squeeze: bool, targets: str):
    result = result_of(CHECK, lambda: sound.OneLogit(squeeze), task="binary", loss=loss, targets=targets)
    assert (result.outcome, result.verdict.cause) == ("failed", "broadcast_targets")
    assert result.verdict.location is not None


@pytest.mark.parametrize("loss", [sound.bce_by_hand, squared_error])
@pytest.mark.parametrize(("squeeze", "targets"), [(True, "float_index"), (False, "column"), (False, None)])
def test_matching_shapes_pass(loss, squeeze: bool, targets):
    assert (
        result_of(CHECK, lambda: sound.OneLogit(squeeze), task="binary", loss=loss, targets=targets).outcome == "passed"
    )


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        ("cross_entropy", None),
        ("cross_entropy", "onehot"),
        (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 30.0])), None),
        (nn.CrossEntropyLoss(label_smoothing=0.3), None),
        (sound.focal, None),
        (nn.MultiMarginLoss(), None),
    ],
    ids=["index", "onehot", "weighted", "smoothed", "focal", "hinge"],
)
def test_sound_twins_pass(loss, targets):
    assert result_of(CHECK, lambda: sound.MLP(3), num_classes=3, loss=loss, targets=targets).outcome == "passed"


def test_refused_targets_are_reported_once():
    for other in ("loss_reaches_its_minimum", "cross_entropy_agrees_with_bce"):
        result = result_of(other, lambda: sound.MLP(2), targets=lambda y: y.int())
        assert result.outcome == "not_applicable"
        assert "targets_fit_loss" in result.verdict.measured


def smoothed(low: float, high: float):
    return lambda labels: low + (high - low) * F.one_hot(labels, 10).float()


def test_soft_targets_that_sum_to_more_than_one_are_found():
    verdict = result_of(CHECK, lambda: sound.MLP(10), num_classes=10, targets=smoothed(0.1, 0.9)).verdict
    assert (verdict.outcome, verdict.cause) == ("failed", "unnormalised_targets")
    assert verdict.evidence["row_sums"] == pytest.approx([1.8] * 8)


def test_unnormalised_targets_are_minimised_by_their_shares():
    # The page's number: the loss of targets .9 and nine times .1 is least at .5, not at .9.
    target = torch.full((1, 10), 0.1, dtype=torch.float64).index_fill_(1, torch.tensor([0]), 0.9)
    scores = (target / target.sum()).log().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(scores, target), scores)
    assert float(gradient.abs().max()) < 1e-15
    assert float(scores.detach().softmax(dim=1)[0, 0]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "targets",
    [
        smoothed(0.01, 0.91),
        lambda labels: 3 * F.one_hot(labels, 10).float(),
        lambda labels: (1.0 + labels).unsqueeze(1) * F.one_hot(labels, 10).float(),
        lambda labels: smoothed(0.01, 0.91)(labels).mul(100).round().div(100),
    ],
    ids=["smoothed", "scaled one-hot", "weighted one-hot", "rounded"],
)
def test_soft_targets_that_move_no_minimum_pass(targets):
    assert result_of(CHECK, lambda: sound.MLP(10), num_classes=10, targets=targets).outcome == "passed"


def test_soft_targets_with_a_weight_per_class_are_advice():
    def weighted(labels: Tensor) -> Tensor:
        return (1.0 + labels).unsqueeze(1) * smoothed(0.01, 0.91)(labels)

    result = result_of(CHECK, lambda: sound.MLP(10), num_classes=10, targets=weighted)
    assert (result.outcome, result.verdict.cause) == ("advice", "unnormalised_targets")


def test_binary_labels_from_one_are_out_of_range():
    result = result_of(CHECK, lambda: sound.OneLogit(True), task="binary", targets=lambda y: y + 1.0)
    assert (result.outcome, result.verdict.cause) == ("failed", "labels_out_of_range")


def test_every_position_of_a_dense_output_is_looked_at():
    dense = {"input_shape": (4, 12), "num_classes": 4}
    assert result_of(CHECK, lambda: sound.Conv1dHead(4), **dense).outcome == "passed"
    result = result_of(CHECK, lambda: sound.Conv1dHead(4), **dense, targets=lambda y: (y + 1) % 4)
    assert result.verdict.cause == "labels_out_of_range"


def test_dense_targets_are_broadcast_where_the_channel_is_left_in():
    # (6, 1, 6, 6) against (6, 6, 6): the batch meets the height.
    result = result_of(
        CHECK,
        lambda: nn.Conv2d(3, 1, 1),
        input_shape=(3, 6, 6),
        task="binary",
        targets="float_index",
        loss=sound.bce_by_hand,
    )
    assert (result.outcome, result.verdict.cause) == ("failed", "broadcast_targets")


def test_signed_targets_of_many_labels_are_found():
    result = result_of(
        CHECK, lambda: sound.MLP(6), num_classes=6, task="multilabel", targets=lambda y: (2 * y - 1).float()
    )
    assert (result.outcome, result.verdict.cause) == ("failed", "signed_targets")


def test_labels_that_are_one_too_high_are_found_among_thousands_of_classes():
    result = result_of(CHECK, lambda: nn.Linear(10, 3000), num_classes=3000, targets=lambda y: y + 1)
    assert (result.outcome, result.verdict.cause) == ("failed", "labels_out_of_range")
