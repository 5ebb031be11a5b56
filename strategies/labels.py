"""Labels whose every element is drawn by Hypothesis."""

from __future__ import annotations

import torch
from hypothesis import strategies as st
from torch import Tensor

from pytest_logits.strategies._validate import check_bounds, check_integer


def labels(*, min_size: int = 1, max_size: int = 16, num_classes: int) -> st.SearchStrategy[Tensor]:
    """Class indices in [0, ``num_classes``): int64, of shape (N,), N between ``min_size`` and ``max_size``.

    Examples shrink towards ``min_size`` labels, all of them 0.
    """
    check_bounds("min_size", min_size, "max_size", max_size, minimum=1)
    check_integer("num_classes", num_classes, minimum=1)
    return st.lists(st.integers(0, num_classes - 1), min_size=min_size, max_size=max_size).map(
        lambda values: torch.tensor(values, dtype=torch.int64, device="cpu")
    )
