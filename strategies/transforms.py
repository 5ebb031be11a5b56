"""Changes of a batch with a known effect: another order, other labels, a shift, a scale, repeated rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

from pytest_logits.data import generator
from pytest_logits.strategies._text import call_of
from pytest_logits.strategies._validate import check_bounds, check_names
from pytest_logits.strategies.batches import seeds

TRANSFORMS = ("permutation", "duplication", "relabelling", "shift", "scale")
# Powers of two, and halves of integers: exact in every dtype, so that nothing is rounded.
SCALES = (2.0, 0.5, 4.0, 0.25, -1.0)


@dataclass(frozen=True, kw_only=True, repr=False)
class Transform:
    """A change of inputs and labels. Its repr, evaluated, is the same change.

    By ``kind``, where (x, y) are a batch of N examples:

    - "permutation": the rows of both in another order, from ``seed``;
    - "duplication": every row ``amount`` times, as a block after the other;
    - "relabelling": y through a permutation of ``num_classes`` classes, from ``seed``;
    - "shift": x + ``amount``; "scale": x * ``amount``. Both leave integers, which are tokens, alone.
    """

    kind: str
    num_classes: int = 2
    amount: float = 1.0
    seed: int = 0

    def __repr__(self) -> str:
        """The call that makes it, without the arguments that are at their defaults."""
        return call_of(self)

    def __call__(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The changed batch; (N, ...) and (N, ...) stay as they are."""
        if self.kind == "permutation":
            order = self.rows(len(x))
            return x[order], labels[order]
        if self.kind == "duplication":
            times = int(self.amount)
            return torch.cat([x] * times), torch.cat([labels] * times)
        if self.kind == "relabelling":
            return x, self.classes[labels]
        if not x.is_floating_point():
            return x, labels
        return (x + self.amount if self.kind == "shift" else x * self.amount), labels

    def rows(self, count: int) -> Tensor:
        """The order of "permutation" for so many rows, int64: row i of the new batch is this row of the old one."""
        return torch.randperm(count, generator=generator(self.seed))

    @property
    def classes(self) -> Tensor:
        """What "relabelling" makes of each class, int64 (num_classes,)."""
        return torch.randperm(self.num_classes, generator=generator(self.seed))


def transforms(
    *, kinds: Sequence[str] = TRANSFORMS, min_classes: int = 2, max_classes: int = 5
) -> st.SearchStrategy[Transform]:
    """Changes of batches, of the ``kinds`` given; see :class:`Transform`.

    "relabelling" permutes ``min_classes`` to ``max_classes`` classes; make them equal to fix their number.

    Examples shrink towards the first allowed of "permutation", "duplication", "relabelling", "shift" and "scale", two
    copies, a shift of 0.5, a scale of 2, ``min_classes`` and seed 0.
    """
    check_names("kinds", kinds, TRANSFORMS)
    check_bounds("min_classes", min_classes, "max_classes", max_classes, minimum=2)
    return _transforms(tuple(kind for kind in TRANSFORMS if kind in kinds), min_classes, max_classes)


@st.composite
def _transforms(draw: st.DrawFn, kinds: tuple[str, ...], min_classes: int, max_classes: int) -> Transform:
    kind = draw(st.sampled_from(kinds))
    if kind == "permutation":
        return Transform(kind=kind, seed=draw(seeds()))
    if kind == "relabelling":
        return Transform(kind=kind, num_classes=draw(st.integers(min_classes, max_classes)), seed=draw(seeds()))
    if kind == "duplication":
        return Transform(kind=kind, amount=float(draw(st.integers(2, 4))))
    if kind == "shift":
        halves = draw(st.integers(1, 32))
        return Transform(kind=kind, amount=halves / 2 * (-1 if draw(st.booleans()) else 1))
    return Transform(kind=kind, amount=draw(st.sampled_from(SCALES)))
