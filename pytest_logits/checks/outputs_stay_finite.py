"""Finite inputs give finite logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from pytest_logits.check_registry import check
from pytest_logits.copies import evaluating
from pytest_logits.feeding import SCAN_ROWS
from pytest_logits.finding import Verdict, inconclusive, passed
from pytest_logits.locate import first_place
from pytest_logits.not_finite import not_finite
from pytest_logits.reused import Scattered
from pytest_logits.subject import Subject

# Inputs at their own scale must give finite logits. At that of raw images of 12 bits a sound model may overflow. It is
# far above that of 8 bits, where an exp of the scores overflows for some draws of the inputs and for others not.
SCALES = (1.0, 10.0, 4096.0)
# The range of float16 ends at 65,504.
HALF_SCALES = (1.0, 10.0, 255.0)
BATCHES = (SCAN_ROWS, 2, 1)


@check(claim="finite inputs give finite logits", tags=("outputs", "exact"))
def outputs_stay_finite(subject: Subject) -> Verdict:
    """No logit is NaN or plus infinity, in train mode on a batch of 16 and in eval mode on smaller ones.

    Minus infinity is allowed where it masks a class: in the same place for every row. Inputs are of scale 1, and
    of 10 and 4096 (in float16 255) where the suite makes them itself; what overflows at those only is inconclusive.

    Causes: non_finite_values.
    """
    subject.require_rows()
    batches = {count: subject.inputs(count, "finite") for count in BATCHES}
    rows = batches[SCAN_ROWS]
    scales: tuple[float, ...] = (1.0,)
    if isinstance(rows, Tensor) and rows.is_floating_point() and subject.spec.inputs is None:
        scales = HALF_SCALES if rows.dtype == torch.float16 else SCALES
    return subject.in_one_copy(lambda scattered: _judge(subject, batches, scales, scattered))


def _judge(subject: Subject, batches: Mapping[int, Any], scales: Sequence[float], scattered: Scattered) -> Verdict:
    def made(count: int) -> nn.Module:
        model = scattered(0.0, 0)
        return model if count == SCAN_ROWS else evaluating(model)

    def logits(model: nn.Module, scale: float, count: int) -> Tensor:
        inputs = batches[count]
        return subject.scores(model, scale * inputs if scale != 1.0 else inputs, purpose="finite")

    def broken(scale: float, count: int) -> Tensor | None:
        try:
            bad = not_finite(logits(made(count), scale, count))
        except (RuntimeError, ValueError, IndexError):
            if count == SCAN_ROWS:
                raise
            # A size that the model refuses is for output_shape_is_stable.
            return None
        return bad if bool(bad.any()) else None

    def finite(model: nn.Module, scale: float, count: int) -> bool:
        with suppress(RuntimeError, ValueError, IndexError):
            return not bool(not_finite(logits(model, scale, count)).any())
        return False

    # What goes well in eval mode may have one copy for all; the rest is looked at in one that has seen nothing.
    evaluated = made(1)
    fine = {draw for draw in product(scales, BATCHES) if draw[1] != SCAN_ROWS and finite(evaluated, *draw)}
    wrong = (draw for draw in product(scales, BATCHES) if draw not in fine and broken(*draw) is not None)
    found = next(wrong, None)
    if found is None:
        return passed(f"all logits are finite on inputs of scale {', '.join(f'{s:g}' for s in scales)}")
    scale, count = found
    bad = broken(scale, count)
    assert bad is not None
    measured = f"{int(bad.sum())} of {bad.numel()} logits are NaN or infinite"
    measured += f" on inputs of scale {scale:g}, in a batch of {count}"
    if scale != 1.0:
        return inconclusive(measured, expected="finite logits; at this scale of the inputs a sound model may overflow")
    return Verdict(
        outcome="failed",
        cause="non_finite_values",
        measured=measured,
        expected="finite logits",
        location=first_place(
            subject,
            made(count),
            lambda operation: not bool(operation.result.isfinite().all()),
            count=count,
        ),
        counterexample={"batch_size": count, "scale": scale},
        evidence={"bad": int(bad.sum()), "logits": bad.numel()},
    )
