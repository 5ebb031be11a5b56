"""Model x check: the one table of a run, and what it says beside it. Pure: records in, lines out."""

from __future__ import annotations

import string
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from pytest_logits.finding import listed

Record = Mapping[str, Any]
# What a check's outcome is called in a column of its own, and in a line of signs.
WORDS = {
    "passed": "passed",
    "failed": "FAILED",
    "error": "ERROR",
    "xpassed": "XPASSED",
    "advice": "advice",
    "xfailed": "xfailed",
    "inconclusive": "?",
    "not_applicable": "-",
}
SIGNS = {
    "passed": ".",
    "failed": "F",
    "error": "E",
    "xpassed": "X",
    "advice": "a",
    "xfailed": "x",
    "inconclusive": "?",
    "not_applicable": "-",
}
FAILING = ("failed", "error", "xpassed")
QUIET = ("passed", "not_applicable")
# Of more models, those with nothing to say of share a line.
MANY = 12
NARROWEST_NAME = 12
LABELS = ("passed/failed/other", "forward/backward passes", "seconds")
# Where these are in a row.
FIGURES = (2, 3, 4)
# What needs words beside the table, and under which heading; advice first, for it asks for something.
HEADINGS = {
    "advice": "advice (fails nothing)",
    "xfailed": "expected failures",
    "inconclusive": "inconclusive (the evidence does not decide)",
    "not_applicable": "not checked (does not apply)",
}
KEYS = string.ascii_lowercase + string.ascii_uppercase + string.digits


class Piece(NamedTuple):
    """Text, and the outcome that colours it; ``"title"`` for a heading, none for plain text."""

    text: str
    outcome: str = ""


Line = list[Piece]


class Row(NamedTuple):
    """One model, or several that are told as one."""

    name: str
    outcomes: Mapping[str, str]
    counts: str
    passes: str
    seconds: str


def named(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The records of each model under its name, or its id where several have that name."""
    by_id: dict[str, list[Record]] = {}
    for record in records:
        by_id.setdefault(record["nodeid"].rpartition("::")[0], []).append(record)
    names = [group[0]["model"] for group in by_id.values()]
    return {
        nodeid if names.count(group[0]["model"]) > 1 else group[0]["model"]: group for nodeid, group in by_id.items()
    }


def table(records: Sequence[Record], *, groups: Mapping[str, str], width: int, every: bool = False) -> Iterator[Line]:
    """The table in the form that fits: a column of words for each model, or a line of signs.

    ``groups`` are the checks in their order, each with the group that it belongs to. ``every`` model has a line of its
    own, also where many have nothing to say.
    """
    models = named(records)
    seen = {record["check"] for record in records}
    checks = [check for check in groups if check in seen] + sorted(seen - set(groups))
    rows = [_row(name, group) for name, group in models.items()]
    columns = [max(len(row.name), *(len(word) for word in WORDS.values())) for row in rows]
    label = max(len(check) for check in [*checks, LABELS[1]])
    if label + sum(2 + column for column in columns) <= width:
        yield from _columns(checks, rows, [label, *columns], width)
    else:
        yield from _lines(checks, models, groups=groups, width=width, every=every)


def _row(name: str, group: Iterable[Record]) -> Row:
    records = list(group)
    passed = sum(record["outcome"] == "passed" for record in records)
    failed = sum(record["outcome"] in FAILING for record in records)
    passes = [sum(record["passes"][way] for record in records) for way in ("forward", "backward")]
    return Row(
        name=name,
        outcomes={record["check"]: record["outcome"] for record in records},
        counts=f"{passed}/{failed}/{len(records) - passed - failed}",
        passes=f"{passes[0]}/{passes[1]}",
        seconds=f"{sum(record['seconds'] for record in records):.2f}",
    )


def _columns(checks: Sequence[str], rows: Sequence[Row], widths: Sequence[int], width: int) -> Iterator[Line]:
    first, *rest = widths

    def line(label: str, cells: Iterable[Piece]) -> Line:
        padded = [Piece(f"  {cell.text:>{size}}", cell.outcome) for cell, size in zip(cells, rest, strict=True)]
        return [Piece(f"{label:<{first}}"), *padded]

    yield line("check", (Piece(row.name, "title") for row in rows))
    for check in checks:
        outcomes = [row.outcomes.get(check, "") for row in rows]
        yield line(check, (Piece(WORDS.get(outcome, ""), outcome) for outcome in outcomes))
    for label, cells in zip(
        LABELS, zip(*((row.counts, row.passes, row.seconds) for row in rows), strict=True), strict=True
    ):
        yield line(label, (Piece(cell) for cell in cells))
    used = {outcome for row in rows for outcome in row.outcomes.values()}
    yield from _legend((f"{WORDS[o]} {o.replace('_', ' ')}" for o in WORDS if o in used and WORDS[o] in "?-"), width)


def _lines(
    checks: Sequence[str],
    models: Mapping[str, list[Record]],
    *,
    groups: Mapping[str, str],
    width: int,
    every: bool,
) -> Iterator[Line]:
    """A line for each model, a sign for each check, under letters that are explained where a sign needs it."""
    rows = [_row(name, group) for name, group in models.items()]
    alike = [row for row in rows if set(row.outcomes.values()) <= set(QUIET)]
    if len(rows) > MANY and len(alike) > 1 and not every:
        rows = [row for row in rows if row not in alike]
        rows.append(_together(alike, [record for row in alike for record in models[row.name]]))
    key = {check: KEYS[number] if number < len(KEYS) else "*" for number, check in enumerate(checks)}
    parts = [list(part) for _, part in groupby(checks, key=lambda check: groups.get(check, ""))]
    strip = sum(map(len, parts)) + len(parts) - 1
    heads = Row("model", {}, "p/f/other", "fwd/bwd", "seconds")
    numbers = [max(len(row[at]) for row in [heads, *rows]) for at in FIGURES]
    room = width - sum(numbers) - 2 * len(numbers)
    longest = max(len(row.name) for row in [heads, *rows])
    narrow = room - strip - 2 < min(longest, NARROWEST_NAME)
    name = min(longest, room if narrow else room - strip - 2)

    def line(row: Row, strip: Line) -> Iterator[Line]:
        figures = Piece("".join(f"  {row[at]:>{size}}" for at, size in zip(FIGURES, numbers, strict=True)))
        shown = row.name if len(row.name) <= name else row.name[: name - 3] + "..."
        if narrow:
            yield [Piece(f"{shown:<{name}}"), figures]
            yield [Piece("  "), *strip]
        else:
            yield [Piece(f"{shown:<{name}}  "), *strip, figures]

    yield from line(heads, [Piece(" ".join("".join(key[check] for check in part) for part in parts))])
    for row in rows:
        outcomes = [[row.outcomes.get(check, "") for check in part] for part in parts]
        signs = [[Piece(SIGNS.get(outcome, " "), outcome) for outcome in part] for part in outcomes]
        yield from line(row, [piece for part in signs for piece in [*part, Piece(" ")]][:-1])
    used = {outcome for row in rows for outcome in row.outcomes.values()}
    yield from _legend((f"{SIGNS[o]} {o.replace('_', ' ')}" for o in SIGNS if o in used), width)
    loud = [check for check in checks if any(row.outcomes.get(check, "passed") not in QUIET for row in rows)]
    yield from _legend((f"{key[check]} {check}" for check in loud), width)


def _together(rows: Sequence[Row], records: Sequence[Record]) -> Row:
    """Several models with nothing to say in one line; what applies to any of them counts as passed."""
    passed = {record["check"]: "passed" for record in records if record["outcome"] == "passed"}
    outcomes = {record["check"]: "not_applicable" for record in records} | passed
    return _row(f"{len(rows)} others", records)._replace(outcomes=outcomes)


def _legend(words: Iterable[str], width: int) -> Iterator[Line]:
    """The words in as many lines as they need, none broken."""
    told = textwrap.wrap("   ".join(word.replace(" ", "\N{NO-BREAK SPACE}") for word in words), width)
    for line in told:
        yield [Piece(line.replace("\N{NO-BREAK SPACE}", " "))]


def _why(record: Record) -> str:
    wanted = record["expected"] if record["outcome"] == "inconclusive" else ""
    return f"{record['measured']}; expected {wanted}" if wanted else str(record["measured"])


def reasons(
    records: Sequence[Record], because: Mapping[str, str], *, width: int, every: bool = False
) -> Iterator[Line]:
    """Under a heading for each outcome that needs words: which check, on which models, and why.

    ``because`` are the reasons of expected failures, by the ids of their items.
    """
    models = {record["nodeid"].rpartition("::")[0] for record in records}
    label = {record["nodeid"]: name for name, group in named(records).items() for record in group}
    for outcome, heading in HEADINGS.items():
        alike: dict[tuple[str, str], list[str]] = {}
        for record in records:
            if record["outcome"] == outcome:
                why = because.get(record["nodeid"], _why(record))
                alike.setdefault((record["check"], why), []).append(label[record["nodeid"]])
        if alike:
            yield [Piece(f"{heading}:", "title")]
        for (check, why), names in alike.items():
            whole = len(names) == len(models)
            on = "every model" if whole else listed(names, most=len(names) if every else 3)
            text = f"{check}: {why}" if len(models) == 1 else f"{check} on {on}: {why}"
            for line in textwrap.wrap(
                text,
                width,
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            ):
                yield [Piece(line)]
