"""Runs with --logit-controls: the items, the summary, the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_logits.check_registry import all_checks
from pytest_logits.finding import Verdict, passed
from pytest_logits.model_registry import isolated
from pytest_logits.planting import plants, plants_of_losses
from pytest_logits.subject import Subject
from tests.test_report_json import errors

Decides = Callable[[str, Callable[[Subject], Verdict]], None]
NET = """
    import torch
    import pytest_logits

    @pytest_logits.register(input_shape=(4,), num_classes=3)
    def net():
        return torch.nn.Linear(4, 3)
"""
# One check, that looks for few causes and trains nothing.
RANDOM = "--logit-select=evaluation_is_deterministic"
ONLY = "conftest.py::net::control[evaluation_is_random]"


@pytest.fixture
def net(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(NET)
    return pytester


@pytest.fixture
def blind(net: pytest.Pytester, decides: Decides) -> pytest.Pytester:
    """The check that is selected sees nothing."""
    decides("evaluation_is_deterministic", lambda subject: passed("all rows are equal"))
    return net


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    with isolated():
        return pytester.runpytest_inprocess("--logit-controls", "--logit-profile=quick", *args)


def report(pytester: pytest.Pytester, *args: str) -> dict[str, Any]:
    run(pytester, "--logit-report=out.json", *args)
    return dict(json.loads((pytester.path / "out.json").read_text(encoding="utf-8")))


def told(result: pytest.RunResult) -> str:
    text = result.stdout.str()
    return text[text.index(" logit controls ") :].partition("\n")[2].partition("\n=")[0].strip()


def test_there_is_an_item_for_each_plant_after_the_checks(net: pytest.Pytester):
    lines = [line for line in run(net, "--co", "-q").outlines if line.startswith("conftest.py::")]
    names = [c.name for c in all_checks()] + [f"control[{cause}]" for cause in plants()]
    assert lines == [f"conftest.py::net::{name}" for name in names]


def test_without_the_option_there_is_none(net: pytest.Pytester):
    assert "control[" not in net.runpytest_inprocess("--logit-checks", "--co", "-q").stdout.str()


def test_the_ini_twin_adds_controls_to_checks(net: pytest.Pytester):
    net.makeini("[pytest]\nlogit_controls = true")
    assert ONLY in net.runpytest_inprocess("--logit-checks", "--co", "-q").stdout.str()


def test_the_ini_twin_alone_turns_nothing_on(net: pytest.Pytester):
    net.makeini("[pytest]\nlogit_controls = true")
    net.makepyfile(test_own="def test_own(): pass")
    assert "net" not in net.runpytest_inprocess("--co", "-q").stdout.str()


def test_an_id_pasted_back_is_that_item_alone(net: pytest.Pytester):
    run(net, ONLY).assert_outcomes(passed=1)


def test_generated_classifiers_are_the_positive_control(net: pytest.Pytester):
    lines = run(net, "--co", "-q").outlines
    assert [line for line in lines if line.startswith("logits::generated::")] == [
        f"logits::generated::{c.name}" for c in all_checks()
    ]


def test_a_check_of_the_users_own_is_no_positive_control(net: pytest.Pytester):
    own = """
    @pytest_logits.check(claim="there are three classes")
    def three_classes(classifier):
        assert classifier.num_classes == 3
"""
    net.makeconftest(NET + own)
    lines = run(net, "--co", "-q", "--logit-select=own,loss").outlines
    assert "conftest.py::net::three_classes" in lines
    assert "logits::generated::targets_fit_loss" in lines
    assert "logits::generated::three_classes" not in lines


def test_a_sound_classifier_that_fails_is_told(net: pytest.Pytester, decides: Decides):
    decides("evaluation_is_deterministic", lambda subject: Verdict(outcome="failed", measured="it is 3"))
    text = told(run(net, "-k", "generated", RANDOM))
    assert text == "sound generated classifiers: 1 check wrongly failed: evaluation_is_deterministic"


def test_planted_faults_are_caught(net: pytest.Pytester, snapshot: Any):
    assert told(run(net, "-k", "control or generated")) == snapshot


def test_a_missed_fault_is_told_and_does_not_fail_the_run(blind: pytest.Pytester, snapshot: Any):
    result = run(blind, RANDOM)
    assert result.ret == pytest.ExitCode.OK
    assert told(result) == snapshot


def test_a_missed_fault_fails_where_advice_does(blind: pytest.Pytester, snapshot: Any):
    result = run(blind, ONLY, RANDOM, "--logit-strict")
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert text[text.index("evaluation_is_random, planted") : text.index("\n=====", text.index("rerun"))] == snapshot


def test_a_model_that_fails_as_it_is_is_told(pytester: pytest.Pytester):
    pytester.makeconftest(
        NET.replace("torch.nn.Linear(4, 3)", "torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())")
    )
    text = told(run(pytester, "--logit-select=outputs_are_logits", "conftest.py"))
    assert "planted faults caught, on a model that fails 1 check as it is" in text
    assert "not planted in net: the model has this fault as it is, see outputs_are_logits: bounded_logits" in text


def test_the_report_has_the_controls(net: pytest.Pytester):
    found = report(net, RANDOM, "-k", "evaluation_is_random")
    (control,) = found["controls"]
    assert found["schema"] == 1
    assert found["results"] == []
    assert control.pop("seconds") > 0
    assert control.pop("passes")["forward"] > 0
    (said,) = control.pop("said")
    assert said.pop("measured")
    assert said == {"check": "evaluation_is_deterministic", "outcome": "failed", "cause": "evaluation_is_random"}
    assert control == {
        "nodeid": ONLY,
        "model": "net",
        "fault": "evaluation_is_random",
        "planted": plants()["evaluation_is_random"].words,
        "outcome": "caught",
        "reason": "",
        "reproduce": f"pytest --logit-checks '{ONLY}' --logit-controls --logit-profile=quick",
    }


def test_a_missed_fault_is_missed_in_the_report(blind: pytest.Pytester):
    (control,) = report(blind, RANDOM, "-k", "evaluation_is_random")["controls"]
    assert (control["outcome"], control["said"][0]["measured"]) == ("missed", "all rows are equal")


def test_a_report_of_controls_validates_against_the_published_schema(net: pytest.Pytester):
    assert errors(report(net, "-k", "control and signed_targets")) == []


def test_a_fault_that_does_not_apply_has_its_reason_in_the_report(net: pytest.Pytester):
    (control,) = report(net, "-k", "control and signed_targets")["controls"]
    assert (control["outcome"], control["reason"]) == ("not_applicable", "the model cannot have this fault")


def test_without_controls_the_report_has_no_such_key(net: pytest.Pytester):
    net.runpytest_inprocess("--logit-checks", RANDOM, "--logit-report=out.json")
    assert "controls" not in json.loads((net.path / "out.json").read_text(encoding="utf-8"))


def test_two_workers_give_the_controls_of_one(net: pytest.Pytester):
    select = "--logit-select=evaluation_is_deterministic,output_shape_is_stable"
    found = [report(net, select)["controls"], report(net, select, "-n", "2")["controls"]]
    reports = [[{**control, "seconds": 0} for control in controls] for controls in found]
    assert len(reports[0]) == len(plants())
    assert reports[0] == reports[1]


def test_quiet_runs_tell_nothing(net: pytest.Pytester):
    assert "logit controls" not in run(net, "-q", RANDOM).stdout.str()


def test_a_model_that_cannot_be_built_fails_its_checks_and_no_control(net: pytest.Pytester):
    net.makeconftest(NET.replace("return torch.nn.Linear(4, 3)", "raise KeyError('my own mistake')"))
    result = run(net, RANDOM, "conftest.py", "-k", "net")
    result.assert_outcomes(failed=1, passed=1, skipped=len(plants()) - 1, deselected=1)


LOSS = """
    import torch.nn.functional as F
    import pytest_logits

    @pytest_logits.register_loss(num_classes=3)
    def smoothed(logits, targets):
        return F.cross_entropy(logits, targets, label_smoothing=0.1)
"""


def test_a_registered_loss_has_controls_of_its_own(pytester: pytest.Pytester):
    pytester.makeconftest(LOSS)
    lines = [line for line in run(pytester, "--co", "-q").outlines if "smoothed::control" in line]
    assert lines == [f"conftest.py::smoothed::control[{cause}]" for cause in plants_of_losses()]


def test_what_became_of_the_faults_in_a_loss_is_told_and_reported(pytester: pytest.Pytester):
    pytester.makeconftest(LOSS)
    found = report(pytester, "-k", "smoothed and control and (detached or signed)")
    assert errors(found) == []
    assert {c["fault"]: c["outcome"] for c in found["controls"]} == {
        "detached_graph": "caught",
        "signed_targets": "not_applicable",
    }
