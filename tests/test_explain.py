"""What --logit-list and --logit-explain print."""

from __future__ import annotations

import re
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
    assert listing() == snapshot


def test_the_list_has_a_line_for_every_check_and_cause():
    first_words = [line.split()[0] for line in listing().splitlines() if line.startswith("  ")]
    assert first_words == [c.name for c in all_checks()] + cause_names()


@pytest.mark.parametrize("what", ["checks", "causes"])
def test_the_columns_of_the_list_are_apart(what: str):
    names = [c.name for c in all_checks()] if what == "checks" else cause_names()
    rows = {line.split()[0]: line for line in listing().splitlines() if line.startswith("  ")}
    assert [name for name in names if not re.match(rf"  {name}\s{{2,}}\S", rows[name])] == []


def test_a_check_in_full(monkeypatch: pytest.MonkeyPatch, snapshot: Any):
    doc = "Its first line.\n\nWhat it does."
    own = Check(name="own", claim="it holds", tags=("outputs",), function=lambda subject: passed(""), doc=doc)
    monkeypatch.setattr(module, "all_checks", lambda: (own,))
    assert explain("own") == snapshot


def test_a_cause_in_full(snapshot: Any):
    assert explain("softmax_before_cross_entropy") == snapshot


@pytest.mark.parametrize("name", [c.name for c in all_checks()])
def test_every_check_is_explained_by_claim_and_page(name: str):
    check = {c.name: c for c in all_checks()}[name]
    text = explain(name)
    assert (check.claim in text, check.doc in text) == (True, True)


@pytest.mark.parametrize("name", cause_names())
def test_every_cause_is_explained_by_page_and_fix(name: str):
    text = explain(name)
    assert (cause(name).page in text, f"Fix: {cause(name).fix}." in text) == (True, True)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("outputs_are_logit", "outputs_are_logits"),
        ("softmax_before_crossentropy", "softmax_before_cross_entropy"),
    ],
)
def test_an_unknown_name_names_the_nearest(name: str, nearest: str):
    with pytest.raises(pytest.UsageError) as raised:
        explain(name)
    assert str(raised.value).startswith(f"--logit-explain {name}: no such check or cause; did you mean '{nearest}")
