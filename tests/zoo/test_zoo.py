"""Every faulty model fails with its cause, at its line; no sound model fails anything."""

from __future__ import annotations

import linecache

import pytest

import pytest_logits
from pytest_logits.finding import Result
from tests.zoo.faults import FAULTS, Fault
from tests.zoo.sound import SOUND, Sound


def run(entry: Fault | Sound, seed: int = 0) -> list[Result]:
    return list(pytest_logits.check_classifier(entry.factory, name=entry.name, seed=seed, **entry.arguments))


def told(results: list[Result]) -> list[str]:
    return [f"{r.check}: {r.outcome}: {r.verdict.cause}: {r.verdict.measured}" for r in results]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.name)
def test_fault_is_found_with_its_cause_and_line(fault: Fault):
    failed = [r for r in run(fault) if r.outcome in ("failed", "error")]
    assert {r.verdict.cause for r in failed} == {fault.cause, *fault.also}, told(failed)
    places = [r.verdict.location for r in failed if r.verdict.location is not None]
    assert bool(places) == fault.located
    for place in places:
        assert linecache.getline(str(_absolute(place.file)), place.line).rstrip().endswith("# FAULT"), place


@pytest.mark.parametrize("sound", SOUND, ids=lambda s: s.name)
def test_sound_model_fails_nothing(sound: Sound):
    results = run(sound)
    assert told([r for r in results if r.outcome in ("failed", "error")]) == []
    assert {r.check for r in results if r.outcome == "advice"} == ({sound.advice} if sound.advice else set())


def _absolute(file: str) -> str:
    from pathlib import Path

    return str(Path.cwd() / file)
