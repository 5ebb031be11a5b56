"""One result as HTML: a card of the HTML report, and the extra of a pytest-html report. Pure; every text is escaped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from pytest_logits.causes import cause, cause_names
from pytest_logits.finding import proof_text
from pytest_logits.report_svg import histograms, loss_curves

# Drawn, so not told as numbers too.
DRAWN = ("loss_curve", "loss_curve_undone", "histograms")


def card(record: Mapping[str, Any]) -> str:
    """The rows of a result that there is something to say of, its drawings, and its evidence."""
    rows = "".join(f"<dt>{label}</dt><dd>{text}</dd>" for label, text in _rows(record) if text)
    return f'<dl class="finding">{rows}</dl>{_drawings(record["evidence"])}{_evidence(record["evidence"])}'


def extra(record: Mapping[str, Any]) -> dict[str, str | None]:
    """The card as pytest-html keeps an extra, with the keys of its own ``extras.html``."""
    return {"name": None, "format_type": "html", "content": card(record), "mime_type": None, "extension": None}


def _rows(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Pairs (label, HTML)."""
    named = record["cause"]
    if named:
        summary = f": {escape(cause(named).summary)}" if named in cause_names() else ""
        yield "cause", f"<strong>{escape(named)}</strong>{summary}"
    yield "claim", escape(record["claim"])
    yield "measured", escape(record["measured"])
    yield "expected", escape(record["expected"])
    place = record["location"]
    if place is not None:
        yield "where", f"<code>{escape(place['file'])}:{place['line']}</code>"
    if record["proof"] is not None:
        yield "proof", escape(proof_text(record["proof"]))
    if record["counterexample"]:
        yield "example", f"<pre>{_json(record['counterexample'])}</pre>"
    yield "fix", escape(record["fix"])
    yield "rerun", f"<code>{escape(record['reproduce'])}</code>"
    passes = record["passes"]
    yield "passes", f"{passes['forward']} forward, {passes['backward']} backward, {record['seconds']:.2f} s"


def _drawings(evidence: Mapping[str, Any]) -> str:
    both = ": as written (line), with the cause undone (dots)" if evidence.get("loss_curve_undone") else ""
    drawn = [(f"loss by step{both}", loss_curves(evidence)), *histograms(evidence)]
    figures = (
        f"<figure>{drawing}<figcaption>{escape(what)}</figcaption></figure>" for what, drawing in drawn if drawing
    )
    return "".join(figures)


def _evidence(evidence: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in evidence.items() if key not in DRAWN}
    return f'<details class="evidence"><summary>evidence</summary><pre>{_json(rest)}</pre></details>' if rest else ""


def _json(value: Any) -> str:
    return escape(json.dumps(value, indent=1, ensure_ascii=False))
