"""What the model is fed with: random inputs of its kind, and batches whose classes can be told apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from pytest_logits import data
from pytest_logits.copies import Copies, SubjectError
from pytest_logits.guard import seed_everything
from pytest_logits.model import ModelSpec
from pytest_logits.settings import Settings
from pytest_logits.structures import index_rows, tensors_in

# Enough rows for row sums to be evidence and for BatchNorm to have statistics.
SCAN_ROWS = 16
DEFAULT_SEQUENCE = (16,)
# To draw 93,000 numbers takes 0.44 ms, to turn them round 0.03. Of fewer, every batch is drawn by itself.
MANY_NUMBERS = 2**16


@dataclass(frozen=True, kw_only=True)
class SeparableBatch:
    """Inputs that separate the classes, with labels; ``distinct`` is False where the inputs are all alike."""

    inputs: Any
    labels: Tensor
    prototypes: int
    distinct: bool


class Feeding(Copies):
    """Copies, and batches for them."""

    def __init__(self, spec: ModelSpec, settings: Settings) -> None:
        super().__init__(spec, settings)
        self.num_classes = max(spec.num_classes, 2) if spec.task == "binary" else spec.num_classes
        self._noise: Tensor | None = None

    @property
    def multilabel(self) -> bool:
        """Whether labels are multi-hot."""
        return self.spec.task == "multilabel"

    @cached_property
    def tokens(self) -> Tensor:
        """The token ids that inputs are made of: those without a meaning of their own, where enough are left."""
        assert self.spec.vocab_size is not None
        plain = data.plain_tokens(self.spec.vocab_size, self._facts.special_tokens)
        return plain if len(plain) > 2 * data.MOST_PROTOTYPES else data.plain_tokens(self.spec.vocab_size, ())

    def inputs(self, count: int, purpose: str) -> Any:
        """A batch of random inputs as the model takes it: a tensor, a tuple (positional) or a dict (keywords)."""
        rng = data.generator(self.seed(f"inputs {purpose}"))
        if self.spec.inputs is not None:
            return self._users_inputs(count, rng)
        if self.spec.vocab_size is not None:
            tokens = data.random_tokens(count, self.spec.input_shape or DEFAULT_SEQUENCE, len(self.tokens), rng)
            return self.tokens[tokens]
        assert self.spec.input_shape is not None
        if count <= SCAN_ROWS and SCAN_ROWS * math.prod(self.spec.input_shape) > MANY_NUMBERS:
            return self._turned_noise(rng)[:count]
        return data.random_floats(count, self.spec.input_shape, rng, dtype=self.dtype)

    def _turned_noise(self, rng: torch.Generator) -> Tensor:
        """The same numbers for every purpose, each time begun at another: no row of two batches is the same.

        That batches are not independent of each other shows nowhere: what is compared is what a model makes of one.
        """
        if self._noise is None:
            shape = self.spec.input_shape or ()
            own = data.generator(self.seed("inputs"))
            self._noise = data.random_floats(SCAN_ROWS, shape, own, dtype=self.dtype)
        return self._noise.roll(int(torch.randint(self._noise.numel(), (), generator=rng)))

    def forget_noise(self) -> None:
        """Give back the memory of the numbers that large inputs are made of."""
        self._noise = None

    def _users_inputs(self, count: int, rng: torch.Generator) -> Any:
        assert self.spec.inputs is not None
        seed_everything(self.seed("inputs"))
        made = self.spec.inputs(count, rng)
        sizes = {len(t) for t in tensors_in(made) if t.ndim}
        if count not in sizes:
            raise SubjectError(
                f"inputs= of {self.name!r} must return a tensor, tuple or dict whose tensors have {count} rows when "
                f"asked for a batch of {count}; it returned {type(made).__name__} with sizes {sorted(sizes)}"
            )
        return made

    def separable_batch(self) -> SeparableBatch:
        """A batch that a working classifier can learn by heart: each class in use has its own input pattern."""
        spec = self.spec
        rng = data.generator(self.seed("separable batch"))
        features = None
        if spec.vocab_size is not None:
            features = len(self.tokens) - 1
        elif spec.input_shape is not None:
            features = math.prod(spec.input_shape)
        prototypes = data.prototype_count(2**self.num_classes if self.multilabel else self.num_classes, features)
        count = max(SCAN_ROWS, 2 * prototypes)
        assignment = data.balanced_assignment(count, prototypes, rng)
        table = data.prototype_labels(prototypes, self.num_classes, rng, multilabel=self.multilabel)
        if spec.inputs is not None:
            inputs = index_rows(self._users_inputs(prototypes, rng), assignment, prototypes)
        elif spec.vocab_size is not None:
            tokens = data.separable_tokens(assignment, spec.input_shape or DEFAULT_SEQUENCE, len(self.tokens), rng)
            inputs = self.tokens[tokens]
        else:
            patterns = data.float_prototypes(prototypes, spec.input_shape or (), rng)
            inputs = data.separable_floats(assignment, patterns, rng, dtype=self.dtype)
        first = [int((assignment == c).nonzero()[0]) for c in range(prototypes)]
        distinct = any(_all_differ(t[first]) for t in tensors_in(inputs) if len(t) == count)
        return SeparableBatch(inputs=inputs, labels=table[assignment], prototypes=prototypes, distinct=distinct)


def _all_differ(rows: Tensor) -> bool:
    return not any(torch.equal(one, other) for one, other in combinations(rows, 2))
