"""What a plugin costs where it is installed and not used: ``pytest --collect-only`` of an empty folder, in pairs.

Run ``python -m benchmarks.startup [pairs]`` in the checkout. Every round runs pytest once without any of the plugins
below, and once with each of them that is installed, in random order. What it costs is the median of the differences,
given with its 95 % confidence interval. Seconds are of the processor.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
import tempfile
from pathlib import Path

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


def main(rounds: int) -> None:
    """Print the base, and what each adds to it."""
    names = entry_points()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(folder: Path, wanted: str) -> float:
        off = [word for name in names.values() if name != wanted for word in ("-p", f"no:{name}")]
        command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *off]
        # An empty folder ends with 5, "no tests collected".
        return pairs.process(command, folder=folder, environment=environment, ends_with=(0, 5))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = {dist: lambda point=point: run(folder, point) for dist, point in names.items()}
        found = pairs.in_turn({"pytest alone": lambda: run(folder, ""), **cases}, rounds)
    base = found["pytest alone"]
    print("| installed and not used | ms (95 % confidence) | times pytest alone |\n| --- | --- | --- |")
    print(f"| pytest alone | {pairs.interval([1e3 * s for s in base])} | 1 |")
    for dist in names:
        more = [1e3 * (a - b) for a, b in zip(found[dist], base, strict=True)]
        print(f"| {dist} | + {pairs.interval(more)} | {pairs.ratios(found[dist], base)} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
