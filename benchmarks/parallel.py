"""How much faster ``-n 2`` is: models of about one second each, checked without workers and with two, in turn.

Run ``python -m benchmarks.parallel [models] [rounds]`` in the checkout, on a machine that does nothing else: seconds
are of the clock. Three figures, each a ratio of the runs of one round:

- whole commands with their start-up. The controller imports torch where the user's conftest.py does, and only then
  starts its workers, which import it again, at the same time;
- the same beside the start-up, taken from runs of one check on one small model;
- what the machine gives to two processes that know nothing of each other, each with half of the models.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import pairs

ROOT = Path(__file__).parent.parent
CONFTEST = """
import pytest_logits
from torch import nn


def network():
    return nn.Sequential(
        nn.Conv2d(3, {width}, 3, padding=1), nn.ReLU(), nn.Conv2d({width}, {width}, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(4), nn.Flatten(), nn.Linear({width} * {side} * {side} // 16, 10),
    )


for number in range({models}):
    pytest_logits.register(network, name=f"network_{{number}}", input_shape=(3, {side}, {side}), num_classes=10)
"""
# So that the checks of one model take about a second of one processor. What they take is printed.
WIDTH, SIDE = 16, 64
TINY = ("--logit-select=outputs_depend_on_inputs",)


def folder_of(parent: Path, models: int, *, width: int = WIDTH, side: int = SIDE) -> Path:
    """A repository with so many models."""
    folder = parent / f"models_{models}_{width}"
    folder.mkdir()
    (folder / "conftest.py").write_text(CONFTEST.format(models=models, width=width, side=side), encoding="utf-8")
    return folder


def seconds(folders: Sequence[Path], *arguments: str) -> float:
    """Seconds of the clock until the runs in these folders, started at once, have all ended.

    Raises:
        RuntimeError: one of them fails.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--logit-checks", *arguments]
    environment = pairs.kept_bytecode({**os.environ, "PYTHONPATH": str(ROOT)})
    started = time.perf_counter()
    runs = [
        subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for folder in folders
    ]
    said = [run.communicate()[0] for run in runs]
    ended = time.perf_counter()
    for run, words in zip(runs, said, strict=True):
        if run.returncode:
            raise RuntimeError(words.decode())
    return ended - started


def main(models: int, rounds: int) -> None:
    """Print the ratios, and what one model and each start-up take."""
    with tempfile.TemporaryDirectory() as name:
        parent = Path(name)
        small, half, whole = (
            folder_of(parent, 1, width=1, side=4),
            folder_of(parent, models // 2),
            folder_of(parent, models),
        )
        found = pairs.in_turn(
            {
                "start": lambda: seconds([small], *TINY),
                "start of two": lambda: seconds([small], *TINY, "-n2"),
                "start of pair": lambda: seconds([small, small], *TINY),
                "one": lambda: seconds([whole]),
                "two": lambda: seconds([whole], "-n2"),
                "pair": lambda: seconds([half, half]),
            },
            rounds,
        )
    start, start_two, start_pair = (
        pairs.spread(found[name]).median for name in ("start", "start of two", "start of pair")
    )
    one, two, pair = (
        [s - of for s in found[name]] for name, of in (("one", start), ("two", start_two), ("pair", start_pair))
    )
    each = pairs.spread([s / models for s in one])
    print(f"| {models} models of {each} s each | s | times faster than without workers |\n| --- | --- | --- |")
    print(f"| without workers, of which start-up {start:.1f} | {pairs.spread(found['one'])} | 1 |")
    print(
        f"| with `-n 2`, of which start-up {start_two:.1f} | {pairs.spread(found['two'])} "
        f"| {pairs.ratios(found['one'], found['two'])} |"
    )
    print(f"| with `-n 2`, beside start-up | {pairs.spread(two)} | {pairs.ratios(one, two)} |")
    halves = "two runs of half the models at once, beside start-up"
    print(f"| {halves} | {pairs.spread(pair)} | {pairs.ratios(one, pair)} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
