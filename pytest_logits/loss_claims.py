"""What a loss claims to be: its form for a row and the rule that joins rows, as an exact reference in float64.

torch's own losses are known with their arguments; any other is what it turned out to compute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pytest_logits import tolerances
from pytest_logits.allowances import focal_weights
from pytest_logits.loss_forms import OVER_CLASSES, RowForm, bits_of, families, fit, parts
from pytest_logits.loss_rules import Kind, Probe, Rule, rule_of
from pytest_logits.loss_subject import LossSubject

OF_PROBABILITIES = ("NLL of probabilities", "BCE")
JOINED = ("mean", "sum", "rows", "weighted mean")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A reference: ``value(scores, labels)`` in float64, and how far rounding may take the loss from it.

    Attributes:
        form: of a row.
        rule: of a batch.
        known: torch's own, with these arguments; else recognised by what it computes.
        ignored: the label of rows that are left out, where there is one.
    """

    form: RowForm
    rule: Rule
    known: bool
    ignored: int | None = None

    def kept(self, scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of scores (M, K) and their labels, without those left out; dense positions are rows."""
        if not self.form.over_classes:
            return scores, labels
        flat, of = scores.movedim(1, -1).reshape(-1, scores.shape[1]), labels.reshape(-1)
        counts = of != self.ignored if self.ignored is not None else torch.ones_like(of, dtype=torch.bool)
        return flat[counts], of[counts]

    def value(self, scores: Tensor, labels: Tensor, *, detached: bool = False) -> Tensor:
        """The loss of a batch; ``detached`` takes no gradient through a focal factor."""
        rows, of = self.kept(scores.double(), labels)
        return self.rule.join(self.form.rows(rows, of, detached=detached), of)

    def defined(self, labels: Tensor) -> bool:
        """Whether a mean over these labels has anything to divide by."""
        _, of = self.kept(torch.zeros(len(labels), len(self.form.table), *labels.shape[1:]), labels)
        if not len(of):
            return False
        return self.rule.kind != "weighted mean" or bool(self.rule.weights[of].sum() > 0)

    def gradient(self, scores: Tensor, labels: Tensor, *, detached: bool = False) -> Tensor:
        """The gradient of the value, in the shape of the scores."""
        return self.value_and_gradient(scores, labels, detached=detached)[1]

    def value_and_gradient(self, scores: Tensor, labels: Tensor, *, detached: bool = False) -> tuple[float, Tensor]:
        """Both, of one evaluation."""
        leaf = scores.detach().double().requires_grad_()
        with torch.enable_grad():
            value = self.value(leaf, labels, detached=detached)
            (found,) = torch.autograd.grad(value, leaf)
        return float(value.detach()), found

    def slack(self, scores: Tensor, labels: Tensor) -> tuple[float, float, Tensor]:
        """How far below and above the value, and how far from the gradient, a sound loss may be.

        Rounding is bounded in ``tolerances``; to it come the error of the fit, and for a loss written by hand what a
        guard g that the fit could not show takes off: log(1 + g / p) of a term, and the share g / p of its slope.
        """
        rows, of = self.kept(scores.detach(), labels)
        value, slope = _rounding(self.form, rows, of, guard=0.0 if self.known else self.form.guard)
        terms, _ = parts(rows.double(), self.form.family)
        table = self._table(of, terms.shape[1]).abs()
        exact = self.form.rows(rows, of).detach()
        divisor = self.rule.normaliser(exact, of)
        weights = self.rule.weights[of] if self.rule.kind == "weighted mean" else torch.ones(len(of))
        unit = torch.finfo(scores.dtype).eps
        near = float((weights * (value + (len(of) + 8) * unit * exact.abs())).sum()) / divisor
        near += 10 * self.form.off * float((weights * (table * terms.abs()).flatten(1).sum(1)).sum()) / divisor
        slopes = (weights.view(-1, *(1 for _ in slope.shape[1:])) * slope) / divisor + 1e-12
        if self.form.family == "BCE":
            # At probabilities of 0 and 1 torch gives 0 for a quotient of two zeros: no slope is asked there.
            p = rows.double().reshape(slopes.shape)
            slopes = slopes.masked_fill(p * (1 - p) < tolerances.SMALLEST_VARIANCE, torch.inf)
        slopes = slopes + 8 * unit * table.flatten(1).sum(1).max() * weights.max() / divisor
        below = above = near
        if not self.known:
            guard = self.form.guard
            p = torch.exp(-terms).clamp(min=1e-300)
            lost = table * torch.log1p(guard / p)
            # p itself is stored, and 1 - p taken from it: an error of 8 units in what is below.
            gained = table * -torch.log((1 - 8 * unit / p).clamp(min=1e-300))
            below += float((weights * lost.flatten(1).sum(1)).sum()) / divisor
            above += float((weights * (gained + guard * table).flatten(1).sum(1)).sum()) / divisor
            if bool((self._table(of, terms.shape[1]) < 0).any()):
                above += below
            flatter = 2 * table * (guard / p + 8 * unit / p)
            if self.form.family in OF_PROBABILITIES:
                # The slope of log p in p itself is 1 / p; a clamp leaves none at its ends.
                flatter = flatter / p
                q = rows.double().reshape(slopes.shape)
                slopes = slopes.masked_fill((q < guard) | (q > 1 - guard), torch.inf)
            flatter = flatter.flatten(1).sum(1) * weights / divisor
            slopes = slopes + flatter.view(-1, *(1 for _ in slopes.shape[1:])) + guard / divisor
        return below, above, self._spread(slopes, scores, labels)

    def _table(self, labels: Tensor, width: int) -> Tensor:
        if self.form.over_classes:
            return self.form.table[labels]
        return self.form.table[bits_of(labels, width), torch.arange(width)]

    def _spread(self, slopes: Tensor, scores: Tensor, labels: Tensor) -> Tensor:
        """Per-row bounds back in the shape of the scores; 0 for what is left out."""
        if not self.form.over_classes:
            return slopes.reshape(scores.shape)
        flat = torch.zeros(scores.movedim(1, -1).reshape(-1, scores.shape[1]).shape, dtype=torch.float64)
        of = labels.reshape(-1)
        counts = of != self.ignored if self.ignored is not None else torch.ones_like(of, dtype=torch.bool)
        flat[counts] = slopes
        return flat.reshape(scores.movedim(1, -1).shape).movedim(-1, 1)

    def __str__(self) -> str:
        return described(self)


def _rounding(form: RowForm, rows: Tensor, labels: Tensor, *, guard: float) -> tuple[Tensor, Tensor]:
    """Bounds on value (M,) and gradient, in the shape of the rows, of each row's loss by itself.

    A focal factor may be that of a probability which is ``guard`` off.
    """
    unit = torch.finfo(rows.dtype).eps
    if form.over_classes:
        shares = form.table[labels].abs()
        if form.family != "cross entropy":
            terms, _ = parts(rows.double(), form.family)
            slope = shares if form.family == "NLL" else shares / rows.double()
            # Three products and a sum of K terms, of stored numbers.
            some = (rows.shape[1] + 3) * unit
            return some * (shares * terms.abs()).sum(1), some * slope
        bound = tolerances.cross_entropy_bound(rows, shares, reduction="none")
        value, slope = bound.value, bound.gradient
    else:
        z = rows.reshape(len(rows), -1)
        table = form.table[bits_of(labels, z.shape[1]), torch.arange(z.shape[1])].abs()
        total = table.sum(-1).clamp(min=1e-300)
        make = tolerances.bce_bound if form.family == "BCE" else tolerances.bce_with_logits_bound
        elements = make(z, table[..., 0] / total, weight=total, reduction="none")
        value, slope = elements.value.sum(1), elements.gradient
        # Columns are added up: W roundings more.
        value = value + z.shape[1] * unit * (table * parts(rows.double(), form.family)[0]).sum((1, 2))
    if form.gamma:
        # An error d of p changes (1 - p) ** gamma log p by gamma (1 - p) ** (gamma - 1) d log p.
        terms, factors = parts(rows.double(), form.family)
        scale = form.table.abs().max()
        error = (value.reshape(-1, *(1 for _ in terms.shape[1:])) / scale + 8 * unit).clamp(max=1)
        bent = form.gamma * torch.maximum(factors, error) ** (form.gamma - 1) * error * terms.abs()
        value = value + scale * bent.flatten(1).sum(1)
        slope = _focal_slope(form, rows, labels, error, guard)
    return value, slope.reshape(rows.shape)


def _focal_slope(form: RowForm, rows: Tensor, labels: Tensor, error: Tensor, guard: float) -> Tensor:
    """A bound on the gradient of focal rows: that of weighted terms, and what ``allowances`` says of the weights."""
    terms, factors = parts(rows.double(), form.family)
    weights, off = focal_weights(terms, factors, form.gamma, error=error, guard=guard)
    if form.family == "cross entropy":
        shares = form.table[labels].abs()
        slope = tolerances.cross_entropy_bound(rows, shares * weights, reduction="none").gradient
        off = torch.where(shares > 0, shares * off, 0.0)
        return (slope + off + torch.exp(-terms) * off.sum(1, keepdim=True)).nan_to_num(torch.inf, torch.inf)
    if form.family != "BCE with logits":
        return torch.full(rows.shape, torch.inf, dtype=torch.float64)
    z = rows.reshape(len(rows), -1)
    table = form.table[bits_of(labels, z.shape[1]), torch.arange(z.shape[1])].abs()
    weighted = table * weights
    total = weighted.sum(-1).clamp(min=1e-300)
    bound = tolerances.bce_with_logits_bound(z, weighted[..., 0] / total, weight=total, reduction="none")
    return (bound.gradient + torch.where(table > 0, table * off * factors, 0.0).sum(-1)).nan_to_num(
        torch.inf, torch.inf
    )


def claim_of(loss: LossSubject, trailing: tuple[int, ...] | None = None) -> Claim | None:
    """What a loss claims to be on scores of this shape, by default its own; None where it is nothing known."""
    shape = loss.trailing if trailing is None else trailing
    known = _known(loss, shape)
    if known is not None:
        return known
    width = shape[0] if shape else 1

    def of_row(scores: Tensor, labels: Tensor) -> float:
        return float(loss.loss(scores, labels).detach())

    for family in families(loss.nature, width=width, multilabel=loss.multilabel):
        if len(shape) > 1 and family not in OVER_CLASSES:
            # Bits of dense scores have no one order of columns.
            continue
        form = fit(
            of_row, family=family, trailing=shape, nature=loss.nature, multilabel=loss.multilabel, dtype=loss.wide
        )
        if form is not None:
            probe = Probe(loss.each, form, shape, loss.nature.link, loss.wide, loss.multilabel)
            return Claim(form=form, rule=rule_of(probe), known=False)
    return None


def _known(loss: LossSubject, shape: tuple[int, ...]) -> Claim | None:
    """torch's own loss with its arguments."""
    obj = loss.loss_object
    if isinstance(obj, str):
        made: nn.Module = {
            "cross_entropy": nn.CrossEntropyLoss,
            "nll_loss": nn.NLLLoss,
            "bce_with_logits": nn.BCEWithLogitsLoss,
            "bce": nn.BCELoss,
        }[obj]()
    elif type(obj) in KNOWN:
        made = obj
    else:
        return None
    return KNOWN[type(made)](made, loss, shape)


def _over_classes(made: nn.CrossEntropyLoss | nn.NLLLoss, loss: LossSubject, shape: tuple[int, ...]) -> Claim | None:
    if not shape or shape[0] < 2 or loss.multilabel:
        return None
    width = shape[0]
    if made.weight is not None and len(made.weight) != width:
        return None
    labels = loss.labels_through(1)
    soft = loss.targets(labels, torch.zeros(1, *shape)).is_floating_point()
    if callable(loss.encoding):
        return None
    weight = torch.ones(width, dtype=torch.float64) if made.weight is None else made.weight.detach().double()
    smoothing = float(getattr(made, "label_smoothing", 0.0))
    if smoothing and bool((weight == 0).any()):
        # A row whose weight is 0 still adds the other classes' shares, and nothing to what the mean divides by.
        return None
    shares = (1 - smoothing) * torch.eye(width, dtype=torch.float64) + smoothing / width
    table, counted = shares * weight, weight.clone()
    inside = not soft and 0 <= made.ignore_index < width
    if inside:
        table[made.ignore_index], counted[made.ignore_index] = 0.0, 0.0
    weighted = not soft and (made.weight is not None or inside)
    rule = Rule(kind="weighted mean", weights=counted) if weighted else Rule(kind="mean")
    if made.reduction != "mean":
        rule = Rule(kind="sum" if made.reduction == "sum" else "rows")
    elif weighted:
        # A weighted mean of one row has no weight of its own left.
        table = (table / counted.unsqueeze(1)).nan_to_num(0.0, 0.0)
    form = RowForm(
        family="NLL" if isinstance(made, nn.NLLLoss) else "cross entropy",
        table=table,
        constant=torch.zeros(width, dtype=torch.float64),
        labels=tuple(range(width)),
    )
    return Claim(form=form, rule=rule, known=True, ignored=None if soft else made.ignore_index)


def _over_scores(
    made: nn.BCEWithLogitsLoss | nn.BCELoss | nn.MultiLabelSoftMarginLoss, loss: LossSubject, shape: tuple[int, ...]
) -> Claim | None:
    if len(shape) > 1 or loss.encoding == "signed" or callable(loss.encoding):
        return None
    width = shape[0] if shape else 1
    weight = _per_column(made.weight, width)
    positive = _per_column(getattr(made, "pos_weight", None), width)
    if weight is None or positive is None:
        return None
    table = torch.zeros((2, width, 2), dtype=torch.float64)
    table[0, :, 1], table[1, :, 0] = weight, weight * positive
    # A mean is over rows and columns, and MultiLabelSoftMarginLoss averages the columns whatever its reduction.
    if made.reduction == "mean" or isinstance(made, nn.MultiLabelSoftMarginLoss):
        table = table / width
    form = RowForm(
        family="BCE" if isinstance(made, nn.BCELoss) else "BCE with logits",
        table=table,
        constant=torch.zeros(2, dtype=torch.float64),
        labels=(0, 1),
    )
    kinds: dict[str, Kind] = {"none": "rows", "sum": "sum", "mean": "mean"}
    return Claim(form=form, rule=Rule(kind=kinds[made.reduction]), known=True)


def _per_column(given: Tensor | None, width: int) -> Tensor | None:
    """A weight per column; None where it is a weight per row, which fits one batch size only."""
    if given is None:
        return torch.ones(width, dtype=torch.float64)
    return given.detach().double().reshape(-1).expand(width) if given.numel() in (1, width) else None


KNOWN: dict[type[nn.Module], Callable[[Any, LossSubject, tuple[int, ...]], Claim | None]] = {
    nn.CrossEntropyLoss: _over_classes,
    nn.NLLLoss: _over_classes,
    nn.BCEWithLogitsLoss: _over_scores,
    nn.BCELoss: _over_scores,
    nn.MultiLabelSoftMarginLoss: _over_scores,
}


def described(claim: Claim) -> str:
    """The claim in words: ``cross entropy with label smoothing, averaged``."""
    form, rule = claim.form, claim.rule
    own = own_shares(form)
    off = other_shares(form)
    focal = f"focal ({form.gamma:.3g}) " if form.gamma else ""
    words = [f"{focal}{form.family}"]
    if bool((off.abs() > 1e-6).any()):
        words.append("with smoothed targets")
    if bool(((own - own.flatten()[0]).abs() > 1e-6).any()) or rule.kind == "weighted mean":
        words.append("with weights")
    elif form.over_classes and not bool((off != 0).any()) and abs(float(own[0]) - 1) > 1e-6:
        words.append(f"times {float(own[0]):.4g}")
    joined = {
        "mean": "averaged",
        "sum": "summed",
        "rows": "row by row",
        "weighted mean": "averaged by weight",
    }.get(rule.kind, "of one row")
    return " ".join(words) + f", {joined}"


def own_shares(form: RowForm) -> Tensor:
    """The share of each label's own term: (K,) over classes, (2, W) over scores."""
    if form.over_classes:
        return form.table.diagonal()
    return torch.stack([form.table[0, :, 1], form.table[1, :, 0]])


def other_shares(form: RowForm) -> Tensor:
    """The shares of the other terms: (K, K) with a diagonal of 0, or (2, W)."""
    if form.over_classes:
        return form.table - torch.diag(form.table.diagonal())
    return torch.stack([form.table[0, :, 0], form.table[1, :, 1]])
