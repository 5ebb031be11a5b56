from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.checks.planted import result_of
from tests.zoo import sound

CHECK = "evaluation_is_deterministic"


class AlwaysDropped(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(F.dropout(x, 0.5))  # FAULT


class Noisy(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        x = x + torch.randn_like(x)  # FAULT
        return self.net(x)


class AfterModuleDropout(sound.MLP):
    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(x)
        return self.net(F.dropout(x))  # FAULT


@pytest.mark.parametrize("model", [AlwaysDropped, Noisy, AfterModuleDropout])
def test_random_evaluation_is_found_at_its_line(model):
    result = result_of(CHECK, lambda: model(2))
    assert (result.outcome, result.verdict.cause) == ("failed", "evaluation_is_random")
    assert result.verdict.location is not None
    assert result.verdict.location.code.endswith("# FAULT")


class OneInFive(sound.MLP):
    """A coin for the whole batch, which falls one way one time in five."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x if torch.rand(()) < 0.8 else -x)


# Eight evaluations from either setting of the parameters see one side only at one seed in 36.
@pytest.mark.parametrize("seed", range(30))
def test_a_coin_for_the_whole_batch_is_found_at_any_seed(seed):
    assert result_of(CHECK, lambda: OneInFive(2), seed=seed).outcome == "failed"


class MonteCarloFunction(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(F.dropout(x, 0.5, training=True))


class MonteCarloModule(sound.MLP):
    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.drop = nn.Dropout(0.5)

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        self.drop.train(True)
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.drop(x))


@pytest.mark.parametrize("model", [MonteCarloFunction, MonteCarloModule])
def test_monte_carlo_dropout_is_advice(model):
    result = result_of(CHECK, lambda: model(2))
    assert (result.outcome, result.verdict.cause) == ("advice", "evaluation_is_random")


class DroppedRightly(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(F.dropout(x, 0.5, training=self.training))


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        (lambda: DroppedRightly(2), {}),
        (lambda: sound.CNN(2), sound.IMAGE),
        (lambda: sound.Transformer(2), sound.TOKENS),
    ],
)
def test_sound_twins_pass(model, arguments):
    assert result_of(CHECK, model, **arguments).outcome == "passed"
