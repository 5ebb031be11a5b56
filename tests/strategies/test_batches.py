from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_logits.strategies import Batch, batches

SMALLEST = Batch(size=1, input_shape=(1,), num_classes=2, vocab_size=None, scale=1.0, seed=0)


@settings(derandomize=True, database=None, deadline=None)
@given(batch=batches(min_size=2, max_size=5, min_classes=3, max_classes=4))
def test_float_batches_keep_to_the_arguments(batch: Batch) -> None:
    assert 2 <= batch.size <= 5
    assert 3 <= batch.num_classes <= 4
    assert 1 <= len(batch.input_shape) <= 3
    assert batch.scale in (1.0, 10.0, 0.1, 100.0)
    assert batch.x.shape == (batch.size, *batch.input_shape)
    assert batch.x.dtype == torch.float32
    assert batch.x.isfinite().all()
    assert batch.labels.shape == (batch.size,)
    assert batch.labels.dtype == torch.int64
    assert batch.labels.min() >= 0
    assert batch.labels.max() < batch.num_classes


@settings(derandomize=True, database=None, deadline=None)
@given(batch=batches(vocab_size=3))
def test_token_batches_keep_to_the_arguments(batch: Batch) -> None:
    assert len(batch.input_shape) == 1
    assert batch.scale == 1.0
    assert batch.x.shape == (batch.size, *batch.input_shape)
    assert batch.x.dtype == torch.int64
    assert set(batch.x.flatten().tolist()) <= {0, 1, 2}


@settings(derandomize=True, database=None, deadline=None)
@given(batch=batches(input_shape=(3, 2), scales=(5,)))
def test_shape_and_scale_can_be_fixed(batch: Batch) -> None:
    assert batch.input_shape == (3, 2)
    assert batch.scale == 5.0


@settings(derandomize=True, database=None, deadline=None)
@given(batch=st.one_of(batches(), batches(vocab_size=7)))
def test_repr_rebuilds_the_same_tensors(batch: Batch) -> None:
    again = eval(repr(batch), {"Batch": Batch})
    assert again == batch
    # The other order of asking: neither tensor may depend on whether the other was made first.
    assert torch.equal(again.labels, batch.labels)
    assert torch.equal(again.x, batch.x)


def test_repr_is_the_call_that_makes_the_batch() -> None:
    assert repr(SMALLEST) == ("Batch(size=1, input_shape=(1,), num_classes=2, vocab_size=None, scale=1.0, seed=0)")


def test_scale_multiplies_the_inputs_and_nothing_else() -> None:
    batch = dataclasses.replace(SMALLEST, size=6, input_shape=(4,))
    scaled = dataclasses.replace(batch, scale=10.0)
    assert torch.equal(scaled.x, 10.0 * batch.x)
    assert torch.equal(scaled.labels, batch.labels)


def test_seed_changes_inputs_and_labels() -> None:
    batch = dataclasses.replace(SMALLEST, size=64)
    other = dataclasses.replace(batch, seed=1)
    assert not torch.equal(batch.x, other.x)
    assert not torch.equal(batch.labels, other.labels)


def test_tensors_are_made_once() -> None:
    batch = dataclasses.replace(SMALLEST)
    assert batch.x is batch.x
    assert batch.labels is batch.labels


@pytest.mark.parametrize(
    ("condition", "changes"),
    [
        (lambda batch: True, {}),
        (lambda batch: batch.size >= 3, {"size": 3}),
        (lambda batch: batch.num_classes >= 4, {"num_classes": 4}),
        (lambda batch: len(batch.input_shape) == 3, {"input_shape": (1, 1, 1)}),
        (lambda batch: batch.scale > 1, {"scale": 10.0}),
        (lambda batch: batch.seed >= 1, {"seed": 1}),
    ],
    ids=["anything", "size", "classes", "axes", "scale", "seed"],
)
def test_shrinks(condition: Callable[[Batch], bool], changes: dict[str, Any], minimal: Callable[..., Any]) -> None:
    assert minimal(batches(), condition) == dataclasses.replace(SMALLEST, **changes)


def test_tokens_shrink(minimal: Callable[..., Any]) -> None:
    assert minimal(batches(vocab_size=9), lambda batch: True) == dataclasses.replace(SMALLEST, vocab_size=9)


def test_drawing_leaves_torch_alone(torch_state_kept: Callable[[], Any], minimal: Callable[..., Any]) -> None:
    with torch_state_kept():
        minimal(batches(), lambda batch: batch.x is not batch.labels)
        minimal(batches(vocab_size=5), lambda batch: batch.x is not batch.labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_size": 0}, r"min_size=0 must be an integer of at least 1"),
        ({"min_size": 17}, r"max_size=16 must be at least min_size=17"),
        ({"min_classes": 1}, r"min_classes=1 must be an integer of at least 2"),
        ({"min_classes": 6}, r"max_classes=5 must be at least min_classes=6"),
        ({"input_shape": 10}, r"input_shape=10 must be a tuple"),
        ({"input_shape": ()}, r"input_shape=\(\) must be a tuple"),
        ({"vocab_size": 1}, r"vocab_size=1 must be an integer of at least 2"),
        ({"scales": ()}, r"scales=\(\) must be a tuple or list of one or more"),
        ({"scales": (1.0, 0.0)}, r"contains 0\.0; it must hold finite numbers above 0"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        batches(**arguments)
