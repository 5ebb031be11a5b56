"""Timings that can be compared on a machine that is not idle: runs in turn, and ratios pair by pair.

A figure is the median of the ratios, with the quartiles. Seconds are of the processor, not of the clock, so that what
waits for another process does not count; with one thread both are the same on an idle machine.
"""

from __future__ import annotations

import itertools
import math
import random
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def spread(values: Sequence[float]) -> Spread:
    if len(values) < 2:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def interval(values: Sequence[float]) -> Spread:
    """The median with its 95 % confidence interval, from the order of the values alone (the sign test).

    For fewer than six values there is none, and all of them are given.
    """
    ordered, count = sorted(values), len(values)
    beyond = (2 * math.comb(count, number) * 0.5**count for number in range(count))
    # The most that may lie beyond each end.
    least = max(1, sum(chance <= 0.05 for chance in itertools.accumulate(beyond)))
    return Spread(statistics.median(ordered), ordered[least - 1], ordered[count - least])


def in_turn(cases: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each case gives, so many times; in every round each case once, in random order. The first is a warm-up."""
    order, found = random.Random(0), {name: [] for name in cases}
    for number in range(rounds + 1):
        for name in order.sample(list(cases), len(cases)):
            value = cases[name]()
            if number:
                found[name].append(value)
    return found


def ratios(of: Sequence[float], to: Sequence[float]) -> Spread:
    return spread([a / b for a, b in zip(of, to, strict=True)])


def differences(of: Sequence[float], to: Sequence[float]) -> Spread:
    return spread([a - b for a, b in zip(of, to, strict=True)])


def spent(function: Callable[[], Any]) -> float:
    """Seconds of the processor that a call takes."""
    started = time.process_time()
    function()
    return time.process_time() - started


def kept_bytecode(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a user's run, where compiled modules are kept.

    Otherwise pytest rewrites the assertions of 300 modules of Hypothesis and of ours anew in each process.
    """
    return {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}


def process(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str], ends_with: Sequence[int] = (0,)
) -> float:
    """Seconds of the processor that a whole process takes, with its imports.

    Raises:
        RuntimeError: it ends with another status.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    told(command, folder=folder, environment=environment, ends_with=ends_with)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def told(
    command: Sequence[str], *, folder: Path, environment: Mapping[str, str], ends_with: Sequence[int] = (0,)
) -> str:
    """What a whole process prints.

    Raises:
        RuntimeError: it ends with another status.
    """
    done = subprocess.run(
        command, cwd=folder, env=kept_bytecode(environment), capture_output=True, text=True, check=False
    )
    if done.returncode not in ends_with:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout
