"""Cross entropy over two classes and binary cross entropy are one function of the margin."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from pytest_logits import equivalence, lockstep
from pytest_logits.check_registry import check
from pytest_logits.doubled import runs_of_both_losses
from pytest_logits.finding import Verdict, not_applicable, passed
from pytest_logits.judged_once import judged_once
from pytest_logits.locate import loss_place
from pytest_logits.loss_examples import beside_reference
from pytest_logits.loss_screen import screen
from pytest_logits.loss_subject import LossSubject, as_loss
from pytest_logits.regions import MATERIAL
from pytest_logits.search import smallest
from pytest_logits.strategies.labels import labels as label_strategy
from pytest_logits.strategies.logits import logits as logit_strategy
from pytest_logits.subject import Subject
from pytest_logits.target_faults import against

# CE is finite up to 2e5 in float32 and overflows in float16 at 6e4; a margin of 1000 is beyond what training makes.
LARGEST_SCORE = 1000.0
LARGEST_BATCH = 4


@check(
    claim="cross entropy on two logits equals BCE with logits on their difference",
    tags=("loss", "exact"),
    subjects=("model", "loss"),
)
def cross_entropy_agrees_with_bce(subject: Subject | LossSubject) -> Verdict:
    """The model's loss on two classes has the value and the gradient that the other parameterisation gives.

    CE on (z0, z1) equals BCE with logits on z1 - z0, with class weights, pos_weight, label smoothing, soft targets,
    ignore_index and each reduction taken along. Logits and labels are drawn up to scores of 1000 and
    compared with a float64 reference; docs/explanation/ce-and-bce.md says when the two are equal. A loss of the user's
    own is first recognised on moderate scores: what equals cross entropy there must be finite wherever cross entropy
    is; what equals it with every row paired with every label is broadcast; what equals it on softmax or sigmoid
    outputs applies that activation itself. A loss that equals none of these claims nothing.

    Whole training runs agree too. With the profile thorough the model is trained in float64 with its own loss, and
    from the same weights with the other parameterisation of it; both must stay together, but for what rounding makes.
    On generated classifiers a one-logit head is trained beside the two-logit one, with twice its step and half its
    weight decay.

    Causes: unstable_loss, signed_targets, labels_out_of_range, unnormalised_targets, broadcast_targets,
    softmax_before_cross_entropy, sigmoid_before_bce_with_logits.
    """
    shape = subject.sample_logits.shape
    two = len(shape) == 2 and shape[1] == 2 and subject.nature.form == "categorical"
    one = (len(shape) == 1 or shape[1:] == (1,)) and subject.nature.form == "bernoulli"
    if subject.multilabel or not (two or one):
        runs = _training_runs(subject)
        return runs or not_applicable(
            "the two losses meet at two logits of one example, or at a single one; here there is neither"
        )
    subject.require_targets()
    exact = equivalence.exact_reference(subject.loss_object, two_columns=two)
    reference = exact
    if exact is not None:
        verdict = judged_once(as_loss(subject), "cross_entropy_agrees_with_bce", lambda loss: _compare(loss, exact))
    else:
        verdict, reference = _recognise(subject, two_columns=two)
    if verdict.outcome != "passed" or reference is None or isinstance(subject, LossSubject):
        return verdict
    runs = _training_runs(subject)
    return runs or (_trained_by_both(subject, reference, verdict) if subject.settings.profile.both_losses else verdict)


def _draws(
    subject: Subject | LossSubject, magnitude: float, *, two_columns: bool
) -> st.SearchStrategy[tuple[Tensor, Tensor]]:
    """Pairs of free scores in the shape of the model's, and labels."""
    trailing = subject.sample_logits.shape[1:]

    # Made once for each size: to make a strategy takes longer than to draw from it.
    @cache
    def pairs_of(rows: int) -> st.SearchStrategy[tuple[Tensor, Tensor]]:
        return st.tuples(
            logit_strategy(
                min_batch_size=rows,
                max_batch_size=rows,
                min_classes=2,
                max_classes=2,
                max_magnitude=magnitude,
                dtype=subject.dtype,
            ),
            label_strategy(min_size=rows, max_size=rows, num_classes=2),
        )

    pairs = st.integers(1, LARGEST_BATCH).flatmap(pairs_of)
    return pairs if two_columns else pairs.map(lambda p: (p[0][:, 0].reshape(-1, *trailing), p[1]))


def _value_and_gradient(function: Callable[[Tensor], Tensor], scores: Tensor) -> tuple[float, Tensor]:
    leaf = scores.detach().clone().requires_grad_()
    value = function(leaf)
    (gradient,) = torch.autograd.grad(value, leaf)
    return float(value.detach()), gradient.double()


def _with_ignored(
    draws: st.SearchStrategy[tuple[Tensor, Tensor]], index: int
) -> st.SearchStrategy[tuple[Tensor, Tensor]]:
    """The same batches, of some rows the label replaced by the one that is ignored."""

    def ignore(scores: Tensor, labels: Tensor, ignored: list[bool]) -> tuple[Tensor, Tensor]:
        return scores, labels.masked_fill(torch.tensor(ignored), index)

    @cache
    def choices(rows: int) -> st.SearchStrategy[list[bool]]:
        return st.lists(st.booleans(), min_size=rows, max_size=rows)

    return draws.flatmap(lambda d: choices(len(d[1])).map(lambda i: ignore(*d, i)))


def _screen(loss: LossSubject, ignored: int | None, count: int) -> list[tuple[Tensor, Tensor]] | None:
    """Batches of the same kind, of which every other row has the ignored label where there is one."""
    seed = loss.seed("agreement")
    screened = screen(loss, count=count, seed=seed, magnitude=LARGEST_SCORE, max_rows=LARGEST_BATCH)
    if screened is None or ignored is None:
        return screened
    rng = torch.Generator().manual_seed(seed % 2**63)
    return [
        (scores, labels.masked_fill(torch.rand(labels.shape, generator=rng) < 0.5, ignored))
        for scores, labels in screened
    ]


def _disagreement(
    subject: Subject | LossSubject, reference: equivalence.Reference, scores: Tensor, labels: Tensor
) -> dict[str, Any] | None:
    """The numbers where the user's loss is off its reference by more than rounding makes; None where it is not."""
    y = _shares(subject, reference, scores, labels)
    wanted = _value_and_gradient(lambda z: reference.value(z, y), scores.double())
    if math.isnan(wanted[0]):
        # Every row is ignored, or of a class without weight: a mean over nothing.
        return None
    found = _value_and_gradient(lambda z: subject.loss(subject.nature.link(z), labels), scores)
    bound, gradient_bound = reference.tolerance(scores, y)
    off = not abs(found[0] - wanted[0]) <= bound
    gradient_off = not bool(((found[1] - wanted[1]).abs() <= gradient_bound).all())
    return beside_reference(scores, labels, found, wanted) if off or gradient_off else None


def _shares(subject: Subject | LossSubject, reference: equivalence.Reference, scores: Tensor, labels: Tensor) -> Tensor:
    targets = subject.targets(labels, scores)
    return equivalence.shares(targets, labels, scores, two_columns=reference.two_columns)


def _compare(subject: LossSubject, reference: equivalence.Reference) -> Verdict:
    ignored = reference.ignore_index if reference.two_columns and subject.encoding in (None, "index") else None
    examples = subject.settings.profile.examples
    screened = _screen(subject, ignored, examples)
    if screened is not None:
        examples = len(screened)

    def draws() -> st.SearchStrategy[tuple[Tensor, Tensor]]:
        pairs = _draws(subject, LARGEST_SCORE, two_columns=reference.two_columns)
        return pairs if ignored is None else _with_ignored(pairs, ignored)

    found = smallest(
        draws,
        lambda d: _disagreement(subject, reference, *d) is not None,
        seed=subject.seed("agreement"),
        examples=examples,
        screen=screened,
    )
    if found is None:
        return passed(
            f"value and gradient of {subject.loss_name} equal {reference.name} on {examples} drawn batches, "
            f"scores up to {LARGEST_SCORE:g}",
            evidence={"examples": examples, "largest_score": LARGEST_SCORE, "reference": reference.name},
        )
    numbers = _disagreement(subject, reference, *found)
    assert numbers is not None
    cause = _cause_in_targets(subject, reference, *found, value=numbers["loss"])
    finite = torch.tensor(numbers["loss"]).isfinite() and torch.tensor(numbers["gradient"]).isfinite().all()
    return Verdict(
        outcome="failed",
        cause=cause if finite else "unstable_loss",
        measured=("the targets are -1 and 1; " if finite and cause == "signed_targets" else "")
        + f"{subject.loss_name} gives {numbers['loss']:.6g} and the gradient {numbers['gradient']} "
        f"at logits {numbers['logits']}, labels {numbers['labels']}",
        expected=f"{numbers['reference']:.6g} and {numbers['reference_gradient']}, as {reference.name} gives",
        counterexample=numbers,
        evidence={"reference": reference.name},
    )


def _cause_in_targets(
    subject: Subject | LossSubject, reference: equivalence.Reference, scores: Tensor, labels: Tensor, *, value: float
) -> str | None:
    """What the targets are to blame for: outside [0, 1], rows that do not sum to 1, or those of the other class."""
    kept = (labels == 0) | (labels == 1)
    targets = subject.targets(labels, scores)[kept]
    if bool((targets < 0).any()):
        return "signed_targets"
    if reference.two_columns and targets.is_floating_point():
        off = (targets.double().sum(dim=1) - 1).abs() > MATERIAL
        if bool(off.any()):
            return "unnormalised_targets"
    bound, _ = reference.tolerance(scores, labels)
    other = torch.where(kept, 1 - labels, labels)
    swapped = abs(value - float(reference.value(scores.double(), other))) <= bound
    return "labels_out_of_range" if bool((targets > 1).any()) or swapped else None


def _recognise(subject: Subject | LossSubject, *, two_columns: bool) -> tuple[Verdict, equivalence.Reference | None]:
    """What a loss of the user's own does, and its reference where it is one of the two and finite."""
    if subject.nature.takes in ("probabilities", "log_probabilities"):
        return not_applicable(
            f"{subject.loss_name} is a loss of your own that does not take logits, so it claims no equality"
        ), None
    family = equivalence.recognise(
        lambda z, y: subject.loss(z, y),
        shape=tuple(subject.sample_logits.shape[1:]),
        dtype=subject.dtype,
        two_columns=two_columns,
    )
    if family is None:
        return not_applicable(
            f"{subject.loss_name} is neither cross entropy nor BCE with logits on moderate scores, so claims nothing"
        ), None
    if family.cause is not None:
        place = loss_place(subject)
        return Verdict(
            outcome="failed",
            cause=family.cause,
            measured=f"{subject.loss_name} equals {family.name} on drawn logits, to {equivalence.RECOGNISED:g}"
            + (f"; it gets {_shapes(subject)}" if family.cause == "broadcast_targets" else "")
            + ("; the targets are -1 and 1" if family.cause == "signed_targets" else ""),
            expected=family.wanted,
            location=place,
            counterexample=family.example,
            evidence={"recognised_as": family.name},
        ), None

    def is_unstable(draw: tuple[Tensor, Tensor]) -> bool:
        value, gradient = _value_and_gradient(lambda z: subject.loss(z, draw[1]), draw[0])
        return not (torch.tensor(value).isfinite() and gradient.isfinite().all())

    examples, seed = subject.settings.profile.examples, subject.seed("stability")
    found = smallest(
        lambda: _draws(subject, LARGEST_SCORE, two_columns=two_columns),
        is_unstable,
        seed=seed,
        examples=examples,
        screen=screen(as_loss(subject), count=examples, seed=seed, magnitude=LARGEST_SCORE, max_rows=LARGEST_BATCH),
    )
    if found is None:
        return passed(
            f"{subject.loss_name} equals {family.name} and is finite up to scores of {LARGEST_SCORE:g}",
            evidence={"recognised_as": family.name},
        ), family.reference
    value, _ = _value_and_gradient(lambda z: subject.loss(z, found[1]), found[0])
    return Verdict(
        outcome="failed",
        cause="unstable_loss",
        measured=f"the loss is {value:.4g} "
        + ("but its gradient is not finite " if math.isfinite(value) else "")
        + f"at logits {found[0].tolist()}, labels {found[1].tolist()}",
        expected=f"a finite loss and gradient, as {family.name.partition(',')[0]} gives",
        location=loss_place(subject),
        counterexample={"logits": found[0].tolist(), "labels": found[1].tolist(), "loss": value},
        evidence={"recognised_as": family.name},
    ), None


def _shapes(subject: Subject | LossSubject) -> str:
    logits = subject.sample_logits
    return against(logits, subject.targets(subject.sample_labels, logits))


def _training_runs(subject: Subject | LossSubject) -> Verdict | None:
    """Whole training runs, where the model is a generated one whose head and trunk are known."""
    if isinstance(subject, LossSubject) or subject.build_generated is None:
        return None
    build = subject.build_generated
    models: list[Callable[[], nn.Module]] = [lambda: build(2), lambda: build(1)]
    gaps = lockstep.training_gaps(
        models[0], models[1], subject.separable_batch().inputs, seed=subject.seed("training runs")
    )
    evidence = {"largest_gap": gaps, "bound": lockstep.TRAINING_BOUND, "steps": lockstep.TRAINING_STEPS}
    worst = max(gaps, key=gaps.__getitem__)
    if gaps[worst] <= lockstep.TRAINING_BOUND:
        told = ", ".join(f"{name} {gap:.1g}" for name, gap in gaps.items())
        return passed(
            f"value, gradient and training runs agree; largest gap of the margins over "
            f"{lockstep.TRAINING_STEPS} steps: {told}",
            evidence=evidence,
        )
    return Verdict(
        outcome="failed",
        measured=f"with {worst}, the margins of the two runs part by {gaps[worst]:.3g}",
        expected=f"at most {lockstep.TRAINING_BOUND:g} in float64",
        counterexample={"optimizer": worst, "gap": gaps[worst]},
        evidence=evidence,
    )


def _trained_by_both(subject: Subject, reference: equivalence.Reference, verdict: Verdict) -> Verdict:
    """The user's model trained by its loss and by the other parameterisation; what the drawn batches told stands."""
    if subject.nature.takes == "log_probabilities" and not subject.scan.is_nearly_log_normalised:
        # On the drawn log-probabilities the loss is right; that the model gives none, outputs_are_logits reports.
        return verdict
    seen = runs_of_both_losses(subject, reference)
    if isinstance(seen, str):
        return replace(verdict, evidence={**verdict.evidence, "training": f"not compared: {seen}"})
    evidence = {**verdict.evidence, "training": {name: vars(course) for name, course in seen.items()}}
    for name, course in seen.items():
        if course.parting is not None:
            parting = course.parting
            return Verdict(
                outcome="failed",
                measured=f"trained with {name} by {subject.loss_name}, {parting.where} is {parting.left:.10g} at step "
                f"{parting.step}, and {parting.right:.10g} by {reference.name}",
                expected=f"values within {parting.bound:.3g} of each other, as on the drawn batches; a loss that keeps "
                "a state between calls is not the one that was drawn on",
                counterexample=vars(parting),
                evidence=evidence,
            )
    told = ", ".join(f"{name} {course.gap:.1g} in {course.steps} steps" for name, course in seen.items())
    return replace(verdict, measured=f"{verdict.measured}; training by both stays together: {told}", evidence=evidence)
