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
from pytest_logits.losses import NAMED

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
    assert result.outcome == "passed"
    assert "scores up to 1000" in result.verdict.measured


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


# Focal forms


def focal(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    return ((1 - torch.exp(-ce)) ** 2 * ce).mean()


def focal_of_a_constant_weight(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    return ((1 - torch.exp(-ce.detach())) ** 2 * ce).mean()


def focal_by_its_wrong_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    value = focal(logits, targets)
    return value.detach() + 1.1 * (value - value.detach())


def sigmoid_focal(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    ce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return ((1 - p * targets - (1 - p) * (1 - targets)) ** 1.5 * ce).mean()


def sigmoid_focal_by_its_wrong_gradient(logits: Tensor, targets: Tensor) -> Tensor:
    value = sigmoid_focal(logits, targets)
    return value.detach() + 1.1 * (value - value.detach())


@pytest.mark.parametrize(
    ("loss", "task", "outcome"),
    [
        (focal, "multiclass", "passed"),
        (focal_of_a_constant_weight, "multiclass", "passed"),
        (focal_by_its_wrong_gradient, "multiclass", "failed"),
        (sigmoid_focal, "binary", "passed"),
        (sigmoid_focal_by_its_wrong_gradient, "binary", "failed"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_gradient_of_a_focal_form_is_held(loss: Callable[..., Tensor], task: str, outcome: str):
    result = check(loss, task=task)
    assert result.outcome == outcome, result.verdict.measured
    assert "focal" in result.verdict.evidence["recognised_as"]


# Batches of ignored rows


def masked(logits: Tensor, targets: Tensor, *, over: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    kept = targets != -100
    ce = F.cross_entropy(logits, targets.where(kept, torch.zeros_like(targets)), reduction="none")
    return over((ce * kept).sum(), kept.sum())


def kept_from_zero(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> Tensor:
    return masked(logits, targets, over=lambda total, count: total / count.clamp(min=1))


def zero_by_zero(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> Tensor:
    return masked(logits, targets, over=lambda total, count: total / count)


def behind_where(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> Tensor:
    return masked(
        logits, targets, over=lambda total, count: torch.where(count > 0, total / count, torch.zeros_like(total))
    )


def with_epsilon_above(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> Tensor:
    return masked(logits, targets, over=lambda total, count: (total + 1e-8) / count)


def sum_of_a_mean(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> Tensor:
    return masked(logits, targets, over=lambda total, count: total / count * count)


NAN = "nan with a gradient of "


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (nn.CrossEntropyLoss(), NAN + "0"),
        (nn.CrossEntropyLoss(reduction="sum"), "0 with a gradient of 0"),
        (zero_by_zero, NAN + "nan"),
        (kept_from_zero, "0 with a gradient of 0"),
    ],
    ids=["mean of torch", "sum of torch", "zero by zero", "kept from zero"],
)
def test_what_a_batch_of_ignored_rows_gives_is_told(loss: Any, said: str):
    result = check(loss, profile="quick", num_classes=3)
    assert result.outcome == "passed", result.verdict.measured
    assert result.verdict.evidence["all_rows_ignored"] == said
    assert result.verdict.measured.endswith(f"with every row ignored it is {said}")


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (behind_where, "its gradient is not finite"),
        (with_epsilon_above, "is inf"),
        (sum_of_a_mean, "a sum over no rows is 0"),
    ],
)
def test_a_batch_of_ignored_rows_that_cannot_be_sound_fails(loss: Callable[..., Tensor], said: str):
    result = check(loss, profile="quick", num_classes=3)
    assert (result.outcome, result.verdict.cause) == ("failed", "unstable_loss"), result.verdict.measured
    assert said in result.verdict.measured


# The order of rows and of classes


def hinge(logits: Tensor, targets: Tensor) -> Tensor:
    return F.multi_margin_loss(logits, targets)


def hinge_by_place(logits: Tensor, targets: Tensor) -> Tensor:
    each = F.multi_margin_loss(logits, targets, reduction="none")
    return (torch.linspace(1, 2, len(each)).to(each) * each).mean()


def hinge_of_neighbours(logits: Tensor, targets: Tensor) -> Tensor:
    return F.multi_margin_loss(logits, targets) + 0.1 * (logits[1:] - logits[:-1]).clamp(min=0).sum()


def hinge_with_weights(logits: Tensor, targets: Tensor) -> Tensor:
    return F.multi_margin_loss(logits, targets, weight=WEIGHT.to(logits))


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        (hinge, ("passed", None)),
        (hinge_by_place, ("failed", "wrong_loss_weights")),
        (hinge_of_neighbours, ("advice", "wrong_loss_weights")),
    ],
)
def test_the_order_of_the_rows_does_not_matter(loss: Callable[..., Tensor], found: tuple[str, str | None]):
    result = check(loss, profile="quick", num_classes=3)
    assert (result.outcome, result.verdict.cause) == found, result.verdict.measured


@pytest.mark.parametrize(("loss", "alike"), [(hinge, True), (hinge_with_weights, False)])
def test_whether_classes_are_treated_alike_is_evidence(loss: Callable[..., Tensor], alike: bool):
    result = check(loss, profile="quick", num_classes=3)
    assert (result.outcome, result.verdict.evidence["classes_alike"]) == ("passed", alike)


# Targets and probabilities


def divergence(logits: Tensor, targets: Tensor, share: float = 0.1) -> Tensor:
    classes = logits.shape[1]
    soft = F.one_hot(targets, classes).to(logits) + share / classes
    return F.kl_div(F.log_softmax(logits, dim=1), soft, reduction="batchmean")


def test_a_divergence_from_targets_that_sum_to_more_is_named():
    """As a cross entropy it is that of the labels and a tenth of that of the uniform, which may be meant."""
    result = check(divergence, profile="quick")
    assert (result.outcome, result.verdict.cause) == ("failed", "unnormalised_targets"), result.verdict.measured
    assert "sum to 1.1" in result.verdict.measured


def dice(p: Tensor, y: Tensor) -> Tensor:
    return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)


def dice_of_logits(logits: Tensor, y: Tensor) -> Tensor:
    return dice(logits, y)


def test_a_loss_that_may_take_probabilities_is_no_failure():
    assert check(dice, profile="quick", task="binary").outcome in ("passed", "advice")
    assert check(dice_of_logits, profile="quick", task="binary").outcome == "failed"


def focal_of_the_mean(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets)
    return (1 - torch.exp(-ce)) ** 2 * ce


def divided_by_the_first(logits: Tensor, targets: Tensor) -> Tensor:
    weight = torch.tensor([1.0, 2.0, 4.0]).to(logits)
    return (weight[targets] * (logits - F.one_hot(targets, 3)).square().sum(dim=1)).mean() / weight[targets[0]]


@pytest.mark.parametrize(
    ("loss", "beside"), [(focal_of_the_mean, "mean_of_rows_loss"), (divided_by_the_first, "turned_round_loss")]
)
def test_what_is_wrong_between_rows_is_shown_on_two(loss: Any, beside: str):
    shown = check(loss, profile="quick", num_classes=3).verdict.counterexample
    assert shown is not None
    assert len(shown["labels"]) == 2
    assert abs(shown["loss"] - shown[beside]) > 0.01


def without_a_class(z: Tensor, y: Tensor) -> Tensor:
    return (F.cross_entropy(z, y, reduction="none") * (y != 2)).mean()


def without_the_last_row(z: Tensor, y: Tensor) -> Tensor:
    kept = torch.arange(len(y)) < max(len(y) - 1, 1)
    return (F.cross_entropy(z, y, reduction="none") * kept).mean()


def a_little_too_large(z: Tensor, y: Tensor) -> Tensor:
    return 1.0001 * F.cross_entropy(z, y)


def wrong_of_large_scores(z: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(z.clamp(-500, 500), y)


@pytest.mark.parametrize("broken", [without_a_class, without_the_last_row, a_little_too_large, wrong_of_large_scores])
@pytest.mark.parametrize("classes", [3, 12])
def test_a_torch_whose_own_loss_is_wrong_is_found(monkeypatch: pytest.MonkeyPatch, broken: Any, classes: int):
    """A plain loss is looked at in few batches, which is enough."""
    monkeypatch.setitem(NAMED, "cross_entropy", (broken, NAMED["cross_entropy"][1]))
    (result,) = pytest_logits.check_classifier(
        lambda: nn.Linear(4, classes), name="net", input_shape=(4,), num_classes=classes, select=[NAME]
    )
    assert result.outcome == "failed"
