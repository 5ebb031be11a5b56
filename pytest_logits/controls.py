"""Negative controls: a known fault, planted in a registered model or loss, and whether the checks catch it there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from typing import Any, ClassVar

from pytest_logits.check_registry import Check
from pytest_logits.finding import Passes, Verdict, advice, listed, not_applicable, passed
from pytest_logits.likeness import are_alike, losses_are_alike
from pytest_logits.loss_subject import LossSubject
from pytest_logits.model import ARGUMENTS, LOSS_ARGUMENTS, LossSpec, ModelSpec, Spec, make_loss_spec, make_spec
from pytest_logits.planting import LossCase, LossPlant, Plant, plants, plants_of_losses
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


class Control(ABC):
    """One fault in what is registered. Only the checks whose page names the cause are run, until one of them names it.

    Attributes:
        kind: "model" or "loss".
        changes_nothing: what is said of a fault that changes nothing.
    """

    kind: ClassVar[str]
    changes_nothing: ClassVar[str]

    def __init__(
        self, cause: str, spec: Spec, *, checks: Iterable[Check], settings: Settings, subjects: Subjects
    ) -> None:
        """``checks`` are those to choose from; ``subjects`` has what is registered as it is."""
        self.passes = Passes()
        self._cause = cause
        self._spec = spec
        self._checks = [check for check in checks if cause in check.causes and self.kind in check.subjects]
        self._settings = settings
        self._subjects = subjects

    def decide(self) -> Verdict:
        """``passed`` where the fault is caught, ``advice`` where not, with what the checks said in the evidence.

        ``not_applicable`` where the model or loss cannot have the fault, has it as it is registered, so that finding it
        says nothing, or is none the worse for it: ReLU on scores that are squares. An exception of what has the fault
        in it is told as what the check said.
        """
        if not self._checks:
            return not_applicable("no selected check looks for it")
        try:
            spec = self._planted()
        except Exception as error:
            return not_applicable(f"planting it raises {type(error).__name__}: {error}")
        if spec is None:
            return not_applicable(f"the {self.kind} cannot have this fault")
        subject, said = Subjects(self._settings).of(spec), []
        for check in self._checks:
            verdict = _verdict(check, subject)
            self.passes = subject.passes
            said.append(_said(check, verdict))
            if self._is_named(verdict):
                if self._is_named(_verdict(check, self._subjects.of(self._spec))):
                    return not_applicable(f"the {self.kind} has this fault as it is, see {check.name}")
                return passed(f"caught by {check.name}", evidence={"said": said})
        if self._is_none(spec, subject):
            return not_applicable(self.changes_nothing)
        return advice(f"not caught by {listed([check.name for check in self._checks])}", evidence={"said": said})

    @abstractmethod
    def _planted(self) -> Spec | None:
        """What is registered, with the fault in it; None where it cannot be had."""

    @abstractmethod
    def _is_none(self, planted: Spec, subject: Any) -> bool:
        """Whether the fault changes nothing."""

    def _is_named(self, verdict: Verdict) -> bool:
        return verdict.outcome in NAMING and verdict.cause == self._cause


class ModelControl(Control):
    """A fault in a model, its loss, its targets, or how it is trained."""

    kind = "model"
    changes_nothing = "planting it changes no score, loss or gradient of the model"
    _spec: ModelSpec

    def __init__(self, plant: Plant, spec: ModelSpec, **kwargs: Any) -> None:
        """``plant`` makes the fault; the rest is as for every control."""
        super().__init__(plant.cause, spec, **kwargs)
        self._plant = plant

    def _planted(self) -> ModelSpec | None:
        given: dict[str, Any] = {name: getattr(self._spec, name) for name in ARGUMENTS if name not in APART}
        planted = self._plant(self._spec.factory, given)
        if planted is None:
            return None
        arguments = {**planted.arguments, "name": self._spec.name}
        return make_spec(planted.factory, file=self._spec.file, line=self._spec.line, arguments=arguments)

    def _is_none(self, planted: Spec, subject: Any) -> bool:
        # Only a fault in the model and its loss shows in what is compared.
        beside = any(getattr(planted, name) not in (None, getattr(self._spec, name)) for name in BESIDE)
        return not beside and are_alike(subject, self._subjects.of(self._spec))


class LossControl(Control):
    """A fault in a loss that is registered by itself."""

    kind = "loss"
    changes_nothing = "planting it changes no value or gradient of the loss"
    _spec: LossSpec

    def __init__(self, plant: LossPlant, spec: LossSpec, **kwargs: Any) -> None:
        """``plant`` makes the fault; the rest is as for every control."""
        super().__init__(plant.cause, spec, **kwargs)
        self._plant = plant

    def _planted(self) -> LossSpec | None:
        subject = self._subjects.of(self._spec)
        scores = subject.nature.link(subject.sample_logits)
        targets = subject.targets(subject.sample_labels, scores)
        case = LossCase(loss=subject.loss_object, nature=subject.nature, scores=scores, targets=targets)
        planted = self._plant(case)
        if planted is None:
            return None
        given = {name: getattr(self._spec, name) for name in LOSS_ARGUMENTS if name not in APART}
        arguments = {**given, "name": self._spec.name}
        return make_loss_spec(planted, file=self._spec.file, line=self._spec.line, arguments=arguments)

    def _is_none(self, planted: Spec, subject: Any) -> bool:
        return losses_are_alike(subject, self._subjects.of(self._spec))


def controls_of(
    spec: Spec, *, checks: Collection[Check], settings: Settings, subjects: Subjects
) -> Iterator[tuple[str, str, Control]]:
    """The cause, the words and the control of every fault that can be in some model, or in some loss."""
    if isinstance(spec, LossSpec):
        for cause, planted in plants_of_losses().items():
            made = LossControl(planted, spec, checks=checks, settings=settings, subjects=subjects)
            yield cause, planted.words, made
        return
    for cause, plant in plants().items():
        yield cause, plant.words, ModelControl(plant, spec, checks=checks, settings=settings, subjects=subjects)


def _verdict(check: Check, subject: Subject | LossSubject) -> Verdict:
    try:
        return decide(check, subject)
    except Exception as error:
        # The fault may be one that the model or loss does not bear: it is loud then, and no check has to find it.
        return Verdict(outcome="error", measured=f"{type(error).__name__}: {error}")


def _said(check: Check, verdict: Verdict) -> dict[str, str | None]:
    return {
        "check": check.name,
        "outcome": verdict.outcome,
        "cause": verdict.cause,
        "measured": verdict.measured.partition("\n")[0],
    }
