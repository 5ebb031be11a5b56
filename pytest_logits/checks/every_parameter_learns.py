"""Every parameter that is meant to train does."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from pytest_logits.check_registry import check
from pytest_logits.finding import Verdict, counted, inconclusive, listed, not_applicable, passed
from pytest_logits.learning import FINITE, LearningRun, Prepare, learning_run
from pytest_logits.locate import cut_place
from pytest_logits.parameters import Parameters, strays, survey
from pytest_logits.pooled import LUCK, is_clipped
from pytest_logits.subject import Subject

# Other initial weights that are tried before a gradient of zero is held against the model.
REDRAWS = 3


@dataclass(frozen=True, kw_only=True)
class _Idle:
    """Parameters that do not train for one reason, and the same training with that undone."""

    cause: str
    paths: tuple[str, ...]
    said: str
    undone: str = ""
    prepare: Prepare | None = None


@check(claim="every parameter that is meant to train does", tags=("learning",))
def every_parameter_learns(subject: Subject) -> Verdict:
    """In training on separable data, every parameter gets a gradient that is not zero, and is in ``parameters()``.

    What does not train and is not declared ``frozen`` fails where it includes the weights of the layer that makes the
    logits, or where nothing else trains. Parameters that are not registered fail too where the model cannot learn the
    data and can with just this undone, which is the proof. Otherwise it is advice: frozen backbones, stopped gradients
    and hidden teachers may be meant, and what a frozen backbone makes of the suite's data says nothing about the data
    it was trained on. Parameters that no gradient has reached, as those of experts that no row has chosen, and
    gradients that are zero in a model that learns, or with the first but not with other initial weights, are only
    mentioned. Behind scores that are clipped at 0 a gradient
    of zero is a matter of the draw: inconclusive, and outputs_are_logits reports it. Nothing is said where the
    loss or a logit is not finite before the first step.

    Causes: unregistered_parameters, frozen_parameters, detached_graph, degenerate_initialisation,
    output_ignores_input.
    """
    if subject.has_single_column:
        return not_applicable("with one score per example no parameter has a gradient; see outputs_are_logits")
    run = learning_run(subject)
    if run.broken_start:
        return inconclusive(run.broken_start, expected=FINITE, evidence=run.evidence())
    connected: set[str] = set().union(*(trace.connected for trace in run.traces))
    moved: set[str] = set().union(*(trace.moved for trace in run.traces))
    found = survey(subject, connected=connected, moved=moved)
    if not found.all and not found.strays:
        return not_applicable("the model has no parameters to train")
    verdicts = [_judge(subject, run, found, idle, moved=moved) for idle in _groups(subject, run, found)]
    failed = [verdict for verdict in verdicts if verdict.outcome == "failed"]
    if failed or verdicts:
        return (failed or verdicts)[0]
    if is_clipped(subject):
        said = f"{len(moved)} of {counted(len(found.all), 'parameter')} train; {LUCK}"
        return inconclusive(said, expected="a gradient for every parameter", evidence=_evidence(found, run))
    told = {"unused": found.unused, "zero gradient so far": found.still}
    notes = "".join(f"; {what}: {listed(names)}" for what, names in told.items() if names)
    return passed(
        f"{len(moved)} of {counted(len(found.all), 'parameter')} train{notes}", evidence=_evidence(found, run)
    )


def _groups(subject: Subject, run: LearningRun, found: Parameters) -> Iterator[_Idle]:
    """What does not train, the root first: what is not there, is switched off, is cut off, gets nothing."""
    if found.strays:
        first = found.strays[0]
        yield _Idle(
            cause="unregistered_parameters",
            paths=tuple(s.path for s in found.strays),
            said=(f"{first.holder}. " if first.holder else "")
            + f"{counted(len(found.strays), 'trainable tensor')} that the logits use {_are(len(found.strays))} not in "
            f"parameters() ({listed([s.path for s in found.strays])})",
            undone="the same training with them in the optimizer",
            prepare=_with_strays(subject) if all(s.holder for s in found.strays) else None,
        )
    if found.off:
        yield _Idle(
            cause="frozen_parameters",
            paths=found.off,
            said=f"{len(found.off)} of {counted(len(found.all), 'parameter')} "
            f"{'does' if len(found.off) == 1 else 'do'} not require a gradient ({listed(found.off)})",
        )
    if found.cut:
        yield _Idle(
            cause="detached_graph",
            paths=found.cut,
            said=f"no gradient comes back to {counted(len(found.cut), 'parameter')} that the logits are made from "
            f"({listed(found.cut)})",
        )
    if found.still and run.best.least >= run.goal and not is_clipped(subject) and not _was_unlucky(run, found.still):
        cause, why = "degenerate_initialisation", ""
        if run.ignores_input:
            cause, why = "output_ignores_input", ", since the logits are the same for every input"
        yield _Idle(
            cause=cause,
            paths=found.still,
            said=f"the gradient of {counted(len(found.still), 'parameter')} is exactly zero "
            f"{'at every step' if run.steps > 1 else 'at the first step'}{why} ({listed(found.still)})",
        )


def _was_unlucky(run: LearningRun, still: tuple[str, ...]) -> bool:
    """Whether other initial weights give one of these parameters a gradient: a ReLU may be off for every input."""
    for number in range(REDRAWS):
        model = run.subject.redrawn(number)
        if model is None:
            return False
        _, loss = run.as_written(model)
        if not loss.requires_grad:
            return False
        run.subject.backward(loss)
        parameters = dict(model.named_parameters())
        if any(p.grad is not None and bool(p.grad.any()) for p in map(parameters.get, still) if p is not None):
            return True
    return False


def _judge(subject: Subject, run: LearningRun, found: Parameters, idle: _Idle, *, moved: set[str]) -> Verdict:
    learns = run.best.least < run.goal
    lowest = f"The lowest loss is {run.lowest:.4f} after {counted(run.steps, 'step')}."
    verdict = Verdict(
        outcome="advice",
        cause=idle.cause,
        measured=f"{idle.said}. {lowest}",
        expected="a gradient for every parameter that is not declared in frozen="
        + ("" if learns else f"; on this data a model that works gets its loss below {run.goal:.4f}"),
        location=cut_place(subject) if idle.cause == "detached_graph" else None,
        counterexample={"parameters": list(idle.paths)[:8], "count": len(idle.paths)},
        evidence=_evidence(found, run),
    )
    if found.loses_head(idle.paths, moved=moved):
        head = f"Among them: {found.head[0]}, of" if len(idle.paths) > 1 else "It is of"
        said = f"{idle.said}. {head} the layer that makes the logits. {lowest}"
        return replace(verdict, outcome="failed", measured=said)
    trainable = set(found.all) - set(found.off)
    if not moved and (idle.cause != "frozen_parameters" or not trainable):
        return replace(verdict, outcome="failed", measured=f"{idle.said}. Nothing else trains. {lowest}")
    if not learns and idle.prepare is not None:
        proof = run.proof_of(idle.undone, prepare=idle.prepare)
        if proof is not None:
            return replace(verdict, outcome="failed", proof=proof)
    return verdict


def _with_strays(subject: Subject) -> Prepare:
    def prepare(model: nn.Module) -> tuple[nn.Module, list[Any]]:
        # The hidden modules may be the user's own objects, which must not train here.
        model = copy.deepcopy(model)
        return model, [*subject.trainable(model).values(), *(s.tensor for s in strays(subject, model))]

    return prepare


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _evidence(found: Parameters, run: LearningRun) -> dict[str, Any]:
    return {
        **run.evidence(),
        "parameters": len(found.all),
        "head": list(found.head),
        "off": list(found.off),
        "cut": list(found.cut),
        "unused": list(found.unused),
        "zero_gradient": list(found.still),
        "unregistered": [stray.path for stray in found.strays],
    }
