from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pytest_logits.pooled import LUCK
from tests.checks.planted import result_of
from tests.zoo.sound import MLP, OneLogit, ZeroHead, deep

CHECK = "loss_decreases_on_separable_data"


def frozen() -> nn.Module:
    return MLP(2).requires_grad_(False)


class Detached(MLP):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).detach()


class Strays(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = [nn.Linear(10, 2)]

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks[0](x)


def all_zero() -> nn.Module:
    model = nn.Sequential(nn.Linear(10, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2, bias=False))
    for p in model.parameters():
        nn.init.zeros_(p)
    return model


@pytest.mark.parametrize(
    ("model", "cause"),
    [
        (lambda: nn.Linear(10, 1), "single_column_cross_entropy"),
        (frozen, "frozen_parameters"),
        (lambda: Detached(2), "detached_graph"),
        (Strays, "unregistered_parameters"),
        (all_zero, "degenerate_initialisation"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_loss_that_cannot_fall_is_found(model, cause: str):
    result = result_of(CHECK, model)
    assert (result.outcome, result.verdict.cause) == ("failed", cause)


@pytest.mark.parametrize("bias", [-100.0, 0.0])
def test_behind_a_relu_on_the_logits_the_draw_decides(bias: float):
    class Clipped(MLP):
        def __init__(self) -> None:
            super().__init__(2)
            nn.init.constant_(self.net[2].bias, bias)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.net(x))

    result = result_of(CHECK, Clipped)
    assert (result.outcome, result.verdict.cause) == ("inconclusive", None)
    assert LUCK in result.verdict.measured


@pytest.mark.parametrize("model", [lambda: MLP(2), lambda: ZeroHead(2), lambda: nn.Sequential(MLP(2), nn.Dropout(0.5))])
def test_sound_twins_pass(model):
    assert result_of(CHECK, model).outcome == "passed"


def test_half_frozen_model_passes():
    def head_only() -> nn.Module:
        model = MLP(2)
        model.net[0].requires_grad_(False)
        return model

    assert result_of(CHECK, head_only).outcome == "passed"


def test_a_slow_model_is_inconclusive():
    result = result_of(CHECK, lambda: deep(20, 2))
    assert result.outcome == "inconclusive"
    assert "steps" in result.verdict.measured


def test_a_model_without_parameters_is_not_judged():
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.sum(1), -x.sum(1)], dim=1)

    assert result_of(CHECK, Fixed).outcome == "not_applicable"


def test_binary_head_passes():
    assert result_of(CHECK, lambda: OneLogit(True), task="binary").outcome == "passed"
