"""Where a result of a report is shown: at the line that it names, else where the model was registered. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

# Outcomes that make pytest fail.
FAILURES = ("failed", "error", "xpassed")


class Place(NamedTuple):
    """A file, relative to pytest's root or absolute outside of it, and a line from 1 on."""

    file: str
    line: int


def place_of(record: Mapping[str, Any], registered: Mapping[str, Place]) -> Place | None:
    """The place in the user's code; None for a classifier that is generated. ``registered`` is by node id."""
    location = record["location"]
    if location is not None:
        return Place(location["file"], location["line"])
    return registered.get(record["nodeid"])


def title_of(record: Mapping[str, Any]) -> str:
    """The cause, else the check, with the model: one line that says what is wrong and where."""
    if record["outcome"] == "error":
        return f"{record['check']} could not run on {record['model']}"
    if record["outcome"] == "xpassed":
        return f"{record['check']} holds on {record['model']}, and is expected to fail"
    if record["cause"]:
        return f"{record['cause']} in {record['model']}"
    said = "has advice" if record["outcome"] == "advice" else "does not hold"
    return f"{record['check']} {said} on {record['model']}"


def sentence_of(record: Mapping[str, Any]) -> str:
    """What was measured, what was expected and what to change, in one paragraph."""
    parts = [record["measured"]]
    if record["expected"]:
        parts.append(f"expected: {record['expected']}")
    if record["fix"]:
        parts.append(f"fix: {record['fix']}")
    return "; ".join(parts)
