"""Whether the weights of a loss are those of the labels: not of the prediction, nor of the scores, nor cancelled."""

from __future__ import annotations

import copy
import math
import re
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.allowances import EXACT, RECOGNISED
from pytest_logits.loss_probes import Probes
from pytest_logits.loss_subject import LossSubject

# A step of 1e-4 moves a loss with a slope of 1 by as much; beyond this share of it is a jump.
JUMP = 0.02
NAMES = re.compile(r"weight|alpha")
# Where a single score is looked at closely: between the halves and the wholes, where rounding and thresholds jump.
PLACES = tuple(n + 0.2 for n in range(-3, 3))
NEARBY = tuple(n / 50 for n in range(6))


class Weights(NamedTuple):
    """Class weights, (K,), and the name that a module holds them by."""

    name: str
    held: Tensor


class OfScores(NamedTuple):
    """Two scores, near each of which a row of the label is BCE with logits by the weight beside it."""

    label: int
    at: tuple[float, float]
    weights: tuple[float, float]

    def __str__(self) -> str:
        return (
            f"near a score of {self.at[0]:.2g} a row of label {self.label} weighs {self.weights[0]:.3g}, and "
            f"{self.weights[1]:.3g} near {self.at[1]:.2g}"
        )


def follows_prediction(probes: Probes) -> tuple[float, float] | None:
    """The loss on both sides of a tie between two classes that are not the label, where it jumps; else None.

    A weight of the predicted class multiplies the loss of every label by the same two numbers.
    """
    found = [_at_tie(probes, label) for label in (2, 0, 1)]
    sides = [pair for pair in found if pair is not None and pair[1]]
    if len(sides) < len(found):
        return None
    ratios = [a / b for a, b in sides]
    jumps = abs(ratios[0] - 1) > JUMP
    alike = all(abs(ratio - 1) > JUMP and (ratio > 1) == (ratios[0] > 1) for ratio in ratios)
    return sides[0] if jumps and alike else None


def jumps_with_prediction(probes: Probes) -> bool:
    """Whether the loss of a label jumps where two other classes change places as the predicted one."""
    sides = _at_tie(probes, 2)
    return sides is not None and abs(sides[0] - sides[1]) > JUMP * max(abs(sides[0]), abs(sides[1]))


def _at_tie(probes: Probes, label: int) -> tuple[float, float] | None:
    """The loss of a row of this label, with another row, where classes 0 and 1 tie above class 2, on both sides."""
    loss = probes.loss
    width = loss.trailing[0] if len(loss.trailing) == 1 else 0
    if width < 3 or loss.multilabel:
        return None
    scores = torch.zeros((1, width), dtype=loss.wide)
    scores[0, :2], scores[0, 2] = 2.0, 1.0
    step = torch.zeros_like(scores)
    step[0, 0], step[0, 1] = 1e-4, -1e-4
    other = torch.zeros_like(scores)
    other[0, -1] = 3.0
    sides = [torch.cat([scores + s * step, other]) for s in (1, -1)]
    values = [probes.value(loss.nature.link(z), torch.tensor([label, width - 1])) for z in sides]
    return None if values[0] is None or values[1] is None else (values[0], values[1])


def of_scores(probes: Probes) -> OfScores | None:
    """Where the loss of a single score is BCE with logits by a weight that changes with the score; None where not.

    Near a score, a weighted BCE is ``a softplus(-z) + b softplus(z)`` to rounding, with a + b its weight. Another
    curve is so only to the square of how far one looks, and straight pieces, as of a hinge, have the weight 0. It must
    be so near every score that is looked at.
    """
    loss = probes.loss
    if loss.trailing not in ((), (1,)) or loss.nature.takes not in ("logits", "unknown") or loss.wide != torch.float64:
        return None
    for label in (1, 0):
        weights = [_weight_near(probes, label, place) for place in PLACES]
        known = [weight for weight in weights if weight is not None]
        if len(known) < len(weights):
            return None
        low, high = min(known), max(known)
        if high - low > RECOGNISED * max(abs(low), abs(high)):
            first = min(range(len(known)), key=lambda i: abs(PLACES[i]))
            other = max(range(len(known)), key=lambda i: abs(known[i] - known[first]))
            return OfScores(label, (PLACES[first], PLACES[other]), (known[first], known[other]))
    return None


def _weight_near(probes: Probes, label: int, place: float) -> float | None:
    """a + b of the docstring above, or None where the loss is no weighted BCE there."""
    scores = torch.tensor([place + step for step in NEARBY], dtype=torch.float64)
    labels = torch.tensor([label])
    values = [probes.value(z.reshape(1, *probes.loss.trailing), labels) for z in scores]
    if any(value is None or not math.isfinite(value) for value in values):
        return None
    wanted = torch.tensor(values, dtype=torch.float64)
    terms = torch.stack([F.softplus(-scores), F.softplus(scores)], dim=1)
    found = torch.linalg.lstsq(terms, wanted.unsqueeze(1), driver="gelsd").solution.squeeze(1)
    off = float((terms @ found - wanted).abs().max())
    return float(found.sum()) if off <= EXACT[torch.float64] * float(wanted.abs().max()) else None


def without_effect(probes: Probes) -> Weights | None:
    """Class weights that take part in the loss and change nothing; None where there are none.

    They take part where NaN in their place makes the loss NaN.
    """
    loss = probes.loss.loss_object
    if not isinstance(loss, nn.Module):
        return None
    for name, held in [*loss.named_buffers(), *vars(loss).items()]:
        if not isinstance(held, Tensor) or held.ndim != 1 or len(held) < 2 or not NAMES.search(name):
            continue
        if not held.is_floating_point() or bool((held == held[0]).all()):
            continue
        others = _values_with(probes, loss, name, held.flip(0) * 2 + 1)
        values = [value for _, _, value in probes.pairs()]
        alike = bool(values) and all(probes.same(a, b) for a, b in zip(values, others, strict=True))
        nothing = torch.full_like(held, torch.nan)
        if alike and all(math.isnan(value) for value in _values_with(probes, loss, name, nothing)):
            return Weights(name, held.detach())
    return None


def _values_with(probes: Probes, loss: nn.Module, name: str, held: Tensor) -> list[float]:
    """The loss of each batch with other weights in their place."""
    other = copy.deepcopy(loss).to(probes.loss.wide)
    owner, _, attribute = name.rpartition(".")
    setattr(other.get_submodule(owner), attribute, held.to(probes.loss.wide))
    subject = LossSubject(
        name=probes.loss.name,
        loss=other,
        settings=probes.loss.settings,
        task=probes.loss.task,
        encoding=probes.loss.encoding,
        dtype=probes.loss.wide,
    )
    return [float(subject.loss(z, y).detach()) for z, y, _ in probes.pairs()]
