from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.checks.planted import found, result_of
from tests.zoo import sound

CHECK = "inputs_are_scaled"


def judge(x: Any, factory: Any = None, **arguments: Any) -> Any:
    given = {"num_classes": 3, "batches": lambda: [(x, torch.arange(16) % 3)], **arguments}
    return result_of(CHECK, factory or (lambda: sound.MLP(3)), **given)


def raw(*shape: int) -> Tensor:
    return torch.arange(16 * 10 * 24).view(16, -1)[:, : shape[0]].remainder(256).float()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_numbers_that_are_not_finite_are_found_with_their_batch(value: float):
    x = torch.randn(16, 10)
    bad = x.clone()
    bad[3, 4] = value
    pairs = [(x, torch.arange(16) % 3), (bad, torch.arange(16) % 3)]
    result = judge(None, batches=lambda: pairs)
    assert found(result) == ("failed", "non_finite_values")
    assert result.verdict.counterexample == {"batch": 2, "bad": 1}
    assert "1 of 160 numbers in the inputs of batch 2" in result.verdict.measured


def test_raw_bytes_as_floats_are_advice():
    result = judge(raw(10))
    assert found(result) == ("advice", "unscaled_inputs")
    assert result.verdict.evidence["root_mean_square"][0] > 100


@pytest.mark.parametrize("factor", [1e-4, 1e-2, 1e2, 1e6])
def test_sizes_out_of_range_are_advice(factor: float):
    assert found(judge(torch.randn(16, 10) * factor)) == ("advice", "unscaled_inputs")


@pytest.mark.parametrize("x", [torch.randn(16, 10), torch.rand(16, 10), 5 * torch.randn(16, 10), torch.zeros(16, 10)])
def test_sizes_near_one_pass(x: Tensor):
    assert judge(x).outcome == "passed"


NORMALISED: dict[str, Any] = {
    "BatchNorm": lambda: nn.Sequential(nn.BatchNorm1d(10), sound.MLP(3)),
    "LayerNorm": lambda: nn.Sequential(nn.LayerNorm(10), sound.MLP(3)),
    "BatchNorm without weights": lambda: nn.Sequential(nn.BatchNorm1d(10, affine=False), sound.MLP(3)),
    "behind dropout": lambda: nn.Sequential(nn.Dropout(0.1), nn.BatchNorm1d(10), sound.MLP(3)),
}


@pytest.mark.parametrize("name", NORMALISED)
def test_a_normalisation_that_comes_first_takes_the_size_out(name: str):
    result = judge(raw(10), NORMALISED[name])
    assert result.outcome == "passed"
    assert "Norm" in result.verdict.measured


def test_a_normalisation_that_comes_later_does_not():
    factory = lambda: nn.Sequential(nn.Linear(10, 10), nn.BatchNorm1d(10), sound.MLP(3))  # noqa: E731
    assert found(judge(raw(10), factory)) == ("advice", "unscaled_inputs")


def test_a_normalisation_does_not_take_nan_out():
    assert judge(torch.full((16, 10), torch.nan), NORMALISED["BatchNorm"]).outcome == "failed"


def test_images_with_batch_norm_first_pass():
    images = torch.randint(0, 256, (16, 3, 8, 8)).float()
    for first, outcome in ((nn.BatchNorm2d(3), "passed"), (nn.Identity(), "advice")):
        result = judge(images, lambda first=first: nn.Sequential(first, sound.CNN(3)), **sound.IMAGE)
        assert result.outcome == outcome


@pytest.mark.parametrize("kind", [tuple, list, dict])
def test_every_float_of_a_batch_is_looked_at(kind: Any):
    mixed = {"ids": torch.arange(16), "x": torch.randn(16, 10), "y": torch.full((16, 2), torch.nan)}
    assert found(judge(mixed if kind is dict else kind(mixed.values()))) == ("failed", "non_finite_values")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.int32])
def test_integers_are_not_looked_at(dtype: torch.dtype):
    result = judge(torch.zeros(16, 10).to(dtype))
    assert result.outcome == "not_applicable"


def test_tokens_are_not_looked_at():
    assert judge(torch.randint(1, 200, (16, 12)), lambda: sound.LSTM(3), **sound.TOKENS).outcome == "not_applicable"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_size_is_computed_without_overflow(dtype: torch.dtype):
    # The squares of half a thousand are beyond float16.
    result = judge(torch.full((16, 10), 500.0).to(dtype), lambda: sound.MLP(3).to(dtype))
    assert result.verdict.evidence["root_mean_square"] == [500.0]


def test_without_batches_there_is_nothing_to_look_at():
    assert result_of(CHECK, lambda: sound.MLP(2)).outcome == "not_applicable"
