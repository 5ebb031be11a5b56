"""The page as text; tests/test_report_browser.py opens it in a browser."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from pytest_logits.report_html import OUTCOMES, html_text
from tests.example_report import HOSTILE, RESULTS, example


class Page(HTMLParser):
    """What a browser would make elements of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.tags if name == tag and attributes.items() <= found.items()]


TEXT = html_text(example())
PAGE = Page(TEXT)


def test_nothing_is_loaded():
    names = {name for _, attributes in PAGE.tags for name in attributes}
    assert names & {"src", "srcset", "data", "action", "style"} == set()
    assert not [a for a in PAGE.all("a") if not (a["href"] or "").startswith("#")]
    assert PAGE.all("link") == []
    assert not re.search(r"url\(|@import", TEXT)


def test_no_script_and_style_but_the_pages_own_is_let_in():
    (policy,) = (meta["content"] for meta in PAGE.all("meta") if meta.get("http-equiv"))
    inside = [re.search(rf"<{tag}>(.*?)</{tag}>", TEXT, re.DOTALL) for tag in ("style", "script")]
    digests = [base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode() for found in inside if found]
    assert policy == f"default-src 'none'; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'"


def test_the_only_script_is_the_pages_own():
    assert len(PAGE.all("script")) == 1
    assert not [name for _, attributes in PAGE.tags for name in attributes if name.startswith("on")]


def test_a_hostile_name_is_text():
    assert HOSTILE in "".join(PAGE.texts)
    assert "<script>document" not in TEXT


def test_every_result_has_a_card_and_a_cell_that_leads_to_it():
    cards = {card["id"] for card in PAGE.all("details") if "result" in (card["class"] or "").split()}
    cells = {(a["href"] or "").removeprefix("#") for a in PAGE.all("a")}
    assert len(cards) == len(RESULTS)
    assert cards == cells


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_failures_are_open_and_the_rest_is_closed(outcome: str):
    cards = PAGE.all("details", **{"data-outcome": outcome})
    assert cards
    assert all(("open" in card) == (outcome in ("failed", "error", "xpassed")) for card in cards)


def test_failures_come_first():
    outcomes = [card["data-outcome"] for card in PAGE.all("details") if "data-outcome" in card]
    assert outcomes == sorted(outcomes, key=lambda outcome: list(OUTCOMES).index(str(outcome)))


@pytest.mark.parametrize("kind", ["curve", "histogram"])
def test_curves_and_histograms_are_drawn(kind: str):
    assert PAGE.all("svg", **{"class": kind})


def test_a_curve_says_which_line_is_which_and_the_proof_its_numbers():
    assert "loss by step: as written (line), with the cause undone (dots)" in PAGE.texts
    assert "as written 0.3270, with the cause undone 0.1200 after 13 steps (log(output))" in PAGE.texts


def test_an_empty_report_is_a_page():
    report = {**example(), "results": []}
    assert "0 results" in html_text(report)


def control(**changes: str) -> dict[str, Any]:
    return {"model": "net", "fault": "bounded_logits", "outcome": "missed", "planted": "ReLU", "reason": "", **changes}


def test_controls_are_told_where_they_were_run():
    assert "Planted faults" not in TEXT
    page = Page(html_text({**example(), "controls": [control(reason=HOSTILE)]}))
    assert HOSTILE in "".join(page.texts)
    assert len(page.all("script")) == 1
