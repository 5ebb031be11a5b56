"""Every loss of torch's family with all of its arguments.

``python -m tests.zoo.torch_losses [profile ...]`` checks them all. A sample runs with the tests, in the profile
standard; all of them in each profile with ``tox -e losses``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import nn

import pytest_logits
from pytest_logits.finding import Result
from pytest_logits.settings import PROFILES

REDUCTIONS = ("mean", "sum", "none")
WEIGHT, WITH_ZERO = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([1.0, 0.0, 4.0])
# Weights, labels that are left out, and shares that are spread; no class without weight beside smoothing.
IGNORED = (-100, -1, 1)


class TorchLoss(NamedTuple):
    """A module of torch's and how it is registered."""

    loss: nn.Module
    arguments: dict[str, Any]

    @property
    def name(self) -> str:
        """What it is made with."""
        made = {
            name: value.tolist() if isinstance(value, torch.Tensor) else value
            for name in ("weight", "pos_weight", "ignore_index", "label_smoothing", "reduction")
            if (value := getattr(self.loss, name, None)) is not None
        }
        given = {**made, **self.arguments}
        return f"{type(self.loss).__name__}({', '.join(f'{name}={value}' for name, value in given.items())})"


def torch_losses() -> Iterator[TorchLoss]:
    """All of them."""
    for reduction in REDUCTIONS:
        yield from _over_classes(reduction)
        yield from _over_bits(reduction)


def _over_classes(reduction: str) -> Iterator[TorchLoss]:
    three, two = {"num_classes": 3}, {"task": "binary", "targets": "index", "num_classes": 2}
    for weight, ignored, smoothing in product((None, WEIGHT), IGNORED, (0.0, 0.1)):
        made = {"weight": weight, "ignore_index": ignored, "reduction": reduction}
        yield TorchLoss(nn.CrossEntropyLoss(label_smoothing=smoothing, **made), three)
        if not smoothing:
            yield TorchLoss(nn.NLLLoss(**made), three)
    for weight, smoothing in product((None, WEIGHT), (0.0, 0.1)):
        soft = nn.CrossEntropyLoss(weight, label_smoothing=smoothing, reduction=reduction)
        yield TorchLoss(soft, {**three, "targets": "onehot"})
        of_two = None if weight is None else weight[:2].clone()
        yield TorchLoss(nn.CrossEntropyLoss(of_two, label_smoothing=smoothing, reduction=reduction), two)
    for kind in (nn.CrossEntropyLoss, nn.NLLLoss):
        yield TorchLoss(kind(WITH_ZERO, reduction=reduction), three)
        yield TorchLoss(kind(reduction=reduction), {})


def _over_bits(reduction: str) -> Iterator[TorchLoss]:
    tags, bit = {"task": "multilabel", "num_classes": 3}, {"task": "binary", "num_classes": 1}
    for weight, positive in product((None, WEIGHT), (None, 3 * WEIGHT)):
        yield TorchLoss(nn.BCEWithLogitsLoss(weight, pos_weight=positive, reduction=reduction), tags)
    for weight in (None, WEIGHT):
        yield TorchLoss(nn.BCELoss(weight, reduction=reduction), tags)
        yield TorchLoss(nn.MultiLabelSoftMarginLoss(weight, reduction=reduction), tags)
    for one in (bit, {**bit, "targets": "column"}):
        for positive in (None, torch.tensor([5.0])):
            yield TorchLoss(nn.BCEWithLogitsLoss(pos_weight=positive, reduction=reduction), one)
        yield TorchLoss(nn.BCELoss(reduction=reduction), one)


def wrong(loss: TorchLoss, profile: str) -> list[Result]:
    """What is neither passed nor not applicable, all of it where no check passed."""
    results = list(pytest_logits.check_loss(loss.loss, profile=profile, **{"name": "loss", **loss.arguments}))
    passed = {result.check for result in results if result.outcome == "passed"}
    if not {"loss_matches_reference", "loss_stays_finite"} <= passed:
        return results
    return [result for result in results if result.outcome not in ("passed", "not_applicable")]


def main(profiles: list[str]) -> int:
    """Check all of them; the number of those that are not clean."""
    torch.set_num_threads(1)
    losses, unclean = list(torch_losses()), 0
    for profile in profiles:
        for loss in losses:
            found = wrong(loss, profile)
            unclean += bool(found)
            for result in found:
                print(profile, loss.name, result.check, result.outcome, result.verdict.measured)
        print(f"{profile}: {len(losses)} losses, {unclean} not clean so far", flush=True)
    return unclean


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:] or list(PROFILES)), 1))
