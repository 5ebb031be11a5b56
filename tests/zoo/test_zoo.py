"""Every faulty model fails with its cause first and at its line; no twin and no trap fails anything."""

from __future__ import annotations

import linecache
from collections import Counter
from pathlib import Path

import pytest
import torch

from pytest_logits.finding import Result
from tests import versions
from tests.zoo import table
from tests.zoo.entry import Fault, Trap
from tests.zoo.families import CAUSES, FAULTS, TRAPS, looks_at, run
from tests.zoo.own_losses import families as own_losses

TEXT = table.PAGE.read_text(encoding="utf-8") if table.PAGE.is_file() else ""
ROWS = table.rows_of(TEXT)
# Which learning checks fail may depend on torch's arithmetic, so the rows are held where they were made.
SAME_TORCH = torch.__version__.partition("+")[0] in TEXT
FEWEST = 3
# Their faults are rows that are taken by their number.
BY_NUMBER = ("Unbatched", "LastOfBatch", "FirstOnly")


def told(results: list[Result]) -> list[str]:
    return [f"{r.check}: {r.outcome}: {r.verdict.cause}: {r.verdict.measured}" for r in results]


@pytest.mark.parametrize("fault", [pytest.param(f, id=f.name, marks=looks_at(f)) for f in FAULTS])
def test_fault_is_found_with_its_cause_and_line(fault: Fault):
    results = run(fault)
    failed = table.found(fault, results)
    assert [r.verdict.cause for r in failed[:1]] == [fault.cause], told(failed)
    assert {r.verdict.cause for r in failed} == {fault.cause, *fault.also}, told(failed)
    versions.needs_torch_2_4(fault.name in BY_NUMBER, "says nothing of z[0] where it is computed")
    places = [r.verdict.location for r in failed if r.verdict.location is not None]
    assert bool(places) == fault.located, told(failed)
    for place in places:
        line = linecache.getline(str(Path.cwd() / place.file), place.line)
        assert line.rstrip().endswith("# FAULT"), (place, line)
    if SAME_TORCH:
        assert ROWS.get(fault.name, ())[:-1] == table.fault_cells(fault, failed), table.STALE


@pytest.mark.parametrize("fault", [pytest.param(f, id=f.name, marks=looks_at(f.sound)) for f in FAULTS])
def test_twin_fails_nothing(fault: Fault):
    fails_nothing(fault.sound)
    assert ROWS[fault.name][-1] == table.CLEAN, table.STALE


@pytest.mark.parametrize("trap", [pytest.param(t, id=t.name, marks=looks_at(t)) for t in TRAPS])
def test_trap_fails_nothing(trap: Trap):
    fails_nothing(trap)
    assert ROWS[trap.name] == (trap.name, trap.words, table.CLEAN), table.STALE


def fails_nothing(model: Trap) -> None:
    results = run(model)
    assert told([r for r in results if r.outcome in ("failed", "error")]) == []
    assert {r.check for r in results if r.outcome == "advice"} == set(model.advice)


def test_names_are_unique():
    assert [name for name, n in Counter(m.name for m in (*FAULTS, *TRAPS)).items() if n > 1] == []


def test_every_cause_has_several_models_or_losses():
    counts = Counter(cause for fault in (*FAULTS, *own_losses.FAULTS) for cause in (fault.cause, *fault.also))
    assert set(counts) == set(CAUSES)
    assert {name: n for name, n in counts.items() if n < FEWEST} == {}


def test_the_page_has_these_models_and_no_others():
    assert set(ROWS) == {model.name for model in (*FAULTS, *TRAPS)}, table.STALE


def test_the_page_is_what_its_rows_make():
    """Order, headings and the counts at the top."""
    assert table.page(ROWS, table.version_of(TEXT)) == TEXT, table.STALE
