from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_logits.goals import ARRIVED, FALL, GOAL, Goals
from pytest_logits.guard import preserved_state
from pytest_logits.model import make_spec
from pytest_logits.regions import Extent
from pytest_logits.settings import Settings
from pytest_logits.stakes import Stakes
from pytest_logits.subject import Subject
from pytest_logits.trace import Trace
from tests.zoo import normalised, sound


@pytest.fixture(autouse=True)
def state_kept():
    with preserved_state():
        yield


def goals_of(factory: Any, **arguments: Any) -> Goals:
    arguments = {"name": "net", "num_classes": 3, "input_shape": (10,), **arguments}
    subject = Subject(make_spec(factory, file=Path(__file__), line=1, arguments=arguments), Settings())
    return Goals(subject, Stakes.of(subject, subject.separable_batch().labels))


def extent_of(*scores: float) -> Extent:
    extent = Extent()
    extent.add(torch.tensor([scores]))
    return extent


def test_the_goal_lies_below_the_floor_of_what_the_outputs_may_be_confined_to():
    goals = goals_of(lambda: sound.MLP(3))
    # These have left [-1, 1], so softmax and sigmoid are the lowest floor that is left.
    expected = goals.stakes.least + GOAL * (math.log(1 + 2 / math.e) - goals.stakes.least)
    # float32: a few units of 1.2e-7.
    assert goals.given(extent_of(2.0, -3.0, 0.5)) == pytest.approx(expected, abs=1e-6)


def test_outputs_that_may_be_cosines_are_asked_for_more():
    goals = goals_of(lambda: sound.MLP(3))
    assert goals.given(extent_of(0.9, -0.9, 0.5)) < goals.given(extent_of(2.0, -3.0, 0.5))


def test_a_goal_of_log_probabilities_is_what_they_cannot_give():
    goals = goals_of(lambda: sound.MLP(3), loss="nll_loss")
    assert goals.given(extent_of(2.0, -3.0, 0.5)) == goals.impossible < goals.stakes.least


def test_a_fall_is_a_tenth_of_what_there_is_to_gain():
    goals = goals_of(lambda: sound.MLP(3))
    least = goals.stakes.least
    assert goals.fallen(1.0) == pytest.approx(1 - FALL * (1 - least), abs=1e-12)
    # A loss that starts at its least has nothing to fall.
    assert goals.fallen(least) == least


def test_behind_an_activation_a_fall_is_a_tenth_of_the_way_to_its_floor():
    goals = goals_of(lambda: normalised.SoftmaxFunction(3))
    floor = goals.floors["simplex"]
    assert goals.within_reach == floor
    assert goals.fallen(1.0) == pytest.approx(1 - FALL * (1 - floor), abs=1e-12)


@pytest.mark.parametrize(
    ("factory", "above", "right", "sits"),
    [
        (normalised.SoftmaxFunction, 0.9, True, True),
        (normalised.SoftmaxFunction, 1.1, True, False),
        (normalised.SoftmaxFunction, 0.9, False, False),
        (sound.MLP, 0.9, True, False),
    ],
    ids=["arrived", "on its way", "not all learnt", "not confined"],
)
def test_a_run_sits_on_the_floor_of_what_confines_it(factory: Any, above: float, right: bool, sits: bool):
    goals = goals_of(lambda: factory(3))
    room = goals.stakes.at_zero - goals.stakes.least
    loss = goals.floors["simplex"] + above * ARRIVED * room
    assert goals.sits_on_floor(Trace(1.0, losses=[loss], right=torch.tensor([True, right]))) == sits
