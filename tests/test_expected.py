"""Failures that pyproject.toml expects: which items they are of, what is wrong with a key, and the block to paste."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_logits.expected import HEADER, ExpectedFailures
from pytest_logits.finding import Location, Verdict, inconclusive, passed
from pytest_logits.model import RegistrationError, make_spec
from pytest_logits.model_registry import isolated
from pytest_logits.subject import Subject

SHAPE, RANGE = "output_shape_is_stable", "outputs_are_logits"
BOTH = f"--logit-select={SHAPE},{RANGE}"
TAGS = {SHAPE: ("outputs",), RANGE: ("outputs", "exact")}
Decides = Callable[[str, Callable[[Subject], Verdict]], None]
NETS = """
    import torch
    import pytest_logits

    for name in ("net", "other"):
        pytest_logits.register(lambda: torch.nn.Linear(4, 2), name=name, input_shape=(4,), num_classes=2)
"""


def written(folder: Path, *lines: str) -> ExpectedFailures:
    path = folder / "pyproject.toml"
    path.write_text("\n".join([HEADER, *lines]), encoding="utf-8")
    return ExpectedFailures(path)


def spec(folder: Path, name: str = "net", **arguments: Any) -> Any:
    given = {"name": name, "input_shape": (4,), "num_classes": 2, **arguments}
    return make_spec(lambda: None, file=folder / "conftest.py", line=7, arguments=given)


# Which items a key is of


@pytest.mark.parametrize(
    ("key", "strict"),
    [
        (f"net::{RANGE}", True),
        (f"conftest.py::net::{RANGE}", True),
        ("net::exact", False),
        (RANGE, False),
        ("exact", False),
        ("outputs", False),
    ],
)
def test_a_key_is_of_a_model_and_a_check_or_of_more(tmp_path: Path, key: str, strict: bool):
    found = written(tmp_path, f'"{key}" = "known"').of(spec(tmp_path), RANGE, TAGS[RANGE])
    assert found is not None
    assert (found.reason, found.strict, found.where) == ("known", strict, f"{HEADER}: {key!r}")


@pytest.mark.parametrize("key", [f"other::{RANGE}", f"net::{SHAPE}", SHAPE, "loss", f"b/conftest.py::net::{RANGE}"])
def test_a_key_of_others_is_of_no_concern(tmp_path: Path, key: str):
    assert written(tmp_path, f'"{key}" = "known"').of(spec(tmp_path), RANGE, TAGS[RANGE]) is None


def test_the_narrowest_key_counts(tmp_path: Path):
    keys = ["exact", RANGE, "net::exact", f"net::{RANGE}"]
    for number in range(len(keys), 0, -1):
        expected = written(tmp_path, *(f'"{key}" = "{key}"' for key in keys[:number]))
        found = expected.of(spec(tmp_path), RANGE, TAGS[RANGE])
        assert found is not None
        assert found.reason == keys[number - 1]


def test_the_registration_comes_first(tmp_path: Path):
    registered = spec(tmp_path, expected_failures={RANGE: "here"})
    found = written(tmp_path, f'"net::{RANGE}" = "there"').of(registered, RANGE, TAGS[RANGE])
    assert found is not None
    assert (found.reason, found.where) == ("here", "expected_failures= at conftest.py:7")


def test_without_a_file_nothing_is_expected(tmp_path: Path):
    assert ExpectedFailures(tmp_path / "pyproject.toml").of(spec(tmp_path), RANGE, TAGS[RANGE]) is None


# What is wrong with a key


@pytest.mark.parametrize("line", [f'{RANGE} = ""', f'{RANGE} = "  "', f"{RANGE} = true", f'net.{RANGE} = "known"'])
def test_a_reason_is_required(tmp_path: Path, line: str):
    with pytest.raises(RegistrationError, match="needs a reason, in words"):
        written(tmp_path, line)


def test_an_unknown_check_is_told_with_the_nearest(tmp_path: Path):
    expected = written(tmp_path, '"net::outputs_are_logit" = "known"')
    with pytest.raises(RegistrationError, match=f"neither a check nor a tag; did you mean '{RANGE}'"):
        expected.require_known(TAGS)


def test_an_unknown_tag_is_told_with_the_nearest(tmp_path: Path):
    with pytest.raises(RegistrationError, match="'output' is neither a check nor a tag; did you mean 'outputs'"):
        written(tmp_path, 'output = "known"').require_known(TAGS)


def test_an_unknown_model_is_told_with_the_nearest(tmp_path: Path):
    expected = written(tmp_path, f'"nett::{RANGE}" = "known"')
    with pytest.raises(RegistrationError, match="no model or loss 'nett' is registered; did you mean 'net'"):
        expected.require_models([spec(tmp_path)])


def test_known_names_are_right(tmp_path: Path):
    expected = written(
        tmp_path, f'"net::{RANGE}" = "known"', f'"conftest.py::net::{SHAPE}" = "known"', 'exact = "known"'
    )
    expected.require_known(TAGS)
    expected.require_models([spec(tmp_path)])


def test_a_misspelt_table_is_told_with_the_nearest(tmp_path: Path):
    path = tmp_path / "pyproject.toml"
    path.write_text("[tool.pytest-logits.expected_failure]\n", encoding="utf-8")
    with pytest.raises(RegistrationError, match="knows no 'expected_failure'; did you mean 'expected_failures'"):
        ExpectedFailures(path)


# The block


def record(model: str = "net", *, file: str = "conftest.py", **changes: Any) -> dict[str, Any]:
    return {
        "nodeid": f"{file}::{model}::{RANGE}",
        "model": model,
        "check": RANGE,
        "outcome": "failed",
        "cause": "bounded_logits",
        "measured": 'it is "3"\n',
        "location": {"file": "net.py", "line": 3},
        **changes,
    }


def test_the_block_has_a_line_for_each_failure(tmp_path: Path):
    expected = ExpectedFailures(tmp_path / "pyproject.toml")
    outcomes = ("passed", "error", "xfailed", "xpassed", "inconclusive")
    others = [record(f"net_{outcome}", outcome=outcome) for outcome in outcomes]
    assert expected.block([record(), *others]) == [HEADER, f'"net::{RANGE}" = "known: bounded_logits at net.py:3"']


def test_without_a_cause_the_reason_is_what_was_measured(tmp_path: Path):
    expected = ExpectedFailures(tmp_path / "pyproject.toml")
    assert expected.block([record(cause=None, location=None)])[1] == f'"net::{RANGE}" = "known: it is \\"3\\"\\n"'


def test_models_of_one_name_have_their_files_in_the_block(tmp_path: Path):
    block = ExpectedFailures(tmp_path / "pyproject.toml").block([record(), record(file="b.py", outcome="passed")])
    assert block[1].startswith(f'"conftest.py::net::{RANGE}" = ')


def test_where_there_is_a_table_the_block_adds_to_it(tmp_path: Path):
    assert [line[0] for line in written(tmp_path).block([record()])] == ['"']


def test_what_generated_models_fail_is_no_failure_of_the_users(tmp_path: Path):
    assert ExpectedFailures(tmp_path / "pyproject.toml").block([record("generated", file="logits")]) == []


# In runs


def fails(subject: Subject) -> Verdict:
    where = Location(file=str(Path.cwd() / "net.py"), line=3)
    return Verdict(outcome="failed", cause="bounded_logits", measured="it is 3", location=where)


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    with isolated():
        return pytester.runpytest_inprocess("--logit-checks", *args)


def block_of(result: pytest.RunResult) -> list[str]:
    return [line[4:] for line in result.outlines if line.startswith(('    "', "    [tool."))]


def test_after_pasting_the_block_the_run_is_green_and_a_new_failure_is_not(pytester: pytest.Pytester, decides: Decides):
    pytester.makeconftest(NETS)
    decides(SHAPE, lambda subject: passed("it is 4"))
    decides(RANGE, fails)
    first = run(pytester, BOTH)
    pasted = block_of(first)
    (pytester.path / "pyproject.toml").write_text("\n".join(pasted) + "\n", encoding="utf-8")
    second = run(pytester, BOTH)
    decides(SHAPE, lambda subject: dataclasses.replace(fails(subject), measured=subject.name))
    third = run(pytester, BOTH)
    assert (first.parseoutcomes(), second.parseoutcomes()) == ({"failed": 2, "passed": 2}, {"xfailed": 2, "passed": 2})
    assert (second.ret, block_of(second)) == (0, [])
    assert third.parseoutcomes() == {"failed": 2, "xfailed": 2}
    # The table is there; what is new is added to it.
    (pytester.path / "pyproject.toml").write_text("\n".join([*pasted, *block_of(third)]) + "\n", encoding="utf-8")
    assert run(pytester, BOTH).parseoutcomes() == {"xfailed": 4}


@pytest.mark.parametrize(
    ("key", "outcomes"),
    [
        # A check by itself is of both models; that one of them passes is no contradiction.
        (RANGE, {"xfailed": 1, "passed": 3}),
        ("exact", {"xfailed": 1, "passed": 3}),
        (f"net::{RANGE}", {"xfailed": 1, "passed": 3}),
        (f"other::{RANGE}", {"failed": 2, "passed": 2}),
    ],
)
def test_only_a_key_of_one_model_and_check_is_strict(
    pytester: pytest.Pytester, decides: Decides, key: str, outcomes: dict[str, int]
):
    pytester.makeconftest(NETS)
    written(pytester.path, f'"{key}" = "known"')
    decides(SHAPE, lambda subject: passed("it is 4"))
    decides(RANGE, lambda subject: fails(subject) if subject.name == "net" else passed("it is 4"))
    assert run(pytester, BOTH).parseoutcomes() == outcomes


def test_what_does_not_decide_is_neither_failure_nor_its_absence(pytester: pytest.Pytester, decides: Decides):
    pytester.makeconftest(NETS)
    written(pytester.path, f'"net::{RANGE}" = "known"')
    decides(RANGE, lambda subject: inconclusive("it is 3.5"))
    assert run(pytester, f"--logit-select={RANGE}").parseoutcomes() == {"skipped": 2}


def test_a_failure_that_is_gone_says_where_it_is_expected(pytester: pytest.Pytester, decides: Decides):
    pytester.makeconftest(NETS)
    written(pytester.path, f'"net::{RANGE}" = "known"')
    decides(RANGE, lambda subject: passed("it is 4"))
    run(pytester, f"--logit-select={RANGE}").stdout.fnmatch_lines(
        ["*XPASS(strict)*known*", f"{RANGE} holds: take it out of *tool.pytest-logits.expected_failures*'net::{RANGE}'"]
    )


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("net::outputs_are_logit", f"'outputs_are_logit' is neither a check nor a tag; did you mean '{RANGE}'?"),
        (f"nett::{RANGE}", "no model or loss 'nett' is registered; did you mean 'net'?"),
    ],
)
def test_an_unknown_name_ends_the_session(pytester: pytest.Pytester, key: str, message: str):
    pytester.makeconftest(NETS)
    written(pytester.path, f'"{key}" = "known"')
    result = run(pytester, "--co")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str() + result.stdout.str()


@pytest.mark.parametrize("args", [["tests"], ["--ignore=tests"], [f"conftest.py::net::{RANGE}"]], ids=" ".join)
def test_a_model_of_a_file_that_is_not_loaded_may_be_named(pytester: pytest.Pytester, args: list[str]):
    pytester.makeconftest(NETS)
    pytester.makepyfile(**{"tests/test_own": "def test_own(): pass"})
    written(pytester.path, f'"elsewhere::{RANGE}" = "known"')
    assert run(pytester, "--co", *args).ret == pytest.ExitCode.OK


def test_the_reason_is_in_the_summary_and_not_in_the_record(pytester: pytest.Pytester, decides: Decides):
    pytester.makeconftest(NETS)
    written(pytester.path, f'"net::{RANGE}" = "known since May"')
    decides(RANGE, fails)
    result = run(pytester, f"--logit-select={RANGE}", "-k", "net", "--logit-report=out.json")
    result.stdout.fnmatch_lines(["expected failures:", f"  {RANGE}*: known since May"])
    (found,) = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))["results"]
    assert (found["outcome"], found["measured"]) == ("xfailed", "it is 3")
