from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings

from pytest_logits.strategies import InseparableBatch, inseparable_batches

SMALLEST = InseparableBatch(size=2, input_shape=(1,), num_classes=2, vocab_size=None, scale=1.0, seed=0)


@settings(derandomize=True, database=None, deadline=None, max_examples=50)
@given(batch=inseparable_batches(max_classes=3))
def test_every_input_comes_twice_with_two_labels(batch: InseparableBatch) -> None:
    rows = [tuple(row.flatten().tolist()) for row in batch.x]
    twins = [(i, j) for i in range(len(rows)) for j in range(i) if rows[i] == rows[j]]
    assert len(twins) == batch.size // 2
    assert all(batch.labels[i] != batch.labels[j] for i, j in twins)


@pytest.mark.parametrize("size", [4, 5])
def test_no_scores_of_the_inputs_go_below_the_floor(size: int) -> None:
    batch = InseparableBatch(size=size, input_shape=(2,), num_classes=3, vocab_size=None, scale=1.0, seed=3)
    distinct, owners = batch.x.unique(dim=0, return_inverse=True)
    scores = torch.zeros(len(distinct), 3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([scores], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(scores[owners], batch.labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    least = float(closure().detach())
    assert least == pytest.approx(batch.floor, abs=1e-3)
    assert least >= batch.floor - 1e-12
    assert batch.floor == pytest.approx(4 / size * math.log(2))
    assert batch.most_correct == size - 2


def test_equal_tokens_are_counted_together() -> None:
    batch = InseparableBatch(size=8, input_shape=(1,), num_classes=2, vocab_size=2, scale=1.0, seed=0)
    assert batch.floor > 0
    assert batch.x.unique().numel() <= 2
    assert batch.most_correct >= 4


def test_it_shrinks(minimal: Callable[..., Any]) -> None:
    assert minimal(inseparable_batches(), lambda batch: True) == SMALLEST


def test_repr_is_the_call_that_makes_the_batch() -> None:
    assert eval(repr(SMALLEST)) == SMALLEST
    assert repr(SMALLEST).startswith("InseparableBatch(size=2, input_shape=(1,), ")
