"""How the cost of a run grows with classes, batch, parameters, models and checks, and what memory it takes.

Run ``python -m benchmarks.scale [folder]`` in the checkout; the plot is written to ``scale.svg`` in the folder. Each
point is a process of its own. Seconds are of the processor, without what the same process takes to import torch,
pytest_logits and Hypothesis; memory is the largest resident set of the process. The growth is that of the time
between the last two points, as the exponent of a power: 1 is linear.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
# Float32 numbers, in MB.
NUMBER = 4e-6
POINTS: dict[str, tuple[int, ...]] = {
    "classes": (2, 100, 1000, 10_000),
    "batch": (16, 256, 4096),
    "parameters": (10**3, 10**5, 10**6, 10**7, 10**8),
    "models": (1, 20, 100, 500),
    "checks": (1, 6, 12, 23),
}
LAST_SMALL = {"classes": 1000, "batch": 4096, "parameters": 10**7, "models": 20, "checks": 23}


def square(parameters: int) -> Callable[[], Any]:
    """A linear model of about so many parameters, in layers of one width."""
    from torch import nn

    layers = 4
    width = max(4, round(math.sqrt(parameters / layers)))
    parts = [part for _ in range(layers) for part in (nn.Linear, nn.ReLU)]

    def make() -> nn.Module:
        return nn.Sequential(
            *(part(width, width) if part is nn.Linear else part() for part in parts), nn.Linear(width, 2)
        )

    make.width = width  # type: ignore[attr-defined]
    return make


def small(features: int, classes: int) -> Callable[[], Any]:
    from torch import nn

    return lambda: nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, classes))


def of_checks(axis: str, size: int) -> dict[str, Any]:
    """One point: passes made."""
    import torch

    import pytest_logits
    from pytest_logits.check_registry import all_checks

    torch.set_num_threads(1)
    reports = []
    if axis == "classes":
        reports.append(pytest_logits.check_classifier(small(32, size), input_shape=(32,), num_classes=size))
    elif axis == "batch":
        rng = torch.Generator().manual_seed(0)
        x, y = torch.randn(size, 32, generator=rng), torch.arange(size) % 10
        reports.append(
            pytest_logits.check_classifier(
                small(32, 10), input_shape=(32,), num_classes=10, batches=lambda: [(x, y)] * 4
            )
        )
    elif axis == "parameters":
        make = square(size)
        reports.append(pytest_logits.check_classifier(make, input_shape=(make.width,), num_classes=2))  # type: ignore[attr-defined]
    elif axis == "models":
        reports += [
            pytest_logits.check_classifier(small(32, 2), name=f"model_{i}", input_shape=(32,), num_classes=2)
            for i in range(size)
        ]
    else:
        names = [check.name for check in all_checks()][:size]
        reports.append(pytest_logits.check_classifier(small(32, 2), input_shape=(32,), num_classes=2, select=names))
    for report in reports:
        report.raise_for_failures()
    results = [result for report in reports for result in report]
    return {
        "forward": sum(result.passes.forward for result in results),
        "backward": sum(result.passes.backward for result in results),
    }


def of_training(size: int) -> dict[str, Any]:
    """A bare training step with Adam on the same model: what a user's own training takes."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)
    make = square(size)
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), foreach=False)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(model(torch.randn(16, make.width)), torch.arange(16) % 2).backward()  # type: ignore[attr-defined]
        optimizer.step()
    return {}


def point(kind: str, axis: str, size: int) -> dict[str, Any]:
    """Measure inside this process: seconds since the imports, and the largest memory, also before them."""
    import time

    import torch._dynamo  # noqa: F401

    from pytest_logits.check_registry import all_checks

    all_checks()

    def memory() -> float:
        # The largest that getrusage knows of counts the process that has started this one, too.
        (line,) = (s for s in Path("/proc/self/status").read_text().splitlines() if s.startswith("VmHWM:"))
        return int(line.split()[1]) / 1e3

    before, started = memory(), time.process_time()
    found = of_checks(axis, size) if kind == "checks" else of_training(size)
    return {**found, "seconds": time.process_time() - started, "memory": memory(), "imports": before}


def measure(kind: str, axis: str, size: int) -> dict[str, Any]:
    """One point, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale", kind, axis, str(size)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def exponent(sizes: list[int], values: list[float]) -> float:
    return math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2])


def rows(axis: str, sizes: list[int]) -> tuple[list[str], list[float]]:
    """The table of one axis, and its seconds."""
    seconds, lines = [], []
    for size in sizes:
        found = measure("checks", axis, size)
        seconds.append(found["seconds"])
        more = found["memory"] - found["imports"]
        told = f"| {axis} | {size:,} | {found['forward']:,} / {found['backward']:,} | {seconds[-1]:.2f} | {more:.0f} |"
        if axis == "parameters":
            bare = measure("training", axis, size)
            trained, copy = bare["memory"] - bare["imports"], size * NUMBER
            told += f" bare training {trained:.0f}, one copy {copy:.0f}, together {trained + copy:.0f} |"
        else:
            told += " |"
        lines.append(told)
        print(told, flush=True)
    lines.append(f"| {axis} | growth of the last step |  | {exponent(sizes, seconds):.2f} |  |  |")
    print(lines[-1], flush=True)
    return lines, seconds


def plot(found: dict[str, tuple[list[int], list[float]]]) -> str:
    """Seconds against size, both logarithmic, one line for each axis."""
    width, height, margin = 640, 400, 56
    most = max(math.log10(size[-1]) for size, _ in found.values())
    low = min(math.log10(min(seconds)) for _, seconds in found.values())
    high = max(math.log10(max(seconds)) for _, seconds in found.values())
    low, high = math.floor(low), math.ceil(high)

    def at(size: float, seconds: float) -> tuple[float, float]:
        x = margin + (width - 2 * margin) * math.log10(size) / most
        y = height - margin - (height - 2 * margin) * (math.log10(seconds) - low) / (high - low)
        return round(x, 1), round(y, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for power in range(low, high + 1):
        (x0, y), (x1, _) = at(1, 10.0**power), at(10**most, 10.0**power)
        parts.append(f'<line x1="{x0}" y1="{y}" x2="{x1}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{x0 - 6}" y="{y + 4}" text-anchor="end">{10.0**power:g} s</text>')
    for power in range(int(most) + 1):
        x, y = at(10.0**power, 10.0**low)
        parts.append(f'<text x="{x}" y="{y + 18}" text-anchor="middle">1e{power}</text>')
    colours = ("#1b6ca8", "#c8553d", "#3a7d44", "#7b4b94", "#b8860b")
    for number, (axis, (sizes, seconds)) in enumerate(found.items()):
        points = [at(a, b) for a, b in zip(sizes, seconds, strict=True)]
        path = " ".join(f"{x},{y}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colours[number]}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3" fill="{colours[number]}"/>' for x, y in points]
        parts.append(f'<text x="{margin + 8}" y="{margin + 16 * number}" fill="{colours[number]}">{axis}</text>')
    parts.append(
        f'<text x="{width / 2}" y="{height - 10}" text-anchor="middle">classes, rows, parameters, models, checks</text>'
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def main(*, docs: Path | None = None, full: bool = False) -> list[str]:
    """Measure every point and print the table; small points only unless ``full``."""
    head = "| axis | size | passes, forward / backward | s | MB beyond the imports | against |"
    lines = [head, "| --- | --- | --- | --- | --- | --- |"]
    print(*lines, sep="\n")
    found = {}
    for axis, points in POINTS.items():
        sizes = [size for size in points if full or size <= LAST_SMALL[axis]]
        told, seconds = rows(axis, sizes)
        lines += told
        found[axis] = (sizes, seconds)
    if docs is not None:
        (docs / "scale.svg").write_text(plot(found), encoding="utf-8", newline="\n")
    return lines


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(point(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
    else:
        main(docs=Path(sys.argv[1]) if len(sys.argv) > 1 else None, full=True)
