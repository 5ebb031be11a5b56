from __future__ import annotations

import json
import math
from typing import Any

import pytest

from pytest_logits.finding import (
    Location,
    Passes,
    Proof,
    Result,
    Verdict,
    advice,
    as_json,
    failed,
    inconclusive,
    not_applicable,
    passed,
    proof_text,
)

# The contract, design.md section 7.
KEYS = {
    "nodeid",
    "model",
    "check",
    "outcome",
    "cause",
    "claim",
    "measured",
    "expected",
    "fix",
    "proof",
    "location",
    "counterexample",
    "evidence",
    "passes",
    "seconds",
    "reproduce",
}


def result(verdict: Verdict) -> Result:
    return Result(
        nodeid="conftest.py::net::outputs_are_logits",
        model="net",
        check="outputs_are_logits",
        outcome=verdict.outcome,
        claim="the claim",
        verdict=verdict,
        fix="the fix",
        passes=Passes(forward=12, backward=3),
        seconds=0.123456,
        reproduce="pytest --logit-checks",
    )


FULL = Verdict(
    outcome="failed",
    cause="softmax_before_cross_entropy",
    measured="measured",
    expected="expected",
    proof=Proof(undone="how", as_written=0.5, with_fix=0.1, goal=0.3, steps=7),
    location=Location(file="net.py", line=14, code="return x", note="note"),
    counterexample={"batch_size": 1},
    evidence={"shape": (2, 3)},
)


@pytest.mark.parametrize("verdict", [FULL, passed("all is well")], ids=["full", "bare"])
def test_a_record_has_exactly_the_keys_of_the_contract(verdict: Verdict):
    assert set(result(verdict).to_json()) == KEYS


def test_a_full_record_holds_what_the_verdict_says():
    record = result(FULL).to_json()
    assert record["location"] == {"file": "net.py", "line": 14}
    assert record["proof"] == {"undone": "how", "as_written": 0.5, "with_fix": 0.1, "goal": 0.3, "steps": 7}
    assert record["counterexample"] == {"batch_size": 1}
    assert record["evidence"] == {"shape": [2, 3]}
    assert record["passes"] == {"forward": 12, "backward": 3}
    assert record["seconds"] == 0.1235


def test_what_a_verdict_does_not_say_is_null():
    record = result(passed("all is well")).to_json()
    assert [record[key] for key in ("cause", "proof", "location", "counterexample")] == [None] * 4
    assert record["evidence"] == {}
    assert record["expected"] == ""


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_record_with_numbers_that_json_cannot_hold_is_strict_json(number: float):
    verdict = Verdict(
        outcome="failed",
        measured="measured",
        proof=Proof(undone="how", as_written=number, with_fix=0.1, goal=0.3),
        counterexample={"loss": number, "logits": [[number, 1.0]]},
        evidence={"deep": {"deeper": (number,)}},
    )
    record = json.loads(json.dumps(result(verdict).to_json(), allow_nan=False))
    assert record["counterexample"] == {"loss": repr(number), "logits": [[repr(number), 1.0]]}
    assert record["evidence"] == {"deep": {"deeper": [repr(number)]}}
    assert record["proof"]["as_written"] == repr(number)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        ("nan", "nan"),
        (0.1, 0.1),
        ((1, (2, [3])), [1, [2, [3]]]),
        ({1: (2,)}, {"1": [2]}),
        (range(2), "range(0, 2)"),
    ],
    ids=repr,
)
def test_values_become_plain_json(value: Any, expected: Any):
    assert as_json(value) == expected
    assert type(as_json(value)) is type(expected)


@pytest.mark.parametrize(("steps", "ran"), [(None, ""), (1, " after 1 step"), (13, " after 13 steps")])
def test_a_proof_in_words_has_both_losses_and_how_many_steps_it_took(steps: int | None, ran: str):
    proof = {"undone": "log(output)", "as_written": "inf", "with_fix": 0.11979, "goal": 0.25, "steps": steps}
    assert proof_text(proof) == f"as written inf, with the cause undone 0.1198{ran} (log(output))"


def test_passes_are_subtracted_field_by_field():
    assert Passes(forward=5, backward=3) - Passes(forward=2, backward=3) == Passes(forward=3, backward=0)


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [(passed("m"), "passed"), (inconclusive("m"), "inconclusive"), (not_applicable("m"), "not_applicable")],
)
def test_short_forms_name_no_cause(verdict: Verdict, outcome: str):
    assert (verdict.outcome, verdict.measured, verdict.cause) == (outcome, "m", None)


def test_a_failure_says_what_it_is_given():
    verdict = failed("it is 3", expected="4", cause="bounded_logits", counterexample={"n": 1}, evidence={"m": 2})
    assert (verdict.outcome, verdict.measured, verdict.expected) == ("failed", "it is 3", "4")
    assert (verdict.cause, verdict.counterexample, verdict.evidence) == ("bounded_logits", {"n": 1}, {"m": 2})


def test_advice_says_what_it_is_given():
    verdict = advice("it is 3", expected="4", cause="bounded_logits", evidence={"m": 2})
    assert (verdict.outcome, verdict.measured, verdict.expected) == ("advice", "it is 3", "4")
    assert (verdict.cause, verdict.evidence) == ("bounded_logits", {"m": 2})


@pytest.mark.parametrize("verdict", [failed("x"), advice("x"), passed("x"), inconclusive("x"), not_applicable("x")])
def test_a_verdict_of_few_words_has_no_more(verdict: Verdict):
    assert (verdict.cause, verdict.counterexample, verdict.evidence, verdict.expected) == (None, None, {}, "")
