from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.checks.examples_are_independent import tolerance
from tests.checks.planted import result_of
from tests.zoo import sound

CHECK = "examples_are_independent"


class Centred(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        z = self.net(x)
        return z - z.mean(dim=0)  # FAULT


class Reshaped(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        x = x.t().reshape(len(x), 10)  # FAULT
        return self.net(x)


class BatchSoftmax(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.net(x), dim=0)  # FAULT


class NormLeftOn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(10)
        self.head = nn.Linear(10, 2)

    def train(self, mode: bool = True) -> nn.Module:
        return super().train(True)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(x))  # FAULT


class FunctionalNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(10, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.batch_norm(x, None, None, training=True)  # FAULT
        return self.head(x)


@pytest.mark.parametrize(
    ("model", "cause"),
    [
        (lambda: Centred(2), "examples_leak_across_batch"),
        (lambda: Reshaped(2), "examples_leak_across_batch"),
        (lambda: BatchSoftmax(2), "softmax_over_wrong_dim"),
        (NormLeftOn, "examples_leak_across_batch"),
        (FunctionalNorm, "examples_leak_across_batch"),
    ],
    ids=["centred", "reshaped", "batch softmax", "batch norm left on", "functional batch norm"],
)
def test_a_leak_is_found_at_its_line(model, cause: str):
    result = result_of(CHECK, model)
    assert (result.outcome, result.verdict.cause) == ("failed", cause)
    assert result.verdict.location is not None
    assert result.verdict.location.code.endswith("# FAULT")


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        (lambda: sound.MLP(2), {}),
        (lambda: sound.CNN(2), sound.IMAGE),
        (lambda: sound.LSTM(2), sound.TOKENS),
        (lambda: sound.Transformer(2), sound.TOKENS),
        (lambda: sound.Gated(2), {}),
        (sound.TwoInputs, {"inputs": sound.ids_and_mask, "num_classes": 3}),
    ],
    ids=["mlp", "cnn", "lstm", "transformer", "experts", "two inputs"],
)
def test_sound_twins_pass(model, arguments):
    assert result_of(CHECK, model, **arguments).outcome == "passed"


def test_tolerance_is_half_the_digits():
    assert tolerance(torch.float32, 1.0) == pytest.approx(2**-11.5)
    assert tolerance(torch.float64, 4.0) == 4 * 2**-26


class OneRowOverflows(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) * torch.where(torch.arange(len(x)) == 1, torch.nan, 1.0).unsqueeze(1)


def test_rows_that_are_nan_do_not_hide_the_others():
    """NaN equals nothing: an evaluation that repeats itself is not random for it."""
    assert result_of(CHECK, lambda: OneRowOverflows(2)).outcome == "passed"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:torch.quantize_per_tensor:UserWarning")
def test_a_scale_of_the_whole_batch_that_is_meant_so_is_advice():
    def quantised() -> nn.Module:
        return torch.ao.quantization.quantize_dynamic(sound.MLP(2), {nn.Linear}, dtype=torch.qint8)

    result = result_of(CHECK, quantised)
    assert (result.outcome, result.verdict.cause) == ("advice", "examples_leak_across_batch")
    assert "'net.0' is quantised dynamically" in result.verdict.measured


class Hesitant(sound.MLP):
    """Has a coin of its own, which no seed fixes, and which falls one way once in so many evaluations."""

    def __init__(self, often: int) -> None:
        super().__init__(2)
        self.often, self.times = often, 0

    def forward(self, x: Tensor) -> Tensor:
        self.times += 1
        return self.net(x) + (self.times % self.often == 0)


@pytest.mark.parametrize("often", [2, 3, 4, 5, 7])
def test_a_difference_that_comes_and_goes_is_not_the_batchs(often: int):
    assert result_of(CHECK, lambda: Hesitant(often)).outcome in ("passed", "not_applicable")


def test_a_sound_model_is_evaluated_nine_times():
    # Once more for the shape of its scores.
    assert result_of(CHECK, lambda: sound.MLP(2)).passes.forward == 10
