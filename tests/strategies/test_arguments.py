"""Arguments that cannot be right are refused when a strategy is asked for, with what is allowed."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

from pytest_logits import strategies
from pytest_logits.strategies import (
    class_weights,
    equivalent_pairs,
    faulty_classifiers,
    inseparable_batches,
    labels,
    logits,
    losses,
    optimizers,
    separable_batches,
    transforms,
)

FUNCTIONS = [name for name in strategies.__all__ if name.islower() and name != "faults"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_is_a_keyword(name: str):
    kinds = {parameter.kind for parameter in inspect.signature(getattr(strategies, name)).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_docstring_says_what_examples_shrink_towards(name: str):
    assert "Examples shrink" in (getattr(strategies, name).__doc__ or "")


REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (labels, {"num_classes": 3, "balance": "even"}, r"balance='even' is not known; allowed are 'any', 'balanced', "),
    (labels, {"num_classes": 3, "balance": "balance"}, r"did you mean 'balanced'\?"),
    (labels, {"num_classes": 3, "encoding": "one_hot"}, r"encoding='one_hot' is not known; .* did you mean 'onehot'\?"),
    (labels, {"num_classes": 3, "balance": "imbalanced"}, r"min_size=1 must be an integer of at least 2"),
    (labels, {"num_classes": 1, "balance": "missing_classes"}, r"num_classes=1 must be an integer of at least 2"),
    (labels, {"num_classes": 3, "share": 0.4}, r"share=0\.4 must be a number from 0\.5 to "),
    (labels, {"num_classes": 3, "smoothing": 1.5}, r"smoothing=1\.5 must be a number from 0\.0 to 1\.0"),
    (labels, {"num_classes": 3, "dense_shape": 4}, r"dense_shape=4 must be a tuple"),
    (labels, {"num_classes": 3, "encoding": "soft", "balance": "balanced"}, r"balance='balanced' counts classes"),
    (labels, {"num_classes": 3, "encoding": "multihot", "dense_shape": (2,)}, r"'multihot' has shape \(N, K\)"),
    (labels, {"num_classes": 3, "encoding": "onehot", "ignore_index": 0}, r"needs encoding='index'"),
    (labels, {"num_classes": 3, "ignore_index": "0"}, r"ignore_index='0' must be an integer"),
    (logits, {"dense_shape": (0,)}, r"dense_shape=\(0,\) must be a tuple"),
    (class_weights, {"num_classes": 0}, r"num_classes=0 must be an integer of at least 1"),
    (class_weights, {"num_classes": 2, "min_weight": -1}, r"min_weight=-1 must be a number from 0\.0"),
    (class_weights, {"num_classes": 2, "min_weight": 2, "max_weight": 1}, r"max_weight=1 must be a number from 2"),
    (class_weights, {"num_classes": 2, "dtype": torch.int64}, r"dtype=torch\.int64 must be one of"),
    (losses, {"num_classes": 2, "names": ("cross",)}, r"contains 'cross'; allowed are 'cross_entropy'"),
    (losses, {"num_classes": 2, "reductions": "mean"}, r"reductions='mean' must be a tuple or list"),
    (losses, {"num_classes": True}, r"num_classes=True must be an integer"),
    (optimizers, {"names": ("adam",)}, r"contains 'adam'; .* did you mean 'Adam'\?"),
    (optimizers, {"learning_rates": (0.0,)}, r"contains 0\.0; it must hold finite numbers above 0"),
    (separable_batches, {"min_margin": -1.0}, r"min_margin=-1\.0 must be a number from 0\.0"),
    (separable_batches, {"min_margin": 1.0, "vocab_size": 9}, r"min_margin=1\.0 is for float inputs"),
    (inseparable_batches, {"min_classes": 1}, r"min_classes=1 must be an integer of at least 2"),
    (equivalent_pairs, {"max_size": 0}, r"max_size=0 must be an integer of at least 1"),
    (equivalent_pairs, {"max_magnitude": 0.5}, r"max_magnitude=0\.5 must be a number from 1\.0"),
    (transforms, {"kinds": ("shuffle",)}, r"contains 'shuffle'; allowed are 'permutation'"),
    (transforms, {"min_classes": 1}, r"min_classes=1 must be an integer of at least 2"),
    (faulty_classifiers, {"cause": "softmax"}, r"cause='softmax' is not known; allowed are 'softmax_before_cross"),
    (faulty_classifiers, {"cause": "unscaled_inputs"}, r"cause='unscaled_inputs' is not known"),
]


@pytest.mark.parametrize(("strategy", "arguments", "message"), REFUSED)
def test_bad_arguments_are_refused_at_once(strategy: Any, arguments: dict[str, Any], message: str):
    with pytest.raises(InvalidArgument, match=message):
        strategy(**arguments)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_returned_is_a_strategy(name: str):
    given = {"num_classes": 2} if name in ("labels", "class_weights", "losses") else {}
    given |= {"cause": "bounded_logits"} if name == "faulty_classifiers" else {}  # type: ignore[dict-item]
    assert isinstance(getattr(strategies, name)(**given), SearchStrategy)
