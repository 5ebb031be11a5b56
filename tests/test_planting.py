"""Every plant is found by the checks that it names, and leaves what it was planted in as it was."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pytest_logits
from pytest_logits.causes import cause_names
from pytest_logits.losses import Nature
from pytest_logits.model import builtin_check_names
from pytest_logits.planting import LossCase, LossPlant, Plant, plants, plants_of_losses

PLANTS = plants()
OF_LOSSES = plants_of_losses()


class Net(nn.Module):
    """Dropout, which minds the mode; scores (N, outputs), or (N,) where ``flat``."""

    def __init__(self, outputs: int, *, flat: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(16, outputs)
        self.flat = flat

    def forward(self, x: Tensor) -> Tensor:
        scores = self.head(self.body(x))
        return scores.squeeze(1) if self.flat else scores


class Answering(Net):
    """Scores in a mapping, as a transformer gives them."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": super().forward(x)}


def own_batches() -> list[tuple[Tensor, Tensor]]:
    rng = torch.Generator().manual_seed(0)
    return [(torch.randn(24, 10, generator=rng), torch.arange(24) % 4)]


FLAT = {"input_shape": (10,)}
REGISTERED: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "four_classes": (lambda: Net(4), {**FLAT, "num_classes": 4}),
    "two_classes": (lambda: Net(2), {**FLAT, "num_classes": 2}),
    "mapping": (lambda: Answering(4), {**FLAT, "num_classes": 4, "logits": lambda output: output["logits"]}),
    "own_batches": (lambda: Net(4), {**FLAT, "num_classes": 4, "batches": own_batches}),
    "one_logit": (lambda: Net(1), {**FLAT, "num_classes": 2, "task": "binary"}),
    "flat_logit": (lambda: Net(1, flat=True), {**FLAT, "num_classes": 2, "task": "binary"}),
    "several_labels": (lambda: Net(6), {**FLAT, "num_classes": 6, "task": "multilabel"}),
    "dense": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 1)),
        {"input_shape": (3, 6, 6), "num_classes": 4},
    ),
}
# What cannot be had in a model of each kind.
ABSENT = {
    "four_classes": {
        *(cause for cause in PLANTS if "bce" in cause),
        "broadcast_targets",
        "signed_targets",
        "unscaled_inputs",
        "unstable_loss",
    },
    "several_labels": {
        *(cause for cause in PLANTS if cause.endswith(("cross_entropy", "nll_loss"))),
        "broadcast_targets",
        "softmax_over_wrong_dim",
        "unnormalised_targets",
        "unreachable_class",
        "unscaled_inputs",
        "unstable_loss",
        "wrong_loss_weights",
    },
}


def applying(name: str) -> list[str]:
    factory, arguments = REGISTERED[name]
    return [cause for cause, plant in PLANTS.items() if plant(factory, arguments) is not None]


@pytest.mark.parametrize(("name", "cause"), [(name, cause) for name in REGISTERED for cause in applying(name)])
def test_a_planted_fault_is_found_by_a_check_that_is_named(name: str, cause: str):
    plant = PLANTS[cause]
    planted = plant(*REGISTERED[name])
    assert planted is not None
    report = pytest_logits.check_classifier(planted.factory, name=name, select=plant.checks, **planted.arguments)
    outcome = "advice" if plant.advice else "failed"
    assert (outcome, cause) in {(result.outcome, result.verdict.cause) for result in report}, str(report)


@pytest.mark.parametrize("name", sorted(REGISTERED))
def test_nothing_is_found_where_nothing_is_planted(name: str):
    factory, arguments = REGISTERED[name]
    report = pytest_logits.check_classifier(factory, name=name, **arguments)
    assert [r.check for r in report if r.outcome in ("failed", "error", "advice")] == []


@pytest.mark.parametrize("name", sorted(ABSENT))
def test_what_cannot_be_had_is_left_out(name: str):
    assert set(PLANTS) - set(applying(name)) == ABSENT[name]


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_a_plant_names_a_cause_and_checks_that_there_are(plant: Plant):
    assert plant.cause in cause_names()
    assert plant.checks
    assert set(plant.checks) <= set(builtin_check_names())
    assert plant.words


# Losses by themselves


def by_gather(logits: Tensor, targets: Tensor) -> Tensor:
    return -F.log_softmax(logits, dim=1).gather(1, targets.unsqueeze(1)).mean()


def case_of(loss: Any, form: str, targets: Tensor) -> LossCase:
    nature = Nature(takes="logits", form=form)  # type: ignore[arg-type]
    scores = torch.linspace(-2, 2, 12).reshape(4, 3) if form == "categorical" else torch.linspace(-2, 2, 4)
    return LossCase(loss=loss, nature=nature, scores=scores, targets=targets)


OF_CLASSES = case_of(by_gather, "categorical", torch.tensor([0, 1, 2, 0]))
OF_BITS = case_of(nn.BCEWithLogitsLoss(), "bernoulli", torch.tensor([0.0, 1.0, 1.0, 0.0]))
CASES = {
    "classes": (OF_CLASSES, {"num_classes": 3}),
    "bits": (OF_BITS, {"task": "binary", "num_classes": 1}),
}
FINDERS = {"unstable_loss": "loss_stays_finite", "labels_out_of_range": "targets_fit_loss"}
NOT_IN = {
    "classes": {"sigmoid_before_bce_with_logits", "signed_targets"},
    "bits": {"softmax_before_cross_entropy", "softmax_over_wrong_dim", "labels_out_of_range", "unbounded_loss"},
}


@pytest.mark.parametrize(
    ("name", "cause"), [(name, cause) for name in CASES for cause in OF_LOSSES if cause not in NOT_IN[name]]
)
def test_a_fault_planted_in_a_loss_is_found(name: str, cause: str):
    case, arguments = CASES[name]
    planted = OF_LOSSES[cause](case)
    assert planted is not None
    select = [FINDERS.get(cause, "loss_matches_reference")]
    report = pytest_logits.check_loss(planted, name=name, profile="quick", select=select, **arguments)
    assert cause in {r.verdict.cause for r in report if r.outcome in ("failed", "advice")}, str(report)


@pytest.mark.parametrize("name", sorted(CASES))
def test_what_a_loss_cannot_have_is_left_out(name: str):
    assert {cause for cause, plant in OF_LOSSES.items() if plant(CASES[name][0]) is None} == NOT_IN[name]


def test_a_sum_is_no_mean_to_be_taken_twice():
    summed = case_of(nn.CrossEntropyLoss(reduction="sum"), "categorical", OF_CLASSES.targets)
    rows = case_of(nn.CrossEntropyLoss(reduction="none"), "categorical", OF_CLASSES.targets)
    assert [OF_LOSSES["wrong_reduction"](case) for case in (summed, rows)] == [None, None]
    assert OF_LOSSES["broadcast_targets"](rows) is None


def test_a_loss_with_a_fault_looks_like_the_loss():
    planted = OF_LOSSES["loss_is_maximised"](OF_CLASSES)
    assert planted is not None
    assert planted.__name__ == "by_gather"
    assert list(inspect.signature(planted).parameters) == ["logits", "targets"]
    assert float(planted(OF_CLASSES.scores, OF_CLASSES.targets)) == -float(
        by_gather(OF_CLASSES.scores, OF_CLASSES.targets)
    )


@pytest.mark.parametrize("plant", OF_LOSSES.values(), ids=OF_LOSSES)
def test_a_plant_of_losses_names_a_cause_that_there_is(plant: LossPlant):
    assert plant.cause in cause_names()
    assert plant.words
