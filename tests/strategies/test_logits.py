from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from torch import Tensor

from pytest_logits.strategies import logits

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


# Neither .1 nor 1234.567 is a number of any of these dtypes, so the bound has to be rounded the right way.
@pytest.mark.parametrize("max_magnitude", [0.1, 20.0, 1234.567])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@settings(derandomize=True, database=None, deadline=None, max_examples=50)
@given(data=st.data())
def test_examples_keep_to_the_arguments(dtype: torch.dtype, max_magnitude: float, data: st.DataObject) -> None:
    example = data.draw(
        logits(
            min_batch_size=2,
            max_batch_size=3,
            min_classes=3,
            max_classes=4,
            max_magnitude=max_magnitude,
            dtype=dtype,
        )
    )
    assert example.dtype == dtype
    assert example.ndim == 2
    assert example.shape[0] in (2, 3)
    assert example.shape[1] in (3, 4)
    assert example.double().abs().max().item() <= max_magnitude


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_whole_range_of_a_dtype_is_allowed(dtype: torch.dtype, minimal: Callable[..., Any]) -> None:
    limits = torch.finfo(dtype)
    largest = minimal(logits(max_magnitude=limits.max, dtype=dtype), lambda z: z.max().item() == limits.max)
    assert largest.isfinite().all()
    assert logits(max_magnitude=limits.tiny, dtype=dtype) is not None


@settings(derandomize=True, database=None, deadline=None)
@given(example=logits(min_batch_size=1, max_batch_size=1, min_classes=2, max_classes=2))
def test_equal_bounds_fix_the_shape(example: Tensor) -> None:
    assert example.shape == (1, 2)
    assert example.dtype == torch.float32


def has_tied_maximum(z: Tensor) -> bool:
    return bool((z == z.max()).sum() > 1 and z.max() > 0)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (lambda z: True, [[0.0, 0.0]]),
        (lambda z: len(z) >= 2, [[0.0, 0.0], [0.0, 0.0]]),
        (lambda z: z.shape[1] >= 3, [[0.0, 0.0, 0.0]]),
        (lambda z: z.max() >= 1.5, [[0.0, 2.0]]),
        (lambda z: z.max() >= 10, [[0.0, 10.0]]),
        (lambda z: z.max() == 20, [[0.0, 20.0]]),
        (lambda z: z.min() == -20, [[0.0, -20.0]]),
        (has_tied_maximum, [[1.0, 1.0]]),
    ],
    ids=["anything", "rows", "classes", "above_1.5", "above_10", "upper_bound", "lower_bound", "tie"],
)
def test_shrinks(condition: Callable[[Tensor], bool], expected: list[list[float]], minimal: Callable[..., Any]) -> None:
    # Which of the equal positions an element ends up in is Hypothesis' choice.
    found = [sorted(row, key=abs) for row in minimal(logits(), condition).tolist()]
    assert found == expected


def test_drawing_leaves_torch_alone(
    torch_state_kept: Callable[[], Any], float64_by_default: None, minimal: Callable[..., Any]
) -> None:
    with torch_state_kept():
        example = minimal(logits(), lambda z: True)
    assert example.dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_batch_size": 0}, r"min_batch_size=0 must be an integer of at least 1"),
        ({"max_batch_size": 2.0}, r"max_batch_size=2\.0 must be an integer"),
        ({"min_batch_size": 5}, r"max_batch_size=4 must be at least min_batch_size=5"),
        ({"min_classes": 1}, r"min_classes=1 must be an integer of at least 2"),
        ({"min_classes": 6}, r"max_classes=5 must be at least min_classes=6"),
        ({"max_magnitude": 0}, r"max_magnitude=0 must be a number from 1\.17"),
        ({"max_magnitude": float("nan")}, r"max_magnitude=nan must be a number"),
        ({"max_magnitude": 1e5, "dtype": torch.float16}, r"max_magnitude=100000\.0 .* to 65504\.0"),
        ({"dtype": torch.int64}, r"dtype=torch\.int64 must be one of"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        logits(**arguments)
