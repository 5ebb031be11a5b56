"""torch's losses of classifiers, with every argument that they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import nn

from pytest_logits.strategies._text import call_of
from pytest_logits.strategies._validate import check_integer, check_names
from pytest_logits.strategies.class_weights import weight_tuples

KINDS: dict[str, type[nn.Module]] = {
    "cross_entropy": nn.CrossEntropyLoss,
    "nll_loss": nn.NLLLoss,
    "bce_with_logits": nn.BCEWithLogitsLoss,
    "bce": nn.BCELoss,
    "multilabel_soft_margin": nn.MultiLabelSoftMarginLoss,
    "multi_margin": nn.MultiMarginLoss,
}
LOSSES = tuple(KINDS)
REDUCTIONS = ("mean", "sum", "none")
OVER_CLASSES = ("cross_entropy", "nll_loss", "multi_margin")
# torch's own default, which no class can have.
NOT_IGNORED = -100


@dataclass(frozen=True, kw_only=True, repr=False)
class GeneratedLoss:
    """What :meth:`build` makes a loss from. Its repr, evaluated, builds the same loss.

    ``weight`` has one number for each class, ``pos_weight`` (for "bce_with_logits") one for each label.
    ``ignore_index`` is for "cross_entropy" and "nll_loss", ``label_smoothing`` for "cross_entropy", ``p`` and
    ``margin`` for "multi_margin".
    """

    name: str
    num_classes: int
    reduction: str = "mean"
    weight: tuple[float, ...] | None = None
    pos_weight: tuple[float, ...] | None = None
    ignore_index: int = NOT_IGNORED
    label_smoothing: float = 0.0
    p: int = 1
    margin: float = 1.0

    def __repr__(self) -> str:
        """The call that makes the loss, without the arguments that are at their defaults."""
        return call_of(self)

    @property
    def takes_indices(self) -> bool:
        """Whether targets are class indices, int64 (N,); else they are floats in the shape of the scores, (N, K)."""
        return self.name in OVER_CLASSES

    def build(self) -> nn.Module:
        """torch's module, with float32 weights."""
        given: dict[str, object] = {"reduction": self.reduction}
        for name in ("weight", "pos_weight"):
            values = getattr(self, name)
            if values is not None:
                given[name] = torch.tensor(values, dtype=torch.float32, device="cpu")
        if self.name in ("cross_entropy", "nll_loss"):
            given["ignore_index"] = self.ignore_index
        if self.name == "cross_entropy":
            given["label_smoothing"] = self.label_smoothing
        if self.name == "multi_margin":
            given |= {"p": self.p, "margin": self.margin}
        return KINDS[self.name](**given)


def losses(
    *,
    num_classes: int,
    names: Sequence[str] = LOSSES,
    reductions: Sequence[str] = REDUCTIONS,
    weighted: bool = True,
) -> st.SearchStrategy[GeneratedLoss]:
    """Losses over ``num_classes`` classes or labels, with any of the arguments that torch's take.

    Call ``.build()`` on an example for the module. ``weighted=False`` leaves ``weight`` and ``pos_weight`` out.

    Examples shrink towards the first allowed of "cross_entropy", "nll_loss", "bce_with_logits", "bce",
    "multilabel_soft_margin" and "multi_margin", the first allowed of "mean", "sum" and "none", and torch's defaults.
    """
    check_integer("num_classes", num_classes, minimum=1)
    check_names("names", names, LOSSES)
    check_names("reductions", reductions, REDUCTIONS)
    return _losses(
        num_classes,
        tuple(name for name in LOSSES if name in names),
        tuple(name for name in REDUCTIONS if name in reductions),
        weighted,
    )


@st.composite
def _losses(
    draw: st.DrawFn, num_classes: int, names: tuple[str, ...], reductions: tuple[str, ...], weighted: bool
) -> GeneratedLoss:
    name = draw(st.sampled_from(names))
    maybe_weights = st.none() | weight_tuples(num_classes, 0.01, 10.0)
    reduction = draw(st.sampled_from(reductions))
    weight = draw(maybe_weights) if weighted else None
    if name == "cross_entropy":
        return GeneratedLoss(
            name=name,
            num_classes=num_classes,
            reduction=reduction,
            weight=weight,
            ignore_index=draw(st.just(NOT_IGNORED) | st.integers(0, num_classes - 1)),
            label_smoothing=draw(st.integers(0, 10)) / 20,
        )
    return GeneratedLoss(
        name=name,
        num_classes=num_classes,
        reduction=reduction,
        weight=weight,
        pos_weight=draw(maybe_weights) if name == "bce_with_logits" and weighted else None,
        ignore_index=draw(st.just(NOT_IGNORED) | st.integers(0, num_classes - 1))
        if name == "nll_loss"
        else NOT_IGNORED,
        p=draw(st.integers(1, 2)) if name == "multi_margin" else 1,
        margin=draw(st.integers(1, 4)) / 2 if name == "multi_margin" else 1.0,
    )
