"""What a plugin costs where it is installed and not used: ``pytest --collect-only`` of an empty folder, in turn.

Run ``python -m benchmarks.startup [rounds]`` in the checkout. Every round runs pytest once without any of the plugins
below, and once with each of them that is installed, in random order. What it costs is the median of the differences,
given with its 95 % confidence interval, in seconds of the processor.

Each run is a fork of a process that has imported pytest and everything that pytest loads without these plugins.
Starting Python and importing pytest takes some hundred milliseconds that vary by tens, in which the few that are looked
for would be lost.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from benchmarks import pairs

# By their distributions.
PLUGINS = ("pytest-logits", "pytest-torch", "ulpwise")
ROOT = Path(__file__).parent.parent


def entry_points() -> dict[str, str]:
    """The names that pytest knows the installed ones by."""
    found = {}
    for point in importlib.metadata.entry_points(group="pytest11"):
        if point.dist is not None and point.dist.name in PLUGINS:
            found[f"{point.dist.name} {point.dist.version}"] = point.name
    return found


def collect(folder: str, without: list[str]) -> None:
    """What ``pytest --collect-only`` does in the folder, without these plugins and without a word."""
    os.chdir(folder)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    off = [word for name in without for word in ("-p", f"no:{name}")]
    pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *off])


def of_fork(folder: str, without: list[str]) -> float:
    """Seconds of the processor that this takes in a fork."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        started = time.process_time()
        collect(folder, without)
        os.write(writer, repr(time.process_time() - started).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        seconds = float(said.read())
    os.waitpid(child, 0)
    return seconds


def measured(rounds: int) -> None:
    """Print the base, and what each adds to it. This process must not have imported any of them."""
    names = entry_points()
    with tempfile.TemporaryDirectory() as folder:
        own = [os.dup(stream) for stream in (1, 2)]
        collect(folder, list(names.values()))
        for kept, stream in zip(own, (1, 2), strict=True):
            os.dup2(kept, stream)
        found = pairs.in_turn(
            {
                wanted: lambda wanted=wanted: of_fork(folder, [n for dist, n in names.items() if dist != wanted])
                for wanted in ("pytest alone", *names)
            },
            rounds,
        )
    base = found["pytest alone"]
    print("| installed and not used | ms (95 % confidence) |\n| --- | --- |")
    print(f"| pytest alone, once imported | {pairs.interval([1e3 * s for s in base])} |")
    for dist in names:
        print(f"| {dist} | + {pairs.interval([1e3 * (a - b) for a, b in zip(found[dist], base, strict=True)])} |")


def main(rounds: int) -> None:
    """The same from a process that has imported the plugin already."""
    command = [sys.executable, "-m", "benchmarks.startup", str(rounds)]
    print(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout, end="")


if __name__ == "__main__":
    # The rewritten modules of plugins are kept, as in a user's run.
    sys.dont_write_bytecode = False
    measured(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
