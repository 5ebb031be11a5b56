"""Exchanging the true class's score with a lower one never makes a row cheaper."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pytest_logits
from pytest_logits.checks.loss_prefers_the_true_class import FEW_EXCHANGED, MOST_EXCHANGED, _exchanged
from pytest_logits.finding import Result
from pytest_logits.losses import NAMED
from pytest_logits.settings import Settings

NAME = "loss_prefers_the_true_class"


def check(loss: Any, **arguments: Any) -> Result:
    (result,) = pytest_logits.check_loss(loss, select=[NAME], **{"name": "loss", "profile": "quick", **arguments})
    return result


def focal(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    return ((1 - torch.exp(-ce)) ** 2 * ce).mean()


def focal_turned_round(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    return (torch.exp(-ce) ** 2 * ce).mean()


def hardest(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    return ce.topk(max(1, len(ce) // 2)).values.mean()


@pytest.mark.parametrize(
    "loss", [focal, hardest, nn.CrossEntropyLoss(label_smoothing=0.5), nn.MultiMarginLoss()], ids=lambda x: type(x)
)
def test_a_sound_loss_passes(loss: Any):
    assert check(loss).outcome == "passed"


def test_a_loss_that_pays_for_mistakes_is_named():
    result = check(focal_turned_round)
    assert (result.outcome, result.verdict.cause) == ("failed", "loss_rewards_mistakes")


def test_a_minus_too_many_is_named():
    result = check(lambda z, y: -F.cross_entropy(z, y))
    assert (result.outcome, result.verdict.cause) == ("failed", "loss_is_maximised")
    assert result.verdict.evidence["at_every_margin"]


def test_the_labels_of_other_bits_are_named():
    result = check(lambda z, y: F.binary_cross_entropy_with_logits(z, 1 - y), task="binary")
    assert (result.outcome, result.verdict.cause) == ("failed", "labels_out_of_range")


def test_the_counterexample_is_one_row_of_small_numbers():
    found = check(lambda z, y: -F.cross_entropy(z, y)).verdict.counterexample
    assert found is not None
    assert len(found["logits"]) == 1
    assert all(score in (-1.0, 0.0, 1.0) for score in found["logits"][0])


def test_weights_that_outweigh_smoothing_are_advice():
    """torch's own: with weights of 1 and 100 and half of the target spread, class 1 has the larger share of label 0."""
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 100.0]), label_smoothing=0.5)
    result = check(loss, num_classes=2)
    assert (result.outcome, result.verdict.cause) == ("advice", "wrong_loss_weights")


def test_a_loss_of_pairs_is_not_asked():
    def ranked(logits: Tensor, targets: Tensor) -> Tensor:
        pairs = logits[targets == 1].unsqueeze(1) - logits[targets == 0].unsqueeze(0)
        return F.softplus(-pairs).sum() / max(1, pairs.numel())

    assert check(ranked, task="binary").outcome == "not_applicable"


def turned_back(logits: Tensor, targets: Tensor) -> Tensor:
    value = F.multi_margin_loss(logits, targets)
    return 2 * value.detach() - value


def test_a_gradient_that_is_turned_round_is_found():
    result = check(turned_back)
    assert (result.outcome, result.verdict.cause) == ("failed", "loss_rewards_mistakes")
    assert "pushes the true score down" in result.verdict.measured


def squared_scores(logits: Tensor, targets: Tensor) -> Tensor:
    return F.mse_loss(logits, F.one_hot(targets, logits.shape[1]).to(logits))


def on_the_sphere(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(16 * F.normalize(logits, dim=1), targets)


@pytest.mark.parametrize("loss", [squared_scores, on_the_sphere])
def test_a_loss_that_rises_beyond_its_optimum_passes(loss: Any):
    assert check(loss).outcome == "passed"


def with_a_dent(logits: Tensor, targets: Tensor) -> Tensor:
    """Cheapest where the true score is 4 behind the others, and at the true class in front."""
    true = logits.gather(1, targets.unsqueeze(1)).squeeze(1)
    others = logits.scatter(1, targets.unsqueeze(1), -torch.inf).amax(dim=1)
    margin = true - others
    return torch.where(margin < 0, 10 - torch.exp(-((margin + 4) ** 2)), torch.zeros_like(margin)).mean()


def test_a_loss_that_rises_with_a_true_score_behind_the_others_is_found():
    result = check(with_a_dent, num_classes=2)
    assert (result.outcome, result.verdict.cause) == ("failed", "loss_rewards_mistakes")
    assert "as the true score rises from 4 to 2 below the others" in result.verdict.measured


def dice(p: Tensor, y: Tensor) -> Tensor:
    return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)


def test_a_loss_that_may_take_probabilities_is_asked_of_probabilities():
    result = check(dice, task="binary")
    assert (result.outcome, result.verdict.evidence["taken"]) == ("passed", "probabilities")
    assert check(lambda p, y: 1 - dice(p, y), task="binary").outcome == "failed"


def shared_softmax(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy against the true labels in equal shares, as large sets of tags are trained."""
    shares = targets / targets.sum(dim=1, keepdim=True).clamp_min(1)
    return -(shares * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


@pytest.mark.parametrize("seed", range(5))
def test_a_softmax_that_true_labels_share_passes(seed: int):
    # With labels (1, 1) it is 15 at (10, -5), and 5 at (-10, -5): the lead of one true label costs the other.
    assert check(shared_softmax, task="multilabel", num_classes=4, seed=seed).outcome == "passed"
    turned = check(lambda z, y: -shared_softmax(z, y), task="multilabel", num_classes=4, seed=seed)
    assert turned.outcome == "failed"


def losses_of(classes: int) -> dict[int, Any]:
    """By the least number of exchanges, a loss that they are asked of: one written by hand, and a plain one."""
    shared = {"trailing": (classes,), "is_of_output": False, "encoding": None, "settings": Settings()}
    return {
        MOST_EXCHANGED: SimpleNamespace(loss_object=focal, **shared),
        FEW_EXCHANGED: SimpleNamespace(loss_object="cross_entropy", **shared),
    }


@pytest.mark.parametrize("least", [MOST_EXCHANGED, FEW_EXCHANGED])
def test_of_very_many_classes_a_share_is_exchanged_and_none_is_left_out_for_good(least: int):
    classes = 2 * least + least // 2
    loss = losses_of(classes)[least]
    scores, met = torch.zeros(1, classes), set()
    # The class itself is not exchanged, so each first class is met by two labels.
    for label in range(4):
        true = scores.index_fill(1, torch.tensor(label), 1.0)
        exchanged = _exchanged(loss, true, torch.tensor([label]))
        assert least - 1 <= len(exchanged) <= 2 * least
        met |= {int(row.argmax()) for row in exchanged}
    assert met == set(range(classes))


@pytest.mark.parametrize("classes", [2, 3, 12, 1000])
def test_a_torch_whose_own_loss_is_turned_round_is_found(monkeypatch: pytest.MonkeyPatch, classes: int):
    monkeypatch.setitem(NAMED, "cross_entropy", (lambda z, y: -F.cross_entropy(z, y), NAMED["cross_entropy"][1]))
    (result,) = pytest_logits.check_classifier(
        lambda: nn.Linear(4, classes), name="net", input_shape=(4,), num_classes=classes, select=[NAME]
    )
    assert result.outcome == "failed"


def test_what_is_said_counts_the_rows_that_were_looked_at():
    """Of a plain loss over many classes none is drawn, and four are looked at."""
    (result,) = pytest_logits.check_classifier(
        lambda: nn.Linear(4, 12), name="net", input_shape=(4,), num_classes=12, select=[NAME]
    )
    assert result.verdict.measured.endswith("never lowers cross_entropy, on 4 rows")
