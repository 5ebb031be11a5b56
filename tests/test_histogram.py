from __future__ import annotations

import pytest
import torch

from pytest_logits.histogram import BINS, histogram


def test_every_value_is_counted_once_with_the_ends():
    found = histogram(torch.linspace(-1, 1, BINS + 1, dtype=torch.float64).reshape(1, -1))
    assert found is not None
    assert (found["edges"][0], found["edges"][-1], len(found["edges"])) == (-1, 1, BINS + 1)
    assert found["counts"] == [1] * (BINS - 1) + [2]


def test_equal_values_lie_in_the_middle_of_a_range_of_1():
    found = histogram(torch.full((3,), 7.0))
    assert found is not None
    assert (found["edges"][0], found["edges"][-1]) == (6.5, 7.5)
    assert found["counts"][BINS // 2] == 3


@pytest.mark.parametrize(
    "values",
    [
        torch.zeros(0),
        torch.tensor([-1.7e308, 1.7e308], dtype=torch.float64),
        torch.full((2,), 1e300, dtype=torch.float64),
    ],
    ids=["none", "too wide", "too large"],
)
def test_what_has_no_bins_has_no_histogram(values: torch.Tensor):
    assert histogram(values) is None
