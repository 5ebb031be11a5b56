"""The user's own training step lowers the loss, with all parameters and cleared gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from pytest_logits.check_registry import check
from pytest_logits.checks.loss_reaches_its_minimum import cause_of
from pytest_logits.finding import Proof, Verdict, counted, inconclusive, listed, not_applicable, passed
from pytest_logits.goals import FALL
from pytest_logits.learning import learning_run
from pytest_logits.own_training import OwnTraining
from pytest_logits.parameters import survey
from pytest_logits.step_findings import step_advice, step_evidence, step_failure
from pytest_logits.step_gradients import (
    activation_in_step,
    activation_place_in_step,
    class_in_step,
    follows_registered,
    follows_registered_far_away,
    is_reversed,
    weight_ratio,
)
from pytest_logits.step_watch import OwnRun
from pytest_logits.subject import Subject

STEPS = 8
# Gradient accumulation calls the optimizer once in many steps: this many without a call are no accumulation.
MOST_STEPS = 128
# What is left of a gradient after its best multiple of another is taken off, as a share: rounding leaves 1e-6.
SAME = 1e-3
# What a step returns may differ from the registered loss by so much, for a small penalty beside it.
SAME_LOSS = 0.05
# Cosine of a step with its gradient. Every optimizer's first step is downhill but for a decay of the parameters, which
# has no part in the gradient.
UPHILL = 0.5
# A loss that moves by less than this, relative to itself, has not moved: float32 rounds a mean of 32 at 1e-6.
STANDS = 1e-5
# A fall of less than a ten-thousandth of what there is to learn in eight steps is worth a word; Adam at 2e-5, as in
# fine-tuning, takes a small network eight times as far.
SLOW = 1e-4
ACTIVATION = {"simplex": "softmax", "unit": "sigmoid", "symmetric": "tanh", "nonnegative": "ReLU"}
# A step that moves fewer of the numbers it has a gradient for is rounded away, but for numbers that happen to be next
# to 0. In bfloat16 a step of s moves what is below 256 s: of weights up to .05, fine-tuned by Adam at 2e-5, a tenth.
ROUNDED = 0.01
SMALLER = (0.1, 0.01, 0.001)
LARGER = (10.0, 100.0, 1e3, 1e4, 1e5, 1e6)


@check(claim="your own training step lowers the loss and moves every parameter that is to train", tags=("learning",))
def training_step_trains(subject: Subject) -> Verdict:
    """Eight of your steps, as they are, on your batches or on separable data, watched by hooks.

    Asked are: do the parameters change, are all of them in the optimizer, is each step made with the gradients since
    the last one only, does the loss fall, and is the model in train mode. A rising loss is held against the same steps
    with every gradient turned round, and with smaller step sizes. What the step size does on the suite's data is
    advice, on your own a failure.

    The gradient that the step gives the logits is held against that of the registered loss: a step may train another
    loss, but one that is the registered loss behind a softmax, or with other labels, is a mistake.

    Causes: gradients_not_cleared, optimizer_misses_parameters, loss_is_maximised, learning_rate_too_high,
    learning_rate_too_low, model_left_in_wrong_mode, step_without_update, detached_graph, softmax_before_cross_entropy,
    sigmoid_before_cross_entropy, sigmoid_before_bce_with_logits, softmax_before_bce_with_logits, bounded_logits,
    labels_out_of_range.
    """
    if subject.optimizer_factory is None and subject.train_step is None:
        return not_applicable("neither optimizer= nor train_step= is registered")
    if subject.has_single_column:
        return not_applicable("with one score per example no step can train; see outputs_are_logits")
    if not subject.trainable(subject.fresh()):
        return not_applicable("the model has no parameters that are to train; see every_parameter_learns")
    subject.require_targets()
    own = OwnTraining(subject)
    seen = own.run(STEPS)
    if not math.isfinite(seen.first):
        return inconclusive(f"the loss is {seen.first} before the first step", expected="a finite loss")
    verdict = next(_verdicts(subject, own, seen), None)
    if verdict is not None:
        return verdict
    return passed(
        f"the loss went from {seen.first:.4g} to {seen.last:.4g} in {seen.steps} of your steps on {own.data}",
        evidence=step_evidence(seen),
    )


def _verdicts(subject: Subject, own: OwnTraining, seen: OwnRun) -> Iterator[Verdict]:
    """What is wrong, the root first."""
    yield from _cleared_too_early(subject, seen)
    yield from _nothing_moves(subject, own, seen)
    yield from _misses(subject, own, seen)
    yield from _not_cleared(subject, own, seen)
    yield from _wrong_mode(subject, seen)
    yield from _another_loss(subject, own, seen)
    yield from _no_gradient(seen)
    yield from _direction(subject, own, seen)


def _cleared_too_early(subject: Subject, seen: OwnRun) -> Iterator[Verdict]:
    """Whether backward passes bring gradients and the optimizer never gets any."""
    came = [any(bool(t.any()) for t in taken.incoming) for taken in seen.taken]
    given = [any(bool(t.any()) for t in taken.given) for taken in seen.taken]
    if any(came) and not any(given) and not seen.missing:
        told = (
            f"the optimizer is called {counted(len(given), 'time')} and each time all gradients are zero, though "
            "backward() has brought some: they are cleared between backward() and optimizer.step()"
        )
        yield step_failure(
            subject, "step_without_update", told, "the gradients of backward() at optimizer.step()", seen
        )


def _nothing_moves(subject: Subject, own: OwnTraining, seen: OwnRun) -> Iterator[Verdict]:
    if seen.changed:
        return
    said = f"no parameter changes in {seen.steps} steps, of {len(seen.unchanged)} in all"
    if not seen.connected:
        yield step_failure(subject, "detached_graph", f"{said}: no gradient reaches any of them", "a gradient", seen)
    elif seen.stepped == 0:
        longer = own.run(MOST_STEPS)
        if longer.stepped == 0:
            told = f"no parameter changes in {longer.steps} steps: optimizer.step() is not called"
            yield step_failure(subject, "step_without_update", told, "a call of optimizer.step()", longer)
    elif len(seen.missing) == len(seen.unchanged):
        told = f"{said}: the optimizer holds none of them, but {counted(seen.foreign, 'other')}"
        yield step_failure(subject, "optimizer_misses_parameters", told, "the parameters of this model", seen)
    elif all(float(g.get("lr") or 0) == 0 and "lr" in g for g in own.optimizer_of(subject.fresh()).param_groups):
        told = f"{said}: the step size is 0, which only a warm-up means"
        yield step_advice(subject, "learning_rate_too_low", told, "parameters that change", seen)
    elif seen.pushed or not seen.taken:
        works = _scales_that_work(own, LARGER, subject)
        told = f"{said}, though their gradients are not zero: every step is rounded away" + _range(own, works)
        yield step_failure(subject, "learning_rate_too_low", told, "parameters that change", seen)


def _misses(subject: Subject, own: OwnTraining, seen: OwnRun) -> Iterator[Verdict]:
    missing = [name for name in seen.missing if name in seen.unchanged]
    if not missing or not seen.changed:
        return
    said = (
        f"{len(missing)} of {counted(len(subject.trainable(subject.fresh())), 'trainable parameter')} "
        f"{'is' if len(missing) == 1 else 'are'} not in the optimizer ({listed(missing)})"
    )
    expected = "all of them in the optimizer, or declared in frozen="
    run = learning_run(subject)
    moved: set[str] = set().union(*(trace.moved for trace in run.traces))
    found = survey(subject, connected=moved, moved=moved)
    if found.loses_head(missing, moved=seen.changed):
        said += f". {found.head[0]} belongs to the layer that makes the logits"
        yield step_failure(subject, "optimizer_misses_parameters", said, expected, seen)
        return
    if run.best.least < run.goal:

        def held(model: nn.Module) -> tuple[nn.Module, list[Any]]:
            return model, [p for name, p in subject.trainable(model).items() if name not in missing]

        without = run.proof_of("", prepare=held)
        if without is None:
            proof = Proof(
                undone="the same training with all of them in the optimizer",
                as_written=run.least_of_proof,
                with_fix=run.best.least,
                goal=run.goal,
                steps=run.steps,
            )
            said += ". The rest alone does not learn separable data"
            yield step_failure(subject, "optimizer_misses_parameters", said, expected, seen, proof=proof)
            return
    yield step_advice(subject, "optimizer_misses_parameters", said, expected, seen)


def _not_cleared(subject: Subject, own: OwnTraining, seen: OwnRun) -> Iterator[Verdict]:
    """Whether every step is made with the sum of its own gradients and those of the step before, up to a factor."""
    kept = {name: share for name, share in _kept(own, seen) if share is not None}
    if not kept:
        return
    names = "" if len(kept) == len(own.watched) else f" of {listed(sorted(kept))}"
    told = (
        f"at each of {len(seen.taken) - 1} steps the optimizer gets the gradients{names} of the step before, added to "
        f"the new ones. At the last step they are {max(kept.values()):.2g} times as large as the new ones"
    )
    yield step_failure(
        subject, "gradients_not_cleared", told, "the gradients since the last optimizer.step() only", seen
    )


def _kept(own: OwnTraining, seen: OwnRun) -> Iterator[tuple[str, float | None]]:
    """For each parameter how large its old gradients are beside the new ones at the last step; None if cleared."""
    for index, name in enumerate(own.watched):
        shares = []
        for before, taken in zip(seen.taken, seen.taken[1:], strict=False):
            old, new, given = before.given[index], taken.incoming[index], taken.given[index]
            if not bool(new.any()) or not bool(old.any()):
                break
            # Gradients that are not finite leave NaN, which is no evidence.
            if not (_left(given, new) >= SAME and _left(given, new + old) <= SAME):
                break
            shares.append(float(old.norm() / new.norm()))
        held = len(shares) == len(seen.taken) - 1 >= 2
        yield name, shares[-1] if held else None


def _left(given: Tensor, other: Tensor) -> float:
    """What is left of ``given`` when its best multiple of ``other`` is taken off, as a share of it."""
    size = float(other.square().sum())
    factor = float((given * other).sum()) / size if size else 0.0
    return float((given - factor * other).norm() / given.norm()) if bool(given.any()) else 0.0


def _wrong_mode(subject: Subject, seen: OwnRun) -> Iterator[Verdict]:
    """Train mode at the first step and eval mode at a later one, where that makes a difference."""
    depends = [type(m).__name__ for m in subject.fresh().modules() if isinstance(m, _MODE_DEPENDENT)]
    if depends and seen.modes[0] and False in seen.modes:
        later = seen.modes.index(False) + 1
        told = f"step {later} of {len(seen.modes)} runs in eval mode, the first in train mode"
        told += f". {depends[0]} acts otherwise in eval mode"
        yield step_failure(subject, "model_left_in_wrong_mode", told, "train mode in every training step", seen)


_MODE_DEPENDENT = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.dropout._DropoutNd,
)


def _another_loss(subject: Subject, own: OwnTraining, seen: OwnRun) -> Iterator[Verdict]:
    """Whether the step trains the registered loss behind an activation, or towards other classes than the targets'."""
    follows = follows_registered(subject, seen.pulled)
    if follows and (subject.train_step is None or follows_registered_far_away(subject, own)):
        return
    region = activation_in_step(subject, own)
    if region is not None:
        told = (
            f"the gradient that your step gives the logits is that of {subject.loss_name} behind "
            f"{'an' if ACTIVATION[region][0] in 'aeiou' else 'a'} {ACTIVATION[region]}, to rounding, on "
            f"each of {counted(len(seen.pulled), 'step')}"
        )
        expected = f"the gradient of {subject.loss_name} on the logits as they are"
        place = activation_place_in_step(subject, own, region)
        yield step_failure(subject, cause_of(subject, region), told, expected, seen, place=place)
        return
    towards = class_in_step(subject, own)
    if towards is not None:
        told = (
            f"your step trains rows with label {towards[0]} towards class {towards[1]}: the gradient that it gives the "
            f"logits is that of {subject.loss_name} with the labels moved by {towards[1] - towards[0]}"
        )
        # Labels of the user's own may start from 1, and be made to start from 0 in the step.
        tell = step_failure if subject.spec.batches is None else step_advice
        yield tell(subject, "labels_out_of_range", told, "each row trained towards its own label", seen)


def _no_gradient(seen: OwnRun) -> Iterator[Verdict]:
    if seen.taken and not seen.pushed and not seen.changed:
        yield inconclusive(
            f"no parameter changes in {seen.steps} steps, all gradients being zero; see every_parameter_learns",
            expected="a gradient that is not zero",
            evidence=step_evidence(seen),
        )


def _direction(subject: Subject, own: OwnTraining, seen: OwnRun) -> Iterator[Verdict]:
    moved = seen.last - seen.first
    room = max(learning_run(subject).stakes.at_zero - learning_run(subject).stakes.least, 0.0)
    if moved < 0 and -moved > SLOW * room:
        return
    if seen.climb < 0 and is_reversed(subject, seen.pulled):
        yield _maximised(subject, seen, own.run(STEPS, flip=True))
        return
    if abs(moved) <= STANDS * abs(seen.first) or moved < 0:
        works = _scales_that_work(own, LARGER, subject)
        told = f"the loss went from {seen.first:.6g} to {seen.last:.6g} in {seen.steps} steps"
        if abs(moved) <= STANDS * abs(seen.first) and _is_rounded_away(seen):
            told += f": {seen.moved} of {seen.pushed} numbers with a gradient change, the rest of every step is rounded"
            told += " away" + _range(own, works)
            yield step_failure(subject, "learning_rate_too_low", told, "parameters that change", seen)
        elif works:
            told += _range(own, works)
            yield step_advice(subject, "learning_rate_too_low", told, "a loss that falls", seen)
        return
    turned = own.run(STEPS, flip=True)
    if turned.last < turned.first and _first_order(own):
        if weight_ratio(subject, seen.pulled) > 1:
            yield _weighted(own, seen)
            return
        if not (_returns_reversed(seen) or seen.climb > UPHILL):
            told = f"the registered loss rises from {seen.first:.4g} to {seen.last:.4g} in {seen.steps} of your steps"
            yield inconclusive(
                f"{told}; the gradient they give the logits is not that of the registered loss turned round, so they "
                "may train another one",
                expected="a loss that falls",
                evidence=step_evidence(seen),
            )
            return
        yield _maximised(subject, seen, turned)
        return
    works = _scales_that_work(own, SMALLER, subject)
    told = f"the loss goes from {seen.first:.4g} to {seen.last:.4g} in {seen.steps} of your steps on {own.data}"
    # Of losses that are not negative, the weighted one has risen too where the plain one has by more than the weights'
    # ratio: then the steps diverge.
    if not works and seen.last < weight_ratio(subject, seen.pulled) * seen.first:
        yield _weighted(own, seen)
    elif not works:
        yield inconclusive(told, expected="a loss that falls", evidence=step_evidence(seen))
    elif subject.spec.batches is not None:
        yield step_failure(subject, "learning_rate_too_high", told + _range(own, works), "a loss that falls", seen)
    else:
        yield step_advice(subject, "learning_rate_too_high", told + _range(own, works), "a loss that falls", seen)


def _is_rounded_away(seen: OwnRun) -> bool:
    """Whether next to none of the numbers moves. One that is 0 always does, also in the first steps of a warm-up."""
    return seen.moved < ROUNDED * seen.pushed and not seen.moved_from_zero


def _weighted(own: OwnTraining, seen: OwnRun) -> Verdict:
    return passed(
        f"the loss went from {seen.first:.4g} to {seen.last:.4g} in {seen.steps} of your steps on {own.data}; "
        "they train it with a weight for each class, and may raise it without them",
        evidence=step_evidence(seen),
    )


def _maximised(subject: Subject, seen: OwnRun, turned: OwnRun) -> Verdict:
    """The finding, with the same steps the other way round as its proof where they lower the loss."""
    proof = Proof(
        undone="your steps with every gradient turned round",
        as_written=seen.last,
        with_fix=turned.last,
        goal=seen.first,
        steps=turned.steps,
    )
    told = f"the loss goes from {seen.first:.4g} to {seen.last:.4g} in {seen.steps} of your steps"
    if seen.climb < 0:
        told += ": the gradient that they give the logits is that of the registered loss, turned round"
    falls = turned.last < turned.first
    return step_failure(subject, "loss_is_maximised", told, "a loss that falls", seen, proof=proof if falls else None)


def _returns_reversed(seen: OwnRun) -> bool:
    """Whether the step returned the registered loss with its sign turned."""
    turned = seen.returned is not None and seen.returned * seen.registered < 0
    return turned and math.isclose(-float(seen.returned or 0), seen.registered, rel_tol=SAME_LOSS)


def _first_order(own: OwnTraining) -> bool:
    """Whether steps a tenth as large still raise the loss, and lower it when turned round: no overshooting then."""
    written, turned = own.run(STEPS, scale=0.1), own.run(STEPS, scale=0.1, flip=True)
    return written.last > written.first and turned.last < turned.first


def _scales_that_work(own: OwnTraining, scales: tuple[float, ...], subject: Subject) -> list[float]:
    """The factors of the step size with which the loss falls by a tenth of what there is to learn."""
    stakes = learning_run(subject).stakes
    found: list[float] = []
    for scale in scales:
        run = own.run(STEPS, scale=scale)
        if run.first - run.last > FALL * max(stakes.at_zero - stakes.least, 0.0):
            found.append(scale)
        elif found:
            break
    return found


def _range(own: OwnTraining, scales: list[float]) -> str:
    if not scales:
        return ""
    sizes = sorted({g["lr"] for g in own.optimizer_of(own.subject.fresh()).param_groups if g.get("lr") is not None})
    if not sizes:
        return ""
    base = float(sizes[-1])
    tried = " to ".join(f"{base * scale:.3g}" for scale in sorted({min(scales), max(scales)}))
    return f"; with a step size of {tried} instead of {base:.3g} the loss falls"
