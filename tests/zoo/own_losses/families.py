"""The whole zoo of losses, and how a loss of it is run."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

import pytest_logits
from pytest_logits.finding import Result
from tests.zoo.own_losses import binary, focal, masked, plain, robust, smoothed, traps, weighted, wrapped
from tests.zoo.own_losses.entry import FaultyLoss, SoundLoss

FAMILIES = (plain, focal, smoothed, weighted, masked, binary, robust, wrapped)
FAULTS: tuple[FaultyLoss, ...] = tuple(fault for family in FAMILIES for fault in family.FAULTS)
SOUND: tuple[SoundLoss, ...] = tuple(loss for family in FAMILIES for loss in family.SOUND)
TRAPS: tuple[SoundLoss, ...] = traps.TRAPS

# Half of what standard takes; it draws fewer examples for the same questions.
PROFILE = "quick"
_RUNS: dict[tuple[str, int], list[Result]] = {}


def looks_at(loss: FaultyLoss | SoundLoss) -> pytest.MarkDecorator:
    """Marks a test that looks at the loss's run; see tests/zoo/conftest.py."""
    return pytest.mark.looks_at(f"loss {loss.name}")


def run(loss: FaultyLoss | SoundLoss, seed: int = 0) -> list[Result]:
    """All checks of losses on one loss, in the order of the report. Run once, however many tests look at it."""
    key = (loss.name, seed)
    if key not in _RUNS:
        _RUNS[key] = run_again(loss, seed)
    return _RUNS[key]


def run_again(loss: FaultyLoss | SoundLoss, seed: int, select: Iterable[str] = ()) -> list[Result]:
    """The same, or only the checks whose names or tags are given, and not kept."""
    arguments = loss.all_arguments if isinstance(loss, FaultyLoss) else loss.arguments
    report = pytest_logits.check_loss(loss.loss, name=loss.name, seed=seed, profile=PROFILE, select=select, **arguments)
    return list(report)
