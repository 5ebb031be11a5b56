"""Batches of random inputs and labels, filled from a drawn seed.

Hypothesis draws only the sizes, the scale and the seed: tensors of any size cost it the same, and a failing example
is printed as one short line that rebuilds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from hypothesis import strategies as st
from torch import Generator, Tensor, float32, ones_like

from pytest_logits.data import generator, padded, plain_tokens, random_floats, random_labels, random_tokens
from pytest_logits.strategies._text import call_of
from pytest_logits.strategies._validate import (
    check_bounds,
    check_integer,
    check_positive_numbers,
    check_shape,
    check_tokens,
)

LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True, kw_only=True, repr=False)
class Batch:
    """Random inputs and labels. Its repr, evaluated, is a batch with the same tensors.

    ``size`` is N, the number of examples; ``input_shape`` the shape of one of them; ``num_classes`` K. ``vocab_size``
    is None for float inputs, else the number of tokens. ``scale`` multiplies float inputs and leaves tokens alone.
    ``special_tokens`` are not drawn; with a ``padding_token`` sequences have lengths of their own and end in it.
    """

    size: int
    input_shape: tuple[int, ...]
    num_classes: int
    vocab_size: int | None
    scale: float
    seed: int
    special_tokens: tuple[int, ...] = ()
    padding_token: int | None = None

    def __repr__(self) -> str:
        """The call that makes the batch, without the arguments that are at their defaults."""
        return call_of(self)

    @property
    def x(self) -> Tensor:
        """Inputs (N, *input_shape), float32 of standard deviation ``scale`` or int64 tokens in [0, vocab_size)."""
        return self._tensors[0]

    @property
    def labels(self) -> Tensor:
        """Uniform class indices in [0, K), int64 (N,); they have nothing to do with the inputs."""
        return self._tensors[1]

    @property
    def mask(self) -> Tensor | None:
        """1 on tokens that count and 0 on padding, int64 (N, T), as an ``attention_mask``; None for float inputs."""
        return self._tensors[2]

    @property
    def _plain_tokens(self) -> Tensor:
        assert self.vocab_size is not None
        padding = () if self.padding_token is None else (self.padding_token,)
        return plain_tokens(self.vocab_size, {*self.special_tokens, *padding})

    def _finished(self, tokens: Tensor, labels: Tensor, rng: Generator) -> tuple[Tensor, Tensor, Tensor | None]:
        """Positions among the plain tokens, (N, T), made into tokens, padded where asked for."""
        x = self._plain_tokens[tokens]
        if self.padding_token is None:
            return x, labels, ones_like(x)
        x, mask = padded(x, self.padding_token, rng)
        return x, labels, mask

    @cached_property
    def _tensors(self) -> tuple[Tensor, Tensor, Tensor | None]:
        rng = generator(self.seed)
        if self.vocab_size is None:
            x = self.scale * random_floats(self.size, self.input_shape, rng, dtype=float32)
            return x, random_labels(self.size, self.num_classes, rng), None
        tokens = random_tokens(self.size, self.input_shape, len(self._plain_tokens), rng)
        return self._finished(tokens, random_labels(self.size, self.num_classes, rng), rng)


AnyBatch = TypeVar("AnyBatch", bound=Batch)


def batches(
    *,
    min_size: int = 1,
    max_size: int = 16,
    min_classes: int = 2,
    max_classes: int = 5,
    input_shape: tuple[int, ...] | None = None,
    vocab_size: int | None = None,
    special_tokens: tuple[int, ...] = (),
    padding_token: int | None = None,
    scales: tuple[float, ...] = (1.0, 10.0, 0.1, 100.0),
) -> st.SearchStrategy[Batch]:
    """Batches of random inputs and unrelated labels; see :class:`Batch` for shapes and dtypes.

    The batch has ``min_size`` to ``max_size`` examples of ``min_classes`` to ``max_classes`` classes. With
    ``input_shape=None`` the shape of an example is drawn: one to three axes of one to four for floats, one axis of
    one to eight for tokens. Inputs are tokens where ``vocab_size`` is given. ``special_tokens`` are then left out, and
    with a ``padding_token`` sequences have lengths of their own, from 1, and a mask.

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
        special_tokens=special_tokens,
        padding_token=padding_token,
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
    special_tokens: tuple[int, ...],
    padding_token: int | None,
    scales: tuple[float, ...],
) -> st.SearchStrategy[AnyBatch]:
    """What :func:`batches` says, for any kind of batch."""
    check_bounds("min_size", min_size, "max_size", max_size, minimum=1)
    check_bounds("min_classes", min_classes, "max_classes", max_classes, minimum=2)
    if input_shape is not None:
        check_shape("input_shape", input_shape)
    if vocab_size is not None:
        check_integer("vocab_size", vocab_size, minimum=2)
    check_tokens(special_tokens, padding_token, vocab_size)
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
        special_tokens=st.just(special_tokens),
        padding_token=st.just(padding_token),
    )


def seeds() -> st.SearchStrategy[int]:
    """Seeds for a generator. Examples shrink towards 0."""
    return st.integers(0, LARGEST_SEED)


def _input_shapes(*, tokens: bool) -> st.SearchStrategy[tuple[int, ...]]:
    if tokens:
        return st.tuples(st.integers(1, 8))
    return st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
