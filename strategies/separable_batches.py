"""Batches that any working classifier can learn, filled from a drawn seed."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property

import torch
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from torch import Tensor, float32

from pytest_logits.data import (
    balanced_assignment,
    float_prototypes,
    generator,
    prototype_count,
    prototype_labels,
    separable_floats,
    separable_tokens,
)
from pytest_logits.strategies._validate import check_number
from pytest_logits.strategies.batches import Batch, batches_of

LARGEST_MARGIN = 1e6


@dataclass(frozen=True, kw_only=True, repr=False)
class SeparableBatch(Batch):
    """A :class:`Batch` whose labels follow from the inputs. Its repr, evaluated, is a batch with the same tensors.

    Each class in use has one input pattern, and an example is its class's pattern with a little noise: a linear
    classifier separates float inputs, and no two classes share a token. At most 16 classes are in use, fewer where
    the inputs have no room for so many; classes in use have equally many examples, give or take one. Float inputs
    that are less than ``min_margin`` apart are spread by a factor until they are not.
    """

    min_margin: float = 0.0

    @property
    def margin(self) -> float:
        """How far the float inputs are from the nearest boundary of a linear classifier that separates them.

        Of the one that gives each input to the nearest class mean: at input x, between means m and n, the distance is
        (|x - n|^2 - |x - m|^2) / (2 |m - n|). It is in units of the inputs, infinite where one class is in use, and
        measured on the tensors themselves.

        Raises:
            TypeError: the inputs are tokens.
        """
        if self.vocab_size is not None:
            raise TypeError("tokens have no distances, so batches of them have no margin")
        return _margin(self.x, self.labels)

    @property
    def labels(self) -> Tensor:
        """Class indices in [0, K), int64 (N,), that follow from the inputs."""
        return self._tensors[1]

    @cached_property
    def _tensors(self) -> tuple[Tensor, Tensor, Tensor | None]:
        rng = generator(self.seed)
        if self.vocab_size is None:
            prototypes = prototype_count(self.num_classes, math.prod(self.input_shape))
        else:
            # Each prototype needs a token of its own: with fewer, two classes could have equal examples.
            prototypes = min(prototype_count(self.num_classes, None), len(self._plain_tokens))
        assignment = balanced_assignment(self.size, prototypes, rng)
        labels = prototype_labels(prototypes, self.num_classes, rng)[assignment]
        if self.vocab_size is None:
            patterns = float_prototypes(prototypes, self.input_shape, rng)
            x = self.scale * separable_floats(assignment, patterns, rng, dtype=float32)
            return _spread(x, labels, self.min_margin), labels, None
        tokens = separable_tokens(assignment, self.input_shape, len(self._plain_tokens), rng)
        return self._finished(tokens, labels, rng)


def _margin(x: Tensor, labels: Tensor) -> float:
    rows = x.flatten(1).double()
    used = labels.unique()
    means = torch.stack([rows[labels == label].mean(dim=0) for label in used])
    squares = (rows.unsqueeze(1) - means).square().sum(dim=2)
    own = labels.unsqueeze(1) == used
    towards = squares - squares[own].unsqueeze(1)
    between = (means.unsqueeze(0) - means[own.long().argmax(dim=1)].unsqueeze(1)).norm(dim=2)
    distances = (towards / (2 * between))[~own]
    return float(distances.min()) if len(distances) else math.inf


def _spread(x: Tensor, labels: Tensor, least: float) -> Tensor:
    margin = _margin(x, labels) if least else math.inf
    # A hair more, as the product is rounded to float32. Inputs that do not separate cannot be spread.
    return x * (least / margin * (1 + 1e-5)) if 0 < margin < least else x


def separable_batches(
    *,
    min_size: int = 2,
    max_size: int = 32,
    min_classes: int = 2,
    max_classes: int = 5,
    input_shape: tuple[int, ...] | None = None,
    vocab_size: int | None = None,
    special_tokens: tuple[int, ...] = (),
    padding_token: int | None = None,
    scales: tuple[float, ...] = (1.0,),
    min_margin: float = 0.0,
) -> st.SearchStrategy[SeparableBatch]:
    """Batches that any working classifier can learn; see :class:`SeparableBatch`.

    The arguments mean what they mean to :func:`batches`. Only one scale is drawn unless others are asked for, since
    how fast a model learns depends on the scale of its inputs. With ``min_margin`` each float input is at least that
    far from the boundary of a linear classifier that separates them, which is measured on every batch.

    Examples shrink towards ``min_size``, ``input_shape=(1,)``, ``min_classes``, the first of ``scales`` and seed 0.
    """
    check_number("min_margin", min_margin, minimum=0.0, maximum=LARGEST_MARGIN)
    if min_margin and vocab_size is not None:
        raise InvalidArgument(f"min_margin={min_margin!r} is for float inputs; tokens have no distances")
    drawn = batches_of(
        SeparableBatch,
        min_size=min_size,
        max_size=max_size,
        min_classes=min_classes,
        max_classes=max_classes,
        input_shape=input_shape,
        vocab_size=vocab_size,
        special_tokens=special_tokens,
        padding_token=padding_token,
        scales=scales,
    )
    if not min_margin:
        return drawn
    # Noise may carry an input of a single feature across, once in thousands of batches.
    wanted = drawn.map(lambda batch: dataclasses.replace(batch, min_margin=float(min_margin)))
    return wanted.filter(lambda batch: batch.margin >= min_margin)
