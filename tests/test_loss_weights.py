"""A weight that follows the score of a single-score loss is seen, and no other curve is taken for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pytest_logits.loss_probes import Probes
from pytest_logits.loss_subject import LossSubject
from pytest_logits.loss_weights import OfScores, of_scores
from pytest_logits.model import make_loss_spec
from pytest_logits.settings import Settings

Loss = Callable[[Tensor, Tensor], Tensor]


def found(loss: Loss) -> OfScores | None:
    given = {"name": "loss", "task": "binary", "num_classes": 1}
    spec = make_loss_spec(loss, file=Path(__file__), line=1, arguments=given)
    return of_scores(Probes(LossSubject.registered(spec, Settings())))


def bce(z: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(z, y, reduction="none")


def rounded(z: Tensor, y: Tensor) -> Tensor:
    return (bce(z, y) * (1 + 2 * z.round())).mean()


def by_decision(z: Tensor, y: Tensor) -> Tensor:
    return (bce(z, y) * torch.where(z > 0, 5.0, 1.0)).mean()


@pytest.mark.parametrize(("loss", "weights"), [(rounded, (1.0, -5.0)), (by_decision, (5.0, 1.0))])
def test_a_weight_that_follows_the_score_is_told(loss: Loss, weights: tuple[float, float]):
    weighed = found(loss)
    assert weighed is not None
    assert weighed.weights == pytest.approx(weights)
    assert weighed.label == 1


def clamped_above(z: Tensor, y: Tensor) -> Tensor:
    return (1 - (2 * y - 1) * z).clamp(max=0).mean()


def hinge(z: Tensor, y: Tensor) -> Tensor:
    return (1 - (2 * y - 1) * z).clamp(min=0).mean()


def times_the_score(z: Tensor, y: Tensor) -> Tensor:
    return (bce(z, y) * (1 + 2 * z)).mean()


def brier(z: Tensor, y: Tensor) -> Tensor:
    return (z.sigmoid() - y).square().mean()


def weighed_by_label(z: Tensor, y: Tensor) -> Tensor:
    return (bce(z, y) * (1 + 4 * y)).mean()


@pytest.mark.parametrize("loss", [clamped_above, hinge, times_the_score, brier, weighed_by_label])
def test_another_curve_is_none(loss: Loss):
    assert found(loss) is None
