"""What users get of a registered classifier: the same each time, and the random state as it was."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import torch
from torch import nn

import pytest_logits
from pytest_logits.classifier import Classifier
from pytest_logits.model import make_spec
from pytest_logits.settings import Settings
from pytest_logits.subject import Subject

FLAT: dict[str, Any] = {"input_shape": (4,), "num_classes": 3}


def spec(factory: Any = lambda: nn.Linear(4, 3), **arguments: Any) -> Any:
    return make_spec(factory, file=Path(__file__), line=1, arguments={"name": "net", **FLAT, **arguments})


def classifier(factory: Any = lambda: nn.Linear(4, 3), **arguments: Any) -> Classifier:
    subject = Subject(spec(factory, **arguments), Settings())
    return Classifier(lambda: subject)


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class WithExtra(nn.Linear):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override]
        return super().forward(x), x


def test_it_is_called_what_it_is_registered_as():
    made = classifier(task="multilabel")
    assert (made.name, made.num_classes, made.task, repr(made)) == ("net", 3, "multilabel", "<Classifier net>")


def test_a_binary_classifier_has_two_classes():
    assert classifier(lambda: nn.Linear(4, 1), num_classes=1, task="binary").num_classes == 2


def test_its_arguments_are_those_of_the_registration():
    arguments = classifier(frozen=["a.*"]).arguments
    assert (arguments["input_shape"], arguments["frozen"], arguments["loss"]) == ((4,), ("a.*",), None)


def test_its_arguments_register_it_again():
    made = classifier(frozen=["a.*"], vocab_size=9, input_shape=None)
    assert classifier(**made.arguments).arguments == made.arguments


def test_copies_have_the_same_weights_and_are_several():
    made = classifier()
    first, second = made.make(), made.make()
    assert first is not second
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), second.parameters(), strict=True))


def test_a_copy_is_in_train_mode():
    assert classifier(lambda: nn.Linear(4, 3).eval()).make().training


def test_a_module_is_never_changed():
    module = nn.Linear(4, 3)
    before = copy.deepcopy(module.state_dict())
    with torch.no_grad():
        classifier(module).make().weight.zero_()  # type: ignore[union-attr, operator]
    assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())


def test_inputs_are_the_same_for_a_purpose():
    made = classifier()
    assert torch.equal(made.inputs(5), made.inputs(5))
    assert not torch.equal(made.inputs(5), made.inputs(5, purpose="another"))


def test_inputs_have_the_models_shape():
    assert classifier().inputs(5).shape == (5, 4)


def test_a_separable_batch_has_inputs_and_labels():
    x, y = classifier().separable_batch()
    assert (x.shape, y.shape, y.dtype) == ((16, 4), (16,), torch.int64)


def test_labels_of_several_positions_have_a_label_for_each():
    _, y = classifier(Dense, input_shape=(1, 2, 5)).separable_batch()
    assert y.shape == (16, 2, 5)


def test_labels_of_several_labels_are_multi_hot():
    _, y = classifier(task="multilabel").separable_batch()
    assert y.shape == (16, 3)


def test_the_loss_is_the_registered_one():
    made = classifier(loss=nn.CrossEntropyLoss(label_smoothing=0.1))
    z, y = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    assert torch.equal(made.loss(z, y), nn.CrossEntropyLoss(label_smoothing=0.1)(z, y))


def test_labels_are_encoded_as_the_loss_takes_them():
    made = classifier(lambda: nn.Linear(4, 1), num_classes=2, task="binary")
    z = torch.randn(4, 1)
    expected = nn.BCEWithLogitsLoss()(z, torch.tensor([[0.0], [1.0], [1.0], [0.0]]))
    assert torch.equal(made.loss(z, torch.tensor([0, 1, 1, 0])), expected)


def test_a_loss_of_the_whole_output_gets_these_scores():
    made = classifier(
        lambda: WithExtra(4, 3), loss=lambda out, y: nn.functional.cross_entropy(out[0], y), loss_takes="output"
    )
    z, y = torch.randn(16, 3), torch.arange(16) % 3
    assert torch.equal(made.loss(z, y), nn.functional.cross_entropy(z, y))


def test_logits_are_found_in_the_output_with_their_graph():
    made = classifier(lambda: WithExtra(4, 3))
    logits = made.logits(made.make(), made.inputs(5))
    assert (logits.shape, logits.requires_grad) == ((5, 3), True)


def test_grad_mode_is_the_callers():
    made = classifier()
    with torch.no_grad():
        assert not made.logits(made.make(), made.inputs(5)).requires_grad


def test_seeds_differ_by_purpose():
    made = classifier()
    assert made.seed("one") == made.seed("one") != made.seed("another")
    assert 0 <= made.seed("one") < 2**63


def test_the_random_state_is_left_as_it_was():
    made = classifier(
        lambda: nn.Sequential(WithExtra(4, 3)), loss=lambda out, y: out[0].sum(), loss_takes="output", name="random"
    )
    before = torch.random.get_rng_state(), random.getstate()
    made.make()
    made.inputs(3)
    made.separable_batch()
    made.loss(torch.randn(16, 3, generator=torch.Generator()), torch.arange(16) % 3)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def test_it_is_offered_at_the_top():
    assert pytest_logits.Classifier is Classifier
