from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from pytest_logits.guard import preserved_state
from pytest_logits.model import make_spec
from pytest_logits.own_training import OwnTraining
from pytest_logits.settings import Settings
from pytest_logits.step_gradients import weight_ratio
from pytest_logits.subject import Subject
from tests.checks.planted import found, result_of
from tests.zoo import sound


def optimizer(model: nn.Module) -> Optimizer:
    return SGD(model.parameters(), lr=0.1)


def softmax_first(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = F.cross_entropy(F.softmax(model(x), dim=1), y)
    loss.backward()
    optimizer.step()
    return loss


def lukewarm(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x) / 2, y)
    loss.backward()
    optimizer.step()
    return loss


def outcome(train_step: object, seed: int) -> tuple[str, str | None]:
    return found(
        result_of(
            "training_step_trains",
            lambda: sound.MLP(2),
            train_step=train_step,
            optimizer=optimizer,
            seed=seed,
            name="step",
        )
    )


def relu_first(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = F.cross_entropy(F.relu(model(x)), y)
    loss.backward()
    optimizer.step()
    return loss


class Positive(nn.Module):
    """All its logits are positive as initialised, and for some steps more."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(10, 2)
        with torch.no_grad():
            self.head.bias += 10.0

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


def test_a_relu_in_the_step_is_found_where_all_logits_are_positive():
    result = result_of("training_step_trains", Positive, train_step=relu_first, optimizer=optimizer, name="step")
    assert found(result) == ("failed", "bounded_logits")


# To first order in the margin softmax before cross entropy and a temperature of 2 pull two logits alike.
@pytest.mark.parametrize("seed", range(20))
def test_softmax_of_two_close_logits_is_told_from_a_temperature(seed: int):
    assert outcome(softmax_first, seed) == ("failed", "softmax_before_cross_entropy")
    assert outcome(lukewarm, seed) == ("passed", None)


def weighted(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:
    """The rare class counts nine times as much: the loss without weights rises where the rare class gains."""
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y, weight=torch.tensor([1.0, 9.0, 9.0]))
    loss.backward()
    optimizer.step()
    return loss.detach()


def plain(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = 2 * F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.detach()


@pytest.mark.parametrize(("train_step", "ratio"), [(weighted, 9.0), (plain, 1.0), (softmax_first, 1.0)])
def test_weights_for_classes_are_seen_in_the_gradients(train_step: object, ratio: float):
    arguments = {
        "name": "net",
        "num_classes": 3,
        "input_shape": (10,),
        "train_step": train_step,
        "optimizer": optimizer,
    }
    subject = Subject(make_spec(lambda: sound.MLP(3), file=Path(__file__), line=1, arguments=arguments), Settings())
    with preserved_state():
        assert weight_ratio(subject, OwnTraining(subject).run(2).pulled) == pytest.approx(ratio, rel=1e-4)
