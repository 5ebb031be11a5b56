"""How a loss joins its rows: what each row's loss counts in the loss of a batch, found by fitting.

On batches with the same labels and drawn scores the loss of a batch is ``sum_i c_i r_i`` with the losses r_i of its
rows, where the loss treats rows one by one: c_i is 1/N for a mean, 1 for a sum, w_i / sum(w) for a weighted mean. The
c_i are fitted and read. Where they do not fit the rows are coupled: that is a mistake where the loss is that of all
pairs of a row and a label, and a design where it is a choice of the hardest rows, or an overlap of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from pytest_logits.allowances import RECOGNISED
from pytest_logits.loss_forms import RowForm, bits_of, parts

Kind = Literal[
    "mean",
    "sum",
    "rows",
    "weighted mean",
    "mean divided by N",
    "all pairs",
    "product of means",
    "focal of the mean",
    "by position",
    "coupled",
]
BatchLoss = Callable[[Tensor, Tensor], Tensor]
SAME, MIXED, SPARE = 3, 5, 8


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How rows are joined; ``weights`` by label, (K,), are those of a weighted mean."""

    kind: Kind
    weights: Tensor = field(default_factory=lambda: torch.ones(0))

    def join(self, rows: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch from those of its rows; for a mean, a sum, a weighted mean, or one value per row."""
        if self.kind == "rows" or self.kind == "sum":
            return rows.sum()
        if self.kind == "weighted mean":
            weights = self.weights[labels]
            return (weights * rows).sum() / weights.sum()
        return rows.mean()

    def normaliser(self, rows: Tensor, labels: Tensor) -> float:
        """What the sum over rows is divided by."""
        if self.kind in ("rows", "sum"):
            return 1.0
        return float(self.weights[labels].sum()) if self.kind == "weighted mean" else float(rows.numel())


@dataclass(frozen=True)
class Probe:
    """A loss with what is known of one row of it.

    Attributes:
        each: ``(scores, labels) -> scalar or rows``.
        form: of a row.
        trailing: (K, *dense), (1,) or ().
        link: from free scores to what the loss takes.
        dtype: of the scores.
        multilabel: labels are multi-hot.
    """

    each: BatchLoss
    form: RowForm
    trailing: tuple[int, ...]
    link: Callable[[Tensor], Tensor]
    dtype: torch.dtype
    multilabel: bool

    def draws(self, count: int, rows: int, seed: int) -> list[Tensor]:
        """Batches of what the loss takes."""
        rng = torch.Generator().manual_seed(seed)
        return [
            self.link((2 * torch.randn((rows, *self.trailing), generator=rng)).to(self.dtype)) for _ in range(count)
        ]

    def labels(self, pattern: list[int]) -> Tensor:
        """Labels of a batch, by the index of each among those that can be told apart, the same at dense positions."""
        known = [label for label in self.form.labels if self.counts(label)] or list(self.form.labels)
        chosen = torch.tensor([known[i % len(known)] for i in pattern])
        if self.multilabel:
            return (chosen.unsqueeze(1) + torch.arange(self.trailing[0])) % 2
        return chosen.view(-1, *(1 for _ in self.trailing[1:])).expand(-1, *self.trailing[1:])

    def counts(self, label: int) -> bool:
        """Whether a row of this label has a loss at all."""
        by_label = self.form.over_classes or self.form.labels == (0, 1)
        return not by_label or bool((self.form.table[label] != 0).any())

    def value(self, scores: Tensor, labels: Tensor) -> float:
        """The loss as a number, rows added up."""
        return float(self.each(scores, labels).detach().double().sum())

    def coefficients(self, labels: Tensor, seed: int) -> Tensor | None:
        """What each row counts, (N,), positions added up; None where the rows are coupled."""
        shape = self.form.rows(self.draws(1, len(labels), 0)[0], labels).shape
        draws = self.draws(2 * shape.numel() + SPARE, len(labels), seed)
        rows = torch.stack([self.form.rows(z, labels).flatten() for z in draws]).detach()
        values = torch.tensor([self.value(z, labels) for z in draws], dtype=torch.float64)
        fitted = len(values) - SPARE
        found = torch.linalg.lstsq(rows[:fitted], values[:fitted].unsqueeze(1), driver="gelsd").solution.squeeze(1)
        off = (rows[fitted:] @ found - values[fitted:]).abs().max()
        close = max(RECOGNISED, 10 * self.form.off) * (values.std() + 1e-3 * values.abs().max())
        return found.reshape(len(labels), -1).sum(1) if bool(off <= close) else None


def rule_of(probe: Probe) -> Rule:
    """How the loss joins its rows."""
    labels = probe.labels([0] * SAME)
    if probe.each(probe.draws(1, SAME, 1)[0], labels).numel() > 1:
        return _rows(probe)
    same = probe.coefficients(labels, 2)
    mixed_labels = probe.labels([0, 1, 0, 2, 1])
    mixed = probe.coefficients(mixed_labels, 3)
    if same is None or mixed is None:
        return Rule(kind=_coupling(probe, mixed_labels))
    if not _close(same, same[:1].expand(SAME)):
        return Rule(kind="by position")
    if not _close(mixed, mixed[:1].expand(MIXED)):
        return _weighted(probe, mixed_labels, mixed)
    each = float(same[0])
    if _near(each, 1 / SAME) and _near(float(mixed[0]), 1 / MIXED):
        return Rule(kind="mean")
    if _near(each, 1) and _near(float(mixed[0]), 1):
        return Rule(kind="sum")
    if _near(each, 1 / SAME**2) and _near(float(mixed[0]), 1 / MIXED**2):
        return Rule(kind="mean divided by N")
    return Rule(kind="coupled")


def _near(value: float, wanted: float) -> bool:
    return abs(value - wanted) <= RECOGNISED * abs(wanted)


def _close(values: Tensor, wanted: Tensor) -> bool:
    return bool(((values - wanted).abs() <= RECOGNISED * wanted.abs().max()).all())


def _rows(probe: Probe) -> Rule:
    """One value per row or element: the sums per row are those of the form, or the rows are coupled."""
    labels = probe.labels([0, 1, 0, 2, 1])
    for scores in probe.draws(SPARE, MIXED, 4):
        found = probe.each(scores, labels).detach().double()
        wanted = probe.form.rows(scores, labels).detach().reshape(MIXED, -1).sum(1)
        if found.numel() % MIXED or not _close(found.reshape(MIXED, -1).sum(1), wanted):
            return Rule(kind="coupled")
    return Rule(kind="rows")


def _weighted(probe: Probe, labels: Tensor, found: Tensor) -> Rule:
    """Coefficients that follow the labels: weights over their sum, or weights that average out of the rows."""
    if probe.multilabel or (not probe.form.over_classes and len(probe.trailing) and probe.trailing[0] > 1):
        return Rule(kind="coupled")
    flat = labels.reshape(MIXED, -1)[:, 0]
    sizes = probe.form.table.flatten(1).sum(1)
    count = len(sizes)
    if bool((sizes[flat] != 0).all()):
        cancelling = sizes[flat].mean() / (MIXED * sizes[flat])
        if _close(found, cancelling):
            return Rule(kind="product of means")
    weights = torch.zeros(count, dtype=torch.float64)
    weights[flat] = found / found[0]
    # Labels that the batch above does not have, in turn.
    for label in probe.form.labels:
        if label not in flat.tolist() and probe.counts(label):
            pair = torch.tensor([int(flat[0]), label, label])
            spread = pair.view(-1, *(1 for _ in probe.trailing[1:])).expand(-1, *probe.trailing[1:])
            of_pair = probe.coefficients(spread, 5)
            if of_pair is None or float(of_pair[0]) == 0:
                return Rule(kind="coupled")
            weights[label] = of_pair[1] / of_pair[0]
    again = probe.labels([1, 1, 2, 0])
    of_again = probe.coefficients(again, 6)
    wanted = weights[again.reshape(4, -1)[:, 0]]
    if of_again is None or not bool((weights >= 0).all()) or not _close(of_again, wanted / wanted.sum()):
        return Rule(kind="coupled")
    return Rule(kind="weighted mean", weights=weights)


def _coupling(probe: Probe, labels: Tensor) -> Kind:
    """A known mistake that couples rows, where it is one."""
    form = probe.form
    draws = probe.draws(SPARE, MIXED, 7)
    values = torch.tensor([probe.value(z, labels) for z in draws], dtype=torch.float64)

    def equals(wanted: list[Tensor]) -> bool:
        return _close(values, torch.stack(wanted).detach())

    if len(probe.trailing) < 2 and not probe.multilabel:
        pairs = [(z.repeat_interleave(MIXED, 0), labels.repeat(MIXED)) for z in draws]
        if equals([form.rows(z, y).mean() for z, y in pairs]):
            return "all pairs"
    if form.gamma:
        plain = RowForm(**{**vars(form), "gamma": 0.0, "table": (form.table != 0).double()})
        means = [plain.rows(z, labels).mean() for z in draws]
        factors = [_factors(form, z, labels) for z in draws]
        scale = float(form.table.max())
        if equals([scale * (1 - torch.exp(-m)) ** form.gamma * m for m in means]) or equals(
            [f.mean() * m for f, m in zip(factors, means, strict=True)]
        ):
            return "focal of the mean"
    return "coupled"


def _factors(form: RowForm, scores: Tensor, labels: Tensor) -> Tensor:
    """The weight and the focal factor of each row's own term, (N,)."""
    terms, factors = parts(scores.double(), form.family)
    table = form.table[labels] if form.over_classes else form.table[bits_of(labels, terms.shape[1]), 0]
    weighted = table * factors.clamp(min=0) ** form.gamma
    return weighted.flatten(1).sum(1)
