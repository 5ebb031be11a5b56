"""The plainest batches, which are tried before any is drawn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_logits.loss_draws import DRAWN_CLASSES, FEW_LABELS, Draw, batches, plainest
from pytest_logits.loss_subject import LossSubject
from pytest_logits.search import smallest
from pytest_logits.settings import Settings

BINARY: dict[str, Any] = {"loss": "bce_with_logits", "task": "binary"}


def loss_of(loss: Any = "cross_entropy", **arguments: Any) -> LossSubject:
    return LossSubject(name="loss", loss=loss, settings=Settings(), **arguments)


def plain(loss: LossSubject, **rows: int) -> list[Draw]:
    return list(plainest(loss, **{"max_rows": 2, **rows}))


@pytest.mark.parametrize(
    ("arguments", "shapes"),
    [
        ({"sample_logits": torch.zeros(16, 2)}, {(2,)}),
        ({"sample_logits": torch.zeros(16, 4)}, {(4,)}),
        ({"sample_logits": torch.zeros(16, 3, 2)}, {(3, 1), (3, 2)}),
        ({}, {(2,), (3,)}),
        ({**BINARY, "sample_logits": torch.zeros(16)}, {()}),
        ({**BINARY, "sample_logits": torch.zeros(16, 1)}, {(1,)}),
        ({**BINARY, "task": "multilabel", "sample_logits": torch.zeros(16, 4)}, {(4,)}),
    ],
    ids=["two classes", "four classes", "dense", "any classes", "flat scores", "a column", "multilabel"],
)
def test_they_have_the_shapes_and_kinds_that_the_loss_takes(arguments: dict[str, Any], shapes: set[Any]):
    loss = loss_of(**arguments)
    found = plain(loss)
    assert {tuple(scores.shape[1:]) for scores, _ in found} == shapes
    assert {len(scores) for scores, _ in found} == {1, 2}
    assert all(loss.accepts(loss.nature.link(scores), labels) for scores, labels in found)


def test_the_smallest_come_first():
    found = plain(loss_of(sample_logits=torch.zeros(16, 2)))
    assert [(scores.tolist(), labels.tolist()) for scores, labels in found[:4]] == [
        ([[0.0, 0.0]], [0]),
        ([[0.0, 0.0]], [1]),
        ([[0.0, 1.0]], [0]),
        ([[0.0, 1.0]], [1]),
    ]
    sizes = [(len(scores), float(scores.sum())) for scores, _ in found]
    assert sizes == sorted(sizes)


def test_no_more_rows_than_asked_for_and_no_fewer():
    assert {len(scores) for scores, _ in plain(loss_of(), min_rows=2, max_rows=3)} == {2, 3}


def test_one_batch_of_scores_gets_few_labels():
    found = plain(loss_of(sample_logits=torch.zeros(16, DRAWN_CLASSES)), min_rows=2)
    assert len(found) == 3 * FEW_LABELS


def test_of_many_classes_there_are_none():
    assert plain(loss_of(sample_logits=torch.zeros(16, DRAWN_CLASSES + 1))) == []


def test_they_have_the_dtype_that_is_asked_for():
    assert {scores.dtype for scores, _ in plainest(loss_of(), max_rows=1, dtype=torch.float64)} == {torch.float64}


@pytest.mark.parametrize(
    "shows",
    [
        lambda z, y: bool((z[0] > 0).any()) and int(y[0]) == 1,
        lambda z, y: len(z) == 2 and float(z.abs().max()) >= 1,
        lambda z, y: float(z.abs().max()) > 1 and int(y[0]) == 0,
    ],
    ids=["a label", "two rows", "a larger score"],
)
def test_what_the_search_comes_to_is_among_them(shows: Any):
    loss = loss_of(sample_logits=torch.zeros(16, 2))

    def goes_wrong(draw: tuple[Tensor, Tensor]) -> bool:
        return bool(shows(*draw))

    searched = smallest(lambda: batches(loss, magnitude=10.0, max_rows=2), goes_wrong, seed=0, examples=100)
    first = next(draw for draw in plain(loss) if goes_wrong(draw))
    assert searched is not None
    assert [part.tolist() for part in first] == [part.tolist() for part in searched]
