"""Labels whose every element is drawn by Hypothesis, and their encodings."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from torch import Tensor

from pytest_logits.strategies._validate import (
    check_bounds,
    check_choice,
    check_integer,
    check_number,
    check_shape,
)

BALANCES = ("any", "balanced", "imbalanced", "single_class", "missing_classes")
ENCODINGS = ("index", "onehot", "smoothed", "soft", "multihot")
# A class's probability in a soft label is its share of integers up to this.
LARGEST_COUNT = 8


def labels(
    *,
    min_size: int = 1,
    max_size: int = 16,
    num_classes: int,
    dense_shape: tuple[int, ...] = (),
    balance: str = "any",
    share: float = 0.9,
    encoding: str = "index",
    smoothing: float = 0.1,
    ignore_index: int | None = None,
) -> st.SearchStrategy[Tensor]:
    """Labels of N examples, N between ``min_size`` and ``max_size``, on the CPU.

    Args:
        min_size: the least N; at least 2 where ``balance`` is "imbalanced".
        max_size: the largest N.
        num_classes: K. At least 2 where classes are to be missing or unequally frequent.
        dense_shape: the axes of positions, where each has a label of its own: (H, W) for segmentation.
        balance: how often classes occur among the N * prod(dense_shape) positions: "any"; "balanced", every class
            equally often, give or take one; "imbalanced", one class at ``share`` of them, rounded up, and another
            at least once; "single_class"; "missing_classes", at least one class never.
        share: of the most frequent class, in [0.5, 1).
        encoding: "index", int64 (N, *dense_shape) in [0, K); or float32 (N, K, *dense_shape): "onehot"; "smoothed",
            one-hot times 1 - ``smoothing`` plus ``smoothing`` / K; "soft", any probabilities. "multihot" is float32
            (N, K) of independent zeros and ones. The last two are drawn with ``balance="any"`` only.
        smoothing: in [0, 1].
        ignore_index: some positions, though never all, hold it in place of a class; for the encoding "index" only.

    Examples shrink towards ``min_size`` labels, all of them 0 where the balance allows, none ignored; soft ones towards
    one-hot, multi-hot ones towards no label.
    """
    check_bounds("min_size", min_size, "max_size", max_size, minimum=2 if balance == "imbalanced" else 1)
    uneven = balance in ("imbalanced", "missing_classes")
    check_integer("num_classes", num_classes, minimum=2 if uneven else 1)
    if dense_shape != ():
        check_shape("dense_shape", dense_shape)
    check_choice("balance", balance, BALANCES)
    check_choice("encoding", encoding, ENCODINGS)
    check_number("share", share, minimum=0.5, maximum=1 - 1e-9)
    check_number("smoothing", smoothing, minimum=0.0, maximum=1.0)
    if encoding in ("soft", "multihot") and balance != "any":
        raise InvalidArgument(f"balance={balance!r} counts classes, and encoding={encoding!r} has no single class each")
    if encoding == "multihot" and dense_shape:
        raise InvalidArgument("encoding='multihot' has shape (N, K); leave dense_shape=() with it")
    if ignore_index is not None and (encoding != "index" or not isinstance(ignore_index, int)):
        raise InvalidArgument(f"ignore_index={ignore_index!r} must be an integer, and needs encoding='index'")

    sizes = st.integers(min_size, max_size)
    if encoding in ("soft", "multihot"):
        return sizes.flatmap(lambda size: _shares(size, num_classes, dense_shape, encoding == "multihot"))

    def finished(indices: Tensor) -> Tensor:
        if encoding == "index":
            return indices
        onehot = F.one_hot(indices, num_classes).movedim(-1, 1).to(torch.float32)
        return onehot if encoding == "onehot" else onehot * (1 - smoothing) + smoothing / num_classes

    def shaped(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64, device="cpu").reshape(-1, *dense_shape)

    positions = math.prod(dense_shape)
    if balance == "any" and positions == 1 and ignore_index is None:
        # One list, from which Hypothesis takes elements away as it shrinks.
        flat = st.lists(st.integers(0, num_classes - 1), min_size=min_size, max_size=max_size)
    else:
        flat = sizes.flatmap(lambda size: _indices(size * positions, num_classes, balance, share, ignore_index))
    return flat.map(shaped).map(finished)


@st.composite
def _indices(
    draw: st.DrawFn, count: int, num_classes: int, balance: str, share: float, ignore_index: int | None
) -> list[int]:
    if balance == "balanced":
        values = list(draw(st.permutations([position % num_classes for position in range(count)])))
    elif balance == "single_class":
        values = [draw(st.integers(0, num_classes - 1))] * count
    elif balance == "imbalanced":
        frequent = draw(st.integers(0, num_classes - 1))
        others = [label for label in range(num_classes) if label != frequent]
        rest = count - min(math.ceil(share * count), count - 1)
        drawn = [frequent] * (count - rest) + [draw(st.sampled_from(others)) for _ in range(rest)]
        values = list(draw(st.permutations(drawn)))
    else:
        # Shrinks towards a last class that is missing, which leaves 0.
        missing = num_classes - 1 - draw(st.integers(0, num_classes - 1)) if balance == "missing_classes" else None
        present = [label for label in range(num_classes) if label != missing]
        values = [draw(st.sampled_from(present)) for _ in range(count)]
    if ignore_index is None:
        return values
    kept = draw(st.integers(0, count - 1))
    ignored = [draw(st.booleans()) and position != kept for position in range(count)]
    return [ignore_index if drop else value for value, drop in zip(values, ignored, strict=True)]


@st.composite
def _shares(draw: st.DrawFn, size: int, num_classes: int, dense_shape: tuple[int, ...], multihot: bool) -> Tensor:
    rows = size * math.prod(dense_shape)
    elements = st.integers(0, 1 if multihot else LARGEST_COUNT)
    counts = draw(
        st.lists(st.lists(elements, min_size=num_classes, max_size=num_classes), min_size=rows, max_size=rows)
    )
    table = torch.tensor(counts, dtype=torch.float64, device="cpu")
    if not multihot:
        table[table.sum(dim=1) == 0, 0] = 1
        table = table / table.sum(dim=1, keepdim=True)
    return table.reshape(size, *dense_shape, num_classes).movedim(-1, 1).to(torch.float32)
