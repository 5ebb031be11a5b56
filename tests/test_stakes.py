from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.model import make_spec
from pytest_logits.settings import Settings
from pytest_logits.stakes import Stakes
from pytest_logits.subject import Subject
from tests.zoo import sound

# The bounds below are those of float64 and of the margins that are searched: 64 is the largest, and with it the scores
# behind an activation are within 1e-27 of its end.
EXACT = 1e-12


def stakes_of(classes: int, *, outputs: int | None = None, task: str = "multiclass", **arguments: Any) -> Stakes:
    """Of a linear model in float64, on balanced labels."""
    spec = make_spec(
        lambda: nn.Linear(10, outputs or classes, dtype=torch.float64),
        file=Path(__file__),
        line=1,
        arguments={"name": "net", "input_shape": (10,), "num_classes": classes, "task": task, **arguments},
    )
    rows = torch.arange(max(12, classes))
    labels = (rows.unsqueeze(1) + torch.arange(classes)) % 2 if task == "multilabel" else rows % classes
    return Stakes.of(Subject(spec, Settings()), labels)


# log(1 + (K-1)/e), as in facts.md and on the cause's page.
DOUBLE_SOFTMAX = {2: 0.3133, 3: 0.5514, 5: 0.9048, 10: 1.4612, 100: 3.6222, 1000: 5.9095}


@pytest.mark.parametrize("classes", DOUBLE_SOFTMAX)
@pytest.mark.parametrize("region", ["simplex", "unit"])
def test_softmax_and_sigmoid_leave_cross_entropy_the_same_floor(region: Any, classes: int):
    floor = stakes_of(classes).floor(region)
    assert floor == pytest.approx(math.log(1 + (classes - 1) / math.e), abs=EXACT)
    assert round(floor, 4) == DOUBLE_SOFTMAX[classes]


@pytest.mark.parametrize(("classes", "told"), [(2, 0.1269), (10, 0.7966), (100, 2.6671)])
def test_tanh_leaves_cross_entropy_this_floor(classes: int, told: float):
    floor = stakes_of(classes).floor("symmetric")
    assert floor == pytest.approx(math.log(1 + (classes - 1) * math.exp(-2)), abs=EXACT)
    assert round(floor, 4) == told


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("bound", [0.5, 2.0, 5.0, 16.0])
def test_a_bound_leaves_cross_entropy_the_floor_of_its_largest_margin(bound: float, classes: int):
    floor = stakes_of(classes).floor("bounded", bound)
    assert floor == pytest.approx(math.log1p((classes - 1) * math.exp(-2 * bound)), abs=EXACT)


@pytest.mark.parametrize("classes", [2, 10, 100, 1000])
def test_a_bound_of_16_and_more_is_not_material(classes: int):
    stakes = stakes_of(classes)
    assert not stakes.is_material(stakes.floor("bounded", 16.0))


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_relu_leaves_cross_entropy_no_floor(classes: int):
    # The margin of 64 is all that is left: (K-1) e**-64.
    stakes = stakes_of(classes)
    assert stakes.floor("nonnegative") == pytest.approx(0, abs=1e-25)
    assert not stakes.is_material(stakes.floor("nonnegative"))


@pytest.mark.parametrize(
    "loss",
    ["cross_entropy", nn.CrossEntropyLoss(), F.cross_entropy, lambda z, y: F.nll_loss(F.log_softmax(z, dim=1), y)],
    ids=["name", "module", "function", "by hand"],
)
def test_it_is_the_same_loss_however_it_is_given(loss: Any):
    stakes = stakes_of(10, loss=loss)
    assert stakes.squashed_floor == pytest.approx(math.log(1 + 9 / math.e), abs=EXACT)
    assert stakes.least == pytest.approx(0, abs=1e-50)
    assert stakes.at_zero == pytest.approx(math.log(10), abs=EXACT)
    assert stakes.is_material(stakes.squashed_floor)


def test_a_loss_that_is_summed_has_its_stakes_summed():
    stakes = stakes_of(3, loss=nn.CrossEntropyLoss(reduction="sum"))
    assert stakes.squashed_floor == pytest.approx(12 * math.log(1 + 2 / math.e), abs=12 * EXACT)
    assert stakes.at_zero == pytest.approx(12 * math.log(3), abs=12 * EXACT)


def test_class_weights_leave_the_floor_where_it_is():
    # All rows have the same loss at the floor, and the mean divides by the sum of the weights.
    stakes = stakes_of(2, loss=nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0], dtype=torch.float64)))
    assert stakes.squashed_floor == pytest.approx(math.log(1 + 1 / math.e), abs=EXACT)


def test_label_smoothing_lifts_the_least_and_the_floor():
    # The smoothed target is .91 and nine times .01; behind softmax the margin is at most 1, less than the best one.
    stakes = stakes_of(10, loss=nn.CrossEntropyLoss(label_smoothing=0.1))
    entropy = -(0.91 * math.log(0.91) + 0.09 * math.log(0.01))
    assert stakes.least == pytest.approx(entropy, abs=3e-10)  # as in test_losses.py: what golden section leaves
    assert round(stakes.least, 4) == 0.5003
    assert stakes.squashed_floor == pytest.approx(math.log(1 + 9 / math.e) + 0.09, abs=EXACT)
    assert stakes.is_material(stakes.squashed_floor)


@pytest.mark.parametrize("loss", ["bce_with_logits", nn.BCEWithLogitsLoss()], ids=["name", "module"])
def test_sigmoid_leaves_bce_with_logits_this_floor_on_balanced_labels(loss: Any):
    # softplus(-1) = .3133 where the label is 1, log 2 where it is 0.
    stakes = stakes_of(2, outputs=1, task="binary", loss=loss)
    expected = (math.log(1 + math.exp(-1)) + math.log(2)) / 2
    assert stakes.floor("unit") == pytest.approx(expected, abs=EXACT)
    assert round(stakes.floor("unit"), 4) == 0.5032
    assert stakes.squashed_floor == stakes.floor("unit")
    assert stakes.is_material(stakes.squashed_floor)


def test_pos_weight_weights_the_floor():
    stakes = stakes_of(2, outputs=1, task="binary", loss=nn.BCEWithLogitsLoss(pos_weight=torch.tensor(9.0)))
    expected = (9 * math.log(1 + math.exp(-1)) + math.log(2)) / 2
    assert stakes.floor("unit") == pytest.approx(expected, abs=EXACT)


def test_sigmoid_leaves_multilabel_bce_the_same_floor():
    stakes = stakes_of(6, task="multilabel")
    assert round(stakes.floor("unit"), 4) == 0.5032
    assert stakes.width == 6


def test_softmax_leaves_nll_loss_the_floor_behind_one_softmax_too_many():
    stakes = stakes_of(10, loss="nll_loss")
    assert stakes.least == pytest.approx(0, abs=1e-50)
    assert stakes.squashed_floor == pytest.approx(math.log(1 + 9 / math.e), abs=EXACT)


def test_scores_of_one_column_are_squashed_by_a_sigmoid():
    assert stakes_of(2, outputs=1, task="binary").width == 1


def test_labels_are_spread_over_dense_axes():
    spec = make_spec(
        lambda: sound.Conv1dHead(4),
        file=Path(__file__),
        line=1,
        arguments={"name": "net", "input_shape": (4, 12), "num_classes": 4},
    )
    stakes = Stakes.of(Subject(spec, Settings()), torch.arange(16) % 4)
    assert (stakes.like.shape, stakes.labels.shape) == ((16, 4, 12), (16, 12))
    # In float32 log(1 + 3/e) is rounded a few times, to units of 1.2e-7; the mean of 192 equal numbers adds a few more.
    assert stakes.squashed_floor == pytest.approx(math.log(1 + 3 / math.e), abs=1e-6)


def test_a_loss_that_knows_no_floor_has_no_material_one():
    def refuses(z: Tensor, y: Tensor) -> Tensor:
        return (z - z.detach()).sum() * math.nan

    stakes = stakes_of(3, loss=refuses)
    assert not stakes.is_material(stakes.squashed_floor)
