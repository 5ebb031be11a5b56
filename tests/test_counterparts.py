"""How the tensors of two models are matched."""

from __future__ import annotations

import pytest
from torch import nn

from pytest_logits.counterparts import Match, matches


def linear(outputs: int) -> nn.Module:
    return nn.Linear(3, outputs)


def test_tensors_of_one_name_and_shape_are_matched():
    found = matches(linear(4), linear(4))
    assert found == [Match(left="weight", right="weight"), Match(left="bias", right="bias")]


def test_two_rows_match_a_single_one():
    found = matches(linear(2), linear(1))
    assert found == [Match(left="weight", right="weight", halved=True), Match(left="bias", right="bias", halved=True)]


def test_a_single_row_does_not_match_two():
    assert matches(linear(1), linear(2)) == "weight has the shape (1, 3), and weight (2, 3)"


def test_other_names_are_matched_by_order():
    found = matches(linear(2), nn.Sequential(linear(1)))
    assert isinstance(found, list)
    assert [(m.left, m.right) for m in found] == [("weight", "0.weight"), ("bias", "0.bias")]


@pytest.mark.parametrize(
    ("left", "right", "why"),
    [
        (linear(2), nn.Linear(3, 2, bias=False), "their states have 2 and 1 tensors, of other names"),
        (linear(2), nn.Linear(4, 1), "weight has the shape (2, 3), and weight (1, 4)"),
        (linear(3), linear(1), "weight has the shape (3, 3), and weight (1, 3)"),
    ],
)
def test_what_does_not_match_is_told(left: nn.Module, right: nn.Module, why: str):
    assert matches(left, right) == why


def test_buffers_are_matched_and_scalars_too():
    found = matches(nn.BatchNorm1d(2), nn.BatchNorm1d(2))
    assert isinstance(found, list)
    assert "num_batches_tracked" in {m.left for m in found}
    assert not any(m.halved for m in found)
