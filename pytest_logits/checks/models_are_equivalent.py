"""A model and the one that it is registered as equivalent to are one function of their parameters."""

from __future__ import annotations

from typing import Any

from pytest_logits.check_registry import check
from pytest_logits.copies import SubjectError
from pytest_logits.counterparts import Counterparts, Difference, counterparts
from pytest_logits.equivalence import Reference, exact_reference
from pytest_logits.finding import Verdict, inconclusive, passed
from pytest_logits.lockstep import HEAD_DECAY, HEAD_STEP, Course, Parting
from pytest_logits.model import RegistrationError
from pytest_logits.model_registry import equivalent_of
from pytest_logits.subject import Subject


@check(
    claim="the model and the one named in equivalent_to= are one function of their parameters",
    tags=("loss", "exact"),
    needs="equivalent_to",
)
def models_are_equivalent(subject: Subject) -> Verdict:
    """With the parameters of one in the other, the two give the same outputs, losses and training runs, in float64.

    The parameters are matched by name, else by order. The last layer may have two rows in one model and a single row
    in the other: the single row is then the difference of the two, and is trained with twice the step and half the
    weight decay; docs/explanation/ce-and-bce.md derives it. Outputs are compared as log-probabilities, or as log-odds
    of class 1, and losses on the whole batch and on single rows, where a mean over weights shows.

    They may differ by what noise of 2**-23 in the parameters does to the first model: a copy with that noise is
    trained beside it. Where the parameters cannot be matched, or only by order, a difference is inconclusive. Where
    both have an ``optimizer=``, runs with those are compared as well; that they part is advice.

    Causes: detached_graph.
    """
    try:
        spec = equivalent_of(subject.spec)
    except RegistrationError as error:
        raise SubjectError(str(error)) from None
    other = Subject(spec, subject.settings)
    for one in (subject, other):
        one.require_targets()
    pair = counterparts(subject, other)
    if isinstance(pair, str):
        return inconclusive(pair)
    try:
        return _compared(pair)
    finally:
        for side in (pair.left, pair.right):
            subject.count(forward=side.passes.forward, backward=side.passes.backward)


def _compared(pair: Counterparts) -> Verdict:
    names = pair.left.name, pair.right.name
    evidence: dict[str, Any] = {"models": names, "head": "two rows and one" if pair.halved else "alike"}
    obstacle = pair.obstacle()
    if obstacle:
        return inconclusive(obstacle, evidence=evidence)
    difference = pair.different_outputs()
    if difference is not None:
        return _failed(pair, difference, "", evidence)
    difference = pair.different_losses()
    if difference is not None:
        return _failed(pair, difference, _weights_told(pair), evidence)
    pair.settle_mode()
    courses = pair.courses()
    evidence["training"] = {name: vars(course) for name, course in courses.items()}
    for name, course in courses.items():
        if course.parting is not None:
            return _parted(pair, name, course.parting, evidence)
    own = pair.own_course()
    if own is not None and own.parting is not None:
        return _own_runs_part(pair, own.parting, evidence)
    return passed(
        f"outputs, losses and training runs of {names[0]} and {names[1]} agree: {_told(courses)}", evidence=evidence
    )


def _told(courses: dict[str, Course]) -> str:
    return ", ".join(f"{name} {course.gap:.1g} in {course.steps} steps" for name, course in courses.items())


def _failed(pair: Counterparts, found: Difference, why: str, evidence: dict[str, Any]) -> Verdict:
    left, right = pair.left.name, pair.right.name
    ratio = f", {found.left / found.right:.6g} times as much" if found.right else ""
    measured = f"with the same parameters, {found.what} on {_rows(found.rows)} is {found.left:.10g} in {left}{ratio}"
    measured = f"{measured} as the {found.right:.10g} in {right}{why}" if ratio else f"{measured} and 0 in {right}{why}"
    return _judged(pair, measured, f"values within {found.bound:.3g} of each other", vars(found), evidence)


def _rows(rows: list[int]) -> str:
    return f"row {rows[0]}" if len(rows) == 1 else f"all {len(rows)} rows"


def _judged(
    pair: Counterparts,
    measured: str,
    expected: str,
    numbers: dict[str, Any],
    evidence: dict[str, Any],
    cause: str | None = None,
) -> Verdict:
    if not pair.by_name:
        measured += "; the parameters have other names and were matched by order, which may be the wrong way round"
        return inconclusive(measured, expected=expected, evidence=evidence)
    return Verdict(
        outcome="failed",
        cause=cause,
        measured=measured,
        expected=expected,
        counterexample=numbers,
        evidence=evidence,
    )


def _parted(pair: Counterparts, name: str, parting: Parting, evidence: dict[str, Any]) -> Verdict:
    left, right = pair.left.name, pair.right.name
    still = pair.untouched(parting.where)
    return _judged(
        pair,
        f"trained with {name}, {parting.where} is {parting.left:.10g} in {left} and {parting.right:.10g} in {right} "
        f"at step {parting.step}" + (f"; in {still} it gets no gradient" if still else ""),
        f"values within {parting.bound:.3g} of each other",
        vars(parting),
        evidence,
        cause="detached_graph" if still else None,
    )


def _weights_told(pair: Counterparts) -> str:
    """What the two losses are, where they are torch's own."""
    told = []
    for side in (pair.left, pair.right):
        shape = side.sample_logits.shape
        two = len(shape) == 2 and shape[1] == 2 and side.nature.form == "categorical"
        one = (len(shape) == 1 or shape[1:] == (1,)) and side.nature.form == "bernoulli"
        found = exact_reference(side.loss_object, two_columns=two) if two or one else None
        if found is None:
            return ""
        told.append(f"{side.name} weights the classes {_described(found)}")
    return f"; {', and '.join(told)}"


def _described(found: Reference) -> str:
    over = "" if found.reduction == "sum" else " over the weights" if found.by_weight else " over the rows"
    kind = "summed" if found.reduction == "sum" else "averaged"
    smoothed = f" with label_smoothing {found.smoothing:g}" if found.smoothing else ""
    return f"{found.weights[0]:g} and {found.weights[1]:g}{smoothed}, {kind}{over}"


def _own_runs_part(pair: Counterparts, parting: Parting, evidence: dict[str, Any]) -> Verdict:
    groups = pair.own_groups() if pair.halved else []
    told, wanted = "", "the same step and weight decay for each parameter"
    if len(groups) == 2:
        (step, decay), (other_step, other_decay) = groups
        told = (
            f"; the last layer of {pair.left.name} has lr={step:g}, weight_decay={decay:g}, "
            f"that of {pair.right.name} lr={other_step:g}, weight_decay={other_decay:g}"
        )
        wanted = (
            f"for the last layer of {pair.right.name} lr={HEAD_STEP * step:g}, weight_decay={HEAD_DECAY * decay:g}, "
            "and for the rest the same"
        )
    return Verdict(
        outcome="advice",
        measured=f"the models are equivalent, but your own optimizers train them apart: {parting.where} is "
        f"{parting.left:.10g} in {pair.left.name} and {parting.right:.10g} in {pair.right.name} at step "
        f"{parting.step}{told}",
        expected=wanted,
        counterexample=vars(parting),
        evidence=evidence,
    )
