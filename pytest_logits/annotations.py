"""Findings as workflow commands of GitHub Actions, which shows them at the line of a pull request. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_logits.report_places import FAILURES, Place, place_of, sentence_of, title_of

# It annotates every failure of pytest, ours among them, from the report that pytest shows.
OTHER_PLUGIN = "pytest_github_actions_annotate_failures"


def workflow_commands(
    records: Iterable[Mapping[str, Any]],
    *,
    root: Path,
    registered: Mapping[str, Place],
    environment: Mapping[str, str],
    failures: bool = True,
) -> Iterator[str]:
    """One line ``::error file=...`` for each failure, ``::notice`` for advice; none outside of GitHub Actions.

    Checks that find one cause at one place are told in one line, for GitHub shows ten of a kind and step.

    Args:
        records: of the results.
        root: the folder that locations are relative to.
        registered: where each node id's model is registered.
        environment: of the process; ``GITHUB_ACTIONS`` and ``GITHUB_WORKSPACE`` are read.
        failures: False where another plugin tells them.
    """
    if environment.get("GITHUB_ACTIONS") != "true":
        return
    alike: dict[tuple[str, str, Place | None], list[Mapping[str, Any]]] = {}
    for record in sorted(records, key=lambda record: str(record["nodeid"])):
        failure = record["outcome"] in FAILURES
        if (failure and failures) or record["outcome"] == "advice":
            key = ("error" if failure else "notice", title_of(record), place_of(record, registered))
            alike.setdefault(key, []).append(record)
    for (command, title, place), told in alike.items():
        options = {"title": title}
        if place is not None:
            file = _in_workspace(place.file, root, environment.get("GITHUB_WORKSPACE", ""))
            options = {"file": file, "line": str(place.line), **options}
        message = "\n".join(f"{record['check']}: {sentence_of(record)}" for record in told)
        message += f"\nrerun: {told[0]['reproduce']}"
        written = ",".join(f"{name}={_escaped(value, also=':,')}" for name, value in options.items())
        yield f"::{command} {written}::{_escaped(message)}"


def _in_workspace(file: str, root: Path, workspace: str) -> str:
    """The file as GitHub names it: relative to the repository, which pytest's root may be a folder of."""
    path = root / file
    if workspace and path.is_relative_to(workspace):
        return path.relative_to(workspace).as_posix()
    return file


def _escaped(text: str, *, also: str = "") -> str:
    """The percent sign first, for it begins the others."""
    for letter in f"%\r\n{also}":
        text = text.replace(letter, f"%{ord(letter):02X}")
    return text
