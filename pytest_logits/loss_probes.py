"""What a loss depends on: its labels, its scores, which rows, which classes. For losses of any kind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pytest_logits.allowances import apart
from pytest_logits.loss_screen import is_plain
from pytest_logits.loss_subject import LossSubject

ROWS = 6
BATCHES = 8
# Scores at which a loss is compared to see it fall without end.
FAR = (500.0, 1000.0)
# Scores between which a pole is looked for. Halved so often, a sixteenth is 1e-13 wide, where 1 / x is 1e13; a loss
# that jumps or passes through 0 stays what it is.
NEAR = tuple(i / 16 for i in range(65))
HALVINGS, DEEP = 40, 1e6


class Fall(NamedTuple):
    """The way that the scores move, the loss at two of them, and by how much they have moved there."""

    way: str
    at: float
    further: float
    by: tuple[float, float]


class Probes:
    """Scores and labels that are the same for each question, and the loss on them."""

    def __init__(self, loss: LossSubject) -> None:
        self.loss = loss
        self.apart = apart(loss.wide)
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
        return abs(a - b) <= self.apart * (abs(a) + abs(b)) + 1e-9

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
        """Whether the loss of some batch changes when its rows, labels with them, are turned round or moved by one."""
        return any(
            not self.same(self.value(scores.flip(0), labels.flip(0)), value)
            or not self.same(self.value(scores.roll(1, 0), labels.roll(1, 0)), value)
            for scores, labels, value in self.pairs()
        )

    def couples_scores(self) -> bool:
        """Whether the gradient of the other rows changes with the scores of the first."""
        for scores, labels, _ in self.pairs():
            other = scores.clone()
            other[0] = self.scores[1][1] if scores is self.scores[0] else self.scores[0][0]
            (_, one), (_, two) = self.loss.gradient(scores, labels), self.loss.gradient(other, labels)
            largest = float(one[1:].abs().max())
            if float((one[1:] - two[1:]).abs().max()) > self.apart * largest + 1e-9:
                return True
        return False

    def treats_classes_alike(self) -> bool | None:
        """Whether the loss of no batch changes when the classes are turned round; None where there are no classes."""
        loss = self.loss
        if len(loss.trailing) == 0 or loss.trailing[0] < 2 or callable(loss.encoding):
            return None
        if is_plain(loss):
            return True
        answers = []
        for scores, labels, value in self.pairs():
            turned = labels.flip(1) if loss.multilabel else loss.num_classes - 1 - labels
            answers.append(self.same(self.value(scores.flip(1), turned), value))
        return all(answers) if answers else None

    def pulls_to_the_largest(self) -> bool:
        """Whether a row is pulled towards the class with the largest score, whatever its label."""
        loss = self.loss
        if len(loss.trailing) != 1 or loss.trailing[0] < 3 or loss.multilabel:
            return False
        for leader in range(3):
            for label in range(3):
                scores = torch.zeros((1, *loss.trailing), dtype=loss.wide)
                scores[0, leader] = 2.0
                _, gradient = loss.gradient(loss.nature.link(scores), torch.tensor([label]))
                if not float(gradient.min()) < 0 or int(gradient.argmin()) != leader:
                    return False
        return True

    def falls_without_end(self) -> Fall | None:
        """Where the loss is below 0 at scores of 1000, and lower than at 500 by a fifth of what they grew or more.

        The true score leads, or all scores rise or fall together. No sound loss is helped without end by any of these.
        """
        loss = self.loss
        if loss.nature.takes != "logits" and loss.nature.takes != "unknown":
            return None
        labels = loss.labels_through(ROWS)
        for way, direction in self._ways(labels).items():
            at, further = (self.value(scale * direction, labels) for scale in FAR)
            if at is not None and further is not None and further < 0 and further - at <= -(FAR[1] - FAR[0]) / 5:
                return Fall(way, at, further, FAR)
        return None

    def has_a_pole(self) -> Fall | None:
        """Where the loss falls without end near moderate scores, as what it divides by passes through 0 there.

        It passes there from one side of what it is at 0 to the other. Halving finds a score at which it is that, where
        it jumps, or where it is as far away as one looks closely.
        """
        loss = self.loss
        if loss.nature.takes != "unknown" or loss.wide != torch.float64:
            return None
        labels = loss.labels_through(ROWS)
        for way, direction in self._ways(labels).items():
            level = self.value(0 * direction, labels)
            if level is None or not math.isfinite(level):
                return None

            def above(scale: float, direction: Tensor = direction, level: float = level) -> float:
                found = self.value(scale * direction, labels)
                return math.nan if found is None else found - level

            values = [above(scale) for scale in NEAR]
            for (a, at_a), (b, at_b) in pairwise(zip(NEAR, values, strict=True)):
                if not at_a * at_b < 0:
                    continue
                ends = {a: at_a, b: at_b}
                for _ in range(HALVINGS):
                    middle = (a + b) / 2
                    ends[middle] = above(middle)
                    a, b = (a, middle) if ends[a] * ends[middle] <= 0 else (middle, b)
                deepest = min((a, b), key=ends.__getitem__)
                if ends[deepest] < -DEEP * (1 + abs(level) + abs(at_a) + abs(at_b)):
                    before = max(n for n in NEAR if n <= deepest)
                    return Fall(way, level + ends[before], level + ends[deepest], (before, deepest))
        return None

    def _ways(self, labels: Tensor) -> dict[str, Tensor]:
        """Directions in which no sound loss falls without end."""
        loss = self.loss
        leading = toward(labels, loss.trailing, loss.wide)
        ways = {"the true score leads": leading}
        if loss.trailing and loss.trailing[0] > 1 and not loss.multilabel:
            ways |= {"all scores rise": torch.ones_like(leading), "all scores fall": -torch.ones_like(leading)}
        return ways

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
