"""A loss that is cross entropy, NLL or BCE in any of their forms has the value and the gradient that these have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_logits.check_registry import check
from pytest_logits.finding import Verdict, not_applicable, passed
from pytest_logits.judged_once import judged_once
from pytest_logits.locate import loss_place
from pytest_logits.loss_claims import JOINED, Claim, claim_of
from pytest_logits.loss_examples import example
from pytest_logits.loss_faults import Fault, fault_of
from pytest_logits.loss_ignored import ignored_label
from pytest_logits.loss_probes import Probes
from pytest_logits.loss_properties import fault_of_any, fault_of_rows, fault_of_unrecognised, told
from pytest_logits.loss_reference import held
from pytest_logits.loss_subject import LossSubject, as_loss
from pytest_logits.losses import known_nature
from pytest_logits.subject import Subject

# What is said of dense scores, where a loss takes them and may not be meant to.
OF_POSITIONS = ("softmax_over_wrong_dim", "scores_out_of_order")


@check(
    claim="a loss that is cross entropy, NLL or BCE in one of their forms has their value and gradient",
    tags=("loss", "exact"),
    subjects=("model", "loss"),
)
def loss_matches_reference(subject: Subject | LossSubject) -> Verdict:
    """The loss is classified by what it computes, and held to a float64 reference of that.

    torch's own losses are known with their arguments. Any other loss is fitted on drawn scores: with weights, label
    smoothing, a focal factor, in any reduction. Then value and gradient are compared with the reference on scores,
    labels and numbers of classes that are drawn, within bounds on rounding that are derived. A guard inside
    a logarithm that the fit could not show is sound. The weight of a focal form has its slope, or is a constant.

    Where a recognised loss deviates in a known way, the finding says how: a minus too many, a share at another class,
    weights of 0 or below, targets that do not sum to 1, a mean over the classes too, weights that average out, every
    row with every label. A loss that is none of these (a hinge, Dice, generalised cross entropy) claims no value. It is
    held to what every loss must do: it has a gradient, its labels have an effect, its weights follow the labels and
    not the predictions, no softmax runs along the batch, and rows with the ignored label change nothing. The
    order of the rows does not matter; a loss that compares the scores of rows may mean it, which is advice.

    Where rows can be ignored, the verdict says what a batch of nothing else gives. A mean over no rows is NaN, as
    torch's own is, or 0; a sum is 0. An infinite value fails, as does a finite value whose gradient is not 0: a
    ``torch.where`` around the division keeps the NaN of the branch that it did not take. Whether the classes are
    treated alike is evidence, and never asked.

    Causes: loss_is_maximised, wrong_loss_weights, broadcast_targets, wrong_reduction, unnormalised_targets,
    gather_over_wrong_dim, ignored_rows_count, scores_out_of_order, labels_have_no_effect, labels_out_of_range,
    signed_targets, detached_graph, unbounded_loss, logits_into_nll_loss, probabilities_into_nll_loss,
    softmax_before_cross_entropy, sigmoid_before_cross_entropy, softmax_before_bce_with_logits,
    sigmoid_before_bce_with_logits, bounded_logits, softmax_over_wrong_dim, unstable_loss.
    """
    loss = as_loss(subject)
    loss.require_targets()
    if loss.is_of_output:
        return not_applicable("the loss takes the whole output, of which the scores are a part")
    return judged_once(loss, "loss_matches_reference", _judge)


def _judge(loss: LossSubject) -> Verdict:
    if loss.has_single_column:
        return not_applicable("with one score per example no target fits cross entropy")
    probes, by_hand = Probes(loss), known_nature(loss.loss_object) is None
    if by_hand:
        loss.require_function()
        fault = fault_of_any(loss, probes)
        if fault is not None:
            return _finding(loss, probes, fault, None)
    claim = claim_of(loss)
    fault = _fault_by_hand(loss, probes, claim) if by_hand else None
    if fault is not None:
        return _finding(loss, probes, fault, claim)
    verdict = _held_to(loss, claim)
    if verdict.outcome != "passed":
        return verdict
    beside = told(probes, claim)
    return replace(verdict, measured=verdict.measured + beside.words, evidence={**verdict.evidence, **beside.evidence})


def _fault_by_hand(loss: LossSubject, probes: Probes, claim: Claim | None) -> Fault | None:
    fault = fault_of(loss, claim) if claim is not None else fault_of_unrecognised(loss, probes)
    fault = fault or fault_of_rows(loss, probes, claim)
    if fault is not None or not loss.takes_dense or callable(loss.encoding):
        return fault
    dense = loss.dense()
    fault = fault_of_any(dense, Probes(dense)) or fault_of_unrecognised(dense, Probes(dense))
    if fault is None or fault.cause not in OF_POSITIONS:
        return None
    return replace(fault, measured=f"on scores (N, K, T): {fault.measured}", harmless=True)


def _held_to(loss: LossSubject, claim: Claim | None) -> Verdict:
    """What a loss without a fault is held to: the reference of what it is recognised as, where it is all of that."""
    if claim is None:
        return passed(
            f"{loss.loss_name} is not recognised as a form of cross entropy, NLL or BCE on scores of this shape, so no "
            "value is asked of it; it has a gradient, and its labels have an effect",
            evidence={"recognised_as": None},
        )
    evidence = {"recognised_as": str(claim), "rule": claim.rule.kind}
    if _leaves_out(claim):
        return passed(
            f"{loss.loss_name} is {claim}; rows of some classes have no part in it, so no value is asked of it",
            evidence=evidence,
        )
    if claim.rule.kind not in JOINED or not claim.form.exact:
        couples = (
            "rows are joined in a way of its own" if claim.form.exact else f"up to {claim.form.off:.1g} of its range"
        )
        return passed(
            f"{loss.loss_name} is {claim} ({couples}), so no value is asked of it beyond that",
            evidence={**evidence, "off": claim.form.off},
        )
    return held(loss, claim)


def _leaves_out(claim: Claim) -> bool:
    """Whether a loss written by hand gives the rows of a class no weight, as one that ignores an index does."""
    rows = claim.form.table.flatten(1)
    return not claim.known and claim.form.over_classes and bool((rows == 0).all(dim=1).any())


# Findings


def _finding(loss: LossSubject, probes: Probes, fault: Fault, claim: Claim | None) -> Verdict:
    evidence: dict[str, Any] = {"recognised_as": None if claim is None else str(claim)}
    return Verdict(
        outcome="advice" if fault.harmless else "failed",
        cause=fault.cause,
        measured=fault.measured,
        expected=fault.expected,
        location=loss_place(loss) if callable(loss.loss_object) else None,
        counterexample=example(loss, fault, ignored_label(probes)),
        evidence=evidence,
    )
