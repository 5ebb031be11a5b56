"""What the checks cost beside the passes that they make, and what other packages' checks cost.

Run ``python -m benchmarks.overhead [rounds]`` in the checkout. Three figures:

- models of 5 ms a pass and more: the standard profile against a bare loop that makes the same passes on the same
  inputs, in the same modes, with as many steps of torch's Adam as there are backward passes. Once with nothing known
  of the loss, as for the first model of a session, and once for a further model with the same loss. Each in several
  processes, in which glibc keeps the memory that torch frees;
- a tiny MLP: the whole of ``pytest --logit-checks`` against a process that imports torch, pytest and hypothesis;
- the same tiny MLP in a process that has everything imported, beside 20 plain steps and the main checks of peers.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pytest_logits
from benchmarks import pairs, peers
from pytest_logits import judged_once
from pytest_logits.descent import plain
from pytest_logits.subject import Subject

ROOT = Path(__file__).parent.parent
CLASSES = 10
CONFTEST = """\
import pytest_logits
from torch import nn


@pytest_logits.register(input_shape=(10,), num_classes=2)
def tiny():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 2))
"""
IMPORTS = "import torch, pytest, hypothesis"
# What is given back to the system comes back page by page, and how much it is depends on where in the heap a process
# happens to have it: none to 50,000 pages in all checks of SmallConv, of which a pass took 4.5 to 8 ms.
KEEPS_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TOP_PAD_": str(2**28),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
}
# In how many processes each kind is measured: runs of one process are alike, and others may be alike in another way.
KINDS = {"SmallConv": 6, "Conv": 6, "Residual": 1, "Dense": 3}


class Conv(nn.Module):
    """Many operations on few parameters."""

    side = 64
    shape = (3, side, side)

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4)
        )
        self.head = nn.Linear(16 * (self.side // 4) ** 2, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).flatten(1))


class SmallConv(Conv):
    """As quick as a pass may be for the bound on the overhead: about 5 ms."""

    side = 48
    shape = (3, side, side)


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = 2 if after > before else 1
        self.first = nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after))
        short = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.short = short if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.short(x) + self.second(self.first(x)))


class Residual(nn.Module):
    """The shape of ResNet-18: 11 million parameters."""

    shape = (3, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        widths = (64, 64, 64, 128, 128, 256, 256, 512, 512)
        stem = (nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2))
        self.body = nn.Sequential(*stem, *(Block(a, b) for a, b in itertools.pairwise(widths)))
        self.head = nn.Linear(widths[-1], CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).mean((2, 3)))


class Dense(nn.Module):
    """Many parameters with few operations on each: making a copy costs as much as a pass."""

    shape = (64,)

    def __init__(self) -> None:
        super().__init__()
        widths = (64, 2048, 2048, 2048)
        layers = [part for a, b in itertools.pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


@dataclass(frozen=True)
class Pass:
    """One forward pass: its input, and how it was made."""

    inputs: Tensor
    training: bool
    graph: bool


class Bare:
    """The passes that the checks make on a model, and the loop that makes them again."""

    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind
        self.passes: list[Pass] = []
        note = self.passes.append

        class Noted(kind):  # type: ignore[misc]
            def forward(self, x: Tensor) -> Any:
                note(Pass(x.detach().clone(), self.training, torch.is_grad_enabled()))
                return super().forward(x)

        report = check(Noted)
        self.forward = sum(result.passes.forward for result in report)
        self.backward = sum(result.passes.backward for result in report)
        if self.forward != len(self.passes):
            raise RuntimeError(f"{len(self.passes)} forward passes, of which {self.forward} are reported")

    def loop(self) -> None:
        model, left = self.kind(), self.backward
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for made in self.passes:
            model.train(made.training)
            with torch.set_grad_enabled(made.graph):
                logits = model(made.inputs)
            if made.graph and left:
                left -= 1
                optimizer.zero_grad()
                F.cross_entropy(logits, torch.arange(len(logits)) % CLASSES).backward()
                optimizer.step()


def check(kind: type[Any]) -> pytest_logits.Report:
    """All checks of the standard profile on a sound model.

    Raises:
        ChecksFailed: one of them fails.
    """
    report = pytest_logits.check_classifier(kind, name="model", input_shape=kind.shape, num_classes=CLASSES)
    report.raise_for_failures()
    return report


class Clock:
    """Processor time inside a run's own passes: forward, backward, and the steps of the suite's optimizer."""

    def __init__(self) -> None:
        self.inside = 0.0
        self.shares: dict[str, list[float]] = {}

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            started = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.inside += time.process_time() - started

        return measured

    def spent(self, name: str, kind: type[Any]) -> float:
        """Seconds that the checks take, whose ratio to those inside is noted under the name."""
        adam: Any = plain(torch.optim.Adam)
        self.inside = 0.0
        with (
            mock.patch.object(kind, "forward", self.timed(kind.forward)),
            mock.patch.object(Subject, "backward", self.timed(Subject.backward)),
            mock.patch.object(adam, "step", self.timed(adam.step)),
        ):
            whole = pairs.spent(lambda: check(kind))
        self.shares.setdefault(name, []).append(whole / self.inside)
        return whole


def in_this_process(name: str, rounds: int) -> dict[str, Any]:
    """Seconds of the checks on the kind of this name, as first and as further model, and of the bare loop."""
    torch.set_num_threads(1)
    kind: type[Any] = globals()[name]
    bare, clock = Bare(kind), Clock()

    def first() -> float:
        judged_once.forget()
        return clock.spent("first", kind)

    cases: dict[str, Callable[[], float]] = {
        "bare": lambda: pairs.spent(bare.loop),
        "first": first,
        "further": lambda: clock.spent("further", kind),
    }
    found = pairs.in_turn(cases, rounds)
    return {"seconds": found, "shares": clock.shares, "forward": bare.forward, "backward": bare.backward}


def of_passes(kind: str, rounds: int) -> list[str]:
    """How many times the bare loop the checks take, and how many times what they spend in their own passes."""
    command = [sys.executable, "-m", "benchmarks.overhead", kind, str(rounds)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **KEEPS_MEMORY}
    made = [json.loads(pairs.told(command, folder=ROOT, environment=environment)) for _ in range(KINDS[kind])]
    forward, backward = made[0]["forward"], made[0]["backward"]
    bare = [seconds for one in made for seconds in one["seconds"]["bare"]]
    lines = []
    for name, words in (("first", "first model of a session"), ("further", "further model")):
        seconds = [value for one in made for value in one["seconds"][name]]
        shares = [value for one in made for value in one["shares"][name]]
        passes = f"{forward} forward and {backward} backward passes of {pass_of(bare, forward, backward)} ms"
        lines.append(f"| {kind}, {passes}, {words} | {pairs.ratios(seconds, bare)} | {pairs.spread(shares)} |")
    return lines


def pass_of(bare: list[float], forward: int, backward: int) -> str:
    """Milliseconds of a pass in the bare loop, of which a backward pass with its step is two."""
    return f"{1e3 * statistics.median(bare) / (forward + 2 * backward):.1f}"


def of_process(rounds: int) -> list[str]:
    """What a whole run takes beyond its imports."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

        def run(*arguments: str) -> float:
            return pairs.process([sys.executable, *arguments], folder=folder, environment=environment)

        found = pairs.in_turn(
            {
                "imports": lambda: run("-c", IMPORTS),
                "checks": lambda: run("-m", "pytest", "-q", "-p", "no:cacheprovider", "--logit-checks"),
            },
            rounds,
        )
    return [
        f"| `pytest --logit-checks` on a tiny MLP, s beyond `{IMPORTS}` "
        f"| {pairs.differences(found['checks'], found['imports'])} |",
        f"| the same as a ratio to these imports | {pairs.ratios(found['checks'], found['imports'])} |",
    ]


def of_peers(rounds: int) -> list[str]:
    """The checks on the tiny MLP in a warm process, and what others check, against 20 plain steps."""

    def ours() -> None:
        judged_once.forget()
        pytest_logits.check_classifier(
            peers.model, name="tiny", input_shape=(peers.FEATURES,), num_classes=peers.CLASSES
        )

    named: dict[str, Callable[[], Any]] = {"20 plain steps": peers.plain_steps, "pytest-logits": ours}
    named |= peers.installed()
    found = pairs.in_turn({name: lambda f=f: pairs.spent(f) for name, f in named.items()}, rounds)
    base = found["20 plain steps"]
    return [f"| {name} | {pairs.ratios(found[name], base)} |" for name in named]


def main(rounds: int) -> None:
    torch.set_num_threads(1)
    print("| processor time, as a ratio to | bare loop | own passes |\n| --- | --- | --- |")
    for kind in KINDS:
        print(*of_passes(kind, rounds), sep="\n", flush=True)
    print("\n| of a whole process | processor time |\n| --- | --- |")
    print(*of_process(rounds), sep="\n", flush=True)
    print("\n| on a tiny MLP, everything imported | times 20 plain steps |\n| --- | --- |")
    print(*of_peers(rounds), sep="\n", flush=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    if words and words[0] in KINDS:
        print(json.dumps(in_this_process(words[0], int(words[1]))))
    else:
        main(int(words[0]) if words else 2)
