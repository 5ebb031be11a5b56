from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pytest_logits.not_finite import not_finite

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("logits", "count"),
    [
        ([[0.0, 1.0], [2.0, 3.0]], 0),
        ([[NAN, 1.0], [2.0, 3.0]], 1),
        ([[INF, 1.0], [INF, 3.0]], 2),
        ([[-INF, 1.0], [2.0, 3.0]], 1),
        ([-INF, -INF], 2),
        ([[-INF, -INF], [-INF, -INF]], 4),
    ],
    ids=["finite", "NaN", "plus infinity", "in one row only", "scores without classes", "every class"],
)
def test_what_is_not_finite_is_counted(logits: object, count: int):
    assert int(not_finite(torch.tensor(logits)).sum()) == count


@pytest.mark.parametrize(
    "logits",
    [torch.tensor([[-INF, 1.0], [-INF, 3.0]]), torch.tensor([[[-INF, 1.0], [-INF, 2.0]]]).expand(3, 2, 2)],
    ids=["a class", "a position of dense scores"],
)
def test_a_mask_is_none(logits: Tensor):
    assert not bool(not_finite(logits).any())
