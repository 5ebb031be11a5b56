"""The HTML report in headless Chromium; `tox -e browser` runs it, and where there is none it is skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytest_logits.report import write_whole
from pytest_logits.report_html import html_text
from tests.example_report import HOSTILE, RESULTS, example

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PHONE = {"width": 360, "height": 740}


class Opened(NamedTuple):
    """The page, and what it has complained of since it was opened."""

    page: Any
    complaints: list[str]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    with playwright.sync_playwright() as run:
        if found is None and not Path(run.chromium.executable_path).exists():
            pytest.skip("there is no Chromium; set CHROMIUM to its path")
        # Root, as in containers, has no sandbox.
        opened = run.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("html") / "out.html"
    write_whole(path, html_text(example()))
    return path.as_uri()


@pytest.fixture
def opened(browser: Any, url: str) -> Iterator[Opened]:
    page, complaints = browser.new_page(), []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url) if request.url != url else None)
    page.goto(url)
    yield Opened(page, complaints)
    page.close()


def shown(page: Any) -> int:
    return page.locator("#results > details:visible").count()


def test_it_opens_without_a_complaint_and_loads_nothing_else(opened: Opened):
    assert opened.page.locator("h1").inner_text() == "Loss and logit checks"
    assert shown(opened.page) == len(RESULTS)
    assert opened.complaints == []


def test_a_hostile_name_is_shown_as_text_and_does_not_run(opened: Opened):
    assert opened.page.get_by_text(HOSTILE).first.is_visible()
    assert opened.page.title() == "pytest-logits report"


def test_the_policy_stops_a_script_that_is_not_the_pages_own(opened: Opened):
    opened.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))"
    )
    assert opened.page.title() == "pytest-logits report"


def test_the_search_takes_several_words_from_anywhere_in_a_result(opened: Opened):
    search = opened.page.get_by_label("Search")
    search.fill("SOFTMAX_before models.py 0.2506")
    assert 0 < shown(opened.page) < len(RESULTS)
    assert opened.page.locator("#shown").inner_text() == f"{shown(opened.page)} of {len(RESULTS)} results"
    search.fill("no such thing")
    assert shown(opened.page) == 0
    search.fill("")
    assert shown(opened.page) == len(RESULTS)
    assert opened.complaints == []


def test_the_filter_shows_one_outcome(opened: Opened):
    opened.page.get_by_label("Outcome").select_option("advice")
    assert shown(opened.page) == 1
    assert opened.page.locator("#results > details:visible").get_attribute("data-outcome") == "advice"


def test_a_cell_of_the_matrix_opens_its_result_also_where_it_is_filtered_out(opened: Opened):
    opened.page.get_by_label("Outcome").select_option("failed")
    opened.page.locator("td.passed a").click()
    card = opened.page.locator("details[data-outcome=passed]")
    assert card.is_visible()
    assert card.get_attribute("open") is not None


def test_a_phone_scrolls_down_only(browser: Any, url: str):
    page = browser.new_page(viewport=PHONE)
    page.goto(url)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_ink_stands_out_from_paper_in_light_and_dark(browser: Any, url: str, scheme: str):
    """By the contrast ratio that WCAG 2 asks of text, 4.5."""
    page = browser.new_page(color_scheme=scheme)
    page.goto(url)
    colours = page.evaluate(
        """() => [".result dd", ".result dt", ".failed em", ".passed .sign", ".advice .sign"].map((where) => {
            const at = document.querySelector("#results " + where);
            const paper = getComputedStyle(at.closest(".result")).backgroundColor;
            return [getComputedStyle(at).color, paper];
        })"""
    )
    page.close()
    dark = [_brightness(paper) < 0.5 for _, paper in colours]
    assert dark == [scheme == "dark"] * len(colours)
    assert all(_contrast(ink, paper) >= 4.5 for ink, paper in colours), colours


def _brightness(colour: str) -> float:
    """Relative luminance, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    parts = [int(part) / 255 for part in colour.partition("(")[2].rstrip(")").split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_brightness(one), _brightness(other)))
    return (high + 0.05) / (low + 0.05)
