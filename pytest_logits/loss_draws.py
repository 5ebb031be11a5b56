"""Scores and labels for a loss, drawn by Hypothesis: few and round ones first, then many classes and dense shapes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import cache, partial

import torch
from hypothesis import strategies as st
from torch import Tensor

from pytest_logits.loss_subject import LossSubject
from pytest_logits.strategies.logits import logits as logit_strategy

Draw = tuple[Tensor, Tensor]
# Above so many classes, elements come from a drawn seed: Hypothesis would draw each by itself.
DRAWN_CLASSES = 8
MANY_CLASSES = (10, 100, 1000)
FEW_POSITIONS = 3
# The labels that are tried with one batch of scores: all of two rows of four classes.
FEW_LABELS = 16


def plainest(
    loss: LossSubject, *, min_rows: int = 1, max_rows: int, dtype: torch.dtype | None = None
) -> Iterator[Draw]:
    """What :func:`batches` and :func:`few_positions` shrink to with nearly every fault: all scores 0 but for the last.

    In the order in which Hypothesis prefers them: fewer rows, fewer places, fewer classes, a smaller score, smaller
    labels.
    """
    width = loss.trailing[0] if loss.trailing else 1
    if width > DRAWN_CLASSES and not loss.any_classes:
        return
    multilabel = loss.multilabel
    counts = (2, 3) if loss.any_classes else (width,)
    axes = [] if multilabel else [range(1, min(size, FEW_POSITIONS) + 1) for size in loss.trailing[1:]]
    for rows, dense, classes, size in itertools.product(
        range(min_rows, max_rows + 1), itertools.product(*axes), counts, (0.0, 1.0, 2.0)
    ):
        scores = torch.zeros((rows, *((classes,) if loss.trailing else ()), *dense), dtype=dtype or loss.dtype)
        scores.view(-1)[-1] = size
        shape = (rows, classes) if multilabel else (rows, *dense)
        values = range(2 if multilabel else max(classes, 2))
        for labels in itertools.islice(itertools.product(values, repeat=math.prod(shape)), FEW_LABELS):
            yield scores, torch.tensor(labels).reshape(shape)


def batches(
    loss: LossSubject,
    *,
    magnitude: float,
    min_rows: int = 1,
    max_rows: int = 4,
    many: bool = False,
    dtype: torch.dtype | None = None,
) -> st.SearchStrategy[Draw]:
    """Pairs of free scores and labels in the shapes that the loss takes, each score at most ``magnitude`` from 0.

    They shrink to ``min_rows`` rows of 2 classes and to small integers. With ``many`` they come from a drawn seed, at
    up to 1000 classes where the loss takes any number. ``dtype`` is the loss's own by default.
    """
    shape, dtype = loss.trailing, dtype or loss.dtype
    width = shape[0] if shape else 1
    if len(shape) > 1 or (width > DRAWN_CLASSES and not loss.any_classes):
        return _seeded(loss, st.just(shape), magnitude, min_rows, max_rows, dtype)
    low, high = (2, 3) if loss.any_classes else (max(width, 2), max(width, 2))

    # A strategy costs more to make than to draw from once.
    @cache
    def scores(rows: int) -> st.SearchStrategy[Tensor]:
        return logit_strategy(
            min_batch_size=rows,
            max_batch_size=rows,
            min_classes=low,
            max_classes=high,
            max_magnitude=magnitude,
            dtype=dtype,
        )

    labels = cache(partial(_labels, loss))
    drawn = (
        st.integers(min_rows, max_rows)
        .flatmap(scores)
        .flatmap(lambda z: labels(len(z), z.shape[1]).map(lambda y: (_as(z, shape), y)))
    )
    if not many:
        return drawn
    shapes: list[tuple[int, ...]] = [(count,) for count in MANY_CLASSES] if loss.any_classes else [shape]
    return _seeded(loss, st.sampled_from(shapes), magnitude, min_rows, max_rows, dtype)


def few_positions(loss: LossSubject, *, magnitude: float, min_rows: int, max_rows: int) -> st.SearchStrategy[Draw]:
    """Dense scores drawn one by one, at up to 3 places along each axis, and their labels, (N, *dense).

    They shrink to ``min_rows`` rows of one place each. A loss may refuse fewer places than it is made for.
    """
    width = loss.trailing[0]
    low, high = (2, 3) if loss.any_classes else (max(width, 2), max(width, 2))

    @cache
    def drawn(rows: int, dense: tuple[int, ...]) -> st.SearchStrategy[Draw]:
        scores = logit_strategy(
            min_batch_size=rows,
            max_batch_size=rows,
            min_classes=low,
            max_classes=high,
            dense_shape=dense,
            max_magnitude=magnitude,
            dtype=loss.dtype,
        )
        count = rows * math.prod(dense)
        return scores.flatmap(
            lambda z: st.lists(st.integers(0, z.shape[1] - 1), min_size=count, max_size=count).map(
                lambda y: (z if width > 1 else z[:, :1], torch.tensor(y).reshape(rows, *dense))
            )
        )

    axes = st.tuples(*(st.integers(1, min(size, FEW_POSITIONS)) for size in loss.trailing[1:]))
    return st.tuples(st.integers(min_rows, max_rows), axes).flatmap(lambda sizes: drawn(*sizes))


def _as(scores: Tensor, shape: tuple[int, ...]) -> Tensor:
    """One column of two where the loss takes a single score."""
    return scores if shape and shape[0] > 1 else scores[:, 0].reshape(-1, *shape)


def _labels(loss: LossSubject, rows: int, width: int) -> st.SearchStrategy[Tensor]:
    if loss.multilabel:
        bits = st.lists(st.integers(0, 1), min_size=width, max_size=width)
        return st.lists(bits, min_size=rows, max_size=rows).map(torch.tensor)
    return st.lists(st.integers(0, width - 1), min_size=rows, max_size=rows).map(torch.tensor)


def _seeded(
    loss: LossSubject,
    shapes: st.SearchStrategy[tuple[int, ...]],
    magnitude: float,
    min_rows: int,
    max_rows: int,
    dtype: torch.dtype,
) -> st.SearchStrategy[Draw]:
    """Scores from a drawn seed, at a scale that is drawn: all ties at scale 0."""

    def make(shape: tuple[int, ...], rows: int, seed: int, scale: float) -> Draw:
        rng = torch.Generator().manual_seed(seed)
        scores = (scale * torch.randn((rows, *shape), generator=rng)).clamp(-magnitude, magnitude).to(dtype)
        if loss.multilabel:
            return scores, torch.randint(0, 2, (rows, *shape), generator=rng)
        return scores, torch.randint(0, max(shape[0] if shape else 2, 2), (rows, *shape[1:]), generator=rng)

    scales = st.sampled_from((1.0, 0.0, 4.0, magnitude / 4, magnitude))
    return st.builds(make, shapes, st.integers(min_rows, max_rows), st.integers(0, 2**16), scales)
