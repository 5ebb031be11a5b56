"""Activations inside a loss, found by fitting: which, behind and before which temperature, and where there is none."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pytest_logits.inside import MANY_NUMBERS, activation_inside
from pytest_logits.losses import Form, LossFunction


def inside(loss: LossFunction, trailing: tuple[int, ...] = (3,), form: Form = "categorical") -> str | None:
    return activation_inside(loss, trailing=trailing, form=form, multilabel=False, dtype=torch.float32, seed=1)


def bits(z: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(z, y.to(z))


@pytest.mark.parametrize("weight", [1.0, 0.3])
@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
def test_a_softmax_is_found_before_or_behind_any_temperature(scale: float, weight: float):
    assert inside(lambda z, y: weight * F.cross_entropy(F.softmax(scale * z, 1), y)) == "softmax_before_cross_entropy"
    assert inside(lambda z, y: weight * F.cross_entropy(scale * F.softmax(z, 1), y)) == "softmax_before_cross_entropy"


def test_a_fit_whose_error_falls_slowly_at_first_is_not_given_up():
    # The slowest of 277 that were drawn: were a search to end where more than half of the error is left, it would.
    def loss(z: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(F.softmax(9.1883 * z, 1), y, label_smoothing=0.1)

    found = activation_inside(loss, trailing=(10,), form="categorical", multilabel=False, dtype=torch.float64, seed=715)
    assert found == "softmax_before_cross_entropy"


@pytest.mark.parametrize(
    ("loss", "cause"),
    [
        (lambda z, y: F.cross_entropy(z.sigmoid(), y), "sigmoid_before_cross_entropy"),
        (lambda z, y: F.cross_entropy(z.tanh(), y), "bounded_logits"),
        (lambda z, y: F.cross_entropy(z.relu(), y), "bounded_logits"),
        (lambda z, y: F.cross_entropy(F.normalize(z), y), "bounded_logits"),
        (lambda z, y: F.cross_entropy(z.clamp(-0.5, 0.5), y), "bounded_logits"),
        (lambda z, y: F.cross_entropy(F.softmax(z, 1), y, label_smoothing=0.1), "softmax_before_cross_entropy"),
        (lambda z, y: -F.softmax(z, 1).gather(1, y.unsqueeze(1)).mean(), "probabilities_into_nll_loss"),
        (lambda z, y: F.cross_entropy(F.softmax(z, 0), y), "softmax_over_wrong_dim"),
    ],
    ids=["sigmoid", "tanh", "relu", "normalize", "clamp", "smoothed", "without log", "over the batch"],
)
def test_other_activations_are_told_apart(loss: LossFunction, cause: str):
    assert inside(loss) == cause


@pytest.mark.parametrize(
    "loss",
    [
        F.cross_entropy,
        lambda z, y: F.cross_entropy(z / 0.07, y),
        lambda z, y: F.cross_entropy(10 * z.tanh(), y),
        F.multi_margin_loss,
        lambda z, y: z.sum() * torch.nan,
        lambda z, y: z.sum() * 0,
    ],
    ids=["plain", "temperature", "a design", "hinge", "NaN", "constant"],
)
def test_sound_losses_and_those_that_say_nothing_have_none(loss: LossFunction):
    assert inside(loss) is None


def test_of_large_scores_few_temperatures_are_held_at_once(monkeypatch: pytest.MonkeyPatch):
    sizes = []

    def softmax(z: Tensor, dim: int) -> Tensor:
        sizes.append(z.numel())
        return z.softmax(dim)

    monkeypatch.setattr(F, "softmax", softmax)
    assert inside(lambda z, y: F.multi_margin_loss(z, y), (4000,)) is None
    assert max(sizes) <= MANY_NUMBERS


def test_bits_have_a_sigmoid_or_none():
    assert inside(lambda z, y: bits(z.sigmoid(), y), (), "bernoulli") == "sigmoid_before_bce_with_logits"
    assert inside(bits, (), "bernoulli") is None
