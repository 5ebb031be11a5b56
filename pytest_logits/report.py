"""How results read: the text of a failure and the JSON report. Pure: results in, text out; one function writes."""

from __future__ import annotations

import json
import os
import tempfile
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_logits.causes import cause
from pytest_logits.finding import Result, counted
from pytest_logits.settings import DEFAULT_DEVICE

SCHEMA = 1
LABEL = 10


def failure_text(result: Result, *, width: int = 100) -> str:
    """A failure for a reader who has never seen the plugin: cause and place first, then numbers, proof and fix."""
    verdict, place, proof = result.verdict, result.verdict.location, result.verdict.proof
    rows = [("claim", result.claim), ("measured", verdict.measured), ("expected", verdict.expected)]
    if verdict.cause:
        rows.insert(0, ("why", cause(verdict.cause).summary))
    if place is not None:
        rows.append(("where", f"{place.file}:{place.line}" + (f"  ({place.note})" if place.note else "")))
        rows.append(("", f"    {place.code}" if place.code else ""))
    if proof is not None:
        ran = f" after {counted(proof.steps, 'step')}" if proof.steps is not None else ""
        rows.append(("proof", f"as written {proof.as_written:.4f}; undone {proof.with_fix:.4f}{ran} ({proof.undone})"))
    if verdict.counterexample:
        rows.append(("example", ", ".join(f"{key}={_short(value)}" for key, value in verdict.counterexample.items())))
    rows += [("fix", result.fix), ("rerun", result.reproduce)]
    title = verdict.cause or f"{result.check} does not hold"
    if result.outcome == "xpassed":
        title = f"{result.check} holds, and expected_failures= says that it does not"
    else:
        rows.append(("intended?", f'declare it: expected_failures={{"{result.check}": "the reason"}}'))
    title += f" at {place.file}:{place.line}" if place is not None else f" in {result.model}"
    return "\n".join([title, "", *(line for label, text in rows if text for line in _row(label, text, width))])


def skip_reason(result: Result) -> str:
    """Why a check that does not decide or apply is skipped, in one line."""
    verdict = result.verdict
    expected = f"; expected {verdict.expected}" if verdict.expected else ""
    return f"{result.outcome.replace('_', ' ')}: {verdict.measured}{expected}"


def _short(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 160 else text[:157] + "..."


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 40), break_long_words=False, break_on_hyphens=False) or [""]


def _row(label: str, text: str, width: int) -> list[str]:
    margin = " " * (LABEL + 2)
    if label in ("rerun", "intended?", ""):
        # To be copied, so on one line.
        return [f"  {label:<{LABEL}}{text}"]
    first, *rest = _wrap(text, width - len(margin))
    return [f"  {label:<{LABEL}}{first}", *(margin + line for line in rest)]


def json_report(
    records: Iterable[Mapping[str, Any]],
    *,
    torch_version: str,
    seed: int,
    profile: str,
    device: str = DEFAULT_DEVICE,
    seconds: float,
    controls: Iterable[Mapping[str, Any]] | None = None,
) -> str:
    """The JSON report, schema 1, from the records of the results, in the order of their node ids.

    ``controls``, where they were run, are the records of the planted faults.
    """
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "torch": torch_version,
        "seed": seed,
        "profile": profile,
        "device": device,
        "seconds": round(seconds, 3),
        "results": sorted(records, key=lambda record: str(record["nodeid"])),
    }
    if controls is not None:
        report["controls"] = sorted(controls, key=lambda record: str(record["nodeid"]))
    return json.dumps(report, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def write_whole(path: Path, text: str) -> None:
    """Write the file whole or not at all: beside it first, then in its place.

    Raises:
        OSError: the folder cannot be written; a file that was there before is as it was.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent, text=True)
    try:
        # A path that is no Unicode has lone surrogates, which JSON can escape and UTF-8 cannot encode.
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
