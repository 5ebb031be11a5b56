from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_logits.annotations import workflow_commands
from pytest_logits.finding import Location, Result
from tests.example_report import REGISTERED, SOFTMAX, example, result

ACTIONS = {"GITHUB_ACTIONS": "true"}
SOFT = result(SOFTMAX, fix="return the scores")


def lines(*results: Result, root: str = "/repo", failures: bool = True, **environment: str) -> list[str]:
    return list(
        workflow_commands(
            example(*results)["results"],
            root=Path(root),
            registered=REGISTERED,
            environment=ACTIONS | environment,
            failures=failures,
        )
    )


def changed(**changes: Any) -> Result:
    return result(replace(SOFTMAX, **changes))


def test_a_failure_is_an_error_at_its_line():
    (line,) = lines(SOFT)
    assert line == (
        "::error file=models.py,line=16,title=softmax_before_cross_entropy in net::outputs_are_logits: the lowest loss "
        "is 0.3270; expected: below 0.2506; fix: return the scores%0Arerun: pytest --logit-checks "
        "'conftest.py::net::outputs_are_logits'"
    )


@pytest.mark.parametrize("value", ["false", "", "1"])
def test_outside_of_github_there_is_none(value: str):
    assert lines(SOFT, GITHUB_ACTIONS=value) == []


def test_failures_and_advice_are_told_and_nothing_else():
    assert [line.split()[0] for line in lines()].count("::notice") == 1
    # The two checks that find the softmax of one model are one line.
    assert [line.split()[0] for line in lines()].count("::error") == 5


def test_checks_that_find_one_cause_at_one_place_are_one_line():
    (line,) = lines(SOFT, result(SOFTMAX, check="loss_reaches_its_minimum"))
    assert "loss_reaches_its_minimum: the lowest" in line
    assert "outputs_are_logits: the lowest" in line


def test_beside_a_plugin_that_tells_failures_advice_alone_is_told():
    assert [line.split()[0] for line in lines(failures=False)] == ["::notice"]


def test_without_a_place_it_is_where_the_model_is_registered():
    (line,) = lines(changed(location=None))
    assert line.startswith("::error file=conftest.py,line=5,")


@pytest.mark.parametrize(
    ("workspace", "file"), [("/repo", "ml/models.py"), ("/elsewhere", "models.py"), ("", "models.py")]
)
def test_the_file_is_relative_to_the_repository(workspace: str, file: str):
    (line,) = lines(SOFT, root="/repo/ml", GITHUB_WORKSPACE=workspace)
    assert line.startswith(f"::error file={file},line=16,")


def test_no_text_ends_the_line_or_begins_another_command():
    hostile = "50 %\r\n::error::no, no: yes"
    (line,) = lines(changed(measured=hostile, location=Location(file="a,b:c%.py", line=1)))
    assert line.splitlines() == [line]
    assert "file=a%2Cb%3Ac%25.py,line=1," in line
    assert "50 %25%0D%0A::error::no, no: yes" in line
