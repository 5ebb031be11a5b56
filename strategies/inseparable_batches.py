"""Batches that no classifier can learn by heart: equal inputs with different labels. The least loss is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from hypothesis import strategies as st
from torch import Tensor, cat, float32, randint, randperm

from pytest_logits.data import generator, random_floats, random_labels, random_tokens
from pytest_logits.strategies.batches import Batch, batches_of


@dataclass(frozen=True, kw_only=True, repr=False)
class InseparableBatch(Batch):
    """A :class:`Batch` of pairs: one input twice, with two labels. Its repr, evaluated, is one with the same tensors.

    With an odd ``size`` one example has no twin. The order of the examples is random.
    """

    @property
    def floor(self) -> float:
        """The least mean cross entropy, in nats, over all functions of the inputs.

        Examples with equal inputs get equal scores, and the best of those are the logarithms of the labels' shares
        among them: the floor is the entropy of the labels given the input. For pairs that is log 2 for each example
        with a twin; tokens that are equal by chance are counted as well.
        """
        entropy = 0.0
        for found in self._labels_of_inputs:
            entropy -= sum(found.count(label) * math.log(found.count(label) / len(found)) for label in set(found))
        return entropy / self.size

    @property
    def most_correct(self) -> int:
        """The largest number of examples that any decision taken from the inputs alone gets right."""
        return sum(max(found.count(label) for label in set(found)) for found in self._labels_of_inputs)

    @property
    def _labels_of_inputs(self) -> list[list[int]]:
        """The labels of equal inputs together."""
        groups: dict[tuple[float, ...], list[int]] = {}
        for row, label in zip(self.x.flatten(1).tolist(), self.labels.tolist(), strict=True):
            groups.setdefault(tuple(row), []).append(label)
        return list(groups.values())

    @cached_property
    def _tensors(self) -> tuple[Tensor, Tensor, Tensor | None]:
        rng = generator(self.seed)
        pairs = self.size // 2
        count = self.size - pairs
        if self.vocab_size is None:
            distinct = self.scale * random_floats(count, self.input_shape, rng, dtype=float32)
        else:
            distinct = random_tokens(count, self.input_shape, len(self._plain_tokens), rng)
        labels = random_labels(count, self.num_classes, rng)
        others = (labels[:pairs] + randint(1, self.num_classes, (pairs,), generator=rng)) % self.num_classes
        order = randperm(self.size, generator=rng)
        x, labels = cat([distinct, distinct[:pairs]])[order], cat([labels, others])[order]
        if self.vocab_size is None:
            return x, labels, None
        return self._finished(x, labels, rng)


def inseparable_batches(
    *,
    min_size: int = 2,
    max_size: int = 16,
    min_classes: int = 2,
    max_classes: int = 5,
    input_shape: tuple[int, ...] | None = None,
    vocab_size: int | None = None,
    special_tokens: tuple[int, ...] = (),
    scales: tuple[float, ...] = (1.0,),
) -> st.SearchStrategy[InseparableBatch]:
    """Batches with conflicting duplicates; see :class:`InseparableBatch` for the least loss.

    The arguments mean what they mean to :func:`batches`.

    Examples shrink towards ``min_size``, ``input_shape=(1,)``, ``min_classes``, the first of ``scales`` and seed 0.
    """
    return batches_of(
        InseparableBatch,
        min_size=min_size,
        max_size=max_size,
        min_classes=min_classes,
        max_classes=max_classes,
        input_shape=input_shape,
        vocab_size=vocab_size,
        special_tokens=special_tokens,
        padding_token=None,
        scales=scales,
    )
