from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from pytest_logits import trace as trace_module
from pytest_logits.regions import FEW_SCORES, Extent
from pytest_logits.trace import FIRST, LOOK, Trace, curve


def test_the_least_loss_is_finite():
    assert Trace(1.0, losses=[3.0, math.nan, 2.0, -math.inf]).least == 2.0
    assert math.isnan(Trace(1.0, losses=[math.inf]).least)


def test_low_steps_of_a_noisy_run_are_luck():
    noisy = Trace(1.0, losses=[2.0, 1.0, 2.0, 0.5, 1.9, 1.0, 1.8, 1.5, 1.0])
    assert noisy.is_noisy
    assert noisy.lowest == 0.5
    assert noisy.least == pytest.approx(10.7 / 8)


def test_a_noisy_run_of_few_steps_has_got_no_further_than_their_mean():
    assert Trace(1.0, losses=[2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 1.5]).least == 1.5


@pytest.mark.parametrize("losses", [[2.0, 3.0, 3.5, 1.0, 0.5], [2.0, 1.8, 2.0, 1.5, 1.8, 1.2, 1.5, 0.1], [1.0, 1.0]])
def test_a_few_rises_or_small_ones_are_no_noise(losses: list[float]):
    trace = Trace(1.0, losses=losses)
    assert not trace.is_noisy
    assert trace.least == trace.lowest == min(losses)


def test_a_run_falls_steadily_where_no_step_raises_the_loss_but_for_a_thousandth():
    assert Trace(1.0, losses=[3.0, 2.0, 2.002, 1.0]).falls_steadily
    assert not Trace(1.0, losses=[3.0, 2.0, 2.004, 1.0]).falls_steadily
    assert not Trace(1.0, losses=[3.0, 3.0]).falls_steadily


@pytest.mark.parametrize("widths", [(3,) * 5, (3, 3, 4, 3, 2)])
@pytest.mark.parametrize("few", [0, 20, FEW_SCORES])
def test_where_the_scores_lie_is_the_same_whenever_it_is_asked(
    widths: tuple[int, ...], few: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(trace_module, "FEW_SCORES", few)
    rng = torch.Generator().manual_seed(0)
    steps = [(step + 1) * torch.randn(4, width, generator=rng) for step, width in enumerate(widths)]
    late, often, one_by_one = Trace(1.0), Trace(1.0), Extent()
    for scores in steps:
        late.note_scores(scores)
        often.note_scores(scores)
        one_by_one.add(scores)
        assert repr(often.extent) == repr(one_by_one)
    assert repr(late.extent) == repr(one_by_one)


def test_a_gradient_of_zeros_connects_a_parameter_and_does_not_move_it():
    parameters = {"moved": nn.Parameter(torch.ones(2)), "zero": nn.Parameter(torch.ones(2)), "none": nn.Parameter()}
    parameters["moved"].grad = torch.tensor([0.0, 1.0])
    parameters["zero"].grad = torch.zeros(2)
    trace = Trace(1.0)
    trace.note_gradients(list(parameters.values()), {id(p): name for name, p in parameters.items()})
    assert (trace.connected, trace.moved) == ({"moved", "zero"}, {"moved"})
    assert trace.gradient


@pytest.mark.parametrize("where", [0, LOOK, 2 * LOOK - 1])
@pytest.mark.parametrize("value", [1e-40, math.nan])
def test_a_gradient_is_not_zero_wherever_it_is_not(where: int, value: float):
    parameter = nn.Parameter(torch.ones(2, LOOK))
    parameter.grad = torch.zeros(2, LOOK)
    parameter.grad.view(-1)[where] = value
    trace = Trace(1.0)
    trace.note_gradients([parameter], {id(parameter): "it"})
    assert trace.moved == {"it"}


def test_a_sparse_gradient_is_made_dense():
    embedding = nn.Embedding(5, 2, sparse=True)
    embedding(torch.tensor([1])).sum().backward()
    Trace(1.0).note_gradients([embedding.weight], {})
    assert embedding.weight.grad is not None
    assert not embedding.weight.grad.is_sparse


def test_a_parameter_that_no_module_has_is_noted_as_such():
    loose = nn.Parameter(torch.ones(1))
    loose.grad = torch.ones(1)
    trace = Trace(1.0)
    trace.note_gradients([loose], {})
    assert trace.moved == {f"unregistered {id(loose)}"}


def test_a_curve_has_six_digits():
    assert curve([1.23456789, 1.0]) == [1.234568, 1.0]


def noted(*scores: Tensor) -> bool:
    trace = Trace(1.0)
    for each in scores:
        trace.note_spread(each)
        trace.losses.append(1.0)
    return trace.reached_by_input


def test_scores_that_differ_in_the_last_digits_only_are_not_reached_by_the_input():
    alike = torch.tensor([[0.3, -4.0], [0.3 + 1e-6, -4.0]])
    assert not noted(alike, alike)
    assert noted(alike + torch.tensor([[0.0, 0.0], [1e-4, 0.0]]))


def test_zeros_do_not_tell_whether_the_input_reaches_the_scores():
    assert not noted(torch.zeros(2, 3))
    assert noted(torch.zeros(2, 3), torch.tensor([[1e-9, 0.0, 0.0], [2e-9, 0.0, 0.0]]))


def test_only_the_first_losses_tell_whether_the_input_reaches_the_scores():
    later = torch.tensor([1.0, 2.0])
    assert noted(*[torch.ones(2)] * (FIRST - 1), later)
    assert not noted(*[torch.ones(2)] * FIRST, later)
