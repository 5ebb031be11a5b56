"""Scores and labels for losses from a seeded generator, in place of a first search with Hypothesis.

Most losses are right, and to draw a batch takes Hypothesis longer than a loss and its reference take together. So
batches of the same kinds are drawn here. Only where one of them goes wrong Hypothesis searches, for the smallest.

Each row of a batch is nearly as good as a batch of its own, since the gradient tells which one is wrong. So where there
may be several, fewer batches of more rows are drawn. A plain loss of torch's treats all classes alike: of that, very
few batches are drawn, of many rows, each at a scale of its own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from pytest_logits.loss_draws import DRAWN_CLASSES, MANY_CLASSES, Draw
from pytest_logits.loss_subject import LossSubject
from pytest_logits.losses import known_nature, plain

# The exponents of the smallest scores: far below the rounding of a loss near 1.
SMALLEST = 8.0
LARGEST_TIED = 3
# So many sizes of scattered scores come in turn, one of them 0, where all tie.
SCALES = 5
# So many times fewer batches, of so many times more rows.
FEWER, MORE = 3, 4
# Batches have sizes in turn, up to the largest: of numbers of rows without this prime, every one.
STRIDE = 13
# As many rows as a usual batch has, where the scores are few.
MANY_ROWS, FEW_SCORES = 64, 2**14


def is_plain(loss: LossSubject) -> bool:
    """Whether it treats all classes alike as torch has made it, with labels that nothing of the user's makes.

    With the profile thorough none is: it searches all at once.
    """
    own = known_nature(loss.loss_object) is not None and not loss.is_of_output and not callable(loss.encoding)
    return own and loss.settings.profile.screens and plain(loss.loss_object) is not None


def screen(
    loss: LossSubject,
    *,
    count: int,
    seed: int,
    magnitude: float,
    max_rows: int = 4,
    many: bool = False,
    dtype: torch.dtype | None = None,
) -> list[Draw] | None:
    """What is looked at in place of ``count`` batches that Hypothesis draws; None where it is to draw them at once."""
    if not loss.settings.profile.screens:
        return None
    largest = max(math.prod(shape) for shape in _shapes(loss, many))
    most = max(max_rows, min(MANY_ROWS, FEW_SCORES // max(largest, 1)))
    if is_plain(loss):
        if not many and is_scattered(loss):
            return []
        if max_rows > 1:
            found = _of_rows(loss, seed=seed, magnitude=magnitude, most=most, many=many, dtype=dtype)
            return list(itertools.islice(found, count))
        count = min(count, SCALES * len(_shapes(loss, many)))
    elif max_rows > 1:
        count, max_rows = math.ceil(count / FEWER), min(MORE * max_rows, most)
    return list(drawn(loss, count=count, seed=seed, magnitude=magnitude, max_rows=max_rows, many=many, dtype=dtype))


def _shapes(loss: LossSubject, many: bool) -> list[tuple[int, ...]]:
    """Those of the scores of one example."""
    if loss.any_classes and len(loss.trailing) < 2:
        return [(classes,) for classes in (MANY_CLASSES if many else (2, 3))]
    return [loss.trailing]


def is_scattered(loss: LossSubject) -> bool:
    """Whether its scores are too many to be small integers and bounds in large part, as they are of many classes."""
    shape = loss.trailing
    return len(shape) > 1 or (bool(shape) and shape[0] > DRAWN_CLASSES and not loss.any_classes)


def drawn(
    loss: LossSubject,
    *,
    count: int,
    seed: int,
    magnitude: float,
    max_rows: int = 4,
    many: bool = False,
    dtype: torch.dtype | None = None,
) -> Iterator[Draw]:
    """So many pairs of free scores and labels in the shapes that the loss takes; see ``loss_draws.batches``."""
    rng = torch.Generator().manual_seed(seed % 2**63)
    dtype = dtype or loss.dtype
    shapes, scattered = _shapes(loss, many), many or is_scattered(loss)
    for number in range(count):
        trailing = shapes[number % len(shapes)]
        size = (1 + number * STRIDE % max_rows, *trailing)
        if scattered:
            scores = _scaled(size, magnitude, _scales(magnitude)[number % SCALES], rng)
        else:
            scores = _mixed(size, magnitude, rng) if number else torch.zeros(size)
        yield scores.to(dtype), _labels(loss, size, rng)


def _of_rows(
    loss: LossSubject, *, seed: int, magnitude: float, most: int, many: bool, dtype: torch.dtype | None
) -> Iterator[Draw]:
    """For each shape a row by itself, and as many as there may be at once, of all scales."""
    rng = torch.Generator().manual_seed(seed % 2**63)
    dtype, scattered = dtype or loss.dtype, many or is_scattered(loss)
    for trailing in _shapes(loss, many):
        sizes, looked_at = [1] * (most > 1) + [most] * math.ceil(SCALES / most), 0
        for rows in sizes:
            size = (rows, *trailing)
            if scattered:
                turns = (looked_at + torch.arange(rows)) % SCALES
                scales = _scales(magnitude)[turns].view(-1, *(1 for _ in trailing))
                scores = _scaled(size, magnitude, scales, rng)
            else:
                scores = _mixed(size, magnitude, rng)
                # All tie in one row.
                scores[1:2] = 0.0
            looked_at += rows
            yield scores.to(dtype), _labels(loss, size, rng)


def _scales(magnitude: float) -> Tensor:
    """All ties at scale 0."""
    return torch.tensor([1.0, 0.0, 4.0, magnitude / 4, magnitude])


def _scaled(size: tuple[int, ...], magnitude: float, scale: Tensor, rng: torch.Generator) -> Tensor:
    return (scale * torch.randn(size, generator=rng)).clamp(-magnitude, magnitude)


def _mixed(size: tuple[int, ...], magnitude: float, rng: torch.Generator) -> Tensor:
    """Small integers, which tie; numbers of every size; numbers of which half are at a bound."""
    kind, uniform = torch.randint(0, 3, size, generator=rng), 2 * torch.rand(size, generator=rng) - 1
    tied = (uniform * (LARGEST_TIED + 1)).trunc()
    sizes = magnitude * uniform * 10 ** (-SMALLEST * torch.rand(size, generator=rng))
    bounded = (2 * magnitude * uniform).clamp(-magnitude, magnitude)
    return torch.where(kind == 0, tied.clamp(-magnitude, magnitude), torch.where(kind == 1, sizes, bounded))


def _labels(loss: LossSubject, size: tuple[int, ...], rng: torch.Generator) -> Tensor:
    if loss.multilabel:
        return torch.randint(0, 2, size, generator=rng)
    return torch.randint(0, max(size[1] if len(size) > 1 else 2, 2), (size[0], *size[2:]), generator=rng)
