"""Each strategy draws the hard examples that it promises; see ``sequential`` for what is held against what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from pytest_logits import strategies as st
from tests.quality.sequential import keeps_promise


def tied(z: Tensor) -> bool:
    top = z.topk(2, dim=1).values
    return bool((top[:, 0] == top[:, 1]).any() and z.any())


def one_kept(y: Tensor) -> bool:
    return len(y) > 2 and int((y != -100).sum()) == 1


PROMISES: dict[str, tuple[SearchStrategy[Any], Callable[[Any], bool]]] = {
    "logits_tied": (st.logits(), tied),
    "logits_at_the_upper_bound": (st.logits(), lambda z: bool(z.max() == 20)),
    "logits_at_the_lower_bound": (st.logits(), lambda z: bool(z.min() == -20)),
    "logits_of_one_row": (st.logits(), lambda z: len(z) == 1),
    "batches_of_one": (st.batches(), lambda batch: batch.size == 1),
    "batches_of_one_feature": (st.batches(), lambda batch: batch.input_shape == (1,)),
    "batches_of_large_inputs": (st.batches(), lambda batch: batch.scale == 100),
    "batches_of_two_classes": (st.batches(), lambda batch: batch.num_classes == 2),
    "padded_to_one_token": (
        st.batches(vocab_size=9, padding_token=0, input_shape=(4,)),
        lambda batch: int(batch.mask.sum(dim=1).min()) == 1,
    ),
    "labels_of_one_class": (st.labels(num_classes=3), lambda y: len(y) > 1 and len(y.unique()) == 1),
    "labels_with_one_kept": (st.labels(num_classes=3, max_size=6, ignore_index=-100), one_kept),
    "labels_without_a_class": (st.labels(num_classes=3), lambda y: len(y) > 4 and len(y.unique()) < 3),
    "soft_labels_with_a_zero": (st.labels(num_classes=3, encoding="soft"), lambda y: bool((y == 0).any())),
    "no_label_at_all": (st.labels(num_classes=3, encoding="multihot"), lambda y: bool((y.sum(dim=1) == 0).any())),
    "equal_weights": (st.class_weights(num_classes=3), lambda w: bool((w == 1).all())),
    "a_weight_of_zero": (st.class_weights(num_classes=3, min_weight=0), lambda w: bool((w == 0).any())),
    "unequal_weights": (st.class_weights(num_classes=3), lambda w: bool(w.max() > 10 * w.min())),
    "a_loss_that_ignores_a_class": (st.losses(num_classes=3), lambda loss: loss.ignore_index >= 0),
    "a_loss_with_both_weights": (st.losses(num_classes=3), lambda loss: bool(loss.weight and loss.pos_weight)),
    "momentum": (st.optimizers(), lambda optimizer: optimizer.momentum > 0),
    "narrow_classifiers": (st.classifiers(), lambda c: c.width == 1),
    "deep_classifiers": (st.classifiers(families=("mlp",)), lambda c: c.depth == 3),
    "batch_normalised_classifiers": (st.classifiers(), lambda c: c.normalisation == "batch"),
    "classifiers_with_dropout": (st.classifiers(), lambda c: c.dropout == 0.5),
    "pairs_with_equal_logits": (st.equivalent_pairs(), lambda p: bool((p.one_logit == 0).any())),
    "weighted_pairs": (st.equivalent_pairs(), lambda p: p.weight > 1),
    "inseparable_without_a_rest": (st.inseparable_batches(), lambda batch: batch.size % 2 == 0),
    "separable_with_one_example_each": (st.separable_batches(), lambda b: len(b.labels.unique()) == b.size > 2),
    "orders_that_move_a_row": (
        st.transforms(kinds=("permutation",)),
        lambda t: not torch.equal(t.rows(2), torch.arange(2)),
    ),
}


@pytest.mark.parametrize("name", PROMISES)
def test_a_hard_example_is_drawn_within_the_budget(name: str):
    assert keeps_promise(*PROMISES[name])
