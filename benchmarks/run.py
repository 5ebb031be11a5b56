"""All figures of docs/benchmarks.md in one run: ``python -m benchmarks.run [rounds] [parts]``, in the checkout.

Figures are ratios or differences of runs in turn, as ``median (quartiles)``; see ``benchmarks/pairs.py``. With
``--write`` the page is written, and the plot beside it. Where parts are named (``startup``, ``overhead``, ``parallel``,
``scale``) only these are measured, and the others' sections stay as they are.
"""

from __future__ import annotations

import contextlib
import io
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
import torch

from benchmarks import overhead, parallel, scale, startup

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "benchmarks.md"
HEAD = """\
# Benchmarks

<!-- Made by `python -m benchmarks.run --write`. -->

What the plugin costs, as `python -m benchmarks.run` prints it. Figures are `median (quartiles)` of runs in turn.
Seconds are of the processor on one thread, so that what else the machine does counts little; only those of parallel
runs are of the clock. What is counted in passes, and held by tests, is in [explanation/cost.md](explanation/cost.md).
"""
# What a part says beside its figures.
WORDS = {
    "Overhead": "Models whose checks are quick are measured in six processes, which keep the memory that torch frees:\n"
    "how much goes back to the system, and comes back page by page, differs from one process to the next.\n\n"
    "*Own passes* is a run divided by the time that it spends in its own forward passes, backward passes\n"
    "and optimizer steps. Both are of the same seconds, so a machine whose pace changes from run to run changes it\n"
    "least. What a pass takes longer for the work between the passes counts in *bare loop* only.\n",
    "Parallel": "Start-up is longer with `-n 2`: the controller imports torch with the user's conftest.py before it\n"
    "starts workers, which import it again. The last line is what the machine gives to two processes that know\n"
    "nothing of each other; workers take another model when they are done with one, and so may do better.\n",
    "Scale": "The growth is that of the last step, as the exponent of a power: 1 is linear.\n\n"
    "![Seconds against size](scale.svg)\n",
}


def machine() -> str:
    """The date, and in general words what this runs on."""
    gpu = "a GPU" if torch.cuda.is_available() else "no GPU"
    versions = f"Python {platform.python_version()}, torch {torch.__version__.partition('+')[0]}"
    tools = f"pytest {pytest.__version__}, hypothesis {hypothesis.__version__}"
    load = f"other work at the start: a load of {os.getloadavg()[0]:.0f}"
    return f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {gpu}, {versions}, {tools}; {load}."


def told(function: Callable[[], object]) -> str:
    """What a part prints, also shown as it comes."""
    text = io.StringIO()

    class Both(io.TextIOBase):
        def write(self, words: str) -> int:
            sys.__stdout__.write(words)  # type: ignore[union-attr]
            return text.write(words)

    with contextlib.redirect_stdout(Both()):
        function()
    return text.getvalue()


def sections() -> dict[str, str]:
    """The text of the page by the titles of its parts."""
    if not PAGE.exists():
        return {}
    _, *parts = PAGE.read_text(encoding="utf-8").split("\n## ")
    return {title: text.strip() for title, _, text in (part.partition("\n") for part in parts)}


def main(rounds: int, wanted: set[str], *, write: bool) -> None:
    parts: dict[str, Callable[[], object]] = {
        # Of 20 rounds the differences are known to 10 ms, of 80 to 2.
        "Start-up": lambda: startup.main(40 * rounds),
        "Overhead": lambda: overhead.main(rounds),
        "Parallel": lambda: parallel.main(20, max(1, rounds // 5)),
        "Scale": lambda: scale.main(docs=DOCS if write else None, full=write),
    }
    found = sections()
    for title, part in parts.items():
        if wanted and title.lower().replace("-", "") not in wanted:
            continue
        where = machine()
        print(f"\n## {title}\n\n{where}\n")
        found[title] = f"{where}\n\n{told(part)}\n{WORDS.get(title, '')}".strip()
    if write:
        text = HEAD + "".join(f"\n## {title}\n\n{found[title]}\n" for title in parts if title in found)
        PAGE.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    names = {word for word in sys.argv[1:] if word.isalpha()}
    main(numbers[0] if numbers else 10, names, write="--write" in sys.argv)
