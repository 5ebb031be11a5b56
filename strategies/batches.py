"""Batches of random inputs and labels, filled from a drawn seed.

Hypothesis draws only the sizes, the scale and the seed: tensors of any size cost it the same, and a failing example
is printed as one short line that rebuilds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from hypothesis import strategies as st
from torch import Tensor, float32

from pytest_logits.data import generator, random_floats, random_labels, random_tokens
from pytest_logits.strategies._validate import check_bounds, check_integer, check_positive_numbers, check_shape

LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Random inputs and labels. Its repr, evaluated, is a batch with the same tensors.

    ``size`` is N, the number of examples; ``input_shape`` the shape of one of them; ``num_classes`` K. ``vocab_size``
    is None for float inputs, else the number of tokens. ``scale`` multiplies float inputs and leaves tokens alone.
    """

    size: int
    input_shape: tuple[int, ...]
    num_classes: int
    vocab_size: int | None
    scale: float
    seed: int

    @property
    def x(self) -> Tensor:
        """Inputs, (N, *input_shape): float32 of standard deviation ``scale``, or int64 tokens in [0, vocab_size)."""
        return self._tensors[0]

    @property
    def labels(self) -> Tensor:
        """Uniform class indices in [0, K), int64 (N,); they have nothing to do with the inputs."""
        return self._tensors[1]

    @cached_property
    def _tensors(self) -> tuple[Tensor, Tensor]:
        rng = generator(self.seed)
        if self.vocab_size is None:
            x = self.scale * random_floats(self.size, self.input_shape, rng, dtype=float32)
        else:
            x = random_tokens(self.size, self.input_shape, self.vocab_size, rng)
        return x, random_labels(self.size, self.num_classes, rng)


AnyBatch = TypeVar("AnyBatch", bound=Batch)


def batches(
    *,
    min_size: int = 1,
    max_size: int = 16,
    min_classes: int = 2,
    max_classes: int = 5,
    input_shape: tuple[int, ...] | None = None,
    vocab_size: int | None = None,
    scales: tuple[float, ...] = (1.0, 10.0, 0.1, 100.0),
) -> st.SearchStrategy[Batch]:
    """Batches of random inputs and unrelated labels; see :class:`Batch` for shapes and dtypes.

    The batch has ``min_size`` to ``max_size`` examples of ``min_classes`` to ``max_classes`` classes. With
    ``input_shape=None`` the shape of an example is drawn: one to three axes of one to four for floats, one axis of
    one to eight for tokens. Inputs are tokens where ``vocab_size`` is given.

    Examples shrink towards ``min_size``, ``input_shape=(1,)``, ``min_classes``, the first of ``scales`` and seed 0.
    """
    return batches_of(
        Batch,
        min_size=min_size,
        max_size=max_size,
        min_classes=min_classes,
        max_classes=max_classes,
        input_shape=input_shape,
        vocab_size=vocab_size,
        scales=scales,
    )


def batches_of(
    kind: type[AnyBatch],
    *,
    min_size: int,
    max_size: int,
    min_classes: int,
    max_classes: int,
    input_shape: tuple[int, ...] | None,
    vocab_size: int | None,
    scales: tuple[float, ...],
) -> st.SearchStrategy[AnyBatch]:
    """What :func:`batches` says, for any kind of batch."""
    check_bounds("min_size", min_size, "max_size", max_size, minimum=1)
    check_bounds("min_classes", min_classes, "max_classes", max_classes, minimum=2)
    if input_shape is not None:
        check_shape("input_shape", input_shape)
    if vocab_size is not None:
        check_integer("vocab_size", vocab_size, minimum=2)
    check_positive_numbers("scales", scales)

    tokens = vocab_size is not None
    return st.builds(
        kind,
        size=st.integers(min_size, max_size),
        input_shape=_input_shapes(tokens=tokens) if input_shape is None else st.just(input_shape),
        num_classes=st.integers(min_classes, max_classes),
        vocab_size=st.just(vocab_size),
        scale=st.just(1.0) if tokens else st.sampled_from([float(scale) for scale in scales]),
        seed=seeds(),
    )


def seeds() -> st.SearchStrategy[int]:
    """Seeds for a generator. Examples shrink towards 0."""
    return st.integers(0, LARGEST_SEED)


def _input_shapes(*, tokens: bool) -> st.SearchStrategy[tuple[int, ...]]:
    if tokens:
        return st.tuples(st.integers(1, 8))
    return st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
