from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pytest_logits
from pytest_logits import doubled, lockstep
from pytest_logits.generated import GeneratedSubjects
from pytest_logits.selection import selected_checks
from pytest_logits.settings import PROFILES, Profile, Settings
from tests.checks.planted import result_of
from tests.zoo import sound

CHECK = "cross_entropy_agrees_with_bce"


@pytest.fixture(autouse=True)
def as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubled, "SECONDS", math.inf)


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


# Targets and rows


@pytest.mark.parametrize(
    "arguments",
    [
        {"loss": nn.CrossEntropyLoss(), "targets": lambda y: 0.9 * F.one_hot(y, 2).float() + 0.05},
        {"loss": nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0])), "targets": "onehot"},
        {"loss": nn.CrossEntropyLoss(label_smoothing=0.1), "targets": "onehot"},
        {"loss": nn.CrossEntropyLoss(ignore_index=-1)},
        {"loss": nn.CrossEntropyLoss(ignore_index=1)},
        {"loss": nn.CrossEntropyLoss(weight=torch.tensor([0.0, 1.0]))},
        {"loss": nn.CrossEntropyLoss(ignore_index=7, weight=torch.tensor([1.0, 3.0]), label_smoothing=0.1)},
    ],
    ids=["smoothed targets", "one-hot, weights", "one-hot, smoothing", "-1", "a class", "no weight", "all"],
)
def test_soft_targets_and_ignored_rows_pass(arguments: dict[str, Any]):
    assert result_of(CHECK, lambda: sound.MLP(2), **arguments).outcome == "passed"


@pytest.mark.parametrize("smoothing", [0.05, 0.2])
def test_smoothed_targets_of_bce_pass(smoothing: float):
    def targets(labels: Tensor) -> Tensor:
        return (1 - 2 * smoothing) * labels.float() + smoothing

    result = result_of(CHECK, lambda: sound.OneLogit(True), task="binary", loss=nn.BCEWithLogitsLoss(), targets=targets)
    assert result.outcome == "passed"


def test_swapped_targets_still_fail():
    result = result_of(CHECK, lambda: sound.OneLogit(True), task="binary", targets=lambda y: 1 - y.float())
    assert (result.outcome, result.verdict.cause) == ("failed", "labels_out_of_range")


def test_ignored_rows_that_count_in_the_mean_are_found(monkeypatch: pytest.MonkeyPatch):
    from pytest_logits import losses

    def counting(z: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(z, y, reduction="sum") / len(y)

    nature = losses.NAMED["cross_entropy"][1]
    monkeypatch.setitem(losses.NAMED, "cross_entropy", (counting, nature))
    result = result_of(CHECK, lambda: sound.MLP(2))
    assert result.outcome == "failed"
    assert result.verdict.counterexample is not None
    assert -100 in result.verdict.counterexample["labels"]


# Losses by themselves


@pytest.mark.parametrize(
    ("loss", "arguments"),
    [
        (nn.CrossEntropyLoss(), {"num_classes": 2}),
        (nn.NLLLoss(ignore_index=3), {"num_classes": 2}),
        (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0)), {"task": "binary"}),
        (sound.bce_by_hand, {"task": "binary"}),
    ],
)
def test_a_registered_loss_is_drawn_on_and_not_trained(loss: Any, arguments: dict[str, Any]):
    (result,) = pytest_logits.check_loss(loss, select=[CHECK], **arguments)
    assert result.outcome == "passed", result.verdict
    assert "training" not in result.verdict.evidence


def test_soft_targets_that_do_not_sum_to_one_are_named():
    """In range or not: a vote count is no label."""
    (result,) = pytest_logits.check_loss(
        nn.CrossEntropyLoss(), select=[CHECK], num_classes=2, targets=lambda y: 3.0 * F.one_hot(y, 2) + 1
    )
    assert (result.outcome, result.verdict.cause) == ("failed", "unnormalised_targets")


# Training


@pytest.fixture(autouse=True)
def few_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn is tested above with the standard number of examples."""
    monkeypatch.setitem(
        cast(dict[str, Profile], PROFILES), "thorough", replace(PROFILES["quick"], name="thorough", both_losses=True)
    )


def trained(model: Any, **arguments: Any) -> Any:
    return result_of(CHECK, model, profile="thorough", **arguments)


def test_only_the_thorough_profile_trains_a_registered_model():
    assert "training" not in result_of(CHECK, lambda: sound.MLP(2)).verdict.evidence


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"loss": nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]), reduction="sum")},
        {"loss": lambda z, y: F.nll_loss(F.log_softmax(z, dim=1), y)},
        {"frozen": "net.0.*"},
    ],
    ids=["plain", "weights", "by hand", "frozen"],
)
def test_a_model_is_trained_by_both_losses(arguments: dict[str, Any]):
    result = trained(lambda: sound.MLP(2), **arguments)
    training = result.verdict.evidence["training"]
    assert set(training) == {"weight decay", "momentum", "adam"}
    # A linear layer or two: a few roundings of float64, and ten steps.
    assert max(seen["gap"] for seen in training.values()) < 1e-13
    assert "training by both stays together" in result.verdict.measured


@pytest.mark.parametrize("factory", [lambda: sound.CNN(2), lambda: sound.LSTM(2), lambda: sound.Transformer(2)])
def test_dropout_and_batch_norm_train_alike(factory: Any):
    arguments = sound.IMAGE if isinstance(factory(), sound.CNN) else sound.TOKENS
    result = trained(factory, **{"input_shape": None, **arguments})
    assert result.outcome == "passed"
    assert set(result.verdict.evidence["training"]) == {"weight decay", "momentum", "adam"}


class ByDtype(nn.Module):
    """Cross entropy in the model's own dtype, and smoothed in any other: what is drawn on is not what trains."""

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(z, y, label_smoothing=0.3 if z.dtype == torch.float64 else 0.0)


def test_a_loss_that_is_another_one_in_training_is_found_at_the_first_step():
    result = trained(lambda: sound.MLP(2), loss=ByDtype())
    assert result.outcome == "failed"
    assert result.verdict.counterexample is not None
    assert result.verdict.counterexample["step"] == 1
    assert "net.0.weight is" in result.verdict.measured


class Narrow(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).float()


class FloatOnly(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) @ torch.eye(2)


@pytest.mark.parametrize(("model", "why"), [(Narrow, "another dtype"), (FloatOnly, "raises RuntimeError")])
def test_a_model_that_does_not_compute_in_float64_is_judged_by_the_drawn_batches(model: Any, why: str):
    result = trained(lambda: model(2))
    assert result.outcome == "passed"
    assert why in result.verdict.evidence["training"]
    assert "training" not in result.verdict.measured


def test_a_model_with_nothing_to_train_is_judged_by_the_drawn_batches():
    result = trained(lambda: sound.MLP(2).requires_grad_(False))
    assert result.verdict.evidence["training"] == "not compared: no parameter trains"


@pytest.mark.parametrize("wrong", ["HEAD_STEP", "HEAD_DECAY"])
def test_a_wrong_pairing_of_generated_heads_is_found(wrong: str, monkeypatch: pytest.MonkeyPatch):
    (check,) = selected_checks(select=[CHECK], ignore=[])
    subjects = GeneratedSubjects(Settings(profile=PROFILES["quick"]))
    assert subjects.decide(check).outcome == "passed"
    monkeypatch.setattr(lockstep, wrong, 1.0)
    verdict = subjects.decide(check)
    assert verdict.outcome == "failed"
    assert verdict.counterexample is not None
    assert verdict.counterexample["gap"] > 1000 * lockstep.TRAINING_BOUND
