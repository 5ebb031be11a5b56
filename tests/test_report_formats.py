"""The reports as a run leaves them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from pytest_logits.annotations import OTHER_PLUGIN
from pytest_logits.finding import Location, Proof, Verdict
from pytest_logits.model_registry import isolated
from pytest_logits.report_formats import refusal
from pytest_logits.subject import Subject
from tests.test_report_json import errors

SHAPE = "output_shape_is_stable"
RANGE = "outputs_are_logits"
NET = """
    import torch
    import pytest_logits

    @pytest_logits.register(input_shape=(4,), num_classes=2)
    def net():
        return torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Softmax(1))
"""


def softmax(subject: Subject) -> Verdict:
    return Verdict(
        outcome="failed",
        cause="softmax_before_cross_entropy",
        measured="it is <3>",
        proof=Proof(undone="log", as_written=float("inf"), with_fix=0.1, goal=0.2),
        location=Location(file=str(Path.cwd() / "conftest.py"), line=7),
        evidence={"loss_curve": [1.0, 0.5]},
    )


def advice(subject: Subject) -> Verdict:
    return Verdict(outcome="advice", measured="it is 3")


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    with isolated():
        return pytester.runpytest_inprocess("--logit-checks", f"--logit-select={SHAPE},{RANGE}", *args)


@pytest.fixture
def net(pytester: pytest.Pytester, decides: Any, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    pytester.makeconftest(NET)
    decides(RANGE, softmax)
    decides(SHAPE, advice)
    return pytester


def annotated(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if line.startswith("::")]


NAMES = ("out.json", "out.sarif", "out.html")
OPTIONS = [f"--logit-report=reports/{name}" for name in NAMES]


def test_one_run_writes_every_format(net: pytest.Pytester):
    reports = net.mkdir("reports")
    run(net, *OPTIONS, "--junitxml=out.xml")
    assert sorted(path.name for path in reports.iterdir()) == sorted(NAMES)
    report = json.loads((reports / "out.json").read_text(encoding="utf-8"))
    assert errors(report) == []
    (found,) = (r for r in report["results"] if r["outcome"] == "failed")
    sarif = json.loads((reports / "out.sarif").read_text(encoding="utf-8"))["runs"][0]
    (told,) = (r for r in sarif["results"] if r["level"] == "error")
    assert told["ruleId"] == found["cause"] == "softmax_before_cross_entropy"
    place = told["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "conftest.py"
    assert place["region"]["startLine"] == found["location"]["line"] == 7
    assert 'id="r1"' in (reports / "out.html").read_text(encoding="utf-8")
    properties = [
        {p.attrib["name"]: p.attrib["value"] for p in case.iter("property")}
        for case in ElementTree.parse(net.path / "out.xml").iter("testcase")
    ]
    assert {"conftest.py:7"} == {p["logit_location"] for p in properties if "logit_location" in p}


def test_with_a_worker_the_controller_writes_them(net: pytest.Pytester):
    # A worker is a process of its own, where nothing is planted: the model's own softmax is found.
    reports = net.mkdir("reports")
    run(net, "-n", "1", *OPTIONS)
    assert sorted(path.name for path in reports.iterdir()) == sorted(NAMES)
    report = json.loads((reports / "out.json").read_text(encoding="utf-8"))
    assert errors(report) == []
    assert [record["cause"] for record in report["results"]] == [None, "softmax_before_cross_entropy"]
    (found,) = json.loads((reports / "out.sarif").read_text(encoding="utf-8"))["runs"][0]["results"]
    assert found["properties"]["nodeid"] == f"conftest.py::net::{RANGE}"


def test_advice_without_a_place_is_told_where_the_model_is_registered(net: pytest.Pytester):
    run(net, "--logit-report=out.sarif")
    (note,) = (
        found
        for found in json.loads((net.path / "out.sarif").read_text(encoding="utf-8"))["runs"][0]["results"]
        if found["level"] == "note"
    )
    place = note["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("conftest.py", 4)


def test_on_github_findings_are_annotated(net: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    assert annotated(run(net)) == []
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    lines = annotated(run(net, "-q", "-p", f"no:{OTHER_PLUGIN}"))
    starts = [line.partition("::" + RANGE)[0].partition("::" + SHAPE)[0] for line in lines]
    assert sorted(starts) == [
        "::error file=conftest.py,line=7,title=softmax_before_cross_entropy in net",
        f"::notice file=conftest.py,line=4,title={SHAPE} has advice on net",
    ]


def test_beside_the_plugin_that_annotates_failures_none_is_told_twice(
    net: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    net.makeconftest(
        f"""{NET}
    def pytest_configure(config):
        if not config.pluginmanager.hasplugin({OTHER_PLUGIN!r}):
            config.pluginmanager.register(object(), {OTHER_PLUGIN!r})
"""
    )
    assert [line.split()[0] for line in annotated(run(net))] == ["::notice"]


@pytest.mark.parametrize("name", ["out.json", "out.sarif", "out.html"])
def test_a_known_ending_is_taken(name: str, tmp_path: Path):
    assert refusal(tmp_path / name) == ""


@pytest.mark.parametrize("name", ["out.txt", "out", "out.JSON", ".json"])
def test_another_ending_is_refused_with_the_known_ones(name: str, tmp_path: Path):
    assert refusal(tmp_path / name) == "must end in .json, .sarif or .html"
