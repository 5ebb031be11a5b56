"""A recognised loss held to its reference in float64, on drawn batches."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pytest_logits.finding import Verdict, passed
from pytest_logits.locate import loss_place
from pytest_logits.loss_claims import Claim, claim_of
from pytest_logits.loss_draws import batches, plainest
from pytest_logits.loss_examples import beside_reference
from pytest_logits.loss_forms import LARGEST_BY_HAND
from pytest_logits.loss_screen import is_scattered, screen
from pytest_logits.loss_subject import LossSubject
from pytest_logits.search import smallest

# Of torch's own losses.
LARGEST_SCORE = 1000.0
# How far scores are moved off a tie.
NUDGE = 1e-3


def held(loss: LossSubject, claim: Claim) -> Verdict:
    """Value and gradient against the reference, everywhere."""
    claims: dict[tuple[int, ...], Claim | None] = {loss.trailing: claim}

    def off(draw: tuple[Tensor, Tensor]) -> dict[str, Any] | None:
        scores, labels = loss.nature.link(draw[0]), draw[1]
        shape = tuple(scores.shape[1:])
        if shape not in claims:
            claims[shape] = claim_of(loss, shape)
        known = claims[shape]
        if known is None or known.rule.kind != claim.rule.kind or not known.defined(labels):
            return None
        if not set(labels.flatten().tolist()) <= set(known.form.labels) and known.form.over_classes:
            labels = labels.where(torch.isin(labels, torch.tensor(known.form.labels)), labels.new_zeros(()))
        return _gap(loss, known, scores, labels)

    magnitude = LARGEST_SCORE if claim.known else LARGEST_BY_HAND
    examples = loss.settings.profile.examples
    dtype = loss.dtype if claim.known else loss.wide
    # Few and small numbers first, where there are such: what they show is not looked for among many classes.
    found, looked_at = None, 0
    for many in (True,) if is_scattered(loss) else (False, True):
        seed, count = loss.seed(f"reference {many}"), examples // 2
        screened = screen(loss, count=count, seed=seed, magnitude=magnitude, many=many, dtype=dtype)
        looked_at += count if screened is None else len(screened)
        found = found or smallest(
            partial(batches, loss, magnitude=magnitude, many=many, dtype=dtype),
            lambda draw: off(draw) is not None,
            seed=seed,
            examples=count,
            screen=screened,
            plain=plainest(loss, max_rows=2, dtype=dtype),
        )
    if found is None:
        return passed(
            f"{loss.loss_name} is {claim}: value and gradient equal a float64 reference on {looked_at} drawn batches, "
            f"scores up to {magnitude:g}",
            evidence={"recognised_as": str(claim), "examples": looked_at, "largest_score": magnitude},
        )
    numbers = off(found)
    assert numbers is not None
    told = "gradient" if numbers["value_fits"] else "value"
    return Verdict(
        outcome="failed",
        measured=f"{loss.loss_name} is {claim} on moderate scores, and its {told} is not: {numbers['loss']:.6g} "
        f"with the gradient {numbers['gradient']}",
        expected=f"{numbers['reference']:.6g} with the gradient {numbers['reference_gradient']}",
        location=loss_place(loss) if callable(loss.loss_object) else None,
        counterexample=numbers,
        evidence={"recognised_as": str(claim)},
    )


def _nudged(loss: LossSubject, scores: Tensor) -> Tensor:
    """The same scores but for a thousandth, none of them 0 and no two alike; probabilities stay such."""
    step = NUDGE * (1.5 + torch.sin(torch.arange(scores.numel(), dtype=scores.dtype))).reshape(scores.shape)
    return scores + (step * (0.5 - scores) if loss.nature.takes == "probabilities" else step)


def _gap(
    loss: LossSubject, claim: Claim, scores: Tensor, labels: Tensor, *, bent: bool = False
) -> dict[str, Any] | None:
    """The numbers where the loss is off its reference; None where it is not, and where it is not finite by hand.

    What is not finite is reported by loss_stays_finite. A slope that is off must be so beside the scores as well; these
    have been moved where they are ``bent``. A focal factor has its slope, or is taken as a constant.
    """
    value, gradient = loss.gradient(scores, labels)
    if not claim.known and not (math.isfinite(value) and bool(gradient.isfinite().all())):
        return None
    exact, wanted = claim.value_and_gradient(scores, labels)
    below, above, slope = claim.slack(scores, labels)
    fits = exact - below <= value <= exact + above
    slopes = _within(gradient, wanted, slope)
    if not slopes and claim.form.gamma:
        slopes = _within(gradient, claim.gradient(scores, labels, detached=True), slope)
    if fits and slopes:
        return None
    if fits and not claim.known and not bent and _gap(loss, claim, _nudged(loss, scores), labels, bent=True) is None:
        # Only where scores are tied or 0: there abs, clamp and max have a slope on either side.
        return None
    return beside_reference(scores, labels, (value, gradient), (exact, wanted)) | {"value_fits": fits}


def _within(gradient: Tensor, wanted: Tensor, slope: Tensor) -> bool:
    return bool((((gradient - wanted).abs() <= slope) | slope.isinf()).all())
