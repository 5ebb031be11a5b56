"""A report with a result of each outcome, texts of a hostile user among them, for the tests of the formats."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_logits.finding import Location, Outcome, Passes, Proof, Result, Verdict
from pytest_logits.report_json import report_of
from pytest_logits.report_places import Place

HOSTILE = "<script>document.title='owned'</script>&\"'"
CURVE = {
    "loss_curve": [0.69, 0.5, float("nan"), 0.35, 0.327],
    "loss_curve_undone": [0.69, 0.3, 0.12],
    "floor": 0.313262,
    "floors": {"simplex": 0.313262, "unit": 0.313262},
}
SPREAD = {"histograms": {"least scattered": {"edges": [0.0, 0.5, 1.0], "counts": [3, 1]}}}
SOFTMAX = Verdict(
    outcome="failed",
    cause="softmax_before_cross_entropy",
    measured="the lowest loss is 0.3270",
    expected="below 0.2506",
    proof=Proof(undone="log(output)", as_written=0.327, with_fix=0.12, goal=0.25, steps=13),
    location=Location(file="models.py", line=16, code="return self.model(x)"),
    counterexample={"batch_size": 16},
    evidence=CURVE,
)


def result(verdict: Verdict, *, model: str = "net", check: str = "outputs_are_logits", fix: str = "") -> Result:
    nodeid = f"conftest.py::{model}::{check}"
    return Result(
        nodeid=nodeid,
        model=model,
        check=check,
        outcome=verdict.outcome,
        claim="the outputs are what the loss takes",
        verdict=verdict,
        fix=fix,
        passes=Passes(forward=3, backward=1),
        seconds=0.1,
        reproduce=f"pytest --logit-checks '{nodeid}'",
    )


def simple(outcome: Outcome, *, check: str, cause: str | None = None) -> Result:
    return result(Verdict(outcome=outcome, measured=f"it is {outcome}", cause=cause), check=check)


RESULTS = (
    result(SOFTMAX, check="loss_reaches_its_minimum", fix="return the scores"),
    result(replace(SOFTMAX, evidence=SPREAD), check="outputs_are_logits", fix="return the scores"),
    result(replace(SOFTMAX, measured=HOSTILE, evidence={HOSTILE: HOSTILE, **CURVE}), model=HOSTILE),
    simple("failed", check="targets_fit_loss"),
    simple("advice", check="predictions_match_logits", cause="log_probabilities_into_cross_entropy"),
    simple("error", check="outputs_stay_finite"),
    simple("xpassed", check="outputs_depend_on_inputs"),
    simple("xfailed", check="examples_are_independent", cause="examples_leak_across_batch"),
    simple("inconclusive", check="predictions_do_not_collapse"),
    simple("not_applicable", check="labels_fit_classes"),
    simple("passed", check="output_shape_is_stable"),
)
TOLD = ("failed", "error", "xpassed", "advice")


def example(*results: Result) -> dict[str, Any]:
    """The JSON report of the results, by default all of the above."""
    records = [one.to_json() for one in results or RESULTS]
    return report_of(records, torch_version="2.13.0", seed=7, profile="quick", seconds=1.23456)


REGISTERED = {one.nodeid: Place("conftest.py", 5) for one in RESULTS}
