"""What --logit-list and --logit-explain print."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import pytest

from pytest_logits import explain as module
from pytest_logits.causes import cause, cause_names
from pytest_logits.check_registry import Check, all_checks
from pytest_logits.explain import explain, listing
from pytest_logits.finding import passed

CHECKS = ("output_shape_is_stable", "outputs_are_logits")
CAUSES = ["output_shape_depends_on_batch", "softmax_before_cross_entropy"]


def test_the_list(monkeypatch: pytest.MonkeyPatch, snapshot: Any):
    """Of two checks and two causes, so that adding another changes no snapshot."""
    two = tuple(c for c in all_checks() if c.name in CHECKS)
    monkeypatch.setattr(module, "all_checks", lambda: two)
    monkeypatch.setattr(module, "cause_names", lambda: CAUSES)
    assert listing(80) == snapshot


def rows(width: int) -> list[str]:
    return [line for line in listing(width).splitlines() if line.startswith("  ")]


def test_the_list_has_a_line_for_every_check_in_the_order_of_a_run_and_for_every_cause():
    names = [row.split()[0] for row in rows(80)]
    checks = [c.name for c in all_checks()]
    assert names[: len(checks)] == checks
    assert sorted(names[len(checks) :]) == cause_names()


@pytest.mark.parametrize("width", [72, 80, 120])
def test_the_list_fits(width: int):
    assert [line for line in listing(width).splitlines() if len(line) > width] == []


def test_what_does_not_fit_is_cut_between_words():
    cut = [row.removesuffix(" ...").split(maxsplit=1) for row in rows(80) if row.endswith(" ...")]
    whole = {c.name: c.claim for c in all_checks()} | {name: cause(name).summary for name in cause_names()}
    assert cut
    assert [name for name, start in cut if not whole[name].startswith(f"{start} ")] == []


def test_a_wide_terminal_shows_more(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert listing() == listing(120) != listing(80)


@pytest.mark.parametrize("what", ["checks", "causes"])
def test_the_columns_of_the_list_are_apart(what: str):
    names = [c.name for c in all_checks()] if what == "checks" else cause_names()
    lines = {row.split()[0]: row for row in rows(80)}
    assert [name for name in names if not re.match(rf"  {name}\s{{2,}}\S", lines[name])] == []


def test_a_check_in_full(monkeypatch: pytest.MonkeyPatch, snapshot: Any):
    doc = "Its first line.\n\nWhat it does."
    own = Check(name="own", claim="it holds", tags=("outputs",), function=lambda subject: passed(""), doc=doc)
    monkeypatch.setattr(module, "all_checks", lambda: (own,))
    assert explain("own", 80) == snapshot


def test_a_cause_in_full(snapshot: Any):
    assert explain("softmax_before_cross_entropy", 80) == snapshot


def test_a_tag_in_full(snapshot: Any):
    assert explain("data", 80) == snapshot


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("name", [c.name for c in all_checks()])
def test_every_check_is_explained_by_claim_and_page(name: str):
    check = {c.name: c for c in all_checks()}[name]
    text = words(explain(name))
    assert (check.claim in text, words(check.doc) in text) == (True, True)
    assert f"--logit-select={name}" in text


@pytest.mark.parametrize("name", cause_names())
def test_every_cause_is_explained_by_page_and_fix(name: str):
    text = words(explain(name))
    assert (words(cause(name).page) in text, f"Fix: {cause(name).fix}." in text) == (True, True)


@pytest.mark.parametrize("name", cause_names())
def test_the_code_of_a_cause_is_left_as_it_is(name: str):
    assert (indent(cause(name).bad) in explain(name), indent(cause(name).good) in explain(name)) == (True, True)


def indent(code: str) -> str:
    return textwrap.indent(code.strip(), "    ")


@pytest.mark.parametrize("name", [*cause_names(), *(c.name for c in all_checks())])
def test_prose_is_wrapped_to_the_terminal(name: str):
    prose = [line for line in explain(name, 80).splitlines() if not line.startswith((" ", "Run it:", "Look for it:"))]
    assert [line for line in prose if len(line) > 80] == []


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("outputs_are_logit", "outputs_are_logits"),
        ("softmax_before_crossentropy", "softmax_before_cross_entropy"),
        ("learnin", "learning"),
    ],
)
def test_an_unknown_name_names_the_nearest(name: str, nearest: str):
    with pytest.raises(pytest.UsageError) as raised:
        explain(name)
    assert str(raised.value).startswith(f"--logit-explain {name}: no such check or cause; did you mean '{nearest}")
