"""The page docs/zoo_losses.md: what the checks say of each loss.

Write it with ``python -m tests.zoo.own_losses.table``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from pytest_logits.finding import Result
from tests.zoo.own_losses.entry import FaultyLoss
from tests.zoo.own_losses.families import FAULTS, SOUND, TRAPS, run
from tests.zoo.table import ALARM, CLEAN, MISSED, OTHER, RIGHT, Row, count_of, fault_cells, sound_cell, table_of

PAGE = Path(__file__).parents[3] / "docs" / "zoo_losses.md"
STALE = "run `python -m tests.zoo.own_losses.table`"
HEADER = """\
<!-- Made by tests/zoo/own_losses/table.py from a run of the checks on tests/zoo/own_losses. -->

# The zoo of losses

Losses as people write them by hand. Each faulty one differs from a sound one in one line, or in the targets that it is
registered with; traps are sound losses that naive checks fail. The tables are made by a run with seed 0 in the profile
quick on torch {torch}; the tests hold each row. The losses themselves are in tests/zoo/own_losses.
Three faults are advice, as they may be meant, and count as found.

"""
FAULTY_COLUMNS = ("loss", "what is wrong", "failed", "verdict", "sound twin")
SOUND_COLUMNS = ("loss", "what it is", "verdict")
TRAP_COLUMNS = ("trap", "what is odd", "verdict")


# A class that weighs nothing may be padding, so these are advice.
MAY_BE_MEANT = ("BalancedToNothing", "MaskedClassZero", "WithBufferOfZero")


def found(fault: FaultyLoss, results: list[Result]) -> list[Result]:
    """The failures, and the advice where the fault is one that may be meant."""
    outcomes = ("failed", "error", "advice") if fault.name in MAY_BE_MEANT else ("failed", "error")
    return [r for r in results if r.outcome in outcomes]


def failures(results: list[Result]) -> list[Result]:
    """What counts as found."""
    return [r for r in results if r.outcome in ("failed", "error")]


def page(rows: Mapping[str, Row], version: str) -> str:
    """The page from the rows of all losses, by name."""
    faults = [rows[fault.name] for fault in FAULTS]
    sound, traps = [rows[loss.name] for loss in SOUND], [rows[loss.name] for loss in TRAPS]
    parts = [
        HEADER.format(torch=version),
        table_of(
            ("", "losses", RIGHT, OTHER, MISSED),
            [("faulty", str(len(faults)), *count_of([r[3] for r in faults], RIGHT, OTHER, MISSED))],
        ),
        table_of(
            ("", "losses", CLEAN, ALARM),
            [
                ("sound", str(len(sound)), *count_of([r[2] for r in sound], CLEAN, ALARM)),
                ("traps", str(len(traps)), *count_of([r[2] for r in traps], CLEAN, ALARM)),
            ],
        ),
    ]
    for cause in sorted({fault.cause for fault in FAULTS}):
        parts.append(f"## [{cause}](causes/{cause}.md)\n\n")
        parts.append(table_of(FAULTY_COLUMNS, [rows[fault.name] for fault in FAULTS if fault.cause == cause]))
    parts += ["## Sound losses\n\n", table_of(SOUND_COLUMNS, sound)]
    parts += ["## Traps\n\n", table_of(TRAP_COLUMNS, traps)]
    return "".join(parts).rstrip("\n") + "\n"


def main() -> None:
    """Run every loss and write the page."""
    rows: dict[str, Row] = {}
    for fault in FAULTS:
        rows[fault.name] = (*fault_cells(fault, found(fault, run(fault))), fault.twin.name)
    for loss in (*SOUND, *TRAPS):
        rows[loss.name] = (loss.name, loss.words, sound_cell(run(loss)))
    PAGE.write_text(page(rows, torch.__version__.partition("+")[0]), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
