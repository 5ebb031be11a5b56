"""Measure what a softmax before cross entropy does, and draw it: ``python docs/figures/double_softmax.py``.

The numbers are those of docs/explanation/double-softmax.md. Only drawing needs matplotlib.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

FOLDER = Path(__file__).parent
RIGHT, WRONG, FLOOR = "#1f6f8b", "#c8553d", "#777777"


def floor(classes: int) -> float:
    """The least that cross entropy can be on softmax outputs, one of which is 1."""
    return math.log(1 + (classes - 1) / math.e)


@dataclass(frozen=True)
class Run:
    """Loss and accuracy on the training set after each step."""

    losses: list[float]
    accuracies: list[float]


Optimizer = Callable[[list[Tensor]], torch.optim.Optimizer]


def training(classes: int, *, softmax: bool, optimizer: Optimizer, steps: int, seed: int = 0) -> Run:
    """A network of 64 ReLU units on well separated clusters: 10 rows of each class, all in each step."""
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(10 * classes) % classes
    x = torch.randn(classes, 20, generator=rng)[y] + 0.1 * torch.randn(10 * classes, 20, generator=rng)
    weights = [torch.empty(64, 20).uniform_(-(20**-0.5), 20**-0.5, generator=rng)]
    weights += [torch.empty(classes, 64).uniform_(-1 / 8, 1 / 8, generator=rng)]
    parameters = [w.requires_grad_() for w in (*weights, torch.zeros(64), torch.zeros(classes))]
    stepping, run = optimizer(parameters), Run([], [])
    for _ in range(steps):
        scores = F.linear(F.relu(F.linear(x, parameters[0], parameters[2])), parameters[1], parameters[3])
        loss = F.cross_entropy(scores.softmax(dim=1) if softmax else scores, y)
        run.losses.append(float(loss.detach()))
        run.accuracies.append(float((scores.argmax(dim=1) == y).double().mean()))
        stepping.zero_grad()
        loss.backward()
        stepping.step()
    return run


def with_adam(classes: int, *, softmax: bool) -> Run:
    return training(classes, softmax=softmax, optimizer=lambda p: torch.optim.Adam(p, lr=0.01), steps=200)


def with_sgd(classes: int, *, softmax: bool) -> Run:
    return training(classes, softmax=softmax, optimizer=lambda p: torch.optim.SGD(p, lr=0.1), steps=500)


def story(*, softmax: bool, seeds: int = 200) -> tuple[float, int]:
    """The article's script, for many seeds at once: the share of class 0 in the predictions, and runs of one class.

    100 random points of 10 numbers with random labels, one linear layer as torch initialises it, 5 steps of Adam at
    0.01 on all points. Adam works on each parameter by itself, so runs side by side do not touch each other.
    """
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(seeds, 100, 10, generator=rng)
    y = torch.randint(0, 2, (seeds, 100), generator=rng)
    bound = 10**-0.5
    weight = torch.empty(seeds, 10, 2).uniform_(-bound, bound, generator=rng).requires_grad_()
    bias = torch.empty(seeds, 1, 2).uniform_(-bound, bound, generator=rng).requires_grad_()
    optimizer = torch.optim.Adam([weight, bias], lr=0.01)
    for _ in range(5):
        scores = x @ weight + bias
        outputs = scores.softmax(dim=2) if softmax else scores
        optimizer.zero_grad()
        (F.cross_entropy(outputs.flatten(0, 1), y.flatten()) * seeds).backward()
        optimizer.step()
    predicted = (x @ weight + bias).argmax(dim=2)
    ones = predicted.double().mean(dim=1)
    return float((predicted == 0).double().mean()), int(((ones == 0) | (ones == 1)).sum())


def said(true: float) -> float:
    """What softmax outputs say of the first of two classes at the minimum of cross entropy on them.

    A share ``true`` of the rows has that class. Cross entropy's own softmax of (p, 1 - p) is best at ``true``, so
    2 p - 1 = log(true / (1 - true)), within [0, 1].
    """
    if not 0 < true < 1:
        return true
    return min(max((1 + math.log(true / (1 - true))) / 2, 0.0), 1.0)


def draw_losses(plt: Any) -> None:
    figure, panels = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for panel, classes in zip(panels, (2, 10), strict=True):
        for softmax, colour, name in ((False, RIGHT, "logits"), (True, WRONG, "softmax first")):
            run = with_adam(classes, softmax=softmax)
            panel.plot(run.losses, color=colour, label=f"{name}: accuracy {run.accuracies[-1]:.2f}")
        panel.axhline(floor(classes), color=FLOOR, linestyle="--", linewidth=1)
        panel.annotate(f"floor {floor(classes):.4f}", (199, floor(classes)), (0, 3), ha="right", **POINTS)
        panel.set(title=f"{classes} classes", xlabel="step", ylabel="training loss", ylim=(0, None))
        panel.legend(frameon=False, loc="upper right")
    save(figure, "double_softmax_losses.svg")


def draw_sgd(plt: Any) -> None:
    figure, panel = plt.subplots(figsize=(5, 3), layout="constrained")
    for softmax, colour, name in ((False, RIGHT, "logits"), (True, WRONG, "softmax first")):
        run = with_sgd(100, softmax=softmax)
        panel.plot(run.accuracies, color=colour, label=f"{name}: {run.accuracies[-1]:.2f} at the end")
    panel.set(title="100 classes, SGD at 0.1", xlabel="step", ylabel="training accuracy", ylim=(0, 1.05))
    panel.legend(frameon=False, loc="center right")
    save(figure, "double_softmax_sgd.svg")


def draw_said(plt: Any) -> None:
    figure, panel = plt.subplots(figsize=(4, 3), layout="constrained")
    shares = [i / 200 for i in range(201)]
    panel.plot(shares, shares, color=RIGHT, label="logits")
    panel.plot(shares, [said(p) for p in shares], color=WRONG, label="softmax first")
    panel.set(
        title="2 classes, at the minimum", xlabel="share of class 1 among such rows", ylabel="what the model says"
    )
    panel.legend(frameon=False)
    save(figure, "double_softmax_said.svg")


POINTS = {"textcoords": "offset points", "fontsize": "small", "color": FLOOR}


def save(figure: Any, name: str) -> None:
    """No date and no random ids, so that the same drawing is the same file; text stays text."""
    figure.savefig(FOLDER / name, metadata={"Date": None})


def main() -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "pytest-logits", "svg.fonttype": "none", "font.family": "sans-serif"})
    import matplotlib.pyplot as plt

    for draw in (draw_losses, draw_sgd, draw_said):
        draw(plt)


if __name__ == "__main__":
    main()
