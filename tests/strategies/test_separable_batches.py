from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

from pytest_logits.strategies import Batch, SeparableBatch, separable_batches

SMALLEST = SeparableBatch(size=2, input_shape=(1,), num_classes=2, vocab_size=None, scale=1.0, seed=0)


@settings(derandomize=True, database=None, deadline=None)
@given(batch=separable_batches(min_size=3, max_size=6, min_classes=3, max_classes=4))
def test_float_batches_keep_to_the_arguments(batch: SeparableBatch) -> None:
    assert isinstance(batch, Batch)
    assert 3 <= batch.size <= 6
    assert 3 <= batch.num_classes <= 4
    assert batch.scale == 1.0
    assert batch.x.shape == (batch.size, *batch.input_shape)
    assert batch.x.dtype == torch.float32
    assert batch.labels.shape == (batch.size,)
    assert batch.labels.dtype == torch.int64
    assert batch.labels.min() >= 0
    assert batch.labels.max() < batch.num_classes


@settings(derandomize=True, database=None, deadline=None)
@given(batch=separable_batches(vocab_size=6))
def test_token_batches_keep_to_the_arguments(batch: SeparableBatch) -> None:
    assert batch.x.shape == (batch.size, *batch.input_shape)
    assert batch.x.dtype == torch.int64
    assert set(batch.x.flatten().tolist()) <= set(range(6))
    assert batch.labels.min() >= 0
    assert batch.labels.max() < batch.num_classes


@settings(derandomize=True, database=None, deadline=None, max_examples=200)
@given(batch=separable_batches(max_classes=20, max_size=64, scales=(1.0, 100.0)))
def test_a_linear_classifier_separates_float_batches(batch: SeparableBatch) -> None:
    # Being nearest to a class mean m is having the largest of 2 m.x - |m|^2, which is linear in x.
    x = batch.x.flatten(1).double()
    classes = batch.labels.unique()
    means = torch.stack([x[batch.labels == label].mean(dim=0) for label in classes])
    scores = 2 * x @ means.T - means.square().sum(dim=1)
    assert torch.equal(classes[scores.argmax(dim=1)], batch.labels)


# Three tokens are fewer than the classes, sixteen as many and sixty-four more than enough.
@settings(derandomize=True, database=None, deadline=None)
@given(data=st.data(), vocab_size=st.sampled_from([3, 16, 64]))
def test_classes_share_no_token(data: st.DataObject, vocab_size: int) -> None:
    batch = data.draw(separable_batches(min_size=16, min_classes=16, max_classes=16, vocab_size=vocab_size))
    used = [set(batch.x[batch.labels == label].flatten().tolist()) for label in batch.labels.unique()]
    assert len(used) == min(16, vocab_size)
    assert all(first.isdisjoint(second) for first, second in combinations(used, 2))


@settings(derandomize=True, database=None, deadline=None)
@given(batch=separable_batches(input_shape=(20,), min_size=8, max_classes=20))
def test_classes_in_use_have_equally_many_examples(batch: SeparableBatch) -> None:
    counts = batch.labels.bincount()
    counts = counts[counts > 0]
    assert len(counts) == min(batch.num_classes, batch.size, 16)
    assert counts.max() - counts.min() <= 1


@settings(derandomize=True, database=None, deadline=None)
@given(batch=st.one_of(separable_batches(), separable_batches(vocab_size=7)))
def test_repr_rebuilds_the_same_tensors(batch: SeparableBatch) -> None:
    again = eval(repr(batch), {"SeparableBatch": SeparableBatch})
    assert again == batch
    assert torch.equal(again.labels, batch.labels)
    assert torch.equal(again.x, batch.x)


def test_repr_is_the_call_that_makes_the_batch() -> None:
    assert repr(SMALLEST) == (
        "SeparableBatch(size=2, input_shape=(1,), num_classes=2, vocab_size=None, scale=1.0, seed=0)"
    )


@pytest.mark.parametrize(
    ("condition", "changes"),
    [
        (lambda batch: True, {}),
        (lambda batch: len(batch.labels.unique()) == 3, {"size": 3, "input_shape": (2,), "num_classes": 3}),
    ],
    ids=["anything", "three_classes_in_use"],
)
def test_shrinks(
    condition: Callable[[SeparableBatch], bool], changes: dict[str, Any], minimal: Callable[..., Any]
) -> None:
    assert minimal(separable_batches(), condition) == dataclasses.replace(SMALLEST, **changes)


def test_tokens_shrink(minimal: Callable[..., Any]) -> None:
    smallest = dataclasses.replace(SMALLEST, vocab_size=9)
    assert minimal(separable_batches(vocab_size=9), lambda batch: True) == smallest


def test_drawing_leaves_torch_alone(torch_state_kept: Callable[[], Any], minimal: Callable[..., Any]) -> None:
    with torch_state_kept():
        minimal(separable_batches(), lambda batch: batch.x is not batch.labels)
        minimal(separable_batches(vocab_size=5), lambda batch: batch.x is not batch.labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_size": 33}, r"max_size=32 must be at least min_size=33"),
        ({"min_classes": 1}, r"min_classes=1 must be an integer of at least 2"),
        ({"input_shape": (0,)}, r"input_shape=\(0,\) must be a tuple"),
        ({"vocab_size": 1}, r"vocab_size=1 must be an integer of at least 2"),
        ({"scales": 1.0}, r"scales=1\.0 must be a tuple or list of one or more"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        separable_batches(**arguments)


@settings(derandomize=True, database=None, deadline=None)
@given(batch=separable_batches(vocab_size=40, input_shape=(8,), special_tokens=(1, 39), padding_token=3, max_classes=4))
def test_special_tokens_are_left_out_and_the_mask_masks(batch: SeparableBatch) -> None:
    assert batch.mask is not None
    kept = batch.mask.bool()
    assert batch.mask.shape == batch.x.shape
    assert batch.mask[:, 0].eq(1).all()
    assert batch.mask.diff(dim=1).le(0).all()
    assert batch.x[~kept].eq(3).all()
    assert not {1, 3, 39} & set(batch.x[kept].tolist())
    tokens_of = {c: set(batch.x[batch.labels == c][kept[batch.labels == c]].tolist()) for c in range(batch.num_classes)}
    assert all(not tokens_of[a] & tokens_of[b] for a, b in combinations(tokens_of, 2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"special_tokens": (1,)}, "need vocab_size"),
        ({"padding_token": 0}, "need vocab_size"),
        ({"vocab_size": 5, "special_tokens": (5,)}, "token 5 is not in"),
        ({"vocab_size": 5, "special_tokens": [1]}, "must be a tuple"),
        ({"vocab_size": 5, "padding_token": "0"}, "must be an integer"),
        ({"vocab_size": 3, "special_tokens": (0,), "padding_token": 1}, "leave fewer than 2"),
    ],
)
def test_tokens_that_cannot_be_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        separable_batches(**arguments)
