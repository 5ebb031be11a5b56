"""Every faulty loss fails with its cause first and at its place; no sound loss and no trap fails anything."""

from __future__ import annotations

import inspect
from functools import partial

import pytest
import torch
from torch import nn

from pytest_logits.finding import Result
from tests.zoo.own_losses import table
from tests.zoo.own_losses.entry import FaultyLoss, Loss, SoundLoss
from tests.zoo.own_losses.families import FAULTS, SOUND, TRAPS, run
from tests.zoo.table import CLEAN, RIGHT, fault_cells, rows_of, version_of

TEXT = table.PAGE.read_text(encoding="utf-8") if table.PAGE.is_file() else ""
ROWS = rows_of(TEXT)
# Which checks fail beside the first may depend on torch's arithmetic, so the rows are held where they were made.
SAME_TORCH = torch.__version__.partition("+")[0] in TEXT
HAS_PAGE = pytest.mark.skipif(not TEXT, reason=table.STALE)
SEEDS = (1,)
# Every twenty-first loss for another seed.
STRIDE = 21


def told(results: list[Result]) -> list[str]:
    return [f"{r.check}: {r.outcome}: {r.verdict.cause}: {r.verdict.measured}" for r in results]


def lines_of(loss: Loss) -> range:
    """Where the user's code of the loss stands."""
    function = loss.func if isinstance(loss, partial) else loss
    source, first = inspect.getsourcelines(type(function) if isinstance(function, nn.Module) else function)
    return range(first, first + len(source))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_is_found_with_its_cause_and_place(fault: FaultyLoss):
    failed = table.found(fault, run(fault))
    assert [r.verdict.cause for r in failed[:1]] == [fault.cause], told(failed)
    assert {r.verdict.cause for r in failed} == {fault.cause, *fault.also}, told(failed)
    for place in (r.verdict.location for r in failed if r.verdict.location is not None):
        assert place.line in lines_of(fault.loss), place
    if SAME_TORCH:
        assert ROWS.get(fault.name, ())[:-1] == fault_cells(fault, failed), table.STALE


@pytest.mark.parametrize("loss", [*SOUND, *TRAPS], ids=lambda loss: loss.name)
def test_sound_loss_fails_nothing(loss: SoundLoss):
    results = run(loss)
    assert told(table.failures(results)) == []
    assert {r.check for r in results if r.outcome == "advice"} == set(loss.advice), told(results)
    if SAME_TORCH:
        assert ROWS[loss.name] == (loss.name, loss.words, CLEAN), table.STALE


@pytest.mark.parametrize("seed", SEEDS)
def test_other_seeds_find_the_same(seed: int):
    for fault in FAULTS[seed::STRIDE]:
        failed = table.found(fault, run(fault, seed))
        assert [r.verdict.cause for r in failed[:1]] == [fault.cause], (fault.name, told(failed))
    for loss in (*SOUND, *TRAPS)[seed::STRIDE]:
        assert told(table.failures(run(loss, seed))) == [], loss.name


@HAS_PAGE
def test_the_page_has_these_losses_and_no_others():
    assert set(ROWS) == {loss.name for loss in (*FAULTS, *SOUND, *TRAPS)}, table.STALE


@HAS_PAGE
def test_every_cause_is_right():
    assert [fault.name for fault in FAULTS if ROWS[fault.name][3] != RIGHT] == []


@HAS_PAGE
def test_the_page_is_what_its_rows_make():
    """Order, headings and the counts at the top."""
    assert table.page(ROWS, version_of(TEXT)) == TEXT, table.STALE
