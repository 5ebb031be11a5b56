"""Logits whose every element is drawn by Hypothesis."""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

import torch
from hypothesis import strategies as st
from torch import Tensor

from pytest_logits.strategies._validate import check_bounds, check_float_dtype, check_number, check_shape

# Hypothesis has no bfloat16; float32 values rounded to it stay within any bound that is itself a bfloat16.
FLOAT_WIDTHS: dict[torch.dtype, Literal[16, 32, 64]] = {
    torch.float16: 16,
    torch.bfloat16: 32,
    torch.float32: 32,
    torch.float64: 64,
}
LARGEST_TIED = 3


def logits(
    *,
    min_batch_size: int = 1,
    max_batch_size: int = 4,
    min_classes: int = 2,
    max_classes: int = 5,
    dense_shape: tuple[int, ...] = (),
    max_magnitude: float = 20.0,
    dtype: torch.dtype = torch.float32,
) -> st.SearchStrategy[Tensor]:
    """Logits of shape (N, K, *dense_shape) and of ``dtype``: finite, and at most ``max_magnitude`` away from zero.

    N lies between ``min_batch_size`` and ``max_batch_size``, K between ``min_classes`` and ``max_classes``. Ties
    within a row and elements at the bounds are drawn often. ``dense_shape`` is that of the positions which have logits
    of their own: (H, W) for segmentation.

    Examples shrink towards ``min_batch_size`` rows of ``min_classes`` zeros; elements shrink towards small integers.
    """
    check_bounds("min_batch_size", min_batch_size, "max_batch_size", max_batch_size, minimum=1)
    check_bounds("min_classes", min_classes, "max_classes", max_classes, minimum=2)
    if dense_shape != ():
        check_shape("dense_shape", dense_shape)
    check_float_dtype("dtype", dtype)
    limits = torch.finfo(dtype)
    check_number("max_magnitude", max_magnitude, minimum=limits.tiny, maximum=limits.max)

    elements = _elements(_largest_at_most(max_magnitude, dtype), dtype)
    positions = math.prod(dense_shape)

    # Made once for each width: to make a strategy takes longer than to draw from it.
    @cache
    def tables(classes: int) -> st.SearchStrategy[Tensor]:
        row = st.lists(elements, min_size=classes * positions, max_size=classes * positions)
        rows = st.lists(row, min_size=min_batch_size, max_size=max_batch_size)
        return rows.map(
            lambda values: torch.tensor(values, dtype=dtype, device="cpu").reshape(-1, classes, *dense_shape)
        )

    return st.integers(min_classes, max_classes).flatmap(tables)


def _elements(largest: float, dtype: torch.dtype) -> st.SearchStrategy[float]:
    # Floats drawn one by one are hardly ever equal; integers from a short range are.
    tied = int(min(LARGEST_TIED, largest))
    beyond = min(2 * largest, torch.finfo(dtype).max)
    return (
        st.integers(-tied, tied).map(float)
        | _floats(largest, dtype)
        # Half of these end up at a bound. A choice of just the bounds would not shrink to anything in between.
        | _floats(beyond, dtype).map(lambda value: max(-largest, min(largest, value)))
    )


def _floats(largest: float, dtype: torch.dtype) -> st.SearchStrategy[float]:
    # Subnormal numbers are left out because a process may flush them to zero.
    return st.floats(-largest, largest, width=FLOAT_WIDTHS[dtype], allow_subnormal=False)


def _largest_at_most(magnitude: float, dtype: torch.dtype) -> float:
    """The magnitude rounded to ``dtype``, towards zero."""
    rounded = torch.tensor(magnitude, dtype=dtype, device="cpu").item()
    if rounded > magnitude:
        rounded = torch.tensor(magnitude * (1 - torch.finfo(dtype).eps), dtype=dtype, device="cpu").item()
    return float(rounded)
