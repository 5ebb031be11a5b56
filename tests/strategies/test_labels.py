from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis.errors import InvalidArgument
from torch import Tensor

from pytest_logits.strategies import labels


@settings(derandomize=True, database=None, deadline=None)
@given(example=labels(min_size=2, max_size=5, num_classes=3))
def test_examples_keep_to_the_arguments(example: Tensor) -> None:
    assert example.dtype == torch.int64
    assert example.ndim == 1
    assert 2 <= len(example) <= 5
    assert set(example.tolist()) <= {0, 1, 2}


@settings(derandomize=True, database=None, deadline=None)
@given(example=labels(num_classes=1))
def test_one_class_has_one_label(example: Tensor) -> None:
    assert not example.any()


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (lambda y: True, [0]),
        (lambda y: len(y) >= 3, [0, 0, 0]),
        (lambda y: y.max() >= 2, [2]),
        (lambda y: len(set(y.tolist())) >= 2, [0, 1]),
    ],
    ids=["anything", "size", "label", "two_classes"],
)
def test_shrinks(condition: Callable[[Tensor], bool], expected: list[int], minimal: Callable[..., Any]) -> None:
    assert sorted(minimal(labels(num_classes=5), condition).tolist()) == expected


def test_drawing_leaves_torch_alone(torch_state_kept: Callable[[], Any], minimal: Callable[..., Any]) -> None:
    with torch_state_kept():
        minimal(labels(num_classes=5), lambda y: True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, r"num_classes=0 must be an integer of at least 1"),
        ({"num_classes": True}, r"num_classes=True must be an integer"),
        ({"num_classes": 2, "min_size": 0}, r"min_size=0 must be an integer of at least 1"),
        ({"num_classes": 2, "min_size": 17}, r"max_size=16 must be at least min_size=17"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        labels(**arguments)
