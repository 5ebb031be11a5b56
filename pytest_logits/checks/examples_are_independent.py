"""In eval mode an example's logits do not depend on its batch."""

from __future__ import annotations

import math
from contextlib import suppress

import torch
from torch import Tensor, nn

from pytest_logits.check_registry import check
from pytest_logits.copies import evaluating
from pytest_logits.finding import Location, Verdict, not_applicable, passed
from pytest_logits.locate import leak_place
from pytest_logits.reused import Scattered
from pytest_logits.scanning import BENT
from pytest_logits.structures import index_rows, repeats, tensors_in
from pytest_logits.subject import Subject

ROWS = 8
AMOUNTS = (0.0, 1.0, BENT)


@check(claim="in eval mode the logits of an example do not depend on the rest of its batch", tags=("outputs", "exact"))
def examples_are_independent(subject: Subject) -> Verdict:
    """Replace every other example of a batch: the logits of the one that stays must not change.

    The batch keeps its size and the example its place, so that the same kernels run. Allowed is the square root
    of the dtype's resolution times the largest logit, 3.5e-4 of it in float32: the loss of half the digits. Asked as
    initialised and with scattered parameters, since a last layer of zeros hides everything. Where the logits differ,
    both batches are evaluated again, twice or more: only a difference between evaluations that repeat themselves
    counts. Layers that torch quantises dynamically take their scale from the whole batch; that is how they are meant,
    so of them it is advice.

    Causes: examples_leak_across_batch, softmax_over_wrong_dim.
    """
    subject.require_rows()
    inputs, others = subject.inputs(ROWS, "independent"), subject.inputs(ROWS, "other examples")
    if not _replaceable(inputs) or not _replaceable(others):
        return not_applicable("inputs= gives no tensor with one row per example")
    with suppress(Exception):
        # The scan leaves the one copy with the most of this noise, and others begin with none.
        verdict = _compared(subject, inputs, others, subject.reused.scattered, AMOUNTS[::-1])
        if verdict.outcome == "passed":
            return verdict
    return _compared(subject, inputs, others, subject.scattered, AMOUNTS)


def _compared(
    subject: Subject, inputs: object, others: object, scattered: Scattered, amounts: tuple[float, ...]
) -> Verdict:
    gaps = []
    for amount in amounts:
        model = evaluating(scattered(amount, 0))

        def scores(batch: object, model: nn.Module = model) -> Tensor:
            return subject.scores(model, batch, purpose="independent")

        alone = scores(inputs)
        for kept in (0, ROWS // 2):
            mixed = _keep_one(inputs, others, kept)
            first, second = alone, scores(mixed)
            gap, allowed = gap_between(first[kept], second[kept])
            if not math.isfinite(allowed):
                continue
            if gap > allowed:
                first, second, *again = map(scores, (inputs, mixed, inputs, inputs, mixed))
                if not all(map(repeats, (first, first, second), again)):
                    return not_applicable("evaluation is random, so a difference would say nothing")
                gap, allowed = gap_between(first[kept], second[kept])
            if gap > allowed:
                place = leak_place(subject, model, inputs, mixed, kept=kept, count=ROWS)
                return _failed(subject, kept, first, second, gap, allowed, place)
            gaps.append(gap / allowed if allowed else 0.0)
    return passed(
        f"logits of the kept example change by at most {max(gaps, default=0.0):.2g} of what rounding allows",
        evidence={"largest_share_of_tolerance": max(gaps, default=0.0)},
    )


def gap_between(first: Tensor, second: Tensor) -> tuple[float, float]:
    """How far logits are apart that should be equal, and how far they may be; not a finite number where one is none."""
    largest = float(torch.maximum(first.abs().max(), second.abs().max()))
    return float((first - second).abs().max()), tolerance(first.dtype, largest)


def tolerance(dtype: torch.dtype, largest: float) -> float:
    """Half the digits of the dtype, at the size of the largest logit."""
    return math.sqrt(torch.finfo(dtype).eps) * largest


def _failed(
    subject: Subject, kept: int, first: Tensor, second: Tensor, gap: float, allowed: float, place: Location | None
) -> Verdict:
    scaled = next((name for name, module in subject.fresh().named_modules() if _scales_by_batch(module)), None)
    because = "" if scaled is None else f"; {scaled!r} is quantised dynamically, with a scale for the whole batch"
    return Verdict(
        outcome="failed" if scaled is None else "advice",
        cause="softmax_over_wrong_dim" if subject.region == "wrong_simplex" else "examples_leak_across_batch",
        measured=f"the logits of example {kept} change by {gap:.4g} when the other {ROWS - 1} examples are replaced"
        + because,
        expected=f"a change of at most {allowed:.2g}, which rounding explains",
        location=place,
        counterexample={
            "batch_size": ROWS,
            "example": kept,
            "logits": first[kept].flatten().tolist()[:8],
            "logits_in_another_batch": second[kept].flatten().tolist()[:8],
        },
        evidence={"gap": gap, "tolerance": allowed},
    )


def _scales_by_batch(module: nn.Module) -> bool:
    return ".quantized.dynamic." in type(module).__module__


def _replaceable(inputs: object) -> bool:
    return any(t.ndim and len(t) == ROWS for t in tensors_in(inputs))


def _keep_one(inputs: object, others: object, kept: int) -> object:
    """``others`` with the example ``kept`` of ``inputs`` in its place."""
    if isinstance(inputs, Tensor) and isinstance(others, Tensor):
        if not inputs.ndim or len(inputs) != ROWS or inputs.shape != others.shape:
            return inputs
        mixed = others.clone()
        mixed[kept] = inputs[kept]
        return mixed
    if isinstance(inputs, dict) and isinstance(others, dict):
        return {key: _keep_one(value, others[key], kept) for key, value in inputs.items()}
    if isinstance(inputs, tuple | list) and isinstance(others, tuple | list):
        return tuple(_keep_one(a, b, kept) for a, b in zip(inputs, others, strict=True))
    return index_rows(inputs, torch.arange(ROWS), ROWS)
