"""Noise has the size that is asked for, and no two rows of a large matrix get the same."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pytest_logits.scattering import BLOCK, add_noise, size_of


def noise(shape: tuple[int, ...], *, deviation: float = 1.0, seed: int = 0, start: Tensor | None = None) -> Tensor:
    parameter = torch.zeros(shape) if start is None else start
    add_noise(parameter, deviation, torch.Generator().manual_seed(seed))
    return parameter


def test_the_size_is_the_root_mean_square():
    assert size_of(torch.full((3, 5), -2.0)) == pytest.approx(2.0)
    assert size_of(torch.tensor([[3.0, 0.0], [4.0, 0.0]])) == pytest.approx(2.5)


@pytest.mark.parametrize("shape", [(), (3,)])
def test_the_size_of_a_bias_or_a_gain_is_at_least_one(shape: tuple[int, ...]):
    assert size_of(torch.full(shape, 0.01)) == 1.0
    assert size_of(torch.full(shape, 7.0)) == pytest.approx(7.0)


def test_a_matrix_of_zeros_takes_the_usual_initial_size():
    assert size_of(torch.zeros(7, 4, 5, 5)) == 0.1


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_a_parameter_with_no_numbers_has_a_size(shape: tuple[int, ...]):
    assert size_of(torch.zeros(shape)) > 0
    assert noise(shape).shape == shape


@pytest.mark.parametrize("shape", [(100, 100), (700, 300), (BLOCK + 1,), (2, 3, 400, 100), (3, BLOCK)])
@pytest.mark.parametrize("deviation", [0.1, 5.0])
def test_noise_is_normal_and_as_large_as_asked(shape: tuple[int, ...], deviation: float):
    found = noise(shape, deviation=deviation) / deviation
    # Of 10,000 numbers and more, the mean is off by .01 and the deviation by .007: five times that.
    assert float(found.mean()) == pytest.approx(0.0, abs=0.05)
    assert float(found.std()) == pytest.approx(1.0, abs=0.035)
    assert float((found.abs() > 2).float().mean()) == pytest.approx(0.0455, abs=0.0105)


@pytest.mark.parametrize("shape", [(1024, 1024), (1500, 64), (2, BLOCK), (70, 1000)])
def test_rows_and_columns_of_a_large_matrix_differ(shape: tuple[int, int]):
    found = noise(shape)
    assert len(found.unique(dim=0)) == shape[0]
    assert len({column.numpy().tobytes() for column in found.T[:1000]}) == min(shape[1], 1000)


def test_a_large_square_matrix_has_full_rank():
    assert int(torch.linalg.matrix_rank(noise((600, 600)))) == 600


def test_noise_is_added_to_what_is_there():
    start = torch.full((700, 300), 3.0)
    assert torch.equal(noise((700, 300), start=start.clone()), start + noise((700, 300)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_noise_takes_the_dtype(dtype: torch.dtype):
    start = torch.zeros(700, 300, dtype=dtype)
    assert torch.equal(noise((700, 300), start=start), noise((700, 300)).to(dtype))


def test_a_parameter_in_another_order_of_memory_gets_noise():
    start = torch.zeros(300, 700).t()
    assert len(noise((700, 300), start=start).unique(dim=0)) == 700


def test_negative_noise_is_the_mirrored_one():
    assert torch.equal(noise((700, 300), deviation=-2.0), -noise((700, 300), deviation=2.0))
