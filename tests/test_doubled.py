"""A registration in float64, and what keeps it from being run there."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_logits import doubled
from pytest_logits.doubled import Doubled, obstacle, runs_of_both_losses
from pytest_logits.equivalence import Reference
from pytest_logits.guard import preserved_state
from pytest_logits.model import make_spec
from pytest_logits.settings import Settings
from pytest_logits.subject import Subject
from tests.zoo import sound


@pytest.fixture(autouse=True)
def state_kept():
    with preserved_state():
        yield


def subject(factory: Any, **arguments: Any) -> Subject:
    given = {"name": "net", "num_classes": 2, "input_shape": (10,), **arguments}
    return Subject(make_spec(factory, file=Path(__file__), line=1, arguments=given), Settings())


def test_parameters_inputs_and_a_loss_that_is_a_module_are_in_float64():
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]))
    made = Doubled(subject(lambda: sound.MLP(2), loss=loss))
    assert {p.dtype for p in made.fresh().parameters()} == {torch.float64}
    assert made.inputs(3, "x").dtype == torch.float64
    assert made.separable_batch().inputs.dtype == torch.float64
    assert made.loss_object.weight.dtype == torch.float64
    assert loss.weight is not None
    assert loss.weight.dtype == torch.float32


def test_the_weights_are_those_of_the_registration():
    ours = subject(lambda: sound.MLP(2))
    for p, q in zip(ours.fresh().parameters(), Doubled(ours).fresh().parameters(), strict=True):
        assert torch.equal(p.double(), q)


def test_a_module_that_is_registered_itself_keeps_its_dtype():
    module = sound.MLP(2)
    Doubled(subject(module)).fresh()
    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_inputs_of_the_users_own_are_in_float64_but_for_integers():
    def inputs(count: int, generator: torch.Generator) -> dict[str, Any]:
        return {
            "x": torch.rand(count, 10),
            "ids": torch.zeros(count, dtype=torch.long),
            "pair": (torch.rand(count, 1),),
        }

    made = Doubled(subject(lambda: sound.MLP(2), inputs=inputs, input_shape=None)).inputs(3, "x")
    assert (made["x"].dtype, made["ids"].dtype, made["pair"][0].dtype) == (torch.float64, torch.int64, torch.float64)


class Narrow(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).float()


class NarrowInside(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).float().double()


class FloatOnly(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) @ torch.eye(2)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (sound.MLP, ""),
        (Narrow, "net computes in another dtype than float64"),
        (NarrowInside, "net computes in another dtype than float64"),
        (FloatOnly, "in float64 net or its loss raises RuntimeError: expected"),
    ],
)
def test_what_keeps_a_model_from_float64_is_told(model: Any, why: str):
    made = Doubled(subject(lambda: model(2)))
    batch = made.separable_batch()
    found = obstacle(made, batch.inputs, batch.labels)
    assert found.startswith(why)
    assert bool(found) == bool(why)


def test_a_slow_model_takes_one_step_with_one_optimizer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(doubled, "SECONDS", -math.inf)
    seen = runs_of_both_losses(subject(lambda: sound.MLP(2)), Reference(two_columns=True))
    assert isinstance(seen, dict)
    assert [(name, course.steps) for name, course in seen.items()] == [("weight decay", 1)]


def test_passes_are_counted():
    ours = subject(lambda: sound.MLP(2))
    runs_of_both_losses(ours, Reference(two_columns=True))
    # Three models, three optimizers, ten steps; and a look at one of them first.
    assert (ours.passes.forward, ours.passes.backward) == (91, 90)
