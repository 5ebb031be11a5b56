"""Batches for losses, drawn without Hypothesis: the same shapes and kinds, and enough of each."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from pytest_logits.loss_screen import FEW_SCORES, FEWER, MANY_ROWS, MORE, drawn, is_plain, screen
from pytest_logits.loss_subject import LossSubject
from pytest_logits.settings import PROFILES, Settings

LARGEST = 1000.0


def loss_of(loss: Any = "cross_entropy", *, profile: str = "standard", **arguments: Any) -> LossSubject:
    return LossSubject(name="loss", loss=loss, settings=Settings(profile=PROFILES[profile]), **arguments)


def batches(loss: LossSubject, **arguments: Any) -> list[Any]:
    return list(drawn(loss, **{"count": 60, "seed": 1, "magnitude": LARGEST, **arguments}))


@pytest.mark.parametrize(
    ("loss", "arguments", "shapes"),
    [
        ("cross_entropy", {"sample_logits": torch.zeros(16, 2)}, {(2,)}),
        ("cross_entropy", {"sample_logits": torch.zeros(16, 40)}, {(40,)}),
        ("cross_entropy", {"sample_logits": torch.zeros(16, 3, 4, 4)}, {(3, 4, 4)}),
        ("nll_loss", {}, {(2,), (3,)}),
        ("bce_with_logits", {"task": "binary", "sample_logits": torch.zeros(16)}, {()}),
        ("bce_with_logits", {"task": "binary", "sample_logits": torch.zeros(16, 1)}, {(1,)}),
        ("bce_with_logits", {"task": "multilabel", "sample_logits": torch.zeros(16, 4)}, {(4,)}),
    ],
)
def test_batches_have_the_shapes_that_the_loss_takes(loss: str, arguments: dict[str, Any], shapes: set[Any]):
    subject = loss_of(loss, **arguments)
    found = batches(subject)
    assert {tuple(scores.shape[1:]) for scores, _ in found} == shapes
    assert {len(scores) for scores, _ in found} == {1, 2, 3, 4}
    assert all(float(scores.abs().max()) <= LARGEST for scores, _ in found)
    assert all(subject.accepts(subject.nature.link(scores), labels) for scores, labels in found)


def test_many_classes_are_drawn_where_the_loss_takes_any():
    assert {scores.shape[1] for scores, _ in batches(loss_of(), many=True)} == {10, 100, 1000}


def test_ties_bounds_and_scores_of_every_size_are_among_them():
    found = batches(loss_of(sample_logits=torch.zeros(16, 2)))
    assert not found[0][0].any()
    assert any(bool((scores[:, 0] == scores[:, 1]).any()) for scores, _ in found[1:])
    scores = torch.cat([scores.flatten() for scores, _ in found])
    assert {-LARGEST, LARGEST} <= set(scores.tolist())
    assert {label for _, labels in found for label in labels.tolist()} == {0, 1}
    assert float(scores[scores != 0].abs().min()) < 1e-3


def test_a_seed_gives_the_same_batches_and_another_gives_others():
    first, again, other = (batches(loss_of(), seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    assert any(not torch.equal(a[0], b[0]) for a, b in zip(first, other, strict=True))


def screened(loss: LossSubject, **arguments: Any) -> list[Any] | None:
    return screen(loss, **{"count": 60, "seed": 1, "magnitude": LARGEST, **arguments})


WEIGHTED = nn.CrossEntropyLoss(weight=torch.ones(3))


def test_of_a_plain_loss_few_batches_of_many_rows_are_looked_at():
    found = screened(loss_of(sample_logits=torch.zeros(16, 3)))
    assert [len(scores) for scores, _ in found or []] == [1, MANY_ROWS]


@pytest.mark.parametrize(("shape", "sizes"), [((40,), [1, 64]), ((3, 4, 4), [1, 64]), ((100, 16, 16), [1, 4, 4])])
def test_its_rows_have_every_scale(shape: tuple[int, ...], sizes: list[int]):
    found = screened(loss_of(sample_logits=torch.zeros(16, *shape)), many=True) or []
    assert [len(scores) for scores, _ in found] == sizes
    spread = torch.cat([scores for scores, _ in found]).flatten(1).std(dim=1)
    for scale in (0.0, 1.0, 4.0):
        assert bool(((spread >= 0.6 * scale) & (spread <= 1.4 * scale)).any())
    assert bool((spread > LARGEST / 8).any())


def test_small_integers_and_bounds_are_among_its_rows_where_there_are_few_classes():
    found = screened(loss_of(sample_logits=torch.zeros(16, 2))) or []
    scores = torch.cat([scores for scores, _ in found])
    assert {-LARGEST, LARGEST} <= set(scores.flatten().tolist())
    assert bool((scores == 0).all(dim=1).any())


@pytest.mark.parametrize(
    ("loss", "arguments"),
    [
        (WEIGHTED, {"num_classes": 3}),
        (lambda z, y: nn.functional.cross_entropy(z, y), {}),
        ("cross_entropy", {"encoding": lambda y: y}),
    ],
    ids=["weights", "by hand", "own targets"],
)
def test_of_any_other_there_are_fewer_batches_of_more_rows(loss: Any, arguments: dict[str, Any]):
    found = screened(loss_of(loss, **arguments))
    assert found is not None
    assert len(found) == 60 / FEWER
    assert {len(scores) for scores, _ in found} == set(range(1, MORE * 4 + 1))


def test_rows_by_themselves_stay_so():
    for loss in (loss_of(sample_logits=torch.zeros(16, 3)), loss_of(WEIGHTED, num_classes=3)):
        found = screened(loss, max_rows=1)
        assert found is not None
        assert {len(scores) for scores, _ in found} == {1}


def test_no_more_are_looked_at_than_asked_for():
    assert len(screened(loss_of(sample_logits=torch.zeros(16, 3)), count=2) or []) == 2


def test_where_any_number_of_classes_is_taken_each_has_every_scale():
    found = screened(loss_of(), many=True) or []
    assert [tuple(z.shape) for z, _ in found] == [(rows, classes) for classes in (10, 100, 1000) for rows in (1, 16)]


def test_many_classes_have_fewer_rows():
    found = screened(loss_of(sample_logits=torch.zeros(16, 1000)), many=True)
    assert found is not None
    assert {len(scores) for scores, _ in found} > {1}
    assert all(scores.numel() <= FEW_SCORES for scores, _ in found)


def test_many_classes_are_looked_at_once():
    loss = loss_of(sample_logits=torch.zeros(16, 40))
    assert (screened(loss), len(screened(loss, many=True) or [])) == ([], 2)


def test_thorough_has_no_screen():
    assert screened(loss_of(profile="thorough")) is None


@pytest.mark.parametrize(
    ("loss", "arguments", "is_so"),
    [
        ("cross_entropy", {}, True),
        (nn.CrossEntropyLoss(), {}, True),
        (WEIGHTED, {}, False),
        ("cross_entropy", {"profile": "thorough"}, False),
        ("cross_entropy", {"encoding": lambda y: y}, False),
    ],
    ids=["named", "module", "weights", "thorough", "own targets"],
)
def test_a_plain_loss_has_no_weights_and_no_targets_of_its_own(loss: Any, arguments: dict[str, Any], is_so: bool):
    assert is_plain(loss_of(loss, **arguments)) is is_so
