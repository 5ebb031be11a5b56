from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import pytest_logits
from pytest_logits.strategies import GeneratedClassifier, classifiers
from pytest_logits.strategies.classifiers import FAMILIES, HEADS

SMALLEST = GeneratedClassifier(
    family="linear",
    input_shape=(1,),
    vocab_size=None,
    num_classes=2,
    width=1,
    depth=0,
    activation="none",
    normalisation="none",
    dtype=torch.float32,
    seed=0,
)
# Wide enough to learn and not to be switched off by a ReLU.
WIDE: dict[str, Any] = {"min_width": 8, "activations": ("relu", "tanh", "gelu")}


def batch_for(classifier: GeneratedClassifier, size: int) -> tuple[Tensor, Tensor]:
    batch = classifier.batch(size, seed=classifier.seed, separable=True)
    return batch.x if classifier.vocab_size is not None else batch.x.to(classifier.dtype), batch.labels


@settings(derandomize=True, database=None, deadline=None)
@given(classifier=classifiers(min_classes=3, max_classes=4, dtypes=(torch.float32, torch.float64, torch.bfloat16)))
def test_examples_keep_to_the_arguments(classifier: GeneratedClassifier) -> None:
    assert classifier.family in FAMILIES
    assert (classifier.vocab_size is not None) == (classifier.family == "embedding_bag")
    model = classifier.build()
    assert model.training
    assert isinstance(model.head, nn.Linear)
    assert model.head.in_features == classifier.width
    assert {parameter.dtype for parameter in model.parameters()} == {classifier.dtype}
    assert all(parameter.requires_grad for parameter in model.parameters())
    x, _ = batch_for(classifier, 2)
    logits = model(x)
    assert logits.shape == (2, classifier.num_classes)
    assert classifier.num_classes in (3, 4)
    assert logits.dtype == classifier.dtype
    assert logits.isfinite().all()


# The oldest supported torch cannot multiply float16 matrices on the CPU, so these are built and not called.
@settings(derandomize=True, database=None, deadline=None, max_examples=20)
@given(classifier=classifiers(dtypes=[torch.float16]))
def test_float16_classifiers_are_built(classifier: GeneratedClassifier) -> None:
    assert {parameter.dtype for parameter in classifier.build().parameters()} == {torch.float16}


@settings(derandomize=True, database=None, deadline=None, max_examples=50)
@given(classifier=classifiers())
def test_outputs_are_what_the_head_makes_of_the_trunk(classifier: GeneratedClassifier) -> None:
    model = classifier.build().eval()
    x, _ = batch_for(classifier, 4)
    features = model.trunk(x)
    assert features.shape == (4, classifier.width)
    assert torch.allclose(model(x), features @ model.head.weight.T + model.head.bias, atol=1e-5)


@settings(derandomize=True, database=None, deadline=None, max_examples=50)
@given(classifier=classifiers())
def test_examples_are_independent_in_evaluation_mode(classifier: GeneratedClassifier) -> None:
    model = classifier.build().eval()
    x, _ = batch_for(classifier, 4)
    assert torch.allclose(model(x)[:1], model(x[:1]), atol=1e-5)


@settings(derandomize=True, database=None, deadline=None, max_examples=50)
@given(classifier=classifiers(**WIDE, dropouts=(0.0,), normalisations=("none", "layer", "batch", "rms", "group")))
def test_every_parameter_gets_a_gradient(classifier: GeneratedClassifier) -> None:
    model = classifier.build()
    x, labels = batch_for(classifier, 32)
    cross_entropy(model(x), labels).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-8, name


def test_outputs_replaces_the_number_of_logits_and_keeps_the_trunk() -> None:
    classifier = dataclasses.replace(SMALLEST, family="mlp", depth=1, activation="relu")
    usual, single = classifier.build(), classifier.build(outputs=1)
    assert single(torch.zeros(3, 1)).shape == (3, 1)
    trunk = single.trunk.state_dict()
    assert trunk
    assert all(torch.equal(value, trunk[name]) for name, value in usual.trunk.state_dict().items())


@settings(derandomize=True, database=None, deadline=None)
@given(classifier=classifiers(dtypes=(torch.float32, torch.float64)), unrelated_seed=st.integers(0, 9))
def test_repr_rebuilds_the_same_weights(classifier: GeneratedClassifier, unrelated_seed: int) -> None:
    again = eval(repr(classifier), {"GeneratedClassifier": GeneratedClassifier, "torch": torch})
    assert again == classifier
    weights = classifier.build().state_dict()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(unrelated_seed)
        rebuilt = again.build().state_dict()
    assert weights.keys() == rebuilt.keys()
    assert all(torch.equal(weights[name], rebuilt[name]) for name in weights)


def test_repr_is_the_call_that_makes_the_classifier() -> None:
    assert repr(SMALLEST) == (
        "GeneratedClassifier(family='linear', input_shape=(1,), vocab_size=None, num_classes=2, width=1, depth=0, "
        "activation='none', normalisation='none', dtype=torch.float32, seed=0)"
    )


def test_weights_do_not_depend_on_the_default_dtype(float64_by_default: None) -> None:
    in_float64 = SMALLEST.build()
    torch.set_default_dtype(torch.float32)
    assert torch.equal(SMALLEST.build().head.weight, in_float64.head.weight)


def test_seed_changes_the_weights() -> None:
    other = dataclasses.replace(SMALLEST, seed=1)
    assert not torch.equal(SMALLEST.build().head.weight, other.build().head.weight)


# Below .8 of the least loss that a softmax before the loss would leave, at the better of two step sizes.
@pytest.mark.parametrize("family", FAMILIES)
@settings(derandomize=True, database=None, deadline=None, max_examples=6)
@given(data=st.data())
def test_classifiers_learn_within_sixty_steps(family: str, data: st.DataObject) -> None:
    quick = classifiers(families=(family,), max_classes=20, dropouts=(0.0,), normalisations=("none", "layer"), **WIDE)
    classifier = data.draw(quick)
    x, labels = batch_for(classifier, 64)
    target = 0.8 * math.log(1 + (classifier.num_classes - 1) / math.e)

    def learns(step_size: float) -> bool:
        model = classifier.build()
        optimizer = torch.optim.Adam(model.parameters(), lr=step_size)
        for _ in range(60):
            loss = cross_entropy(model(x), labels)
            if loss.item() < target:
                return True
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return cross_entropy(model(x), labels).item() < target

    assert learns(1e-2) or learns(1e-3)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("linear", {}),
        ("mlp", {"depth": 1, "activation": "relu"}),
        ("residual", {"depth": 1, "activation": "relu"}),
        ("embedding_bag", {"input_shape": (1,), "vocab_size": 5}),
        ("rnn", {"input_shape": (2, 1), "depth": 1}),
        ("gru", {"input_shape": (2, 1), "depth": 1}),
        ("lstm", {"input_shape": (2, 1), "depth": 1}),
        ("cnn1d", {"input_shape": (1, 2), "depth": 1, "activation": "relu"}),
        ("cnn2d", {"input_shape": (1, 2, 2), "depth": 1, "activation": "relu"}),
        ("attention", {"input_shape": (2, 1), "depth": 1, "activation": "relu"}),
    ],
)
def test_each_family_shrinks(family: str, changes: dict[str, Any], minimal: Callable[..., Any]) -> None:
    expected = dataclasses.replace(SMALLEST, family=family, **changes)
    assert minimal(classifiers(families=(family,)), lambda c: True) == expected
    # A condition that the simplest example does not meet makes Hypothesis search.
    assert minimal(classifiers(), lambda c: c.family == family) == expected


@pytest.mark.parametrize(
    ("condition", "changes"),
    [
        (lambda c: c.num_classes >= 5, {"num_classes": 5}),
        (lambda c: c.input_shape[0] >= 10, {"input_shape": (10,)}),
        (lambda c: c.width >= 11, {"width": 11}),
        (lambda c: c.depth >= 2, {"depth": 2}),
        (lambda c: c.activation == "gelu", {"activation": "gelu"}),
        (lambda c: c.normalisation == "batch", {"normalisation": "batch"}),
        (lambda c: c.normalisation == "layer", {"normalisation": "layer", "width": 4}),
        (lambda c: c.dropout > 0, {"dropout": 0.1}),
        (lambda c: c.seed >= 1, {"seed": 1}),
    ],
    ids=["classes", "inputs", "width", "depth", "activation", "batch", "layer", "dropout", "seed"],
)
def test_each_choice_shrinks_by_itself(
    condition: Callable[[GeneratedClassifier], bool], changes: dict[str, Any], minimal: Callable[..., Any]
) -> None:
    smallest = dataclasses.replace(SMALLEST, family="mlp", depth=1, activation="relu")
    assert minimal(classifiers(families=("mlp",)), condition) == dataclasses.replace(smallest, **changes)


@pytest.mark.parametrize(
    ("families", "simplest"),
    [
        (("cnn2d", "linear"), "linear"),
        (("embedding_bag", "mlp"), "mlp"),
        (("lstm", "embedding_bag"), "embedding_bag"),
        (("attention", "lstm"), "lstm"),
    ],
)
def test_shrinks_to_the_simplest_family_allowed(
    families: tuple[str, ...], simplest: str, minimal: Callable[..., Any]
) -> None:
    assert minimal(classifiers(families=families), lambda c: c.seed >= 2).family == simplest


def test_shrinks_to_the_first_dtype_given(minimal: Callable[..., Any]) -> None:
    found = minimal(classifiers(dtypes=[torch.float64, torch.float32]), lambda c: True)
    assert found == dataclasses.replace(SMALLEST, dtype=torch.float64)


@pytest.mark.parametrize("family", FAMILIES)
def test_drawing_and_building_leave_torch_alone(
    family: str, torch_state_kept: Callable[[], Any], minimal: Callable[..., Any]
) -> None:
    with torch_state_kept():
        minimal(classifiers(families=(family,)), lambda c: c.build() is not None)


SHAPES: dict[str, Callable[[GeneratedClassifier], tuple[int, ...]]] = {
    "classes": lambda c: (3, c.num_classes),
    "column": lambda c: (3, 1),
    "flat": lambda c: (3,),
    "dense": lambda c: (3, c.num_classes, *c.input_shape[1:]),
    "tokens": lambda c: (3, c.input_shape[0], c.num_classes),
}


@pytest.mark.parametrize("head", SHAPES)
@settings(derandomize=True, database=None, deadline=None, max_examples=40)
@given(data=st.data())
def test_logits_have_the_shape_of_the_head(head: str, data: st.DataObject) -> None:
    classifier = data.draw(classifiers(heads=(head,)))
    x, _ = batch_for(classifier, 3)
    assert classifier.build()(x).shape == SHAPES[head](classifier)


@pytest.mark.parametrize("head", SHAPES)
def test_each_head_shrinks(head: str, minimal: Callable[..., Any]) -> None:
    found = minimal(classifiers(heads=("classes", head)), lambda c: c.head == head)
    assert (found.num_classes, found.width, found.seed, found.dropout) == (2, 1, 0, 0.0)
    assert found.family == {"dense": "cnn1d", "tokens": "rnn"}.get(head, "linear")


@settings(derandomize=True, database=None, deadline=None, max_examples=10)
@given(classifier=classifiers(heads=HEADS, min_width=8))
def test_the_arguments_register_it(classifier: GeneratedClassifier) -> None:
    (result,) = pytest_logits.check_classifier(
        classifier.build, name="drawn", select=["output_shape_is_stable"], **classifier.arguments
    )
    assert result.outcome == "passed", result.verdict


@settings(derandomize=True, database=None, deadline=None, max_examples=30)
@given(classifier=classifiers(max_width=3))
def test_narrow_layers_are_not_normalised_over_their_features(classifier: GeneratedClassifier) -> None:
    assert classifier.width <= 3
    assert classifier.normalisation in ("none", "batch")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_classes": 1}, r"min_classes=1 must be an integer of at least 2"),
        ({"min_classes": 11}, r"max_classes=10 must be at least min_classes=11"),
        ({"families": ()}, r"families=\(\) must be a tuple or list of one or more names"),
        ({"families": "cnn2d"}, r"families='cnn2d' must be a tuple or list"),
        ({"families": ("embeding_bag",)}, r"contains 'embeding_bag'; .* did you mean 'embedding_bag'\?"),
        ({"min_width": 0}, r"min_width=0 must be an integer of at least 1"),
        ({"min_width": 33}, r"max_width=32 must be at least min_width=33"),
        ({"heads": ("dens",)}, r"contains 'dens'; .* did you mean 'dense'\?"),
        ({"heads": ("column",), "min_classes": 3}, r"no classifier has .*'column' and 'flat' need min_classes=2"),
        ({"heads": ("dense",), "families": ("mlp",)}, r"no classifier has .*'dense' needs 'cnn1d' or 'cnn2d'"),
        ({"activations": ()}, r"activations=\(\) must be a tuple or list"),
        ({"normalisations": ("batchnorm",)}, r"contains 'batchnorm'; .* did you mean 'batch'\?"),
        ({"dropouts": (1.0,)}, r"contains 1\.0; it must hold numbers from 0 to below 1"),
        ({"dtypes": (torch.int64,)}, r"contains torch\.int64; allowed are torch\.float32"),
        ({"dtypes": torch.float32}, r"dtypes=torch\.float32 must be a tuple or list"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        classifiers(**arguments)
