"""The report as one HTML file that loads nothing: the matrix of models and checks, and a card for each result. Pure.

Every text that comes from a user is escaped, and the page's content security policy lets no script run but its own.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from pytest_logits.check_registry import all_checks
from pytest_logits.finding import counted
from pytest_logits.report_card import card

# Sign and words of each outcome, the one to look at first first.
OUTCOMES = {
    "failed": ("✗", "failed"),
    "error": ("E", "error"),
    "xpassed": ("X", "passed, expected to fail"),
    "advice": ("!", "advice"),
    "inconclusive": ("?", "inconclusive"),
    "xfailed": ("x", "expected failure"),
    "not_applicable": ("-", "not applicable"),
    "passed": ("✓", "passed"),
}
OPEN = ("failed", "error", "xpassed")


def html_text(report: Mapping[str, Any]) -> str:
    """The page. ``report`` is the JSON report."""
    results = sorted(enumerate(report["results"]), key=lambda pair: (list(OUTCOMES).index(pair[1]["outcome"]), pair[0]))
    style, script = _asset("report.css"), _asset("report.js")
    counts = Counter(record["outcome"] for record in report["results"])
    return Template(_asset("report.html")).substitute(
        policy=f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'",
        style=style,
        script=script,
        ran=escape(
            f"torch {report['torch']}, device {report['device']}, seed {report['seed']}, profile {report['profile']}, "
            f"{report['seconds']:.1f} s"
        ),
        counts="".join(_count(outcome, counts[outcome]) for outcome in OUTCOMES if counts[outcome]),
        outcomes="".join(
            f'<option value="{outcome}">{escape(OUTCOMES[outcome][1])}</option>'
            for outcome in OUTCOMES
            if counts[outcome]
        ),
        matrix=_matrix(report["results"]),
        shown=counted(len(results), "result"),
        results="\n".join(_section(number, record) for number, record in results),
        controls=_controls(report.get("controls")),
    )


def _asset(name: str) -> str:
    return (files("pytest_logits") / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _count(outcome: str, number: int) -> str:
    return f'<li class="{outcome}"><b>{number}</b> {escape(OUTCOMES[outcome][1])}</li>'


def _matrix(results: Iterable[Mapping[str, Any]]) -> str:
    """Models down, checks across, in the order in which checks run; a cell leads to its card."""
    cells: dict[str, dict[str, tuple[int, Mapping[str, Any]]]] = {}
    for number, record in enumerate(results):
        cells.setdefault(record["nodeid"].rpartition("::")[0], {})[record["check"]] = (number, record)
    there = {check for row in cells.values() for check in row}
    checks = [check.name for check in all_checks() if check.name in there]
    checks += sorted(there - set(checks))
    head = "".join(f'<th scope="col"><span>{escape(check)}</span></th>' for check in checks)
    rows = "".join(
        f'<tr><th scope="row" title="{escape(model)}">{escape(model.rpartition("::")[2])}</th>'
        f"{''.join(_cell(*row[check]) if check in row else '<td></td>' for check in checks)}</tr>"
        for model, row in cells.items()
    )
    return f'<table><thead><tr><th scope="col">model</th>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _cell(number: int, record: Mapping[str, Any]) -> str:
    sign, words = OUTCOMES[record["outcome"]]
    told = escape(f"{record['check']} on {record['model']}: {words}")
    return f'<td class="{record["outcome"]}"><a href="#r{number}" title="{told}" aria-label="{told}">{sign}</a></td>'


def _section(number: int, record: Mapping[str, Any]) -> str:
    sign, words = OUTCOMES[record["outcome"]]
    opened = " open" if record["outcome"] in OPEN else ""
    named = f" <em>{escape(record['cause'])}</em>" if record["cause"] else ""
    return (
        f'<details class="result {record["outcome"]}" id="r{number}" data-outcome="{record["outcome"]}"{opened}>'
        f'<summary><span class="sign" title="{escape(words)}">{sign}</span> <b>{escape(record["model"])}</b> '
        f"{escape(record['check'])}{named}</summary>{card(record)}"
        f'<p class="id">{escape(record["nodeid"])}</p></details>'
    )


def _controls(controls: Iterable[Mapping[str, Any]] | None) -> str:
    """What became of the planted faults, where they were planted."""
    if controls is None:
        return ""
    rows = "".join(
        "<tr>"
        + "".join(f"<td>{escape(str(control[key]))}</td>" for key in ("model", "fault", "outcome", "planted", "reason"))
        + "</tr>"
        for control in controls
    )
    head = "".join(f'<th scope="col">{title}</th>' for title in ("model", "fault", "outcome", "planted", "reason"))
    return (
        '<h2>Planted faults</h2><div class="scroll"><table class="controls">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
