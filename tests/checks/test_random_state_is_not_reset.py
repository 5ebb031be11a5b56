from __future__ import annotations

import random
from collections.abc import Callable

import numpy
import pytest
import torch
from torch import Tensor, nn

from tests.checks.planted import result_of
from tests.zoo import sound

CHECK = "random_state_is_not_reset"


class Does(sound.MLP):
    """Does something before the forward pass."""

    def __init__(self, action: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__(2)
        self.action = action

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.action(self, x))


def reseeded(model: nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(0)  # FAULT
    return x


def python_reseeded(model: nn.Module, x: Tensor) -> Tensor:
    random.seed(0)  # FAULT
    return x


def numpy_reseeded(model: nn.Module, x: Tensor) -> Tensor:
    numpy.random.seed(0)  # FAULT
    return x


def reseeded_at_evaluation(model: nn.Module, x: Tensor) -> Tensor:
    return x if model.training else reseeded(model, x)


def noisy(model: nn.Module, x: Tensor) -> Tensor:
    return x + torch.randn_like(x)


def noisy_from_a_fork(model: nn.Module, x: Tensor) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return noisy(model, x)


def noisy_from_its_own_generator(model: nn.Module, x: Tensor) -> Tensor:
    return x + torch.randn(x.shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("action", "which"), [(reseeded, "torch"), (python_reseeded, "random"), (numpy_reseeded, "numpy")]
)
def test_a_forward_pass_that_sets_the_seed_is_found(action, which: str):
    verdict = result_of(CHECK, lambda: Does(action)).verdict
    assert (verdict.outcome, verdict.cause) == ("failed", "random_state_reset")
    assert verdict.evidence["reset"] == [which]
    assert verdict.location is not None
    assert verdict.location.code.endswith("# FAULT")


def test_a_seed_set_at_evaluation_only_is_advice():
    result = result_of(CHECK, lambda: Does(reseeded_at_evaluation))
    assert (result.outcome, result.verdict.cause) == ("advice", "random_state_reset")


@pytest.mark.parametrize("action", [noisy, noisy_from_a_fork, noisy_from_its_own_generator])
def test_drawing_numbers_is_no_fault(action):
    assert result_of(CHECK, lambda: Does(action)).outcome == "passed"


def test_a_reset_leaves_one_mask():
    # The page's numbers: 256 masks of 8 units, 100 draws, 256 * (1 - (255 / 256) ** 100) = 83 expected.
    def masks(reset: bool) -> int:
        seen = set()
        for _ in range(100):
            if reset:
                torch.manual_seed(0)
            seen.add(tuple(nn.Dropout(0.5)(torch.ones(8)).tolist()))
        return len(seen)

    torch.manual_seed(1)
    assert masks(reset=True) == 1
    assert masks(reset=False) == pytest.approx(256 * (1 - (255 / 256) ** 100), abs=10)
