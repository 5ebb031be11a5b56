"""What a loss by hand is allowed: guards are measured, and the slope of a focal loss is bounded."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pytest_logits.allowances import (
    EXACT,
    LARGEST_SCORE,
    MOST_CLASSES,
    apart,
    focal_weights,
    guard_of,
    wrong_pull,
)
from pytest_logits.loss_claims import claim_of
from pytest_logits.loss_subject import LossSubject
from pytest_logits.model import make_loss_spec
from pytest_logits.settings import Settings

LEAST = EXACT[torch.float32]


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("guard", [1e-4, 1e-2])
def test_a_guard_is_what_it_takes_off_a_term_far_behind(guard: float):
    off = -math.log1p(guard / math.exp(-20))
    assert guard_of(tensor(0.5, 0.0), tensor(20.0, 0.0), 0.5 * off) == pytest.approx(guard)


def test_a_clamp_from_above_is_what_is_left_of_a_term_far_in_front():
    assert guard_of(tensor(1.0, 0.0), tensor(2e-9, 20.0), 1e-3) == pytest.approx(1e-3)


def test_no_guard_is_smaller_than_float32_shows():
    assert guard_of(tensor(1.0), tensor(20.0), 0.0) == LEAST
    assert guard_of(tensor(1.0), tensor(20.0), math.nan) == LEAST


def clamped(logits: Tensor, targets: Tensor) -> Tensor:
    p = F.softmax(logits, dim=1).gather(1, targets.unsqueeze(1))
    return -p.clamp(min=3e-5).log().mean()


def test_the_guard_of_a_loss_is_found_on_its_own_rows(tmp_path):
    spec = make_loss_spec(clamped, file=tmp_path, line=0, arguments={"num_classes": 2})
    claim = claim_of(LossSubject.registered(spec, Settings()))
    assert claim is not None
    assert claim.form.exact
    assert claim.form.guard == pytest.approx(3e-5, rel=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 3.5])
def test_the_slope_of_a_focal_term_is_that_of_autograd_and_its_bound_holds(gamma: float):
    terms = tensor(0.01, 0.3, 2.0, 15.0).requires_grad_()
    value = (-torch.expm1(-terms)) ** gamma * terms
    (slope,) = torch.autograd.grad(value.sum(), terms)
    exact = terms.detach()
    weights, bound = focal_weights(exact, -torch.expm1(-exact), gamma, error=tensor(1e-6))
    assert torch.allclose(weights, slope, rtol=1e-12)
    for off in (-1e-6, 1e-6):
        moved, _ = focal_weights(exact + off, -torch.expm1(-exact - off), gamma, error=tensor(0.0))
        assert bool(((moved - weights).abs() <= bound).all())
        assert bool((bound <= 1e-3).all())


HALVES = (torch.bfloat16, torch.float16)


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
def test_values_that_differ_by_rounding_are_less_apart(dtype: torch.dtype):
    rng = torch.Generator().manual_seed(0)
    for scale in (0.0, 1.0, LARGEST_SCORE):
        scores = (scale * torch.randn((8, MOST_CLASSES), generator=rng)).clamp(-LARGEST_SCORE, LARGEST_SCORE).to(dtype)
        labels = torch.arange(8)
        one = float(F.cross_entropy(scores, labels))
        other = float(F.cross_entropy(scores.flip(1), MOST_CLASSES - 1 - labels))
        assert abs(one - other) <= apart(dtype) * (1 + abs(one))


def test_nothing_finer_than_float32_is_asked_of_values_and_pulls():
    assert apart(torch.float64) == apart(torch.float32) == pytest.approx(1.24e-4, rel=0.01)
    assert wrong_pull(torch.float64, 10) == wrong_pull(torch.float32, 10)


def pull(dtype: torch.dtype, classes: int, shift: int) -> float:
    """The gradient at a row's own label as a share of the largest entry, where labels are shifted."""
    scores = torch.zeros((classes, classes), dtype=dtype, requires_grad=True)
    labels = torch.arange(classes)
    (gradient,) = torch.autograd.grad(F.cross_entropy(scores, (labels + shift) % classes), scores)
    return float(gradient.double().diagonal().max() / gradient.double().abs().max())


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_a_row_that_is_pulled_to_the_next_class_is_beyond_what_rounding_makes(classes: int):
    assert pull(torch.float32, classes, shift=0) < 0
    assert pull(torch.float32, classes, shift=1) > 10 * wrong_pull(torch.float32, classes)


@pytest.mark.parametrize("dtype", HALVES)
def test_in_half_precision_many_classes_hide_a_wrong_pull(dtype: torch.dtype):
    assert pull(dtype, 2, shift=1) > wrong_pull(dtype, 2)
    assert wrong_pull(dtype, 1000) > 1 / 999
