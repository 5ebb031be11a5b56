"""What a loss takes, how its targets are encoded, and what is the least it can be.

A loss is judged by what it computes. The named ones and torch's own modules are known; any other callable is
probed with free scores, and classified by the identities that tell the families apart:

- a loss that applies softmax itself does not change when a constant is added to a row's scores;
- a loss on log-probabilities is linear in its scores;
- a loss on probabilities changes by the same amount each time its scores are halved;
- a loss that applies a sigmoid itself keeps growing on a wrong score far from zero, and far less on a right one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Takes = Literal["logits", "log_probabilities", "probabilities", "unknown"]
Form = Literal["categorical", "bernoulli"]
LossFunction = Callable[[Tensor, Tensor], Tensor]

# Scores up to which the least loss is sought: e**-64 is below float32's resolution of any loss near 1.
MARGINS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
# Each step leaves .618 of an interval: these leave 5e-7 of it, and of a smooth loss the square of that.
GOLDEN_STEPS = 30


@dataclass(frozen=True, kw_only=True)
class Nature:
    """What a loss takes (logits, log-probabilities or probabilities) and over what: K classes, or single bits."""

    takes: Takes
    form: Form

    @property
    def link(self) -> Callable[[Tensor], Tensor]:
        """From free logits to what the loss takes."""
        if self.takes == "log_probabilities":
            return lambda z: F.log_softmax(z, dim=1)
        if self.takes == "probabilities":
            return torch.sigmoid if self.form == "bernoulli" else lambda z: F.softmax(z, dim=1)
        return lambda z: z


NAMED: dict[str, tuple[Callable[..., Tensor], Nature]] = {
    "cross_entropy": (F.cross_entropy, Nature(takes="logits", form="categorical")),
    "nll_loss": (F.nll_loss, Nature(takes="log_probabilities", form="categorical")),
    "bce_with_logits": (F.binary_cross_entropy_with_logits, Nature(takes="logits", form="bernoulli")),
    "bce": (F.binary_cross_entropy, Nature(takes="probabilities", form="bernoulli")),
}
MODULES: dict[type[nn.Module], Nature] = {
    nn.CrossEntropyLoss: NAMED["cross_entropy"][1],
    nn.NLLLoss: NAMED["nll_loss"][1],
    nn.BCEWithLogitsLoss: NAMED["bce_with_logits"][1],
    nn.MultiLabelSoftMarginLoss: NAMED["bce_with_logits"][1],
    nn.BCELoss: NAMED["bce"][1],
}

# What torch's own modules may be given beside weights.
ARGUMENTS = ("reduction", "label_smoothing", "ignore_index")


def encode_targets(
    labels: Tensor, logits: Tensor, *, encoding: str | Callable[[Tensor], Tensor] | None, form: Form
) -> Tensor:
    """Labels, int64 (N,), (N, *dense) or multi-hot (N, K), in the encoding that the loss is fed with.

    With no encoding named: class indices for a categorical loss, and for a Bernoulli loss floats in the shape of the
    logits.
    """
    if callable(encoding):
        return encoding(labels)
    if encoding is None:
        encoding = "index" if form == "categorical" else "as_logits"
    if encoding == "index":
        return labels
    if encoding == "float_index":
        return labels.to(logits.dtype)
    if encoding == "column":
        return labels.to(logits.dtype).unsqueeze(1)
    if encoding in ("onehot", "multihot") or (encoding == "as_logits" and _wants_columns(labels, logits)):
        if labels.shape == logits.shape and encoding != "onehot":
            return labels.to(logits.dtype)
        return F.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(logits.dtype)
    matched = labels.to(logits.dtype).reshape(logits.shape)
    return 2 * matched - 1 if encoding == "signed" else matched


def _wants_columns(labels: Tensor, logits: Tensor) -> bool:
    return logits.numel() != labels.numel()


def infer_nature(loss: LossFunction, *, classes: int | None, multilabel: bool, dtype: torch.dtype) -> Nature:
    """Classify a callable by the identities in the module's docstring.

    Args:
        loss: ``(logits, labels) -> scalar``, targets already taken care of.
        classes: width of the class axis; None where the logits have none, (N,).
        multilabel: labels are multi-hot (N, K).
        dtype: of the logits.
    """
    rng = torch.Generator().manual_seed(0)
    shape = (8,) if classes is None else (8, classes)
    scores = (2 * torch.randn(shape, generator=rng)).to(dtype)
    width = classes or 1
    labels = torch.arange(8) % 2 if width == 1 else torch.arange(8) % width
    if multilabel:
        labels = (torch.arange(8).unsqueeze(1) + torch.arange(width)) % 2

    def value(z: Tensor) -> float:
        try:
            return float(loss(z, labels).detach())
        except (RuntimeError, ValueError, IndexError):
            return math.nan

    def same(a: float, b: float) -> bool:
        return math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-4)

    wrong = -_direction(labels, scores)
    unknown = Nature(takes="unknown", form="categorical" if width > 1 and not multilabel else "bernoulli")
    if width == 1 and value(scores) == value(20 * wrong) == value(-20 * wrong) == 0:
        return Nature(takes="logits", form="categorical")
    if width > 1 and not multilabel:
        return _over_classes(value, same, scores) or _over_columns(value, same, scores, -wrong) or unknown
    grows_wrong, grows_right = value(20 * wrong) - value(10 * wrong), value(-20 * wrong) - value(-10 * wrong)
    if grows_wrong > 1 and -0.1 * grows_wrong < grows_right < 0.5 * grows_wrong:
        return Nature(takes="logits", form="bernoulli")
    return _over_columns(value, same, scores, -wrong) or unknown


def _over_classes(
    value: Callable[[Tensor], float], same: Callable[[float, float], bool], scores: Tensor
) -> Nature | None:
    at = value(scores)
    varies = not same(at, value(-scores))
    if varies and same(value(scores + 3), at) and same(value(scores - 3), at):
        return Nature(takes="logits", form="categorical")
    # An expected error of probabilities, 1 - p, is affine too, but not 0 at 0.
    if varies and same(value(2 * scores), 2 * at) and same(value(0 * scores), 0):
        return Nature(takes="log_probabilities", form="categorical")
    p = F.softmax(scores, dim=1)
    halved, quartered = value(p / 2) - value(p), value(p / 4) - value(p / 2)
    if halved > 0.1 and same(halved, quartered):
        return Nature(takes="probabilities", form="categorical")
    return None


def _over_columns(
    value: Callable[[Tensor], float], same: Callable[[float, float], bool], scores: Tensor, direction: Tensor
) -> Nature | None:
    """BCE over every column, on logits or on probabilities, up to a factor."""
    targets = (direction + 1) / 2
    forms: dict[Takes, Callable[[Tensor], Tensor]] = {
        "logits": lambda z: F.binary_cross_entropy_with_logits(z, targets),
        "probabilities": lambda p: F.binary_cross_entropy(p, targets),
    }
    for takes, form in forms.items():
        draws = [z if takes == "logits" else torch.sigmoid(z) for z in (scores, -scores, scores / 2, 0 * scores)]
        ratios = [value(draw) / float(form(draw)) for draw in draws]
        if ratios[0] > 0 and all(same(ratio, ratios[0]) for ratio in ratios):
            return Nature(takes=takes, form="bernoulli")
    return None


def _direction(labels: Tensor, scores: Tensor) -> Tensor:
    """+1 where a score should be high, -1 where it should be low, in the shape of ``scores``."""
    if labels.numel() == scores.numel():
        return (2 * labels - 1).reshape(scores.shape).to(scores.dtype)
    return (2 * F.one_hot(labels, scores.shape[1]).movedim(-1, 1) - 1).to(scores.dtype)


def least_loss(
    loss: LossFunction,
    labels: Tensor,
    like: Tensor,
    *,
    through: Callable[[Tensor], Tensor],
    margins: tuple[float, ...] = MARGINS,
    direction: Tensor | None = None,
) -> float:
    """The least loss over scores ``through(m * d)``; d is ``direction``, else +1 for the true class and -1 elsewhere.

    For cross entropy and BCE in all their forms the optimum has this shape by symmetry; for any loss it is a value
    that free logits reach, so a model that is kept above it is kept from its minimum. Scores are searched on a grid of
    margins and refined by golden section around the best, which finds the optimum that label smoothing puts at a
    finite margin.

    Returns NaN where the loss refuses all of them.
    """
    direction = _direction(labels, like) if direction is None else direction

    def value(margin: float) -> float:
        try:
            found = float(loss(through(margin * direction), labels))
        except (RuntimeError, ValueError, IndexError):
            return math.inf
        return found if math.isfinite(found) else math.inf

    values = [value(margin) for margin in margins]
    best = min(range(len(margins)), key=values.__getitem__)
    low, high = margins[max(best - 1, 0)], margins[min(best + 1, len(margins) - 1)]
    least = values[best]
    if 0 < best < len(margins) - 1:
        least = min(least, _least_between(value, low, high, level=least))
    return least if math.isfinite(least) else math.nan


def _least_between(value: Callable[[float], float], low: float, high: float, *, level: float) -> float:
    """By golden section, which needs one evaluation for each step; at once where the loss is flat at ``level``."""
    golden = (math.sqrt(5) - 1) / 2
    a, b = high - golden * (high - low), low + golden * (high - low)
    at_a, at_b = value(a), value(b)
    least = min(at_a, at_b)
    if at_a == at_b == level:
        return least
    for _ in range(GOLDEN_STEPS):
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - golden * (high - low)
            at_a = value(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + golden * (high - low)
            at_b = value(b)
        least = min(least, at_a, at_b)
    return least


def treats_classes_alike(loss: Any) -> bool:
    """Whether it is torch's own, without weights and with no class that it ignores."""
    if known_nature(loss) is None:
        return False
    weighted = any(getattr(loss, name, None) is not None for name in ("weight", "pos_weight"))
    return not weighted and getattr(loss, "ignore_index", -1) < 0


def plain(loss: Any) -> str | None:
    """The name of a loss of torch's own that treats all classes alike, a module's with its arguments.

    What is found out of one holds for its namesakes. None for any other loss, and for a module that was changed.
    """
    if isinstance(loss, str):
        return loss
    if not treats_classes_alike(loss) or "forward" in vars(loss) or loss._forward_hooks or loss._forward_pre_hooks:
        return None
    arguments = (f"{name}={getattr(loss, name)}" for name in ARGUMENTS if hasattr(loss, name))
    return f"{type(loss).__name__}({', '.join(arguments)})"


def known_nature(loss: Any) -> Nature | None:
    """The nature of a named loss or of one of torch's own modules; None for any other callable."""
    if isinstance(loss, str):
        return NAMED[loss][1]
    return MODULES.get(type(loss))
