from __future__ import annotations

import pytest
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

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


# To first order in the margin softmax before cross entropy and a temperature of 2 pull two logits alike.
@pytest.mark.parametrize("seed", range(20))
def test_softmax_of_two_close_logits_is_told_from_a_temperature(seed: int):
    assert outcome(softmax_first, seed) == ("failed", "softmax_before_cross_entropy")
    assert outcome(lukewarm, seed) == ("passed", None)
