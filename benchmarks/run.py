"""All figures of docs/benchmarks.md in one run: ``python -m benchmarks.run [rounds]``, in the checkout.

Figures are ratios or differences of runs in turn, as ``median (quartiles)``, in seconds of the processor; see
``benchmarks/pairs.py``. With ``--write`` the page is written, and the plot beside it.
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

from benchmarks import overhead, scale, startup

DOCS = Path(__file__).parent.parent / "docs"
HEAD = """\
# Benchmarks

<!-- Made by `python -m benchmarks.run --write`. -->

What the plugin costs, as `python -m benchmarks.run` prints it. Figures are `median (quartiles)` of runs in turn on one
thread, in seconds of the processor, so that what else the machine does counts little. What is counted in passes, and
held by tests, is in [explanation/cost.md](explanation/cost.md).
"""


def machine() -> str:
    """The date, and in general words what this runs on."""
    gpu = "a GPU" if torch.cuda.is_available() else "no GPU"
    versions = f"Python {platform.python_version()}, torch {torch.__version__.partition('+')[0]}"
    tools = f"pytest {pytest.__version__}, hypothesis {hypothesis.__version__}"
    return f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {gpu}, {versions}, {tools}."


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


def main(rounds: int, *, write: bool) -> None:
    parts: dict[str, Callable[[], object]] = {
        "Start-up": lambda: startup.main(3 * rounds),
        "Overhead": lambda: overhead.main(rounds),
        "Scale": lambda: scale.main(docs=DOCS if write else None, full=write),
    }
    text = f"{HEAD}\n{machine()}\n"
    print(machine())
    for title, part in parts.items():
        print(f"\n## {title}\n")
        text += f"\n## {title}\n\n{told(part)}"
    text += "\n![Seconds against size](scale.svg)\n"
    if write:
        (DOCS / "benchmarks.md").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    main(numbers[0] if numbers else 10, write="--write" in sys.argv)
