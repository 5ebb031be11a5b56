"""The formats of a report, by the ending of its file. All are made from the JSON report. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_logits.report_html import html_text
from pytest_logits.report_json import json_text
from pytest_logits.report_places import Place
from pytest_logits.report_sarif import sarif_text

ENDINGS = (".json", ".sarif", ".html")


def refusal(path: Path) -> str:
    """Why the ending of ``path`` asks for no report, in words that go behind its name; empty where it asks for one."""
    return "" if path.suffix in ENDINGS else f"must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}"


def report_text(path: Path, report: Mapping[str, Any], *, root: Path, registered: Mapping[str, Place]) -> str:
    """What the file of this name is to hold.

    Args:
        path: of the report; one of ``ENDINGS``.
        report: the JSON report.
        root: the folder that locations are relative to.
        registered: where each node id's model is registered.
    """
    if path.suffix == ".sarif":
        return sarif_text(report, root=root, registered=registered)
    if path.suffix == ".html":
        return html_text(report)
    return json_text(report)
