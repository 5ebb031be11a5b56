"""The page docs/zoo.md: what the checks say of each model. Write it with ``python -m tests.zoo.table``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch

from pytest_logits.finding import Result
from tests.zoo.entry import Fault
from tests.zoo.families import FAULTS, TRAPS, run
from tests.zoo.own_losses.entry import FaultyLoss

PAGE = Path(__file__).parents[2] / "docs" / "zoo.md"
STALE = "run `python -m tests.zoo.table`"
RIGHT, OTHER, MISSED = "right cause first", "another cause", "missed"
CLEAN, ALARM = "clean", "false alarm"
HEADER = """\
<!-- Made by tests/zoo/table.py from a run of the checks on tests/zoo. -->

# The zoo

Faulty models in many styles, each with a sound twin that differs from it in the fault only, and traps: sound models
that naive checks fail. The tables are made by a run with seed 0 in the profile standard on torch {torch}; the tests
hold each row.

"""
FAULTY_COLUMNS = ("model", "what is wrong", "failed", "verdict", "twin")
TRAP_COLUMNS = ("trap", "what is odd", "verdict")

Row = tuple[str, ...]


def found(fault: Fault, results: list[Result]) -> list[Result]:
    """What counts as found: failures and errors, and advice where the fault is harmless."""
    outcomes = ("failed", "error", "advice") if fault.harmless else ("failed", "error")
    return [r for r in results if r.outcome in outcomes]


def fault_cells(fault: Fault | FaultyLoss, failed: list[Result]) -> Row:
    """Name, style, the checks that failed by cause, and the verdict."""
    checks: dict[str, list[str]] = {}
    for r in failed:
        checks.setdefault(r.verdict.cause or r.outcome, []).append(r.check)
    said = "; ".join(f"{cause}: {', '.join(names)}" for cause, names in checks.items())
    verdict = MISSED if not failed else RIGHT if failed[0].verdict.cause == fault.cause else OTHER
    return (fault.name, fault.words, said or "nothing", verdict)


def sound_cell(results: list[Result]) -> str:
    """The verdict on a sound model."""
    return ALARM if any(r.outcome in ("failed", "error") for r in results) else CLEAN


def page(rows: Mapping[str, Row], version: str) -> str:
    """The page from the rows of all models, by name."""
    faults = [rows[fault.name] for fault in FAULTS]
    traps = [rows[trap.name] for trap in TRAPS]
    causes = sorted({fault.cause for fault in FAULTS})
    parts = [
        HEADER.format(torch=version),
        table_of(
            ("", "models", *(v for v in (RIGHT, OTHER, MISSED))),
            [("faulty", str(len(faults)), *count_of([r[3] for r in faults], RIGHT, OTHER, MISSED))],
        ),
        table_of(
            ("", "models", CLEAN, ALARM),
            [
                ("twins", str(len(faults)), *count_of([r[4] for r in faults], CLEAN, ALARM)),
                ("traps", str(len(traps)), *count_of([r[2] for r in traps], CLEAN, ALARM)),
            ],
        ),
    ]
    for cause in causes:
        parts.append(f"## [{cause}](causes/{cause}.md)\n\n")
        parts.append(table_of(FAULTY_COLUMNS, [rows[fault.name] for fault in FAULTS if fault.cause == cause]))
    parts += ["## Traps\n\n", table_of(TRAP_COLUMNS, traps)]
    return "".join(parts).rstrip("\n") + "\n"


def rows_of(text: str) -> dict[str, Row]:
    """The rows of a page, by the name of the model or loss."""
    tables = re.findall(r"^\| (?:model|trap|loss) \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    cells = [tuple(line[2:-2].split(" | ")) for table in tables for line in table.splitlines()]
    return {row[0]: row for row in cells}


def version_of(text: str) -> str:
    """The torch that the page was made with."""
    return re.findall(r"on torch (\S+);", text)[0]


def count_of(values: list[str], *kinds: str) -> list[str]:
    """How many of the values are of each kind, as words."""
    counts = Counter(values)
    return [str(counts[kind]) for kind in kinds]


def table_of(columns: tuple[str, ...], rows: list[Row]) -> str:
    """A table of Markdown."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n\n"


def main() -> None:
    """Run every model and write the page."""
    rows: dict[str, Row] = {}
    for fault in FAULTS:
        rows[fault.name] = (*fault_cells(fault, found(fault, run(fault))), sound_cell(run(fault.sound)))
    for trap in TRAPS:
        rows[trap.name] = (trap.name, trap.words, sound_cell(run(trap)))
    PAGE.write_text(page(rows, torch.__version__.partition("+")[0]), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
