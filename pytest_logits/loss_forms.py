"""What a loss computes for one row, found by fitting it against the terms that the known losses are made of.

For one label, cross entropy in all its forms is linear in the K terms -log softmax(z)_k: a weight scales the true
class's term, label smoothing gives the others a share. BCE with logits is linear in -log sigmoid(z) and
-log sigmoid(-z) of each score, NLL in the scores themselves, BCE in -log p and -log(1 - p). Focal forms multiply each
term by (1 - p) ** gamma. So a few numbers per label say which loss it is; they are fitted on drawn scores and held
against other draws. A loss that fits none of these claims nothing, and is not held to any value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pytest_logits.allowances import EXACT, RECOGNISED, guard_of
from pytest_logits.losses import Nature

Family = Literal["cross entropy", "NLL", "NLL of probabilities", "BCE with logits", "BCE"]
OVER_CLASSES: tuple[Family, ...] = ("cross entropy", "NLL", "NLL of probabilities")
CLASSES_FITTED = 12
HELD_OUT = 8
GAMMAS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
LEAST_LOG = -100.0
# A loss written by hand may lose 1 - p where p rounds to 1, at a score of 37 in float64; torch's own must not.
LARGEST_BY_HAND = 20.0

RowLoss = Callable[[Tensor, Tensor], float]


@dataclass(frozen=True, kw_only=True)
class RowForm:
    """The loss of a row: ``sum_k table[label, k] (1 - p_k) ** gamma (-log p_k)``, plus a constant per label.

    Attributes:
        family: which terms.
        table: float64; (K, K) by label and class for a loss over classes, (2, W, 2) by label, column and side (the
            terms of a high and of a low score) for one over single scores.
        constant: by label, (K,) or (2,).
        gamma: of a focal form, else 0.
        labels: those that were fitted; all but where there are many classes.
        off: the largest error of the fit relative to the spread of the loss.
        exact: whether that is rounding.
        guard: the largest guard inside a logarithm that the fit could not show.
        undefined: labels that alone make the loss NaN: a mean over no rows.
    """

    family: Family
    table: Tensor
    constant: Tensor
    gamma: float = 0.0
    labels: tuple[int, ...]
    off: float = 0.0
    exact: bool = True
    guard: float = 0.0
    undefined: tuple[int, ...] = ()

    @property
    def over_classes(self) -> bool:
        """Whether labels are class indices."""
        return self.family in OVER_CLASSES

    def rows(self, scores: Tensor, labels: Tensor, *, detached: bool = False) -> Tensor:
        """The loss of each row in float64: (N, *dense) over classes, else (N,) summed over the columns.

        Args:
            scores: (N, K, *dense), or (N, W), (N, 1) or (N,).
            labels: (N, *dense) class indices, or 0 and 1 in the shape of the scores or (N,).
            detached: take no gradient through the focal factor.
        """
        terms, factors = parts(scores.double(), self.family)
        if self.gamma:
            weight = factors.clamp(min=0) ** self.gamma
            terms = (weight.detach() if detached else weight) * terms
        if self.over_classes:
            return (self.table[labels] * terms).sum(-1) + self.constant[labels]
        bits = bits_of(labels, terms.shape[1])
        table = self.table[bits, torch.arange(terms.shape[1])]
        return (table * terms).sum((1, 2)) + self.constant[bits].mean(1)


def bits_of(labels: Tensor, width: int) -> Tensor:
    """Labels 0 and 1 as (N, W); class indices as one-hot rows."""
    if labels.ndim > 1 and labels.shape[-1] == width:
        return labels.long()
    return labels.reshape(-1, 1).long() if width == 1 else F.one_hot(labels.long(), width)


def parts(scores: Tensor, family: Family) -> tuple[Tensor, Tensor]:
    """The terms of a family, and 1 - p of each: (N, *dense, K) over classes, else (N, W, 2)."""
    if family in OVER_CLASSES:
        z = scores.movedim(1, -1)
        logs = F.log_softmax(z, dim=-1) if family == "cross entropy" else z if family == "NLL" else z.log()
        return -logs, -torch.expm1(logs)
    z = scores.reshape(len(scores), -1)
    if family == "BCE":
        sides = torch.stack([z.log(), torch.log1p(-z)], dim=-1).clamp(min=LEAST_LOG)
    else:
        sides = torch.stack([F.logsigmoid(z), F.logsigmoid(-z)], dim=-1)
    return -sides, -torch.expm1(sides)


def families(nature: Nature, *, width: int, multilabel: bool) -> tuple[Family, ...]:
    """The families that a loss of this nature can be of, the likeliest first."""
    if width == 1 or multilabel:
        return ("BCE",) if nature.takes == "probabilities" else ("BCE with logits",)
    if nature.form == "bernoulli":
        return ("BCE",) if nature.takes == "probabilities" else ("BCE with logits",)
    if nature.takes == "log_probabilities":
        return ("NLL",)
    if nature.takes == "probabilities":
        return ("NLL of probabilities",)
    return ("cross entropy", "BCE with logits")


def fit(
    loss: RowLoss, *, family: Family, trailing: tuple[int, ...], nature: Nature, multilabel: bool, dtype: torch.dtype
) -> RowForm | None:
    """The form of a loss on one row, or None where it is none of the family.

    Args:
        loss: of one row of scores (1, *trailing) in ``dtype`` and its label.
        family: the terms to fit.
        trailing: (K, *dense), (1,) or (); dense positions are given equal scores and labels.
        nature: how free scores become what the loss takes.
        multilabel: labels are multi-hot (1, K).
        dtype: of the scores.
    """
    width = trailing[0] if trailing else 1
    over_classes = family in OVER_CLASSES
    if width > CLASSES_FITTED and not over_classes:
        return None
    labels = list(range(width)) if width <= CLASSES_FITTED else [0, 1, width - 1]
    if not over_classes and (width == 1 or multilabel):
        labels = [0, 1]
    terms = width if over_classes else 2 * width
    if width > CLASSES_FITTED:
        terms = 2
    scores = _draws(2 * terms + HELD_OUT, trailing, dtype)
    shown = [nature.link(z) for z in scores]
    dense = trailing[1:]

    def label_of(label: int) -> Tensor:
        if multilabel:
            return torch.full((1, width), label)
        return torch.full((1, *dense), label)

    try:
        values = {
            label: torch.tensor([loss(z, label_of(label)) for z in shown], dtype=torch.float64) for label in labels
        }
    except (RuntimeError, ValueError, IndexError):
        return None
    undefined = tuple(label for label, v in values.items() if bool(v.isnan().all()))
    values = {label: v for label, v in values.items() if label not in undefined}
    if not values or not all(bool(v.isfinite().all()) for v in values.values()):
        return None
    first = torch.cat([z.double().flatten(2)[..., :1].squeeze(2) if dense else z.double() for z in shown])
    spread = max(float(v.std()) for v in values.values())
    if not spread > 1e-9:
        return None
    raw, factors = parts(first, family)
    for gamma in (0.0, *_gammas(raw, factors, values, over_classes)):
        terms_of = raw * factors.clamp(min=0) ** gamma if gamma else raw
        found = _solved(terms_of, values, spread, family=family, width=width, multilabel=multilabel, gamma=gamma)
        if found is not None:
            exact = found.off <= EXACT.get(dtype, EXACT[torch.float32])
            guard = _guard(loss, found, trailing, nature, dtype, label_of) if exact else 0.0
            return RowForm(**{**vars(found), "exact": exact, "guard": guard, "undefined": undefined})
    return None


def _draws(count: int, trailing: tuple[int, ...], dtype: torch.dtype) -> list[Tensor]:
    """Single rows of scores, moderate, confident and far apart, equal at all dense positions."""
    rng = torch.Generator().manual_seed(0)
    wide = trailing[:1]
    scales = (1.0, 2.0, 4.0)
    rows = [scales[i % len(scales)] * torch.randn((1, *wide), generator=rng) for i in range(count)]
    return [row.to(dtype).reshape(1, *wide, *(1 for _ in trailing[1:])).expand(1, *trailing) for row in rows]


def _guard(
    loss: RowLoss,
    form: RowForm,
    trailing: tuple[int, ...],
    nature: Nature,
    dtype: torch.dtype,
    label_of: Callable[[int], Tensor],
) -> float:
    """The largest guard that rows show whose label is as far behind, or in front, as scores are drawn."""
    found, width = 0.0, trailing[0] if trailing else 1
    for label in form.labels:
        of = label_of(label)
        toward = torch.full((1, width), 2.0 * label - 1)
        if form.over_classes or (width > 1 and of.shape != (1, width)):
            toward = 2.0 * F.one_hot(torch.tensor([label]), width) - 1
        for reach in (-LARGEST_BY_HAND, LARGEST_BY_HAND):
            row = (reach * toward).to(dtype).reshape(1, *trailing[:1], *(1 for _ in trailing[1:])).expand(1, *trailing)
            shown = nature.link(row)
            first = shown.double().flatten(2)[..., :1].squeeze(2) if trailing[1:] else shown.double()
            y = of if of.shape == first.shape else of.flatten()[:1]
            terms, factors = parts(first, form.family)
            shares = form.table[y] if form.over_classes else form.table[bits_of(y, width), torch.arange(width)]
            weighted = shares * (factors.clamp(min=0) ** form.gamma if form.gamma else 1.0)
            exact = float(form.rows(first, y).sum())
            found = max(found, guard_of(weighted.flatten(), terms.flatten(), loss(shown, of) - exact))
    return found


def _gammas(raw: Tensor, factors: Tensor, values: dict[int, Tensor], over_classes: bool) -> Sequence[float]:
    """The exponent of a focal form over classes follows from two logarithms; else the usual ones are tried."""
    if not over_classes:
        return GAMMAS
    label, value = next(iter(values.items()))
    inside = (value > 0) & (factors[:, label] > 0)
    if int(inside.sum()) < len(value) // 2:
        return ()
    x, y = factors[inside, label].log(), (value[inside] / raw[inside, label]).log()
    design = torch.stack([x, torch.ones_like(x)], dim=1)
    slope = float(torch.linalg.lstsq(design, y.unsqueeze(1)).solution[0])
    return (slope,) if 0.01 < slope < 20 else ()


def _solved(
    terms: Tensor,
    values: dict[int, Tensor],
    spread: float,
    *,
    family: Family,
    width: int,
    multilabel: bool,
    gamma: float,
) -> RowForm | None:
    """Least squares per label; None where a label does not fit."""
    over_classes = family in OVER_CLASSES
    many = width > CLASSES_FITTED
    count = width if over_classes else 2
    table = torch.zeros((count, width) if over_classes else (2, width, 2), dtype=torch.float64)
    constant = torch.zeros(count, dtype=torch.float64)
    worst = 0.0
    for label, value in values.items():
        columns = terms.flatten(1)
        if many:
            columns = torch.stack([terms[:, label], terms.mean(1)], dim=1)
        found = _least_squares(columns, value, spread)
        if found is None:
            return None
        coefficients, offset, off = found
        worst = max(worst, off)
        if many:
            table[label] = coefficients[1] / width
            table[label, label] += coefficients[0]
        elif over_classes:
            table[label] = coefficients
        else:
            sides = coefficients.reshape(width, 2)
            if width == 1 or multilabel:
                table[label] = sides
            else:
                table[1, label] = sides[label]
                others = [k for k in range(width) if k != label]
                table[0, others] = sides[others]
        constant[label if over_classes or width == 1 or multilabel else 0] = offset
    labels = tuple(values)
    return RowForm(family=family, table=table, constant=constant, gamma=gamma, labels=labels, off=worst)


def _least_squares(columns: Tensor, value: Tensor, spread: float) -> tuple[Tensor, float, float] | None:
    """Coefficients, offset, and the largest error on the draws held out, relative to the spread."""
    design = torch.cat([columns, torch.ones(len(columns), 1, dtype=torch.float64)], dim=1)
    fitted = len(value) - HELD_OUT
    solution = torch.linalg.lstsq(design[:fitted], value[:fitted].unsqueeze(1), driver="gelsd").solution.squeeze(1)
    off = float((design[fitted:] @ solution - value[fitted:]).abs().max()) / spread
    # What rounding leaves of a coefficient that is 0.
    solution = torch.where(solution.abs() < max(off, 1e-9), torch.zeros_like(solution), solution)
    return (solution[:-1], float(solution[-1]), off) if off < RECOGNISED else None
