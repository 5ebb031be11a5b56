"""In eval mode the same input gives the same logits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pytest_logits.check_registry import check
from pytest_logits.checks.examples_are_independent import gap_between, tolerance
from pytest_logits.copies import evaluating
from pytest_logits.feeding import SCAN_ROWS
from pytest_logits.finding import Verdict, passed
from pytest_logits.guard import random_states, seed_everything
from pytest_logits.locate import Operation, first_place, writing_place
from pytest_logits.placing import CPU, placed
from pytest_logits.reused import Scattered
from pytest_logits.scanning import BENT
from pytest_logits.structures import copied, handed, tensors_in
from pytest_logits.subject import Subject

# For a model that draws no random numbers, from any stream that can be seen.
AGAIN = 8
# For one that does. A coin for all rows that falls one way with probability p stays hidden in the two times 18
# evaluations with (1 - p) ** 36: 3e-4 at p = 1/5. They are 36 of the 40 forward passes that a check may take. The next
# two ask whether the model writes into its input.
MANY = 18
RANDOM = ("dropout", "bernoulli", "rand", "normal", "multinomial", "gumbel")


@check(claim="in eval mode the same input gives the same logits", tags=("outputs", "exact"))
def evaluation_is_deterministic(subject: Subject) -> Verdict:
    """Eight evaluations of one batch, from different random states, give the same logits; 18 where the model draws.

    Randomness that is asked for is advice: a line that says ``training=``, or a dropout module that the model keeps in
    train mode, as Monte Carlo dropout does. F.dropout with its default, which is on, is a failure.

    Every evaluation gets a copy of the batch. In the end the model is handed the same tensors twice: one that writes
    into them fails where the logits differ then, and is advice where they do not, as behind a first layer that is
    nn.ReLU(inplace=True), or where it writes in train mode only, as nn.Dropout(inplace=True) does.

    Causes: evaluation_is_random, input_modified_in_place.
    """
    subject.require_rows()
    inputs = subject.inputs(SCAN_ROWS, "deterministic")
    return subject.in_one_copy(lambda scattered: _judge(subject, inputs, scattered))


def _judge(subject: Subject, inputs: Any, scattered: Scattered) -> Verdict:
    for model, first, second in _evaluations(subject, inputs, scattered):  # noqa: B007 (the model is looked at below)
        if torch.equal(first, second):
            continue
        gap, allowed = gap_between(first, second)
        if gap > allowed:
            break
    else:
        gap, allowed = gap_between(first, second)
        return _writes(subject, model, inputs) or passed(
            f"all evaluations differ by {gap:.2g}, {allowed:.2g} is allowed", evidence={"gap": gap}
        )
    kept_on = [
        name or type(module).__name__
        for name, module in model.named_modules()
        if module.training and isinstance(module, nn.modules.dropout._DropoutNd)
    ]
    place = first_place(subject, model, _draws, count=SCAN_ROWS)
    # A model that is in train mode itself was not put there to draw: eval() has no effect on it.
    asked_for = (bool(kept_on) and not model.training) or (
        place is not None and "training=" in place.code.replace(" ", "")
    )
    return Verdict(
        outcome="advice" if asked_for else "failed",
        cause="evaluation_is_random",
        measured=f"two evaluations of one batch differ by {gap:.4g}"
        + (f"; {kept_on[0]} is in train mode" if kept_on else ""),
        expected=f"a difference of at most {allowed:.2g}, which rounding explains",
        location=place,
        counterexample={
            "batch_size": SCAN_ROWS,
            "first": first[0].flatten().tolist()[:4],
            "second": second[0].flatten().tolist()[:4],
        },
        evidence={"gap": gap, "tolerance": allowed, "modules_in_train_mode": kept_on},
    )


def _evaluations(subject: Subject, inputs: Any, scattered: Scattered) -> Iterator[tuple[nn.Module, Tensor, Tensor]]:
    """A model in eval mode, its logits, and its logits again: as it is built, then with its parameters scattered."""
    for amount in (0.0, BENT):
        model = evaluating(scattered(amount, 0))
        # Of every evaluation its own, or the second model would see the coins of the first.
        purpose = f"evaluation of {amount}, number"
        seed_everything(subject.seed(f"{purpose} 0"))
        before = random_states()
        first = subject.scores(model, inputs, purpose=f"{purpose} 0")
        for number in range(1, AGAIN if random_states() == before else MANY):
            yield model, first, subject.scores(model, inputs, purpose=f"{purpose} {number}")


def _writes(subject: Subject, scattered: nn.Module, inputs: Any) -> Verdict | None:
    """The verdict on a model that writes into its input; scattered parameters hide least of what comes of it."""
    found = _written(subject, scattered, inputs)
    if found is None:
        scattered.train()
        return _written(subject, scattered, inputs, mode="train")
    as_built = _written(subject, evaluating(subject.fresh()), inputs)
    return as_built if as_built is not None and as_built.outcome == "failed" else found


def _written(subject: Subject, model: nn.Module, inputs: Any, *, mode: str = "eval") -> Verdict | None:
    """What a model makes of tensors that it is handed, in eval mode twice; None where it does not write into them."""
    held = placed(copied(inputs), subject.device)
    given = tensors_in(held)

    def scores() -> Tensor:
        subject.count(forward=1)
        seed_everything(subject.seed("written"))
        with torch.no_grad():
            # A model may return a view of what it is given.
            found: Tensor = placed(subject.extract(handed(model, held)).clone(), CPU)
            return found

    first = scores()
    pairs = list(zip(tensors_in(inputs), placed(given, CPU), strict=True))
    changed, numbers = sum(_unequal(a, b) for a, b in pairs), sum(a.numel() for a, _ in pairs)
    if not changed:
        return None
    before, after = next(pair for pair in pairs if _unequal(*pair))
    example = {"batch_size": SCAN_ROWS, "before": before.flatten().tolist()[:4], "after": after.flatten().tolist()[:4]}
    measured = f"a pass in {mode} mode changes {changed} of the {numbers} numbers of its input"
    gap, allowed = 0.0, tolerance(first.dtype, float(first.abs().max()))
    if mode == "eval":
        try:
            second = scores()
        except Exception as error:
            # Whatever a model raises of a batch that it has changed itself, it did not raise the first time.
            gap, again = math.inf, f"raises {type(error).__name__}"
        else:
            gap = float((first - second).abs().max()) if first.shape == second.shape else math.inf
            again = f"gives logits that differ by {gap:.4g}" if gap > allowed else "gives the same logits"
        measured += f"; a second pass over the same tensors {again}"
    return Verdict(
        outcome="failed" if gap > allowed else "advice",
        cause="input_modified_in_place",
        measured=measured,
        expected="an input that is as it was",
        location=writing_place(subject, model, placed(copied(inputs), subject.device)),
        counterexample=example,
        evidence={"changed": changed, "numbers": numbers, "gap": gap, "tolerance": allowed, "mode": mode},
    )


def _unequal(before: Tensor, after: Tensor) -> int:
    """How many numbers are not what they were; all, where the shape is not. Sparse and nested ones are left out."""
    if before.layout != torch.strided or before.is_nested:
        return 0
    if before.shape != after.shape:
        return before.numel()
    if before.dtype == after.dtype and torch.equal(before, after):
        return 0
    return int(((before != after) & ~(before.isnan() & after.isnan())).sum())


def _draws(operation: Operation) -> bool:
    """A random operation that does something: dropout in eval mode returns what it is given."""
    if not any(word in operation.name for word in RANDOM):
        return False
    return operation.source is None or not torch.equal(operation.result, operation.source)
