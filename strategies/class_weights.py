"""Weights of classes, as the ``weight=`` and ``pos_weight=`` of losses take them."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from pytest_logits.strategies._validate import check_float_dtype, check_integer, check_number

LARGEST_WEIGHT = 1000.0


def class_weights(
    *,
    num_classes: int,
    min_weight: float = 0.01,
    max_weight: float = 100.0,
    dtype: torch.dtype = torch.float32,
) -> st.SearchStrategy[Tensor]:
    """Weights (K,) of ``dtype``, each from ``min_weight`` to ``max_weight``.

    With ``min_weight=0`` a class may count for nothing, though never all of them. Equal weights are drawn often.

    Examples shrink towards weights of 1 where the bounds allow it, else of ``min_weight``.
    """
    check_integer("num_classes", num_classes, minimum=1)
    check_float_dtype("dtype", dtype)
    check_number("min_weight", min_weight, minimum=0.0, maximum=LARGEST_WEIGHT)
    check_number("max_weight", max_weight, minimum=max(min_weight, torch.finfo(dtype).tiny), maximum=LARGEST_WEIGHT)
    weights = weight_tuples(num_classes, min_weight, max_weight)
    return weights.map(lambda values: torch.tensor(values, dtype=dtype, device="cpu"))


def weight_tuples(num_classes: int, least: float, most: float) -> st.SearchStrategy[tuple[float, ...]]:
    """The same as tuples of floats."""
    usual = 1.0 if least <= 1 <= most else least
    # Hundredths: what a person writes down, and what Hypothesis shrinks well.
    steps = st.integers(0, 100).map(lambda step: least + (most - least) * step / 100)
    elements = st.just(usual) | steps
    drawn = st.lists(elements, min_size=num_classes, max_size=num_classes)
    return drawn.map(lambda values: tuple(values) if any(values) else (most, *values[1:]))
