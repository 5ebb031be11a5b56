"""Rows that a loss leaves out: the label that says so, that they have no influence, and a batch of nothing else."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from pytest_logits.loss_code import named_numbers, source_of
from pytest_logits.loss_probes import ROWS, Probes

IGNORED = re.compile(r"ignore|padding_idx|-\s*100\b")
# What is left of a gradient that is 0 but for rounding.
NOTHING = 1e-9


@dataclass(frozen=True, kw_only=True)
class AllIgnored:
    """The loss of a batch whose every row is left out, and the largest entry of its gradient; NaN where one is NaN."""

    value: float
    gradient: float

    def __str__(self) -> str:
        return f"{self.value:.4g} with a gradient of {self.gradient:.4g}"


def ignored_label(probes: Probes) -> int | None:
    """The label whose rows the loss says it leaves out, where it takes it.

    Named by an attribute, a default or a keyword, or -100 where the code of the loss speaks of it.
    """
    loss = probes.loss
    if loss.multilabel or loss.nature.form != "categorical" or loss.encoding not in (None, "index"):
        return None
    named = {name: value for name, value in named_numbers(loss.loss_object).items() if IGNORED.search(name)}
    label = next((int(value) for value in named.values() if float(value).is_integer()), None)
    if label is None and IGNORED.search(source_of(loss.loss_object)):
        label = -100
    if label is None or 0 <= label < loss.num_classes:
        return None
    labels = probes.labels[0].clone()
    labels[0] = label
    return label if loss.accepts(probes.scores[0], labels) else None


def ignored_rows(probes: Probes, label: int) -> tuple[float, float, str] | None:
    """The loss with rows left out, what it should be, and how it is off; None where they have no influence."""
    dense = probes.loss.trailing[1:]
    for scores, labels in zip(probes.scores, probes.labels, strict=True):
        masked = labels.clone()
        if dense:
            # The same positions of every row, so that a mean of the rows' means is the same as well.
            masked[..., 0] = label
            wanted_scores, wanted_labels = scores[..., 1:], labels[..., 1:]
        else:
            masked[::2] = label
            wanted_scores, wanted_labels = scores[1::2], labels[1::2]
        wanted, found = probes.value(wanted_scores, wanted_labels), probes.value(scores, masked)
        if wanted is None or found is None or wanted != wanted or found != found:
            return None
        out = (masked == label).reshape(ROWS, -1)
        _, gradient = probes.loss.gradient(scores, masked)
        reached = gradient.movedim(1, -1).reshape(ROWS, out.shape[1], -1)[out]
        if float(reached.abs().max()) > NOTHING:
            return found, wanted, "the scores of ignored rows have a gradient"
        if not probes.same(found, wanted):
            return found, wanted, "ignored rows are counted"
    return None


def all_ignored(probes: Probes, label: int) -> AllIgnored | None:
    """The loss of a batch of ignored rows; None where it raises, as one that chooses among the rows may."""
    scores, labels = probes.scores[0], probes.labels[0].new_full(probes.labels[0].shape, label)
    try:
        value, gradient = probes.loss.gradient(scores, labels)
    except (RuntimeError, ValueError, IndexError):
        return None
    return AllIgnored(value=value, gradient=float(gradient.abs().max()))


def unsound(found: AllIgnored, *, sums: bool) -> str | None:
    """What no sound loss of a batch of ignored rows is, in words; None where it is sound.

    A mean over no rows is 0 / 0: NaN, as torch's own is, or 0 where the count is kept from 0. A sum over none is 0.
    Where the value is finite its gradient is 0: NaN comes from a branch that ``torch.where`` did not take, and any
    other number from scores that are to have no influence. An infinite value is a sum that is not 0, divided by no
    rows.
    """
    if math.isinf(found.value):
        return "something is summed and divided by no rows"
    if math.isnan(found.value):
        return "a sum over no rows is 0" if sums else None
    if not math.isfinite(found.gradient):
        return "its gradient is not finite, though its value is: a step with it makes every parameter NaN"
    return "the scores of ignored rows have a gradient" if found.gradient > NOTHING else None
