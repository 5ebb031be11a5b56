"""Negative controls: a known fault, planted in a registered model, and whether the checks catch it there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_logits.check_registry import Check
from pytest_logits.finding import Passes, Verdict, advice, listed, not_applicable, passed
from pytest_logits.likeness import are_alike
from pytest_logits.model import ARGUMENTS, ModelSpec, make_spec
from pytest_logits.planting import Plant
from pytest_logits.runner import decide
from pytest_logits.settings import Settings
from pytest_logits.subject import Subject
from pytest_logits.subjects import Subjects

# Outcomes that name a cause.
NAMING = ("failed", "advice")
# What is not planted in: the name gives the seeds, which stay the same, and a planted fault is no expected failure.
APART = ("name", "expected_failures")
# What a fault may be in beside the model and its loss.
BESIDE = ("targets", "predict", "batches", "optimizer", "train_step")


class Control:
    """One fault in one model. Only the checks whose page names the cause are run, until one of them names it."""

    def __init__(
        self, plant: Plant, spec: ModelSpec, *, checks: Iterable[Check], settings: Settings, subjects: Subjects
    ) -> None:
        """``checks`` are those to choose from; ``subjects`` has the model as it is registered."""
        self.plant = plant
        self.passes = Passes()
        self._spec = spec
        self._checks = [check for check in checks if plant.cause in check.causes and "model" in check.subjects]
        self._settings = settings
        self._subjects = subjects

    def decide(self) -> Verdict:
        """``passed`` where the fault is caught, ``advice`` where not, with what the checks said in the evidence.

        ``not_applicable`` where the model cannot have the fault, has it as it is registered, so that finding it says
        nothing, or is none the worse for it: ReLU on scores that are squares. An exception in the model with the fault
        in it is told as what the check said.
        """
        if not self._checks:
            return not_applicable("no selected check looks for it")
        try:
            spec = self._planted()
        except Exception as error:
            return not_applicable(f"planting it raises {type(error).__name__}: {error}")
        if spec is None:
            return not_applicable("the model cannot have this fault")
        subject, said = Subject(spec, self._settings), []
        for check in self._checks:
            verdict = _verdict(check, subject)
            self.passes = subject.passes
            said.append(_said(check, verdict))
            if self._is_named(verdict):
                if self._is_named(_verdict(check, self._subjects.of(self._spec))):
                    return not_applicable(f"the model has this fault as it is, see {check.name}")
                return passed(f"caught by {check.name}", evidence={"said": said})
        if self._leaves_the_rest(spec) and are_alike(subject, self._subjects.of(self._spec)):
            return not_applicable("planting it changes no score, loss or gradient of the model")
        return advice(f"not caught by {listed([check.name for check in self._checks])}", evidence={"said": said})

    def _planted(self) -> ModelSpec | None:
        given: dict[str, Any] = {name: getattr(self._spec, name) for name in ARGUMENTS if name not in APART}
        planted = self.plant(self._spec.factory, given)
        if planted is None:
            return None
        arguments = {**planted.arguments, "name": self._spec.name}
        return make_spec(planted.factory, file=self._spec.file, line=self._spec.line, arguments=arguments)

    def _leaves_the_rest(self, planted: ModelSpec) -> bool:
        """Whether the fault can be in the model and its loss only."""
        return all(getattr(planted, name) in (None, getattr(self._spec, name)) for name in BESIDE)

    def _is_named(self, verdict: Verdict) -> bool:
        return verdict.outcome in NAMING and verdict.cause == self.plant.cause


def _verdict(check: Check, subject: Subject) -> Verdict:
    try:
        return decide(check, subject)
    except Exception as error:
        # The fault may be one that the model does not bear: it is loud then, and no check has to find it.
        return Verdict(outcome="error", measured=f"{type(error).__name__}: {error}")


def _said(check: Check, verdict: Verdict) -> dict[str, str | None]:
    return {
        "check": check.name,
        "outcome": verdict.outcome,
        "cause": verdict.cause,
        "measured": verdict.measured.partition("\n")[0],
    }
