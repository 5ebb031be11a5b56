"""A plant's way into a model: its output, its class, its copies, and what is known of its loss."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.plant import Case, through

FLAT = {"input_shape": (10,), "num_classes": 3}
X = torch.ones(2, 10)


class Headed(nn.Linear):
    """A class with an attribute and a method of its own."""

    def __init__(self) -> None:
        super().__init__(10, 3)
        self.config = SimpleNamespace(num_labels=3)

    def trunk(self, x: Tensor) -> Tensor:
        return x


def case(factory: Any = Headed, **arguments: Any) -> Case:
    return Case(factory, {**FLAT, **arguments})


def test_outputs_go_through_the_change_and_so_do_those_of_a_copy():
    model = Headed()
    expected = model(X) + 1
    through(model, lambda output: output + 1)
    assert torch.equal(model(X), expected)
    twin = copy.deepcopy(model)
    assert torch.equal(twin(X), expected)
    nn.init.zeros_(twin.weight)
    assert torch.equal(model(X), expected)


def test_a_planted_model_keeps_its_class_and_what_it_holds():
    model = Headed()
    through(model, lambda output: output)
    assert isinstance(model, Headed)
    assert type(model).__name__ == "Headed"
    assert model.config.num_labels == 3
    assert model.trunk(X) is X


def test_other_models_of_the_class_stay_as_they_are():
    planted, other = Headed(), Headed()
    expected = other(X)
    through(planted, torch.zeros_like)
    assert torch.equal(other(X), expected)


@pytest.mark.parametrize("shared", [True, False], ids=["one_object", "a_module"])
def test_a_module_of_the_users_is_not_changed(shared: bool):
    module = Headed()
    expected = module(X)
    planted = case((lambda: module) if shared else module).with_outputs(torch.zeros_like)
    assert not planted.factory()(X).any()
    assert not planted.factory()(X).any()
    assert torch.equal(module(X), expected)
    assert type(module) is Headed


def test_each_call_of_a_planted_factory_makes_a_model():
    factory = case().with_outputs(torch.zeros_like).factory
    first, second = factory(), factory()
    assert first is not second
    assert not torch.equal(first.weight, second.weight)


def test_an_output_keeps_its_form():
    class Answering(Headed):
        def forward(self, x: Tensor) -> Any:
            return {"logits": super().forward(x), "hidden": x}

    output = case(Answering).with_outputs(torch.zeros_like).factory()(X)
    assert set(output) == {"logits", "hidden"}
    assert not output["logits"].any()
    assert output["hidden"] is X


def test_scores_that_are_read_out_of_the_output_are_returned_themselves():
    planted = case(logits=lambda output: output[:, :2], predict=len, num_classes=2).with_outputs(lambda z: 0 * z)
    assert planted.factory()(X).shape == (2, 2)
    assert "logits" not in planted.arguments
    # It would take the output apart by itself.
    assert "predict" not in planted.arguments


def focal(logits: Tensor, targets: Tensor) -> Tensor:
    losses = F.cross_entropy(logits, targets, reduction="none")
    return ((1 - (-losses).exp()) ** 2 * losses).mean()


@pytest.mark.parametrize(
    ("arguments", "form", "takes", "plain"),
    [
        ({}, "categorical", True, True),
        ({}, "bernoulli", False, False),
        ({"task": "multilabel"}, "bernoulli", True, True),
        ({"loss": nn.CrossEntropyLoss()}, "categorical", True, True),
        ({"loss": nn.CrossEntropyLoss(label_smoothing=0.1)}, "categorical", True, False),
        ({"loss": nn.CrossEntropyLoss(weight=torch.ones(3))}, "categorical", True, False),
        ({"targets": "onehot"}, "categorical", True, False),
        ({"loss": "nll_loss"}, "categorical", False, False),
        ({"loss": focal}, "categorical", True, False),
        ({"loss": F.nll_loss}, "categorical", False, False),
        ({"loss": lambda output, y: focal(output, y), "loss_takes": "output"}, "categorical", False, False),
    ],
)
def test_what_the_loss_takes_is_known_or_probed(arguments: dict[str, Any], form: str, takes: bool, plain: bool):
    assert case(**arguments).takes_logits(form) == takes
    assert case(**arguments).has_plain_loss(form) == plain


def test_a_net_that_brings_its_own_loss_takes_no_plant_of_outputs():
    def net() -> Any:
        return SimpleNamespace(initialize=None, get_loss=None, module=None, criterion=None)

    assert case(net).is_skorch
    assert not case(net).takes_logits("categorical")


def test_asking_what_a_factory_makes_leaves_the_random_state():
    before = torch.random.get_rng_state()
    assert not case(lambda: nn.Linear(10, 3)).is_skorch
    assert torch.equal(torch.random.get_rng_state(), before)
