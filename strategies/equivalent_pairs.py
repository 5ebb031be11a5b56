"""Cross entropy on two logits and binary cross entropy on one, which are the same function of the margin."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from pytest_logits.strategies._text import call_of
from pytest_logits.strategies._validate import check_bounds, check_number

# Weights are compared under "sum" and "none" only: under "mean" cross entropy divides by the sum of the weights of the
# labels, and BCE by their number.
UNWEIGHTED = "mean"
REDUCTIONS = ("mean", "sum", "none")


@dataclass(frozen=True, kw_only=True, repr=False)
class EquivalentPair:
    """Scores, labels and two losses that agree on them. Its repr, evaluated, is the same pair.

    ``cross_entropy(two_logits, labels)`` equals ``bce_with_logits(one_logit, targets)``: values, and gradients with
    respect to ``one_logit`` and to the second column of ``two_logits``. ``scores`` are pairs (z0, z1) of float32
    numbers.
    """

    scores: tuple[tuple[float, float], ...]
    classes: tuple[int, ...]
    reduction: str = "mean"
    weight: float = 1.0

    def __repr__(self) -> str:
        """The call that makes the pair, without the arguments that are at their defaults."""
        return call_of(self)

    @property
    def two_logits(self) -> Tensor:
        """float64 (N, 2), so that the comparison is of the formulas and not of their rounding."""
        return torch.tensor(self.scores, dtype=torch.float64, device="cpu")

    @property
    def one_logit(self) -> Tensor:
        """z1 - z0, float64 (N,)."""
        return self.two_logits[:, 1] - self.two_logits[:, 0]

    @property
    def labels(self) -> Tensor:
        """int64 (N,), for cross entropy."""
        return torch.tensor(self.classes, dtype=torch.int64, device="cpu")

    @property
    def targets(self) -> Tensor:
        """float64 (N,), for BCE."""
        return self.labels.double()

    @property
    def cross_entropy(self) -> nn.Module:
        """With class weights (1, ``weight``)."""
        weights = torch.tensor([1.0, self.weight], dtype=torch.float64, device="cpu")
        return nn.CrossEntropyLoss(weight=None if self.weight == 1 else weights, reduction=self.reduction)

    @property
    def bce_with_logits(self) -> nn.Module:
        """With ``pos_weight=weight``."""
        weights = torch.tensor(self.weight, dtype=torch.float64, device="cpu")
        return nn.BCEWithLogitsLoss(pos_weight=None if self.weight == 1 else weights, reduction=self.reduction)


def equivalent_pairs(
    *, min_size: int = 1, max_size: int = 4, max_magnitude: float = 20.0
) -> st.SearchStrategy[EquivalentPair]:
    """Pairs of ``min_size`` to ``max_size`` examples with scores up to ``max_magnitude``; see :class:`EquivalentPair`.

    Examples shrink towards ``min_size`` pairs of zeros, labels 0, "mean" and a weight of 1.
    """
    check_bounds("min_size", min_size, "max_size", max_size, minimum=1)
    check_number("max_magnitude", max_magnitude, minimum=1.0, maximum=1e30)
    return _pairs(min_size, max_size, float(torch.tensor(max_magnitude, dtype=torch.float32).item()))


@st.composite
def _pairs(draw: st.DrawFn, min_size: int, max_size: int, largest: float) -> EquivalentPair:
    score = st.floats(-largest, largest, width=32, allow_subnormal=False)
    rows = draw(st.lists(st.tuples(score, score, st.integers(0, 1)), min_size=min_size, max_size=max_size))
    reduction = draw(st.sampled_from(REDUCTIONS))
    weight = draw(st.just(1.0) | st.integers(1, 100).map(lambda tenths: tenths / 10))
    return EquivalentPair(
        scores=tuple((first, second) for first, second, _ in rows),
        classes=tuple(label for _, _, label in rows),
        reduction=reduction,
        weight=1.0 if reduction == UNWEIGHTED else weight,
    )
