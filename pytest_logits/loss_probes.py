"""What a loss depends on: its labels, its scores, which rows, which classes. For losses of any kind."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator
from functools import partial
from inspect import Parameter, signature
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.loss_subject import LossSubject, source_of

ROWS = 6
BATCHES = 8
# Rounding moves a loss by 1e-6 of itself in float32; what is asked here moves it by a share.
CLOSE = 1e-4
IGNORED = re.compile(r"ignore|padding_idx|-\s*100\b")
WEIGHTS = re.compile(r"weight|alpha")


class Probes:
    """Scores and labels that are the same for each question, and the loss on them."""

    def __init__(self, loss: LossSubject) -> None:
        self.loss = loss
        rng = torch.Generator().manual_seed(0)
        shape = (ROWS, *loss.trailing)
        self.scores = [
            loss.nature.link(((1 + i % 3) * torch.randn(shape, generator=rng)).to(loss.wide)) for i in range(BATCHES)
        ]
        width = max(loss.trailing[0] if loss.trailing else 2, 2)
        labels = shape if loss.multilabel else (ROWS, *loss.trailing[1:])
        high = 2 if loss.multilabel else width
        self.labels = [torch.randint(0, high, labels, generator=rng) for _ in range(BATCHES)]

    def value(self, scores: Tensor, labels: Tensor) -> float | None:
        """The loss, or None where it raises."""
        try:
            return float(self.loss.loss(scores, labels).detach())
        except (RuntimeError, ValueError, IndexError):
            return None

    def same(self, a: float | None, b: float | None) -> bool:
        """Whether two values are equal but for rounding."""
        if a is None or b is None or a != a or b != b:
            return False
        return abs(a - b) <= CLOSE * (abs(a) + abs(b)) + 1e-9

    def pairs(self) -> Iterator[tuple[Tensor, Tensor, float]]:
        """The batches with a finite loss."""
        for scores, labels in zip(self.scores, self.labels, strict=True):
            value = self.value(scores, labels)
            if value is not None and abs(value) < float("inf"):
                yield scores, labels, value

    # Questions

    def has_no_gradient(self) -> bool:
        """Whether the gradient is 0 on every batch: rounding leaves less than a millionth of what one row gives."""
        largest, seen = 0.0, 0
        for scores, labels, _ in self.pairs():
            _, gradient = self.loss.gradient(scores, labels)
            largest, seen = max(largest, float(gradient.abs().max())), seen + 1
        return seen > 0 and largest <= 1e-9

    def ignores_labels(self) -> bool:
        """Whether every batch has the same loss whatever its labels."""
        asked = 0
        for scores, labels, value in self.pairs():
            for other in self.labels:
                if not bool((other == labels).all()):
                    if not self.same(self.value(scores, other), value):
                        return False
                    asked += 1
        return asked > 0

    def ignores_shift(self, axis: int) -> bool:
        """Whether a constant along an axis, another for each index of the others, changes nothing: a softmax there.

        Asked of batches whose rows have the same label, where a loss of pairs of unlike rows says nothing.
        """
        rng = torch.Generator().manual_seed(1)
        changed = False
        for scores in self.scores:
            labels = self.labels[0][:1].expand_as(self.labels[0])
            value = self.value(scores, labels)
            shift = torch.randn(scores.select(axis, 0).shape, generator=rng).to(scores).unsqueeze(axis)
            if value is None or not self.same(self.value(scores + shift, labels), value):
                return False
            changed = changed or not self.same(self.value(-scores, labels), value)
        return changed

    def follows_order(self) -> bool:
        """Whether the loss of some batch changes when its rows are turned round, labels with them."""
        return any(
            not self.same(self.value(scores.flip(0), labels.flip(0)), value) for scores, labels, value in self.pairs()
        )

    def follows_prediction(self) -> tuple[float, float] | None:
        """The loss on both sides of a tie between two classes that are not the label, where it jumps; else None.

        A weight of the predicted class multiplies the loss of every label by the same two numbers.
        """
        width = self.loss.trailing[0] if len(self.loss.trailing) == 1 else 0
        if width < 3 or self.loss.multilabel:
            return None
        ratios, shown = [], None
        for label in (2, 0, 1):
            scores = torch.zeros((1, width), dtype=self.loss.wide)
            scores[0, :2], scores[0, 2] = 2.0, 1.0
            step = torch.zeros_like(scores)
            step[0, 0], step[0, 1] = 1e-4, -1e-4
            other = torch.zeros_like(scores)
            other[0, -1] = 3.0
            sides = [torch.cat([scores + s * step, other]) for s in (1, -1)]
            values = [self.value(self.loss.nature.link(z), torch.tensor([label, width - 1])) for z in sides]
            if None in values or not values[1]:
                return None
            ratios.append(float(values[0] or 0) / float(values[1]))
            shown = shown or (float(values[0] or 0), float(values[1]))
        jumps = abs(ratios[0] - 1) > 0.02
        alike = all(abs(ratio - 1) > 0.02 and (ratio > 1) == (ratios[0] > 1) for ratio in ratios)
        return shown if jumps and alike else None

    def falls_without_end(self) -> tuple[str, float, float] | None:
        """How the scores move, and the loss at 500 and 1000, where it is below 0 and falls by a fifth of that or more.

        The true score leads, or all scores rise or fall together. No sound loss is helped without end by any of these.
        """
        loss = self.loss
        if loss.nature.takes != "logits" and loss.nature.takes != "unknown":
            return None
        labels = loss.labels_through(ROWS)
        leading = toward(labels, loss.trailing, loss.wide)
        ways = {"the true score leads": leading}
        if loss.trailing and loss.trailing[0] > 1 and not loss.multilabel:
            ways |= {"all scores rise": torch.ones_like(leading), "all scores fall": -torch.ones_like(leading)}
        for way, direction in ways.items():
            at, further = self.value(500.0 * direction, labels), self.value(1000.0 * direction, labels)
            if at is not None and further is not None and further < 0 and further - at <= -100:
                return way, at, further
        return None

    def weights_without_effect(self) -> str | None:
        """The name of class weights that take part in the loss and change nothing; None where there are none.

        They take part where NaN in their place makes the loss NaN.
        """
        loss = self.loss.loss_object
        if not isinstance(loss, nn.Module):
            return None
        for name, held in [*loss.named_buffers(), *vars(loss).items()]:
            if not isinstance(held, Tensor) or held.ndim != 1 or len(held) < 2 or not WEIGHTS.search(name):
                continue
            if not held.is_floating_point() or bool((held == held[0]).all()):
                continue
            others = self._with(loss, name, held.flip(0) * 2 + 1)
            values = [value for _, _, value in self.pairs()]
            alike = bool(values) and all(self.same(a, b) for a, b in zip(values, others, strict=True))
            if alike and all(math.isnan(value) for value in self._with(loss, name, torch.full_like(held, torch.nan))):
                return name
        return None

    def _with(self, loss: nn.Module, name: str, held: Tensor) -> list[float]:
        other = copy.deepcopy(loss).to(self.loss.wide)
        owner, _, attribute = name.rpartition(".")
        setattr(other.get_submodule(owner), attribute, held.to(self.loss.wide))
        subject = LossSubject(
            name=self.loss.name,
            loss=other,
            settings=self.loss.settings,
            task=self.loss.task,
            encoding=self.loss.encoding,
            dtype=self.loss.wide,
        )
        return [float(subject.loss(z, y).detach()) for z, y, _ in self.pairs()]

    def moves_labels(self) -> bool:
        """Whether dense positions are pulled towards the labels of the batch, each of them towards another's."""
        rng = torch.Generator().manual_seed(2)
        width = self.loss.trailing[0]
        labels = torch.randint(0, width, (2, *self.loss.trailing[1:]), generator=rng)
        if not self.loss.accepts(torch.zeros((2, *self.loss.trailing), dtype=self.loss.wide), labels):
            return False
        leaf = self.loss.nature.link(torch.zeros((2, *self.loss.trailing), dtype=self.loss.wide))
        _, gradient = self.loss.gradient(leaf, labels)
        pulled = gradient.argmin(dim=1)
        alike = torch.equal(pulled.flatten().sort().values, labels.flatten().sort().values)
        return not torch.equal(pulled, labels) and (alike or self._of_reshaped(gradient, labels))

    @staticmethod
    def _of_reshaped(gradient: Tensor, labels: Tensor) -> bool:
        """Whether the gradient is right once its positions and classes are read in the order of a plain reshape."""
        rows = gradient.reshape(-1, gradient.shape[1])
        return torch.equal(rows.argmin(dim=1), labels.flatten())

    # Rows that are left out

    def ignored_label(self) -> int | None:
        """The label whose rows the loss says it leaves out, where it takes it.

        Named by an attribute, a default or a keyword, or -100 where the code of the loss speaks of it.
        """
        loss = self.loss.loss_object
        if self.loss.multilabel or self.loss.nature.form != "categorical" or self.loss.encoding not in (None, "index"):
            return None
        named = {name: value for name, value in named_numbers(loss).items() if IGNORED.search(name)}
        label = next((int(value) for value in named.values() if float(value).is_integer()), None)
        if label is None and IGNORED.search(source_of(loss)):
            label = -100
        if label is None or 0 <= label < self.loss.num_classes:
            return None
        labels = self.labels[0].clone()
        labels[0] = label
        return label if self.loss.accepts(self.scores[0], labels) else None

    def ignored_rows(self, label: int) -> tuple[float, float, str] | None:
        """The loss with rows left out, what it should be, and how it is off; None where they have no influence."""
        dense = self.loss.trailing[1:]
        for scores, labels in zip(self.scores, self.labels, strict=True):
            masked = labels.clone()
            if dense:
                # The same positions of every row, so that a mean of the rows' means is the same as well.
                masked[..., 0] = label
                wanted_scores, wanted_labels = scores[..., 1:], labels[..., 1:]
            else:
                masked[::2] = label
                wanted_scores, wanted_labels = scores[1::2], labels[1::2]
            wanted, found = self.value(wanted_scores, wanted_labels), self.value(scores, masked)
            if wanted is None or found is None or wanted != wanted or found != found:
                return None
            out = (masked == label).reshape(ROWS, -1)
            _, gradient = self.loss.gradient(scores, masked)
            reached = gradient.movedim(1, -1).reshape(ROWS, out.shape[1], -1)[out]
            if float(reached.abs().max()) > 1e-9:
                return found, wanted, "the scores of ignored rows have a gradient"
            if not self.same(found, wanted):
                return found, wanted, "ignored rows are counted"
        return None


def gathers_over_rows(loss: LossSubject) -> bool:
    """Whether one row is refused with label 1, and K rows are taken with all labels."""
    if loss.multilabel or not loss.trailing or loss.trailing[0] < 2 or len(loss.trailing) > 1:
        return False
    width = loss.trailing[0]
    many = loss.accepts(torch.zeros((width, width), dtype=loss.dtype), torch.arange(width))
    return many and not _raises(loss, 0, width) and _raises(loss, 1, width)


def _raises(loss: LossSubject, label: int, width: int) -> bool:
    try:
        loss.each(torch.zeros((1, width), dtype=loss.dtype), torch.tensor([label]))
    except IndexError:
        return True
    except RuntimeError as error:
        return "index" in str(error)
    return False


def toward(labels: Tensor, trailing: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Scores that are 1 for the true class and 0 elsewhere; for a single score or several labels, +1 and -1."""
    if labels.shape[1:] == trailing or not trailing or trailing[0] == 1:
        return (2.0 * labels - 1).reshape(len(labels), *trailing).to(dtype)
    return F.one_hot(labels, trailing[0]).movedim(-1, 1).to(dtype)


def named_numbers(loss: Any) -> dict[str, float]:
    """Numbers that a loss is made with: attributes of a module, keywords of a partial, defaults of a function."""
    if isinstance(loss, nn.Module):
        return {name: value for name, value in vars(loss).items() if _is_number(value)}
    given: dict[str, Any] = {}
    while isinstance(loss, partial):
        given = {**loss.keywords, **given}
        loss = loss.func
    try:
        parameters = tuple(signature(loss).parameters.values())
    except (TypeError, ValueError):
        parameters = ()
    defaults = {p.name: p.default for p in parameters if p.default is not Parameter.empty}
    own = defaults if getattr(loss, "__module__", "").partition(".")[0] != "torch" else {}
    return {name: value for name, value in {**own, **given}.items() if _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
