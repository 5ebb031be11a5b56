"""How much faster ``-n 2`` is: models of about one second each, checked without workers and with two, in pairs.

Run ``python benchmarks/parallel.py [models] [pairs]`` on a machine that does nothing else. Both are whole commands with
their start-up: workers import torch too, at the same time. What a run costs before its first check is printed beside
it, from a run of one check on one small model.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFTEST = """
import pytest_logits
from torch import nn


def network():
    layers = [nn.Linear(64, {width}), nn.ReLU()]
    for _ in range({depth}):
        layers += [nn.Linear({width}, {width}), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear({width}, 10))


for number in range({models}):
    pytest_logits.register(network, name=f"network_{{number}}", input_shape=(64,), num_classes=10)
"""
# What one model takes is printed: choose the width so that it is about a second on the machine at hand.
WIDTH, DEPTH = 256, 4


def seconds(folder: Path, *arguments: str) -> float:
    """Wall time of one run."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--logit-checks", *arguments]
    started = time.perf_counter()
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(run.stdout + run.stderr)
    return time.perf_counter() - started


def main(models: int, pairs: int) -> None:
    """Print the medians, and the ratio of each pair."""
    one, two, ratios = [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        conftest = folder / "conftest.py"
        conftest.write_text(CONFTEST.format(width=8, depth=0, models=1), encoding="utf-8")
        start = statistics.median(seconds(folder, "--logit-select=outputs_depend_on_inputs") for _ in range(3))
        start_two = statistics.median(
            seconds(folder, "--logit-select=outputs_depend_on_inputs,outputs_stay_finite", "-n2") for _ in range(3)
        )
        conftest.write_text(CONFTEST.format(width=WIDTH, depth=DEPTH, models=models), encoding="utf-8")
        for _ in range(pairs):
            one.append(seconds(folder, "--logit-report=out.json"))
            two.append(seconds(folder, "-n2"))
            ratios.append(one[-1] / two[-1])
        results = json.loads((folder / "out.json").read_text(encoding="utf-8"))["results"]
    of_model = sum(result["seconds"] for result in results) / models
    a, b = statistics.median(one), statistics.median(two)
    print(f"{models} models of {of_model:.2f} s each, {os.cpu_count()} processors, {pairs} pairs")
    print(f"without workers  {a:6.1f} s, of which start-up {start:.1f} s")
    print(f"with -n 2        {b:6.1f} s, of which start-up {start_two:.1f} s")
    print(f"times faster     {statistics.median(ratios):6.2f}  ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"  beside start-up{(a - start) / (b - start_two):6.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20, int(sys.argv[2]) if len(sys.argv) > 2 else 3)
