"""What a training step of the user's pulls the logits towards, held against the pull of the registered loss.

The step's own loss gives each row of logits a gradient. Rows with the same target may share a factor (class weights,
a scale, a mean over another number), so within a target the gradient of a known loss is recognised by what is left of
it when its best multiple is taken off. A loss that is the registered one behind an activation, of another class, or
with its sign turned leaves nothing but rounding; another loss leaves something, and then nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pytest_logits.finding import Location
from pytest_logits.locate import at, record
from pytest_logits.own_training import OwnTraining
from pytest_logits.regions import Region, confine
from pytest_logits.step_watch import Pulled
from pytest_logits.subject import Subject

# What may be left, as a share of the gradient: float32 rounds a softmax's gradient at 1e-6, half precision at 4e-3.
EXACT, COARSE = 1e-3, 2e-2
# To say that the registered loss is another one, this many times as much must be left of it.
APART = 10
NOTHING = 1e-2
SPREAD = 0.1
# Scattered this much, the logits lie far apart in nearly every model.
FAR = 4.0
# Classes that a step may be training towards in place of the row's own.
MOST_CLASSES = 32
ACTIVATIONS: tuple[Region, ...] = ("simplex", "unit", "symmetric", "nonnegative")


@dataclass(frozen=True)
class _Rows:
    """Gradients, or logits, as rows (R, W), with a number for each row's target, (R,)."""

    values: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Fit:
    """What is left of the step's gradient after its best multiples of another are taken off, and their signs.

    ``spread`` is how far the logits of rows with one target lie apart, ``weights`` the multiple for each target.
    """

    left: float
    positive: bool
    negative: bool
    spread: float
    weights: tuple[float, ...]


def is_reversed(subject: Subject, pulled: Iterable[Pulled]) -> bool:
    """Whether every gradient seen is the registered loss's, turned round."""
    fits = _fits(subject, pulled)
    return bool(fits) and all(f is not None and f.negative and f.left < exact for f, exact in fits)


def follows_registered(subject: Subject, pulled: Iterable[Pulled]) -> bool:
    """Whether every gradient seen is the registered loss's own, or there is none to tell by."""
    return all(f is not None and f.positive and f.left < exact for f, exact in _fits(subject, pulled))


def follows_registered_far_away(subject: Subject, own: OwnTraining) -> bool:
    """The same of steps of scattered copies: logits that happen to be positive do not show a ReLU in the step."""
    return follows_registered(subject, (*_scattered(subject, own), *_far(subject, own)))


def weight_ratio(subject: Subject, pulled: Sequence[Pulled]) -> float:
    """The largest weight over the smallest, where every gradient is the registered loss's but for a weight per target.

    1 where it is not, and where the weights do not differ beyond rounding.
    """
    if not follows_registered(subject, pulled):
        return 1.0
    ratios = [(max(f.weights) / min(f.weights), exact) for f, exact in _fits(subject, pulled) if f is not None]
    return max((ratio for ratio, exact in ratios if ratio > 1 + APART * exact), default=1.0)


def _fits(subject: Subject, pulled: Iterable[Pulled]) -> list[tuple[Fit | None, float]]:
    """How the registered loss explains each gradient, and what may be left of it."""
    return [(_fit(subject, p, _registered), _exact(p)) for p in _with_gradient(pulled)]


def activation_in_step(subject: Subject, own: OwnTraining) -> Region | None:
    """The activation that the step puts between the logits and the loss; None where there is none that is known.

    Looked at are two steps of a fresh copy, and one or two of scattered copies, whose logits lie further apart.
    """
    if subject.nature.takes != "logits":
        return None
    return next((r for r in ACTIVATIONS if _explains(subject, own, partial(_behind, r))), None)


def class_in_step(subject: Subject, own: OwnTraining) -> tuple[int, int] | None:
    """A label, and the other class that the step trains rows with that label towards; None where it does not."""
    if subject.nature.takes != "logits" or subject.nature.form != "categorical":
        return None
    classes = subject.num_classes
    if classes > MOST_CLASSES:
        return None
    for shift in range(1, classes):
        if _explains(subject, own, partial(_shifted, shift, classes)):
            return 0, shift
    return None


def activation_place_in_step(subject: Subject, own: OwnTraining, region: Region) -> Location | None:
    """The line of the step that calls the activation: the first call in it whose result is that of the logits."""
    size = subject.sample_logits[:1].numel() * len(own.batches[0][1])
    run, operations = record(lambda: own.run(1), size=size)
    if not run.pulled:
        return None
    final = confine(region)(run.pulled[0].logits)
    # A softmax by hand rounds otherwise than torch's.
    for operation in operations:
        values = operation.values
        if values is None or values.shape != final.shape or operation.place is None:
            continue
        if torch.allclose(values, final, rtol=1e-4, atol=1e-6):
            return at(*operation.place, note=f"{operation.name}()")
    return None


Gradient = Callable[[Subject, Tensor, Any], Tensor]


def _explains(subject: Subject, own: OwnTraining, gradient: Gradient) -> bool:
    """Whether the gradient is that of every step, and the registered loss's own is not that of one of them.

    Logits that lie near each other cannot tell two losses of two classes apart: then a step of a copy with logits that
    lie far apart must.
    """
    for pulled in (_near(subject, own), _far(subject, own)):
        apart = False
        for p in pulled:
            found, registered = _fit(subject, p, gradient), _fit(subject, p, _registered)
            if found is None or registered is None or not found.positive or found.left >= _exact(p):
                return False
            apart = apart or _tells_apart(found, registered, _exact(p)) or not registered.positive
        if apart:
            return True
    return False


def _tells_apart(found: Fit, registered: Fit, exact: float) -> bool:
    """Whether what is left of the registered gradient cannot be the rounding that is left of the one found.

    A smaller share counts where next to nothing is left of the one found. Another loss, which pulls two logits alike to
    first order in their spread, leaves more: a temperature of 2, taken for a softmax, leaves about the spread times the
    other share, which from SPREAD on is more than NOTHING of it.
    """
    next_to_nothing = found.left < NOTHING * registered.left and registered.spread > SPREAD
    return registered.left > APART * exact or (registered.left > exact and next_to_nothing)


def _near(subject: Subject, own: OwnTraining) -> list[Pulled]:
    return [
        *_scattered(subject, own),
        *subject.remember("step gradients", lambda: _with_gradient(own.run(2).pulled)),
    ]


def _scattered(subject: Subject, own: OwnTraining) -> list[Pulled]:
    return subject.remember(
        "step gradients of a scattered copy", lambda: _with_gradient(own.run(1, model=subject.scattered(1.0)).pulled)
    )


def _far(subject: Subject, own: OwnTraining) -> list[Pulled]:
    return subject.remember(
        "step gradients far apart", lambda: _with_gradient(own.run(1, model=subject.scattered(FAR)).pulled)
    )


def _with_gradient(pulled: Iterable[Pulled]) -> list[Pulled]:
    return [p for p in pulled if p.gradient is not None and bool(p.gradient.any())]


def _exact(pulled: Pulled) -> float:
    return EXACT if pulled.logits.dtype in (torch.float32, torch.float64) else COARSE


def _registered(subject: Subject, logits: Tensor, targets: Any) -> Tensor:
    return _gradient(subject, logits, targets, lambda z: z)


def _behind(region: Region, subject: Subject, logits: Tensor, targets: Any) -> Tensor:
    return _gradient(subject, logits, targets, confine(region))


def _shifted(shift: int, classes: int, subject: Subject, logits: Tensor, targets: Any) -> Tensor:
    if isinstance(targets, Tensor) and not targets.is_floating_point():
        inside = (targets >= 0) & (targets < classes)
        targets = torch.where(inside, (targets + shift) % classes, targets)
    return _gradient(subject, logits, targets, lambda z: z)


def _gradient(subject: Subject, logits: Tensor, targets: Any, through: Callable[[Tensor], Tensor]) -> Tensor:
    leaf = logits.detach().clone().requires_grad_()
    with torch.enable_grad():
        (found,) = torch.autograd.grad(subject.loss_at(through(leaf), targets), leaf)
    return found


def _fit(subject: Subject, pulled: Pulled, gradient: Gradient) -> Fit | None:
    """How the gradient explains what was seen; None where logits and targets cannot be put side by side."""
    assert pulled.gradient is not None
    try:
        other = gradient(subject, pulled.logits, pulled.targets)
    except Exception:
        # The step may feed its loss with other targets than it was given.
        return None
    seen = _rows(subject, pulled.gradient, pulled.targets)
    if seen is None:
        return None
    wanted = _rows(subject, other, pulled.targets)
    assert wanted is not None
    scores = _rows(subject, pulled.logits, pulled.targets)
    assert scores is not None
    margins = scores.values.double()
    if margins.shape[1] > 1:
        margins = margins - margins[:, :1]
    left, positive, negative, spread = 0.0, True, True, 0.0
    weights: list[float] = []
    for target in seen.targets.unique():
        mine = seen.targets == target
        u, c = seen.values[mine].double(), wanted.values[mine].double()
        if not bool(u.any()):
            continue
        factor = float((u * c).sum() / c.square().sum().clamp_min(torch.finfo(torch.float64).tiny))
        spread = max(spread, float((margins[mine].amax(dim=0) - margins[mine].amin(dim=0)).max()))
        left = max(left, float((u - factor * c).norm() / u.norm()))
        positive, negative = positive and factor > 0, negative and factor < 0
        weights.append(factor)
    return Fit(left, positive, negative, spread, tuple(weights))


def _rows(subject: Subject, gradient: Tensor, targets: Any) -> _Rows | None:
    if not isinstance(targets, Tensor) or targets.ndim == 0 or len(targets) != len(gradient):
        return None
    if subject.nature.form == "bernoulli":
        if targets.numel() != gradient.numel():
            return None
        columns = gradient.shape[1] if gradient.ndim > 1 else 1
        column = torch.arange(gradient.numel()) % columns if gradient.ndim == 2 else torch.zeros(gradient.numel())
        keys = torch.stack([targets.reshape(-1).double(), column.double()], dim=1)
        return _Rows(gradient.reshape(-1, 1), keys.unique(dim=0, return_inverse=True)[1])
    if gradient.ndim < 2:
        return None
    rows = gradient.movedim(1, -1).reshape(-1, gradient.shape[1])
    if targets.shape == gradient.shape:
        keys = targets.movedim(1, -1).reshape(-1, gradient.shape[1])
    elif targets.shape == (gradient.shape[0], *gradient.shape[2:]):
        keys = targets.reshape(-1, 1)
    else:
        return None
    return _Rows(rows, keys.unique(dim=0, return_inverse=True)[1])
