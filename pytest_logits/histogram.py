"""How scores spread, in few numbers, for the reports."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor

BINS = 16


def histogram(values: Tensor) -> dict[str, Any] | None:
    """``edges`` of equally wide bins from the least to the greatest value, and how many values each ``counts``.

    ``values`` are finite, of any shape and floating dtype. Values that are all equal lie in the middle of a range of
    width 1. None where there are no values, or no bins between them in float64.
    """
    found = values.detach().double().cpu().reshape(-1)
    if found.numel() == 0:
        return None
    low, high = float(found.min()), float(found.max())
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = [low + (high - low) * number / BINS for number in range(BINS + 1)]
    if not math.isfinite(high - low) or any(left >= right for left, right in itertools.pairwise(edges)):
        return None
    # A value on an edge belongs to the bin above it; the greatest to the last.
    bins = torch.bucketize(found, torch.tensor(edges[1:-1], dtype=torch.float64), right=True)
    return {"edges": edges, "counts": torch.bincount(bins, minlength=BINS).tolist()}
