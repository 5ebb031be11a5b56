"""A loss that is cross entropy, NLL or BCE in any of their forms has the value and the gradient that these have."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pytest_logits.check_registry import check
from pytest_logits.finding import Verdict, not_applicable, passed
from pytest_logits.inside import activation_inside
from pytest_logits.locate import loss_place
from pytest_logits.loss_claims import JOINED, Claim, claim_of
from pytest_logits.loss_draws import batches
from pytest_logits.loss_faults import Fault, fault_of
from pytest_logits.loss_probes import Probes, gathers_over_rows
from pytest_logits.loss_screen import drawn, is_screened
from pytest_logits.loss_subject import LossSubject, as_loss, judged_once
from pytest_logits.losses import known_nature
from pytest_logits.search import smallest
from pytest_logits.subject import Subject

# A loss written by hand may lose 1 - p where p rounds to 1, at a score of 37 in float64; torch's own must not.
LARGEST_SCORE, LARGEST_BY_HAND = 1000.0, 20.0
# A counterexample differs by so much, to be seen without rounding in mind.
SHOWN = 0.01
# What is said of dense scores, where a loss takes them and may not be meant to.
OF_POSITIONS = ("softmax_over_wrong_dim", "scores_out_of_order")
# How far scores are moved off a tie.
NUDGE = 1e-3


@check(
    claim="a loss that is cross entropy, NLL or BCE in one of their forms has their value and gradient",
    tags=("loss", "exact"),
    subjects=("model", "loss"),
)
def loss_matches_reference(subject: Subject | LossSubject) -> Verdict:
    """The loss is classified by what it computes, and held to a float64 reference of that.

    torch's own losses are known with their arguments. Any other loss is fitted on drawn scores: with weights, label
    smoothing, a focal factor, in any reduction. Then value and gradient are compared with the reference on scores,
    labels and numbers of classes that are drawn, within bounds on rounding that are derived. A guard of up to
    1e-5 inside a logarithm is sound.

    Where a recognised loss deviates in a known way, the finding says how: a minus too many, a share at another class,
    weights of 0 or below, targets that do not sum to 1, a mean over the classes too, weights that average out, every
    row with every label. A loss that is none of these (a hinge, Dice, generalised cross entropy) claims no value. It is
    held to what every loss must do: it has a gradient, its labels have an effect, its weights follow the labels and
    not the predictions, no softmax runs along the batch, and rows with the ignored label change nothing.

    Causes: loss_is_maximised, wrong_loss_weights, broadcast_targets, wrong_reduction, unnormalised_targets,
    gather_over_wrong_dim, ignored_rows_count, scores_out_of_order, labels_have_no_effect, labels_out_of_range,
    signed_targets, detached_graph, unbounded_loss, logits_into_nll_loss, probabilities_into_nll_loss,
    softmax_before_cross_entropy, sigmoid_before_cross_entropy, softmax_before_bce_with_logits,
    sigmoid_before_bce_with_logits, bounded_logits, softmax_over_wrong_dim.
    """
    loss = as_loss(subject)
    loss.require_targets()
    if loss.is_of_output:
        return not_applicable("the loss takes the whole output, of which the scores are a part")
    return judged_once(loss, "loss_matches_reference", _judge)


def _judge(loss: LossSubject) -> Verdict:
    if loss.has_single_column:
        return not_applicable("with one score per example no target fits cross entropy")
    by_hand = known_nature(loss.loss_object) is None
    probes = Probes(loss)
    if by_hand:
        loss.require_function()
        fault = _of_any_loss(loss, probes)
        if fault is not None:
            return _finding(loss, fault, None)
    claim = claim_of(loss)
    if by_hand:
        fault = fault_of(loss, claim) if claim is not None else _of_unrecognised(loss, probes)
        fault = fault or _of_rows(loss, probes, claim)
        if fault is not None:
            return _finding(loss, fault, claim)
    if by_hand and loss.takes_dense and not callable(loss.encoding):
        dense = loss.dense()
        fault = _of_any_loss(dense, Probes(dense)) or _of_unrecognised(dense, Probes(dense))
        if fault is not None and fault.cause in OF_POSITIONS:
            return _finding(
                loss, replace(fault, measured=f"on scores (N, K, T): {fault.measured}", harmless=True), claim
            )
    if claim is None:
        return passed(
            f"{loss.loss_name} is not recognised as a form of cross entropy, NLL or BCE on scores of this shape, so no "
            "value is asked of it; it has a gradient, and its labels have an effect",
            evidence={"recognised_as": None},
        )
    if _leaves_out(claim):
        return passed(
            f"{loss.loss_name} is {claim}; rows of some classes have no part in it, so no value is asked of it",
            evidence={"recognised_as": str(claim), "rule": claim.rule.kind},
        )
    if claim.rule.kind not in JOINED or not claim.form.exact:
        couples = (
            "rows are joined in a way of its own" if claim.form.exact else f"up to {claim.form.off:.1g} of its range"
        )
        return passed(
            f"{loss.loss_name} is {claim} ({couples}), so no value is asked of it beyond that",
            evidence={"recognised_as": str(claim), "rule": claim.rule.kind, "off": claim.form.off},
        )
    return _held(loss, claim)


# Deviations


def _of_any_loss(loss: LossSubject, probes: Probes) -> Fault | None:
    if probes.has_no_gradient():
        return Fault(
            cause="detached_graph",
            measured=f"the gradient of {loss.loss_name} is 0 on every batch of drawn scores",
            expected="a gradient that reaches the scores",
        )
    if probes.ignores_labels():
        return Fault(
            cause="labels_have_no_effect",
            measured=f"{loss.loss_name} is the same for all labels, on every batch of drawn scores",
            expected="a loss that depends on the labels",
        )
    if len(loss.trailing) > 1 and probes.moves_labels():
        return Fault(
            cause="scores_out_of_order",
            measured=f"in {loss.loss_name} the scores of a position are pulled towards the label of another",
            expected="each position pulled towards its own label",
        )
    return None


def _of_unrecognised(loss: LossSubject, probes: Probes) -> Fault | None:
    """What can be said of a loss that is no form of a known one, or of one that a mistake has made into another."""
    if gathers_over_rows(loss):
        return Fault(
            cause="gather_over_wrong_dim",
            measured=f"{loss.loss_name} raises on one row with label 1, and takes more rows: labels index rows",
            expected="labels as indices of classes: gather(1, targets.unsqueeze(1))",
        )
    for axis in (0, *range(2, 1 + len(loss.trailing))):
        if len(loss.trailing) and loss.trailing[0] > 1 and probes.ignores_shift(axis):
            along = "the batch" if axis == 0 else "the positions"
            return Fault(
                cause="softmax_over_wrong_dim",
                measured=f"{loss.loss_name} does not change when a constant is added along {along}: its softmax runs "
                "there, and not over the classes",
                expected="softmax over dim=1",
            )
    width = loss.trailing[0] if loss.trailing else 1
    inside = activation_inside(
        loss.loss,
        trailing=loss.trailing,
        form="categorical" if width > 1 and not loss.multilabel else "bernoulli",
        multilabel=loss.multilabel,
        dtype=loss.dtype,
        seed=loss.seed("inside the loss"),
    )
    if inside is not None:
        name = inside.partition("_")[0]
        through = name if name in ("softmax", "sigmoid") else "an activation"
        minus = "without the log, minus the probability itself" if inside == "probabilities_into_nll_loss" else ""
        return Fault(
            cause=inside,
            measured=f"{loss.loss_name} equals another loss "
            + (minus or f"of the logits put through {through}, up to a factor"),
            expected="a loss of the logits themselves",
        )
    jump = probes.follows_prediction()
    if jump is not None:
        return _of_prediction(loss, jump)
    falling = probes.falls_without_end()
    if falling is not None:
        way, at, further = falling
        return Fault(
            cause="unbounded_loss",
            measured=f"{loss.loss_name} is {at:.4g} where {way} by 500, and {further:.4g} by 1000",
            expected="a loss with a least value",
        )
    return None


def _of_prediction(loss: LossSubject, jump: tuple[float, float]) -> Fault:
    return Fault(
        cause="wrong_loss_weights",
        measured=f"{loss.loss_name} jumps from {jump[0]:.4g} to {jump[1]:.4g} where the predicted class changes, "
        "whatever the label: its weights are those of the prediction",
        expected="the weight of the label",
    )


def _of_rows(loss: LossSubject, probes: Probes, claim: Claim | None) -> Fault | None:
    """Weights that cancel, and rows that are to be left out and are not."""
    if claim is not None:
        jump = probes.follows_prediction() if claim.rule.kind == "coupled" else None
        if jump is not None:
            return _of_prediction(loss, jump)
        if claim.rule.kind == "coupled" and not callable(loss.encoding) and probes.follows_order():
            return Fault(
                cause="wrong_loss_weights",
                measured=f"{loss.loss_name} changes when the rows of a batch are put in another order",
                expected="a loss that does not depend on the order of the rows",
            )
    name = probes.weights_without_effect()
    if name is not None:
        return Fault(
            cause="wrong_loss_weights",
            measured=f"{loss.loss_name} uses {name!r}, and other weights in its place change nothing: they cancel",
            expected="a loss that its weights have an effect on",
        )
    label = probes.ignored_label()
    sums = claim is not None and claim.rule.kind == "sum"
    found = probes.ignored_rows(label) if label is not None and not (sums and len(loss.trailing) > 1) else None
    if found is None:
        return None
    value, wanted, how = found
    return Fault(
        cause="ignored_rows_count",
        measured=f"with rows of label {label} {loss.loss_name} is {value:.4g}, and {wanted:.4g} without them: {how}",
        expected="the loss of the other rows",
    )


# Findings


def _finding(loss: LossSubject, fault: Fault, claim: Claim | None) -> Verdict:
    evidence: dict[str, Any] = {"recognised_as": None if claim is None else str(claim)}
    return Verdict(
        outcome="advice" if fault.harmless else "failed",
        cause=fault.cause,
        measured=fault.measured,
        expected=fault.expected,
        location=loss_place(loss) if callable(loss.loss_object) else None,
        counterexample=_example(loss),
        evidence=evidence,
    )


def _example(loss: LossSubject) -> dict[str, Any] | None:
    """The smallest batch on which the loss is not the plain loss of its task."""
    plain: Callable[[Tensor, Tensor], Tensor]
    if loss.trailing and loss.trailing[0] > 1 and not loss.multilabel:
        plain = F.cross_entropy
    else:
        plain = lambda z, y: F.binary_cross_entropy_with_logits(z, y.to(z).reshape(z.shape))  # noqa: E731

    def off(draw: tuple[Tensor, Tensor]) -> bool:
        if bool((draw[0] == 0).all()):
            return False
        try:
            value = float(loss.loss(loss.nature.link(draw[0]), draw[1]).detach())
        except (RuntimeError, ValueError, IndexError):
            return False
        return abs(value - float(plain(*draw))) > SHOWN

    found = smallest(batches(loss, magnitude=10.0, max_rows=2), off, seed=loss.seed("example"), examples=100)
    if found is None:
        return None
    return {
        "logits": found[0].tolist(),
        "labels": found[1].tolist(),
        "loss": float(loss.loss(loss.nature.link(found[0]), found[1]).detach()),
        "plain_loss": float(plain(*found)),
    }


# The reference


def _held(loss: LossSubject, claim: Claim) -> Verdict:
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
    # Few and small numbers first: what they show is not looked for among many classes.
    found = None
    for many in (False, True):
        seed, count = loss.seed(f"reference {many}"), examples // 2
        found = found or smallest(
            batches(loss, magnitude=magnitude, many=many, dtype=dtype),
            lambda draw: off(draw) is not None,
            seed=seed,
            examples=count,
            screen=drawn(loss, count=count, seed=seed, magnitude=magnitude, many=many, dtype=dtype)
            if is_screened(loss)
            else None,
        )
    if found is None:
        return passed(
            f"{loss.loss_name} is {claim}: value and gradient equal a float64 reference on {examples} drawn batches, "
            f"scores up to {magnitude:g}",
            evidence={"recognised_as": str(claim), "examples": examples, "largest_score": magnitude},
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


def _leaves_out(claim: Claim) -> bool:
    """Whether a loss written by hand gives the rows of a class no weight, as one that ignores an index does."""
    rows = claim.form.table.flatten(1)
    return not claim.known and claim.form.over_classes and bool((rows == 0).all(dim=1).any())


def _nudged(loss: LossSubject, scores: Tensor) -> Tensor:
    """The same scores but for a thousandth, none of them 0 and no two alike; probabilities stay such."""
    step = NUDGE * (1.5 + torch.sin(torch.arange(scores.numel(), dtype=scores.dtype))).reshape(scores.shape)
    return scores + (step * (0.5 - scores) if loss.nature.takes == "probabilities" else step)


def _gap(
    loss: LossSubject, claim: Claim, scores: Tensor, labels: Tensor, *, bent: bool = False
) -> dict[str, Any] | None:
    """The numbers where the loss is off its reference; None where it is not, and where it is not finite by hand.

    What is not finite is reported by loss_stays_finite. A slope that is off must be so beside the scores as well; these
    have been moved where they are ``bent``.
    """
    value, gradient = loss.gradient(scores, labels)
    if not claim.known and not (math.isfinite(value) and bool(gradient.isfinite().all())):
        return None
    exact = float(claim.value(scores, labels))
    wanted = claim.gradient(scores, labels)
    below, above, slope = claim.slack(scores, labels)
    fits = exact - below <= value <= exact + above
    slopes = bool((((gradient - wanted).abs() <= slope) | slope.isinf()).all())
    if fits and slopes:
        return None
    if fits and not claim.known and not bent and _gap(loss, claim, _nudged(loss, scores), labels, bent=True) is None:
        # Only where scores are tied or 0: there abs, clamp and max have a slope on either side.
        return None
    return {
        "logits": scores.tolist(),
        "labels": labels.tolist(),
        "loss": value,
        "reference": exact,
        "gradient": gradient.tolist(),
        "reference_gradient": wanted.tolist(),
        "value_fits": fits,
    }
