"""Checks by name or tag; a word that is neither is an error that names the nearest."""

from __future__ import annotations

import re

import pytest

from pytest_logits import selection
from pytest_logits.check_registry import Check, all_checks
from pytest_logits.finding import passed
from pytest_logits.selection import selected_checks


def made(name: str, *tags: str) -> Check:
    return Check(name=name, claim="it holds", tags=tags, function=lambda subject: passed(""), doc="Its page.")


@pytest.fixture(autouse=True)
def four_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = (
        made("shape", "outputs", "exact"),
        made("range", "outputs"),
        made("fit", "loss", "exact"),
        made("step", "learning"),
    )
    monkeypatch.setattr(selection, "all_checks", lambda: checks)


@pytest.mark.parametrize(
    ("select", "ignore", "names"),
    [
        ([], [], ["shape", "range", "fit", "step"]),
        (["fit"], [], ["fit"]),
        (["outputs"], [], ["shape", "range"]),
        (["exact"], [], ["shape", "fit"]),
        (["step", "shape"], [], ["shape", "step"]),
        (["shape", "outputs"], [], ["shape", "range"]),
        ([], ["fit"], ["shape", "range", "step"]),
        ([], ["outputs", "step"], ["fit"]),
        (["outputs"], ["exact"], ["range"]),
        (["outputs"], ["outputs"], []),
    ],
)
def test_names_and_tags_choose(select: list[str], ignore: list[str], names: list[str]):
    assert [c.name for c in selected_checks(select=select, ignore=ignore)] == names


@pytest.mark.parametrize("where", ["select", "ignore"])
@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("output", "'output' is neither a check nor a tag; did you mean 'outputs'?"),
        ("steps", "'steps' is neither a check nor a tag; did you mean 'step'?"),
        ("Fit", "did you mean 'fit'?"),
        ("zzz", "it is one of: shape, range, fit, step, exact, learning, loss, outputs"),
    ],
)
def test_an_unknown_word_names_the_nearest(where: str, word: str, said: str):
    with pytest.raises(ValueError, match=re.escape(said)):
        selected_checks(**{where: ["fit", word]})


def test_words_are_read_once():
    assert [c.name for c in selected_checks(select=iter(["fit"]), ignore=iter([]))] == ["fit"]


def test_without_words_all_checks_are_selected(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(selection, "all_checks", all_checks)
    assert selected_checks() == all_checks()
