"""Bugs planted in a user's module shrink to the smallest example that shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
import torch
import torch.nn.functional as F
from hypothesis.strategies import SearchStrategy
from torch import Tensor, nn

from pytest_logits import strategies as st
from tests import versions

MLP = nn.Linear(3, 2)


Minimal = Callable[[SearchStrategy[Any], Callable[[Any], bool]], Any]


# Batches.


def squeezes(x: Tensor) -> Tensor:
    return MLP(x).squeeze()


def mixes_rows(x: Tensor) -> Tensor:
    scores = MLP(x)
    return scores - scores.mean(dim=0)


def depends_on_the_last(x: Tensor) -> Tensor:
    return MLP(x) + x[-1].sum()


FLAT = st.batches(input_shape=(3,), max_classes=4)


@pytest.mark.parametrize(
    ("net", "size"), [(squeezes, 1), (mixes_rows, 2), (depends_on_the_last, 2)], ids=["squeeze", "mean", "last"]
)
def test_a_fault_of_batches_is_shown_by_the_smallest_batch(
    net: Callable[[Tensor], Tensor], size: int, minimal: Minimal
):
    def shows_it(batch: st.Batch) -> bool:
        together = net(batch.x)
        alone = [net(row) for row in batch.x.split(1)]
        return together.shape != (batch.size, 2) or not torch.allclose(together, torch.cat(alone), atol=1e-3)

    found = minimal(FLAT, shows_it)
    assert found == st.Batch(size=size, input_shape=(3,), num_classes=2, vocab_size=None, scale=1.0, seed=0)


def test_a_fault_that_needs_a_large_input_keeps_the_scale_only(minimal: Minimal):
    found = minimal(FLAT, lambda batch: bool((torch.exp(batch.x) > 1e30).any()))
    assert (found.size, found.num_classes, found.scale) == (1, 2, 100.0)


# Classifiers.


def is_squashed(classifier: st.GeneratedClassifier) -> bool:
    scores = F.softmax(classifier.build()(classifier.batch(2).x), dim=1)
    return bool(torch.allclose(scores.sum(dim=1), torch.ones(2)))


@pytest.mark.parametrize(
    ("shows_it", "family", "depth", "width"),
    [
        (is_squashed, "linear", 0, 1),
        (lambda c: any(isinstance(m, nn.ReLU) for m in c.build().modules()), "mlp", 1, 1),
        (lambda c: any(isinstance(m, nn.Tanh) for m in c.build().modules()), "mlp", 1, 1),
        (lambda c: any(isinstance(m, nn.BatchNorm1d) for m in c.build().modules()), "mlp", 1, 1),
        (lambda c: any(isinstance(m, nn.Dropout) for m in c.build().modules()), "mlp", 1, 1),
        (lambda c: any(isinstance(m, nn.MultiheadAttention) for m in c.build().modules()), "attention", 1, 1),
        (lambda c: len(list(c.build().parameters())) > 2, "mlp", 1, 1),
        (lambda c: c.build().head.in_features > 1, "linear", 0, 2),
        (lambda c: c.vocab_size is not None, "embedding_bag", 0, 1),
    ],
    ids=["any", "relu", "tanh", "batch", "dropout", "attention", "hidden", "width", "tokens"],
)
def test_a_fault_of_a_layer_is_shown_by_the_smallest_classifier_that_has_it(
    shows_it: Callable[[st.GeneratedClassifier], bool], family: str, depth: int, width: int, minimal: Minimal
):
    found = minimal(st.classifiers(), shows_it)
    assert (found.family, found.depth, found.width) == (family, depth, width)
    assert (found.num_classes, found.seed) == (2, 0)


def test_a_classifier_and_a_batch_shrink_together(minimal: Minimal):
    pairs = hypothesis.strategies.tuples(st.classifiers(), st.batches(min_size=1))

    def shows_it(pair: tuple[st.GeneratedClassifier, st.Batch]) -> bool:
        classifier, batch = pair
        return bool(classifier.build()(classifier.batch(batch.size).x).squeeze().ndim < 2)

    classifier, batch = minimal(pairs, shows_it)
    assert (classifier.family, classifier.width, classifier.num_classes, batch.size) == ("linear", 1, 2, 1)


@pytest.mark.parametrize("cause", ["softmax_before_cross_entropy", "frozen_parameters", "signed_targets"])
def test_a_planted_cause_is_shown_by_the_smallest_classifier(cause: str, minimal: Minimal):
    found = minimal(st.faulty_classifiers(cause=cause), lambda faulty: faulty.build() is not None)
    classifier = found.classifier
    assert (classifier.family, classifier.width, classifier.depth, classifier.num_classes) == ("linear", 1, 0, 2)


# Logits, labels, losses.


def focal(logits: Tensor, targets: Tensor) -> Tensor:
    p = F.softmax(logits, dim=1).gather(1, targets.unsqueeze(1)).squeeze(1)
    return (-(p.log()) * (1 - p) ** 2).mean()


def test_an_overflow_is_shown_by_two_classes_and_one_row(minimal: Minimal):
    versions.shrinks_further()
    pairs = st.logits(max_magnitude=1000.0).flatmap(
        lambda z: hypothesis.strategies.tuples(
            hypothesis.strategies.just(z),
            st.labels(num_classes=z.shape[1], min_size=len(z), max_size=len(z)),
        )
    )
    z, y = minimal(pairs, lambda pair: not bool(focal(*pair).isfinite()))
    assert z.shape == (1, 2)
    # exp(-103.98) is the half of the least float32 above 0.
    assert sorted(z.flatten().tolist()) in ([0.0, 104.0], [-104.0, 0.0])
    assert len(y) == 1


def test_ignored_rows_shrink_to_one_of_two(minimal: Minimal):
    found = minimal(st.labels(num_classes=3, ignore_index=-100), lambda y: bool((y == -100).any()))
    assert sorted(found.tolist()) == [-100, 0]


def test_an_argument_of_a_loss_shrinks_alone(minimal: Minimal):
    found = minimal(st.losses(num_classes=2), lambda loss: loss.label_smoothing > 0)
    assert found == st.GeneratedLoss(name="cross_entropy", num_classes=2, label_smoothing=0.05)
