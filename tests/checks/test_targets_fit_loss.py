from __future__ import annotations

import pytest
import torch
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
    for other in ("outputs_are_logits", "loss_reaches_its_minimum", "cross_entropy_agrees_with_bce"):
        result = result_of(other, lambda: sound.MLP(2), targets=lambda y: y.int())
        assert result.outcome == "not_applicable"
        assert "targets_fit_loss" in result.verdict.measured
