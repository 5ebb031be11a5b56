"""The counterexample of a finding about a loss is as small as one can be: few rows, few classes, round numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.zoo.own_losses.entry import FaultyLoss
from tests.zoo.own_losses.families import FAULTS, run
from tests.zoo.own_losses.table import failures

MOST_ROWS, MOST_CLASSES, LARGEST = 2, 3, 10
# Quarters are round numbers; a finer one would be a draw that was not shrunk.
PARTS = 4
# One of each kind for which a batch of one row shows the fault.
SHOWN_BY_ONE_ROW = (
    "ClampedScores",
    "FocalWeightedByP",
    "SigmoidFocalOfSigmoid",
    "DivergenceOfProbabilities",
    "BCEWithoutLog",
    "DiceOfScores",
    "GeneralisedWithoutOne",
    "TaylorOfP",
    "MarginTurnedRound",
    "HingeTurnedRound",
    "BrierOfASum",
    "LDAMOfPrediction",
)


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, list):
        for item in value:
            yield from numbers(item)
    else:
        yield float(value)


def example(fault: FaultyLoss) -> dict[str, Any]:
    """The first counterexample with logits among the failures."""
    found = [
        dict(r.verdict.counterexample) for r in failures(run(fault)) if "logits" in (r.verdict.counterexample or {})
    ]
    return found[0] if found else {}


@pytest.mark.parametrize("fault", [f for f in FAULTS if f.name in SHOWN_BY_ONE_ROW], ids=lambda fault: fault.name)
def test_the_counterexample_is_minimal(fault: FaultyLoss):
    logits = example(fault).get("logits")
    assert logits, "no counterexample with logits"
    rows = len(logits)
    assert rows <= MOST_ROWS
    classes = len(logits[0]) if isinstance(logits[0], list) else 1
    assert classes <= (fault.all_arguments.get("num_classes") or MOST_CLASSES)
    found = list(numbers(logits))
    assert all(x * PARTS == round(x * PARTS) for x in found), found
    assert max(map(abs, found)) <= LARGEST, found
