from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.checks.planted import result_of
from tests.zoo import sound

CHECK = "cross_entropy_agrees_with_bce"


def overflowing(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.softmax(logits, dim=1)
    return -torch.log(p[torch.arange(len(targets)), targets]).mean()


def overflowing_bce(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    return -(targets * torch.log(p) + (1 - targets) * torch.log(1 - p)).mean()


def softmax_inside(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(torch.softmax(logits, dim=1), targets)


def sigmoid_inside(logits: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(torch.sigmoid(logits), targets)


@pytest.mark.parametrize(
    ("loss", "cause"), [(overflowing, "unstable_loss"), (softmax_inside, "softmax_before_cross_entropy")]
)
def test_faulty_losses_on_two_logits_are_named(loss, cause: str):
    result = result_of(CHECK, lambda: sound.MLP(2), loss=loss)
    assert (result.outcome, result.verdict.cause) == ("failed", cause)
    assert result.verdict.location is not None
    assert result.verdict.location.code.startswith(f"def {loss.__name__}")


@pytest.mark.parametrize(
    ("loss", "cause"), [(overflowing_bce, "unstable_loss"), (sigmoid_inside, "sigmoid_before_bce_with_logits")]
)
def test_faulty_losses_on_one_logit_are_named(loss, cause: str):
    result = result_of(CHECK, lambda: sound.OneLogit(True), task="binary", loss=loss)
    assert (result.outcome, result.verdict.cause) == ("failed", cause)


def test_column_against_flat_targets_is_broadcast():
    result = result_of(
        CHECK, lambda: sound.OneLogit(False), task="binary", loss=sound.bce_by_hand, targets="float_index"
    )
    assert (result.outcome, result.verdict.cause) == ("failed", "broadcast_targets")


def test_counterexample_of_an_unstable_loss_is_small():
    found = result_of(CHECK, lambda: sound.MLP(2), loss=overflowing).verdict.counterexample
    assert found is not None
    assert len(found["labels"]) == 1
    assert 0.0 in found["logits"][0]


def test_a_wrong_kernel_is_found(monkeypatch):
    right = F.cross_entropy
    from pytest_logits import losses

    nature = losses.NAMED["cross_entropy"][1]
    monkeypatch.setitem(losses.NAMED, "cross_entropy", (lambda z, y: right(z, y) * (1 + 1e-3), nature))
    result = result_of(CHECK, lambda: sound.MLP(2))
    assert result.outcome == "failed"
    assert result.verdict.counterexample is not None
    assert len(result.verdict.counterexample["labels"]) == 1


@pytest.mark.parametrize(
    "loss",
    [
        "cross_entropy",
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0])),
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]), reduction="sum"),
        nn.CrossEntropyLoss(label_smoothing=0.2),
        nn.CrossEntropyLoss(weight=torch.tensor([0.5, 9.0]), label_smoothing=0.1),
        lambda z, y: F.nll_loss(F.log_softmax(z, dim=1), y),
        sound.focal,
    ],
    ids=["name", "weight", "weight sum", "smoothing", "weight smoothing", "by hand", "focal claims nothing"],
)
def test_sound_losses_on_two_logits_do_not_fail(loss):
    assert result_of(CHECK, lambda: sound.MLP(2), loss=loss).outcome in ("passed", "not_applicable")


@pytest.mark.parametrize(
    "loss",
    [
        "bce_with_logits",
        nn.BCEWithLogitsLoss(pos_weight=torch.tensor(7.0)),
        nn.BCEWithLogitsLoss(reduction="sum"),
        sound.bce_by_hand,
    ],
    ids=["name", "pos_weight", "sum", "by hand"],
)
@pytest.mark.parametrize("squeeze", [True, False])
def test_sound_losses_on_one_logit_pass(loss, squeeze: bool):
    assert result_of(CHECK, lambda: sound.OneLogit(squeeze), task="binary", loss=loss).outcome == "passed"


def test_log_softmax_with_nll_passes():
    assert result_of(CHECK, lambda: sound.LogSoftmax(2), loss="nll_loss").outcome == "passed"


def test_double_precision_passes():
    assert result_of(CHECK, lambda: sound.MLP(2).double()).outcome == "passed"


@pytest.mark.parametrize("arguments", [{"num_classes": 3}, {"num_classes": 2, "task": "multilabel"}])
def test_other_heads_are_not_judged(arguments):
    assert result_of(CHECK, lambda: sound.MLP(arguments["num_classes"]), **arguments).outcome == "not_applicable"
