"""The counterexample of a finding about a loss is as small as one can be: few rows, few classes, round numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import versions
from tests.zoo.own_losses.entry import FaultyLoss
from tests.zoo.own_losses.families import FAULTS, looks_at, run
from tests.zoo.own_losses.table import found as found_by

MOST_ROWS, MOST_CLASSES, LARGEST = 2, 3, 10
# Where a loss leaves the range of float32: exp(89) does, and the slope of p ** 0.7 where p is exp(-110).
LARGEST_OVERFLOW = 110
# Quarters are round numbers; a finer one would be a draw that was not shrunk.
PARTS = 4
MOST_POSITIONS = 3


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, list):
        for item in value:
            yield from numbers(item)
    else:
        yield float(value)


def examples(fault: FaultyLoss) -> list[dict[str, Any]]:
    """The counterexamples with logits."""
    given = [dict(r.verdict.counterexample or {}) for r in found_by(fault, run(fault))]
    return [one for one in given if "logits" in one]


def is_minimal(fault: FaultyLoss, logits: Any) -> bool:
    classes = len(logits[0]) if isinstance(logits[0], list) else 1
    scores = list(numbers(logits))
    positions = len(scores) / (len(logits) * classes)
    largest = LARGEST_OVERFLOW if fault.cause == "unstable_loss" else LARGEST
    few = len(logits) <= MOST_ROWS and classes <= (fault.all_arguments.get("num_classes") or MOST_CLASSES)
    return few and positions <= MOST_POSITIONS and all(is_round(x, fault) and abs(x) <= largest for x in scores)


def is_round(score: float, fault: FaultyLoss) -> bool:
    """Quarters; where the range of float32 ends, which is found by bisection, the next number of two digits."""
    of_two_digits = abs(score - float(f"{score:.2g}")) < 1e-5
    return score * PARTS == round(score * PARTS) or (fault.cause == "unstable_loss" and of_two_digits)


@pytest.mark.parametrize("fault", [pytest.param(f, id=f.name, marks=looks_at(f)) for f in FAULTS])
def test_a_counterexample_is_minimal(fault: FaultyLoss):
    versions.shrinks_further(fault.name == "LDAMSelfTaught")
    shown = [one["logits"] for one in examples(fault)]
    assert any(is_minimal(fault, logits) for logits in shown), shown
