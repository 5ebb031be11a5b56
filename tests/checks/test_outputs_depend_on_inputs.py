from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.checks.planted import result_of
from tests.zoo import sound

CHECK = "outputs_depend_on_inputs"


class Ignores(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(torch.zeros_like(x))


class OnlyBias(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return self.net[2].bias.repeat(len(x), 1)


@pytest.mark.parametrize("model", [Ignores, OnlyBias])
def test_ignored_input_is_found(model):
    result = result_of(CHECK, lambda: model(2))
    assert (result.outcome, result.verdict.cause) == ("failed", "output_ignores_input")


def dead_relu() -> nn.Module:
    model = sound.MLP(2)
    nn.init.constant_(model.net[0].bias, -100.0)
    return model


@pytest.mark.parametrize(
    "model", [lambda: sound.MLP(2), lambda: sound.ZeroHead(2), dead_relu, lambda: sound.deep(20, 2)]
)
def test_sound_twins_pass(model):
    assert result_of(CHECK, model).outcome == "passed"


def test_equal_inputs_of_the_users_own_say_nothing():
    result = result_of(CHECK, lambda: sound.MLP(2), inputs=lambda n, generator: torch.ones(n, 10))
    assert result.outcome == "not_applicable"


class ReLUOnOneLogit(sound.OneLogit):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


@pytest.mark.parametrize("seed", range(12))
def test_a_relu_that_is_off_in_some_settings_does_not_ignore_its_input(seed: int):
    """It is wrong, and outputs_are_logits says so. At seed 10 it is off as initialised and in two settings more."""
    assert result_of(CHECK, lambda: ReLUOnOneLogit(True), task="binary", seed=seed).outcome == "passed"


def test_a_model_without_parameters_is_looked_at_once():
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x), 2)

    result = result_of(CHECK, Constant)
    assert result.outcome == "failed"
    assert result.verdict.evidence["spreads"] == [0.0]
