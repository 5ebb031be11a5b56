"""Where a loss leaves the range of its dtype though its exact value does not.

A loss is followed along rays: margin times a direction, from 0 up to scores that training reaches. Where it first
becomes infinite or NaN, in value or gradient, the smallest such margin is found by bisection. That alone is no fault:
exp(margin) is beyond float32 at 89 by its mathematics. It is one of the computation where

- torch's own loss of the same form is finite there, with a finite gradient, in the same dtype, and
- the same loss in float64 at the same scores is finite, with value and gradient well within the range of the dtype;
  in float64 itself, and for a loss that refuses float64, the numbers just below that margin are well within. A
  continuous function does not pass from there to infinity between neighbouring scores.

At scores of exactly 0, which a head that starts at zero gives, a loss has no business to be non-finite where it is
finite on all sides.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# (scores, labels) -> scalar.
Loss = Callable[[Tensor, Tensor], Tensor]

# Sound models start with losses up to 134 on inputs that are not scaled, and a few steps too large multiply that.
LARGEST_MARGIN = 1000.0
MARGINS = (*(2 ** (i / 2) for i in range(20)), LARGEST_MARGIN)
# Where a clamp is behind an exp, what is not finite from ln(largest) on is finite again from -ln(smallest) on, of the
# numbers of the dtype. One of these lies between, and one between the halves of both, where a square is taken.
FIRST_MARGINS = (*MARGINS[1::2], LARGEST_MARGIN)
# A loss of all rays at once is what their own losses make, but for so many units in the last place.
UNITS = 16
# So close to 0 that a loss which is continuous there has hardly moved.
NEAR_ZERO = 1 / 16
# Well within a range are numbers of at most this power of the largest: a mean of exponentials may overflow in its sum,
# a little before the mean does, and is as large as that by its mathematics.
WITHIN = 0.75


@dataclass(frozen=True)
class Ray:
    """Scores ``margin * direction`` with the labels that go with them; ``where`` says in words how they lie."""

    where: str
    direction: Tensor
    labels: Tensor

    def at(self, margin: float, dtype: torch.dtype) -> Tensor:
        """The scores at a margin, in a dtype."""
        return (margin * self.direction).to(dtype)

    def rows(self) -> list[Ray]:
        """The same with one row only, for each row."""
        pairs = zip(self.direction.split(1), self.labels.split(1), strict=True)
        return [Ray(self.where, direction, labels) for direction, labels in pairs]


@dataclass(frozen=True)
class Precision:
    """A dtype of the scores, computed with or without torch.autocast to bfloat16 on the CPU."""

    dtype: torch.dtype
    autocast: bool = False

    @property
    def name(self) -> str:
        """In words."""
        plain = str(self.dtype).removeprefix("torch.")
        return f"{plain} under torch.autocast" if self.autocast else plain

    @property
    def within(self) -> float:
        """The size of numbers that are well within the range."""
        return math.pow(torch.finfo(self.dtype).max, WITHIN)


@dataclass(frozen=True)
class Overflow:
    """The smallest margin on a ray at which the loss or its gradient is not finite though it should be."""

    ray: Ray
    margin: float
    precision: Precision
    value: float
    reference: float


def categorical_rays(labels: Tensor, classes: int) -> list[Ray]:
    """Directions of scores (N, K, *dense) for class indices (N, *dense): between the classes, and all scores alike."""
    true = F.one_hot(labels, classes).movedim(-1, 1).double()
    wrong = F.one_hot((labels + 1) % classes, classes).movedim(-1, 1).double()
    return [
        Ray("a wrong class ahead", wrong, labels),
        Ray("the true class behind", -true, labels),
        Ray("the true class ahead", true, labels),
        Ray("all scores equal and high", torch.ones_like(true), labels),
        Ray("all scores equal and low", -torch.ones_like(true), labels),
    ]


def bernoulli_rays(labels: Tensor, shape: tuple[int, ...]) -> list[Ray]:
    """Directions of scores of ``shape`` for as many bits: away from the labels, and towards them."""
    toward = (2 * labels - 1).double().reshape(shape)
    return [
        Ray("every score on the wrong side", -toward, labels),
        Ray("every score on the right side", toward, labels),
    ]


def joined(rays: list[Ray]) -> Ray:
    """All of them as one, with the rows of each."""
    return Ray("on all of them", torch.cat([r.direction for r in rays]), torch.cat([r.labels for r in rays]))


def evaluate(loss: Loss, scores: Tensor, labels: Tensor, *, autocast: bool = False) -> tuple[float, float] | None:
    """The value and the gradient's largest entry, of which NaN is the largest; None where the loss refuses."""
    leaf = scores.clone().requires_grad_()
    mixed = torch.autocast("cpu", dtype=torch.bfloat16) if autocast else contextlib.nullcontext()
    try:
        with mixed:
            value = loss(leaf, labels)
        gradient = torch.autograd.grad(value, leaf)[0] if value.requires_grad else torch.zeros(1)
    except Exception:
        # Many losses refuse a dtype, in words of their own; that is no overflow.
        return None
    return float(value.detach()), float(gradient.abs().max())


def _finite(numbers: tuple[float, float] | None) -> bool:
    return numbers is not None and all(math.isfinite(number) for number in numbers)


def finite_at(loss: Loss, rays: Iterable[Ray], margins: Iterable[float], *, precision: Precision) -> bool:
    """Whether value and gradient are finite at each of the margins on every ray."""
    return all(
        _finite(evaluate(loss, ray.at(margin, precision.dtype), ray.labels, autocast=precision.autocast))
        for ray in rays
        for margin in margins
    )


def smallest_overflow(
    loss: Loss,
    reference: Loss,
    rays: Iterable[Ray],
    *,
    precision: Precision,
    reaches: Callable[[Tensor], bool] = lambda scores: True,
) -> Overflow | None:
    """The overflow at the smallest margin on any of the rays, or None.

    Args:
        loss: the user's, of free scores.
        reference: torch's own loss of this form, of the same scores.
        rays: where to look, with batches alike in shape.
        precision: in which.
        reaches: whether a batch of scores can come up at all.
    """
    return smallest_reached(overflows(loss, reference, rays, precision=precision), reaches)


def overflows(
    loss: Loss, reference: Loss, rays: Iterable[Ray], *, precision: Precision, together: bool = False
) -> tuple[Overflow, ...]:
    """The overflow at the smallest margin on each of the rays that has one, and at zero.

    With ``together``, for a loss that adds up, each ray is followed only where a batch of all of them is not finite.
    """
    rays = list(rays)
    finite = together and _are_finite_together(loss, rays, precision)
    tried = [] if finite else [_on_ray(loss, reference, ray, precision) for ray in rays]
    return tuple(o for o in (*tried, _at_zero(loss, reference, rays, precision)) if o is not None)


def smallest_reached(found: Iterable[Overflow], reaches: Callable[[Tensor], bool]) -> Overflow | None:
    """The one at the smallest margin of those whose scores can come up, or None."""
    reached = [o for o in found if reaches(o.ray.at(o.margin, o.precision.dtype))]
    return min(reached, key=lambda o: o.margin, default=None)


def _at_zero(loss: Loss, reference: Loss, rays: list[Ray], precision: Precision) -> Overflow | None:
    def at(ray: Ray, margin: float) -> tuple[float, float] | None:
        return evaluate(loss, ray.at(margin, precision.dtype), ray.labels, autocast=precision.autocast)

    numbers = at(rays[0], 0.0)
    if numbers is None or _finite(numbers) or not all(_finite(at(ray, NEAR_ZERO)) for ray in rays):
        return None
    return _judged(reference, rays[0], 0.0, precision, numbers[0])


def adds_up(loss: Loss, rays: list[Ray], *, precision: Precision) -> bool:
    """Whether the loss of all rays in one batch is the sum or the mean of its rows, at a margin of 1.

    What is not finite for a row is then not finite for the batch. The mean of the hardest rows, say, does not add up.
    """
    whole = joined(rays)
    alone, together = (
        [evaluate(loss, ray.at(1.0, precision.dtype), ray.labels, autocast=precision.autocast) for ray in some]
        for some in (rays, [whole])
    )
    if not all(_finite(numbers) for numbers in (*alone, *together)):
        return False
    (value,), values = ([numbers[0] for numbers in some if numbers is not None] for some in (together, alone))
    mean = math.fsum(v * len(ray.labels) for v, ray in zip(values, rays, strict=True)) / len(whole.labels)
    coarse = torch.bfloat16 if precision.autocast else precision.dtype
    allowed = UNITS * torch.finfo(coarse).eps * max(map(abs, values))
    return any(abs(value - wanted) <= allowed for wanted in (mean, math.fsum(values)))


def _are_finite_together(loss: Loss, rays: list[Ray], precision: Precision) -> bool:
    """Whether the loss of all rays in one batch is finite, multiplied so that no row's gradient is smaller for it."""
    whole = joined(rays)
    times = len(whole.labels) / min(len(ray.labels) for ray in rays)
    return finite_at(lambda z, labels: times * loss(z, labels), [whole], FIRST_MARGINS, precision=precision)


def _on_ray(loss: Loss, reference: Loss, ray: Ray, precision: Precision) -> Overflow | None:
    def at(margin: float) -> tuple[float, float] | None:
        return evaluate(loss, ray.at(margin, precision.dtype), ray.labels, autocast=precision.autocast)

    first = _first_not_finite(at)
    if first is None or first == MARGINS[0]:
        return None
    below, broken = MARGINS[MARGINS.index(first) - 1], first
    below, broken = bisected(lambda margin: not _finite(at(margin)), below, broken, precision.dtype)
    numbers, last = at(broken), at(below)
    assert numbers is not None
    assert last is not None
    if not _belongs(loss, ray, broken, precision, last):
        return None
    return _judged(reference, ray, broken, precision, numbers[0])


def _first_not_finite(at: Callable[[float], tuple[float, float] | None]) -> float | None:
    """The first of the margins at which the numbers are not finite; None where each is, or the loss refuses.

    The others are asked only where one of ``FIRST_MARGINS`` is not.
    """
    first = [at(margin) for margin in FIRST_MARGINS]
    if any(numbers is None for numbers in first) or all(_finite(numbers) for numbers in first):
        return None
    for margin in MARGINS:
        numbers = at(margin)
        if not _finite(numbers):
            return None if numbers is None else margin
    return None


def _belongs(loss: Loss, ray: Ray, margin: float, precision: Precision, last: tuple[float, float]) -> bool:
    """Whether the exact value and gradient are well within the range of the dtype at this margin."""
    scores = ray.at(margin, precision.dtype).double()
    twin = None if precision.dtype == torch.float64 else evaluate(loss, scores, ray.labels)
    numbers = last if twin is None else twin
    return _finite(numbers) and max(abs(number) for number in numbers) <= precision.within


def _judged(reference: Loss, ray: Ray, margin: float, precision: Precision, value: float) -> Overflow | None:
    scores = ray.at(margin, precision.dtype)
    right = evaluate(reference, scores, ray.labels, autocast=precision.autocast)
    if right is None or not _finite(right):
        return None
    return Overflow(ray, margin, precision, value, right[0])


def bisected(breaks: Callable[[float], bool], below: float, broken: float, dtype: torch.dtype) -> tuple[float, float]:
    """Neighbouring numbers of the dtype, the first of which does not break and the second does."""
    below, broken = (float(torch.tensor(end, dtype=dtype)) for end in (below, broken))
    while True:
        middle = float(torch.tensor((below + broken) / 2, dtype=dtype))
        if middle in (below, broken):
            return below, broken
        below, broken = (below, middle) if breaks(middle) else (middle, broken)


def rounded_up(margin: float) -> float:
    """The next number of two digits."""
    if margin == 0:
        return margin
    unit = 10.0 ** (math.floor(math.log10(margin)) - 1)
    return math.ceil(margin / unit) * unit
