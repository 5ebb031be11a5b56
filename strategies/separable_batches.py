"""Batches that any working classifier can learn, filled from a drawn seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from hypothesis import strategies as st
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
from pytest_logits.strategies.batches import Batch, batches_of


@dataclass(frozen=True, kw_only=True, repr=False)
class SeparableBatch(Batch):
    """A :class:`Batch` whose labels follow from the inputs. Its repr, evaluated, is a batch with the same tensors.

    Each class in use has one input pattern, and an example is its class's pattern with a little noise: a linear
    classifier separates float inputs, and no two classes share a token. At most 16 classes are in use, fewer where
    the inputs have no room for so many; classes in use have equally many examples, give or take one.
    """

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
            return self.scale * separable_floats(assignment, patterns, rng, dtype=float32), labels, None
        tokens = separable_tokens(assignment, self.input_shape, len(self._plain_tokens), rng)
        return self._finished(tokens, labels, rng)


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
) -> st.SearchStrategy[SeparableBatch]:
    """Batches that any working classifier can learn; see :class:`SeparableBatch`.

    The arguments mean what they mean to :func:`batches`. Only one scale is drawn unless others are asked for, since
    how fast a model learns depends on the scale of its inputs.

    Examples shrink towards ``min_size``, ``input_shape=(1,)``, ``min_classes``, the first of ``scales`` and seed 0.
    """
    return batches_of(
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
