"""The table of a run, and what is said beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_logits.matrix import MANY, reasons, table

HEADING = "inconclusive (the evidence does not decide):"
GROUPS = {"first_check": "outputs", "second_check": "outputs", "third_check": "loss"}


def record(model: str, check: str, outcome: str, *, file: str = "conftest.py", measured: str = "it is 3") -> Any:
    return {
        "nodeid": f"{file}::{model}::{check}",
        "model": model,
        "check": check,
        "outcome": outcome,
        "measured": measured,
        "expected": "4" if outcome == "inconclusive" else "",
        "passes": {"forward": 3, "backward": 2},
        "seconds": 0.125,
    }


def records(outcomes: Mapping[str, str]) -> list[Any]:
    """A model for each name, with an outcome for each check, by its letter."""
    letters = {"p": "passed", "f": "failed", "n": "not_applicable", "i": "inconclusive", "a": "advice"}
    return [
        record(model, check, letters[letter])
        for model, told in outcomes.items()
        for check, letter in zip(GROUPS, told, strict=False)
    ]


def text(found: list[Any], *, width: int = 80, every: bool = False) -> str:
    lines = table(found, groups=GROUPS, width=width, every=every)
    return "\n".join("".join(piece.text for piece in line) for line in lines)


def told(found: list[Any], because: Mapping[str, str] | None = None, *, width: int = 80, every: bool = False) -> str:
    lines = reasons(found, because or {}, width=width, every=every)
    return "\n".join("".join(piece.text for piece in line) for line in lines)


def test_models_that_fit_have_a_column_each(snapshot: Any):
    assert text(records({"net": "pfn", "other": "ipp"})) == snapshot


def test_models_that_do_not_fit_have_a_line_each(snapshot: Any):
    assert text(records({"net": "pfn", "other": "ipp"}), width=40) == snapshot


def test_a_narrow_terminal_has_two_lines_for_a_model(snapshot: Any):
    assert text(records({"a_model_with_a_long_name_that_is_cut": "pfn"}), width=36) == snapshot


def test_of_many_models_those_with_nothing_to_say_share_a_line(snapshot: Any):
    many = {f"net_{n:02}": "ppn" for n in range(MANY)} | {"odd": "pfp"}
    assert text(records(many)) == snapshot


def test_of_many_models_each_may_be_asked_for():
    many = {f"net_{n:02}": "ppn" for n in range(MANY + 1)}
    assert [name for name in many if name not in text(records(many), every=True)] == []


def test_a_check_that_did_not_run_is_left_open():
    lines = text([*records({"net": "ppp"}), record("loss", "third_check", "passed")]).splitlines()
    assert lines[1:4] == [
        "first_check               passed         ",
        "second_check              passed         ",
        "third_check               passed   passed",
    ]


def test_a_check_that_is_not_known_comes_last():
    found = [record("net", "own_check", "passed"), *records({"net": "p"})]
    assert [line.split()[0] for line in text(found).splitlines()[1:3]] == ["first_check", "own_check"]


def test_models_of_one_name_are_told_by_their_files():
    found = [record("net", "first_check", "passed", file=file) for file in ("a.py", "b.py")]
    assert text(found).splitlines()[0].split() == ["check", "a.py::net", "b.py::net"]


@pytest.mark.parametrize("width", [44, 60, 80])
@pytest.mark.parametrize("count", [1, 3, 20])
def test_no_line_is_wider_than_the_terminal(width: int, count: int):
    many = records({f"a_model_with_a_long_name_{n}": "fia" for n in range(count)})
    assert max(
        len(line) for line in [*text(many, width=width).splitlines(), *told(many, width=width).splitlines()]
    ) <= (width)


def test_reasons_come_under_their_headings(snapshot: Any):
    found = [
        *records({"net": "ain", "other": "ani"}),
        record("net", "fourth_check", "xfailed"),
    ]
    assert told(found, {"conftest.py::net::fourth_check": "known since May"}) == snapshot


def test_of_one_model_the_name_is_not_repeated():
    assert told(records({"net": "i"})) == HEADING + "\n  first_check: it is 3; expected 4"


def test_a_reason_of_many_models_names_a_few_unless_each_is_asked_for():
    found = records(dict.fromkeys("abcde", "ip") | {"f": "pp"})
    assert told(found) == HEADING + "\n  first_check on a, b, c and 2 more: it is 3; expected 4"
    assert told(found, every=True) == HEADING + "\n  first_check on a, b, c, d, e: it is 3; expected 4"
