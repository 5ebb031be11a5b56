"""What the plugin costs where it is installed and not used: ``pytest --collect-only`` of an empty folder, in pairs.

Run ``python benchmarks/startup.py [pairs]``. Each pair is one run without the plugin (``-p no:logits``) and one with,
in random order; the median of the differences is what it costs.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time


def seconds(folder: str, *arguments: str) -> float:
    """Wall time of one run."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *arguments, folder]
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, capture_output=True, check=False)
    return time.perf_counter() - started


def main(pairs: int) -> None:
    """Print medians and the spread of the paired differences."""
    without, with_plugin = [], []
    with tempfile.TemporaryDirectory() as folder:
        seconds(folder), seconds(folder, "-p", "no:logits")
        for _ in range(pairs):
            runs = [(without, ("-p", "no:logits")), (with_plugin, ())]
            random.shuffle(runs)
            for times, arguments in runs:
                times.append(seconds(folder, *arguments))
    differences = sorted(1000 * (b - a) for a, b in zip(without, with_plugin, strict=True))
    quarter = len(differences) // 4
    print(f"without the plugin  {1000 * statistics.median(without):7.1f} ms")
    print(f"with the plugin     {1000 * statistics.median(with_plugin):7.1f} ms")
    print(f"difference, median  {statistics.median(differences):7.1f} ms", end="")
    print(f"  (quartiles {differences[quarter]:.1f} to {differences[-1 - quarter]:.1f}, {pairs} pairs)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30)
