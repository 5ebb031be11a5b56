"""How a result reads in a terminal, and how a report is written. Pure but for the one function that writes."""

from __future__ import annotations

import os
import tempfile
import textwrap
import unicodedata
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pytest_logits.causes import cause
from pytest_logits.finding import Result, Verdict, proof_text
from pytest_logits.sparkline import drawn

LABEL = 10
MARGIN = LABEL + 2
# To be copied or drawn, so on one line.
UNWRAPPED = ("rerun", "intended?", "", "loss", "floor", "undone")


def failure_text(result: Result, *, width: int = 100, blocks: bool = True) -> str:
    """A failure for a reader who has never seen the plugin: cause and place first, then numbers, proof and fix.

    ``blocks`` says whether the loss curve may be drawn with block characters; otherwise it is drawn with ASCII.
    """
    verdict, place, proof = result.verdict, result.verdict.location, result.verdict.proof
    rows = [("claim", result.claim), ("measured", verdict.measured), ("expected", verdict.expected)]
    if verdict.cause:
        rows.insert(0, ("why", cause(verdict.cause).summary))
    if place is not None:
        rows.append(("where", f"{place.file}:{place.line}" + (f"  ({place.note})" if place.note else "")))
        rows.append(("", f"    {place.code}" if place.code else ""))
    rows += _curve_rows(verdict, width - MARGIN, blocks)
    if proof is not None:
        rows.append(("proof", proof_text(asdict(proof))))
    if verdict.counterexample:
        rows.append(("example", ", ".join(f"{key}={_short(value)}" for key, value in verdict.counterexample.items())))
    rows += [("fix", result.fix), ("rerun", result.reproduce)]
    title = verdict.cause or f"{result.check} does not hold"
    if result.outcome == "xpassed":
        title = f"{result.check} holds, and expected_failures= says that it does not"
    else:
        rows.append(("intended?", f'declare it: expected_failures={{"{result.check}": "the reason"}}'))
    title += f" at {place.file}:{place.line}" if place is not None else f" in {result.model}"
    lines = [title, "", *(line for label, text in rows if text for line in _row(label, text, width))]
    return escaped("\n".join(lines))


def crash_text(result: Result, *, width: int = 100) -> str:
    """A check that has not come to its end, because its process did."""
    rows = [("claim", result.claim), ("measured", result.verdict.measured), ("rerun", result.reproduce)]
    title = f"{result.check} ended its process in {result.model}"
    return "\n".join([title, "", *(line for label, text in rows for line in _row(label, text, width))])


def skip_reason(result: Result) -> str:
    """Why a check that does not decide or apply is skipped, in one line."""
    verdict = result.verdict
    expected = f"; expected {verdict.expected}" if verdict.expected else ""
    return escaped(f"{result.outcome.replace('_', ' ')}: {verdict.measured}{expected}")


def escaped(text: str) -> str:
    """Control characters as escapes, ``\\x1b``: what a model says must not steer the terminal.

    Line ends and tabs stay. Marks that turn the direction of writing are escaped too, and lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if _steers(c) else c for c in text)


def _steers(character: str) -> bool:
    if character in "\n\t":
        return False
    turns = unicodedata.bidirectional(character) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    return turns or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def _curve_rows(verdict: Verdict, width: int, blocks: bool) -> list[tuple[str, str]]:
    """The loss curve, its floor and the curve of the proof, where the check has trained."""
    seen = verdict.evidence
    curve, undone = (seen.get(name, ()) for name in ("loss_curve", "loss_curve_undone"))
    if "least_possible" not in seen:
        # Evidence of a check of the user's own may have any form.
        return []
    return drawn(
        curve, least=seen["least_possible"], floor=seen.get("floor"), undone=undone, width=width, blocks=blocks
    )


def _short(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 160 else text[:157] + "..."


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 40), break_long_words=False, break_on_hyphens=False) or [""]


def _row(label: str, text: str, width: int) -> list[str]:
    margin = " " * MARGIN
    if label in UNWRAPPED:
        return [f"  {label:<{LABEL}}{text}"]
    first, *rest = _wrap(text, width - len(margin))
    return [f"  {label:<{LABEL}}{first}", *(margin + line for line in rest)]


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
