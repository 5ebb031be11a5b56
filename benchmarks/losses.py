"""What the checks of one registered loss cost, against 1,000 plain evaluations of it with their gradients.

Run ``python -m benchmarks.losses [pairs]`` in the checkout. Each pair is one run of all checks of losses in the profile
standard and 1,000 evaluations on 16 rows of 5 classes, one after the other, so that whatever else the machine does
falls on both. The medians are of processor time, and the ratio is that of each pair.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

import pytest_logits
from pytest_logits import judged_once

EVALUATIONS = 1000


def by_gather(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy by hand."""
    return -F.log_softmax(logits, dim=1).gather(1, targets.unsqueeze(1)).mean()


def focal(logits: Tensor, targets: Tensor) -> Tensor:
    """The focal loss with gamma 2."""
    ce = F.cross_entropy(logits, targets, reduction="none")
    return ((1 - torch.exp(-ce)) ** 2 * ce).mean()


def hinge(logits: Tensor, targets: Tensor) -> Tensor:
    """A loss that is recognised as none of the family."""
    return F.multi_margin_loss(logits, targets)


LOSSES = (by_gather, focal, hinge, torch.nn.CrossEntropyLoss())


def _timed(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def _check(loss: Callable[[Tensor, Tensor], Tensor], name: str) -> None:
    judged_once.forget()
    pytest_logits.check_loss(loss, name=name)


def _evaluate(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    labels = torch.arange(16) % 5
    for _ in range(EVALUATIONS):
        leaf = torch.zeros(16, 5, requires_grad=True)
        loss(leaf, labels).backward()


def main(pairs: int) -> None:
    """Print a line for each loss."""
    torch.set_num_threads(1)
    pytest_logits.check_loss(by_gather, name="warm", profile="quick")
    print(f"{'loss':18} {'checks':>8} {EVALUATIONS:>8} {'ratio':>6}")
    for loss in LOSSES:
        name = getattr(loss, "__name__", None) or type(loss).__name__
        found = [
            (
                _timed(lambda loss=loss, i=i: _check(loss, f"loss_{i}")),  # type: ignore[misc]
                _timed(lambda loss=loss: _evaluate(loss)),  # type: ignore[misc]
            )
            for i in range(pairs)
        ]
        checks, plain = (statistics.median(times) for times in zip(*found, strict=True))
        ratio = statistics.median(a / b for a, b in found)
        print(f"{name:18} {checks:7.3f}s {plain:7.3f}s {ratio:6.1f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
