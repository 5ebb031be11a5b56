"""Every torch loss of the family, with all arguments, has its reference; planted mistakes are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pytest_logits
from pytest_logits.finding import Result

WEIGHT = torch.tensor([1.0, 2.0, 0.5])
NAME = "loss_matches_reference"


def check(loss: Any, *, profile: str = "standard", **arguments: Any) -> Result:
    (result,) = pytest_logits.check_loss(loss, select=[NAME], profile=profile, **{"name": "loss", **arguments})
    return result


def family() -> list[Any]:
    found = []
    for reduction in ("mean", "sum", "none"):
        for arguments in (
            {},
            {"weight": WEIGHT},
            {"ignore_index": 1},
            {"ignore_index": -1, "weight": WEIGHT},
            {"label_smoothing": 0.1},
            {"label_smoothing": 0.3, "weight": WEIGHT, "ignore_index": 2},
        ):
            found.append((nn.CrossEntropyLoss(reduction=reduction, **arguments), {}))
            if "label_smoothing" not in arguments:
                found.append((nn.NLLLoss(reduction=reduction, **arguments), {}))
        found.append(
            (nn.CrossEntropyLoss(reduction=reduction, weight=WEIGHT, label_smoothing=0.1), {"targets": "onehot"})
        )
        for arguments in ({}, {"weight": WEIGHT}, {"pos_weight": WEIGHT}, {"weight": WEIGHT, "pos_weight": 3 * WEIGHT}):
            found.append((nn.BCEWithLogitsLoss(reduction=reduction, **arguments), {"task": "multilabel"}))
            if "pos_weight" not in arguments:
                found.append((nn.BCELoss(reduction=reduction, **arguments), {"task": "multilabel"}))
                found.append((nn.MultiLabelSoftMarginLoss(reduction=reduction, **arguments), {"task": "multilabel"}))
        found.append((nn.BCEWithLogitsLoss(reduction=reduction, pos_weight=torch.tensor([5.0])), {"task": "binary"}))
        found.append((nn.BCELoss(reduction=reduction), {"task": "binary", "targets": "column"}))
    return found


FAMILY = family()
IDS = [
    f"{type(loss).__name__}-{loss.reduction}-{'-'.join(map(str, arguments.values()))}-{number}"
    for number, (loss, arguments) in enumerate(FAMILY)
]


@pytest.mark.parametrize(("loss", "arguments"), FAMILY, ids=IDS)
def test_a_loss_of_torch_with_any_arguments_passes(loss: nn.Module, arguments: dict[str, Any]):
    result = check(loss, profile="quick", num_classes=1 if arguments.get("task") == "binary" else 3, **arguments)
    assert (result.outcome, result.verdict.measured[-5:]) == ("passed", " 1000")


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets)


def by_its_wrong_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    value = F.cross_entropy(logits, targets)
    return value.detach() + 2 * (value - value.detach())


def averaged_over_classes(logits: Tensor, targets: Tensor) -> Tensor:
    return -(F.one_hot(targets, logits.shape[1]) * F.log_softmax(logits, dim=1)).mean()


def shifted(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, (targets + 1) % logits.shape[1])


def negated(logits: Tensor, targets: Tensor) -> Tensor:
    return -F.cross_entropy(logits, targets)


def all_pairs(logits: Tensor, targets: Tensor) -> Tensor:
    return -F.log_softmax(logits, dim=1)[:, targets].mean()


def smoothed_by_a_sum(logits: Tensor, targets: Tensor) -> Tensor:
    return 0.9 * F.cross_entropy(logits, targets) - 0.1 * F.log_softmax(logits, dim=1).sum(dim=1).mean()


def counting_ignored(logits: Tensor, targets: Tensor, ignore_index: int = -1) -> Tensor:
    return F.cross_entropy(logits, targets, ignore_index=ignore_index, reduction="none").mean()


def of_rows(logits: Tensor, targets: Tensor) -> Tensor:
    return -F.log_softmax(logits, dim=1).gather(0, targets.unsqueeze(1)).mean()


def of_predictions(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, logits.argmax(dim=1))


def detached(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.detach(), targets)


def focal_of_the_mean(logits: Tensor, targets: Tensor) -> Tensor:
    mean = F.cross_entropy(logits, targets)
    return (1 - torch.exp(-mean)) ** 2 * mean


class Cancelling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor([1.0, 2.0, 4.0]))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        each = F.cross_entropy(logits, targets, reduction="none")
        return (self.weight[targets] * each / self.weight[targets]).mean()


FAULTS: list[tuple[Callable[..., Tensor], str | None]] = [
    (averaged_over_classes, "wrong_reduction"),
    (focal_of_the_mean, "wrong_reduction"),
    (shifted, "labels_out_of_range"),
    (negated, "loss_is_maximised"),
    (all_pairs, "broadcast_targets"),
    (smoothed_by_a_sum, "unnormalised_targets"),
    (counting_ignored, "ignored_rows_count"),
    (of_rows, "gather_over_wrong_dim"),
    (of_predictions, "labels_have_no_effect"),
    (detached, "detached_graph"),
    (Cancelling(), "wrong_loss_weights"),
    (by_its_wrong_gradient, None),
]


@pytest.mark.parametrize(("loss", "cause"), FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_a_mistake_is_named(loss: Callable[..., Tensor], cause: str | None):
    result = check(loss, profile="quick")
    assert (result.outcome, result.verdict.cause) == ("failed", cause), result.verdict.measured


def test_the_counterexample_is_small():
    result = check(by_its_wrong_gradient)
    found = result.verdict.counterexample
    assert found is not None
    assert (found["logits"], found["labels"]) == ([[0.0, 0.0]], [0])


def test_a_loss_by_hand_is_recognised_and_held():
    result = check(cross_entropy)
    assert result.outcome == "passed"
    assert result.verdict.evidence["recognised_as"] == "cross entropy, averaged"


def test_a_loss_of_no_known_form_is_held_to_no_value():
    result = check(lambda z, y: F.multi_margin_loss(z, y))
    assert (result.outcome, result.verdict.evidence["recognised_as"]) == ("passed", None)


def test_another_reduction_than_the_declared_one_is_named():
    result = check(cross_entropy, reduction="sum")
    assert (result.outcome, result.verdict.cause) == ("failed", "wrong_reduction")


def test_a_random_loss_is_not_judged():
    result = check(lambda z, y: F.cross_entropy(F.dropout(z, 0.5), y))
    assert result.outcome == "not_applicable"
