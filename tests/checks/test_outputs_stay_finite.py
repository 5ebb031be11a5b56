from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.checks.planted import result_of
from tests.zoo.sound import MLP

CHECK = "outputs_stay_finite"


class Applied(MLP):
    def __init__(self, function) -> None:
        super().__init__(3)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.net(x))


def log_of_ratio(z: Tensor) -> Tensor:
    return torch.log(z / z.sum(dim=1, keepdim=True))  # FAULT


def division_by_zero(z: Tensor) -> Tensor:
    return z / (z - z)  # FAULT


def root(z: Tensor) -> Tensor:
    return z.sqrt()  # FAULT


@pytest.mark.parametrize("function", [log_of_ratio, division_by_zero, root])
def test_non_finite_logits_are_found_at_their_line(function):
    result = result_of(CHECK, lambda: Applied(function), num_classes=3)
    assert (result.outcome, result.verdict.cause) == ("failed", "non_finite_values")
    assert result.verdict.location is not None
    assert result.verdict.location.code.endswith("# FAULT")


def test_variance_of_a_single_row_is_found_at_batch_one():
    result = result_of(CHECK, lambda: Applied(lambda z: z / z.var(dim=0, unbiased=False)), num_classes=3)
    assert result.verdict.counterexample == {"batch_size": 1, "scale": 1.0}


def test_overflow_on_raw_pixels_only_is_inconclusive():
    result = result_of(CHECK, lambda: Applied(lambda z: z.exp()), num_classes=3)
    assert result.outcome == "inconclusive"


@pytest.mark.parametrize(
    "function",
    [lambda z: z, lambda z: z.masked_fill(torch.arange(3) == 2, -torch.inf), lambda z: torch.log_softmax(z, dim=1)],
    ids=["logits", "masked class", "log_softmax"],
)
def test_sound_twins_pass(function):
    assert result_of(CHECK, lambda: Applied(function), num_classes=3).outcome == "passed"


class OneLogit(torch.nn.Linear):
    """Minus infinity for every row: with a single score there is no class left that it could be a mask beside."""

    def __init__(self, squeeze: bool) -> None:
        super().__init__(10, 1)
        self.squeeze = squeeze

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x) - torch.inf  # FAULT
        return scores.squeeze(1) if self.squeeze else scores


@pytest.mark.parametrize("squeeze", [True, False])
def test_a_single_logit_of_minus_infinity_is_no_mask(squeeze: bool):
    result = result_of(CHECK, lambda: OneLogit(squeeze), num_classes=2, task="binary")
    assert (result.outcome, result.verdict.cause) == ("failed", "non_finite_values")


def test_all_classes_at_minus_infinity_are_no_mask():
    result = result_of(CHECK, lambda: Applied(lambda z: z - torch.inf), num_classes=3)
    assert (result.outcome, result.verdict.cause) == ("failed", "non_finite_values")


def test_a_position_of_dense_scores_may_be_masked():
    def masked() -> torch.nn.Module:
        class Net(torch.nn.Conv1d):
            def forward(self, x: Tensor) -> Tensor:
                return super().forward(x).masked_fill(torch.arange(6) == 5, -torch.inf)

        return Net(3, 4, 1)

    result = result_of(CHECK, masked, num_classes=4, input_shape=(3, 6))
    assert result.outcome == "passed"


class Tires(MLP):
    """Gives NaN from the second call of one model on."""

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        tired = hasattr(self, "used")
        self.used = True
        return scores * torch.nan if tired else scores


def test_what_a_copy_keeps_from_batch_to_batch_is_not_held_against_the_model():
    assert result_of(CHECK, lambda: Tires(3), num_classes=3).outcome == "passed"


class Once(MLP):
    """Can be called once, and gives NaN for a batch of one."""

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "used"):
            raise RuntimeError("called again")
        self.used = True
        return super().forward(x) * (torch.nan if len(x) == 1 else 1.0)


def test_a_copy_that_cannot_be_used_again_hides_nothing():
    result = result_of(CHECK, lambda: Once(3), num_classes=3)
    assert result.verdict.counterexample == {"batch_size": 1, "scale": 1.0}
