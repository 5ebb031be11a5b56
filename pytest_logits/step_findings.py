"""What is said of a user's own training step: a finding with its place and numbers."""

from __future__ import annotations

from typing import Any

from pytest_logits.finding import Location, Proof, Verdict
from pytest_logits.locate import definition
from pytest_logits.step_watch import OwnRun
from pytest_logits.subject import Subject


def step_failure(
    subject: Subject,
    cause: str,
    measured: str,
    expected: str,
    seen: OwnRun,
    *,
    proof: Proof | None = None,
    place: Location | None = None,
) -> Verdict:
    """A failed step with its cause, what it was seen to do, and the line to look at."""
    return Verdict(
        outcome="failed",
        cause=cause,
        measured=measured,
        expected=expected,
        proof=proof,
        location=place or _place(subject, cause),
        counterexample={"steps": seen.steps, "optimizer_steps": seen.stepped},
        evidence=step_evidence(seen),
    )


def step_advice(subject: Subject, cause: str, measured: str, expected: str, seen: OwnRun) -> Verdict:
    """What may be meant, and is worth a word."""
    return Verdict(
        outcome="advice",
        cause=cause,
        measured=measured,
        expected=expected,
        location=_place(subject, cause),
        evidence=step_evidence(seen),
    )


def step_evidence(seen: OwnRun) -> dict[str, Any]:
    """The numbers of a run of the user's steps, for the report."""
    return {
        "steps": seen.steps,
        "optimizer_steps": seen.stepped,
        "first_loss": seen.first,
        "last_loss": seen.last,
        "unchanged": list(seen.unchanged)[:20],
        "not_in_optimizer": list(seen.missing)[:20],
        "train_mode": seen.modes[:20],
    }


def _place(subject: Subject, cause: str) -> Location | None:
    """Where the step is defined, or the optimizer where that is to blame: in the registration or in the module."""
    spec, module = subject.spec, type(subject.fresh())
    optimizer = spec.optimizer or getattr(module, "configure_optimizers", None)
    step = spec.train_step or getattr(module, "training_step", None)
    of_optimizer = cause in ("optimizer_misses_parameters", "learning_rate_too_high", "learning_rate_too_low")
    if optimizer is not None and (of_optimizer or step is None):
        return definition(optimizer, "the optimizer is made here")
    return None if step is None else definition(step, "the step is defined here")
