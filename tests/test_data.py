from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from pytest_logits import data

SHAPES = [(1,), (2,), (5,), (1, 1, 1), (2, 2), (3, 4, 4), (30,)]
SEEDS = range(25)


def separable(shape: tuple[int, ...], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, which pattern each shows, and the patterns."""
    rng = data.generator(seed)
    prototypes = data.prototype_count(100, math.prod(shape))
    assignment = data.balanced_assignment(max(16, 2 * prototypes), prototypes, rng)
    patterns = data.float_prototypes(prototypes, shape, rng)
    return data.separable_floats(assignment, patterns, rng, dtype=torch.float64), assignment, patterns


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_random_floats_are_standard_normal_numbers_of_the_dtype(dtype: torch.dtype):
    made = data.random_floats(1000, (3, 4), data.generator(0), dtype=dtype)
    assert (made.shape, made.dtype) == ((1000, 3, 4), dtype)
    # The mean of 12,000 normal numbers has deviation .0091, their variance .0129: five of each.
    assert abs(float(made.double().mean())) < 0.046
    assert abs(float(made.double().var()) - 1) < 0.065


def test_random_tokens_cover_the_vocabulary():
    made = data.random_tokens(50, (7,), 5, data.generator(0))
    assert (made.shape, made.dtype) == ((50, 7), torch.int64)
    # A token is missing from 350 uniform ones with probability 5 * .8**350 = 6e-34.
    assert sorted(set(made.flatten().tolist())) == list(range(5))


@pytest.mark.parametrize(("multilabel", "shape"), [(False, (400,)), (True, (400, 3))])
def test_random_labels_cover_the_classes(multilabel: bool, shape: tuple[int, ...]):
    made = data.random_labels(400, 3, data.generator(0), multilabel=multilabel)
    assert (made.shape, made.dtype) == (shape, torch.int64)
    assert sorted(set(made.flatten().tolist())) == ([0, 1] if multilabel else [0, 1, 2])


DRAWS: dict[str, Callable[[Generator], Any]] = {
    "floats": lambda g: data.random_floats(4, (3,), g, dtype=torch.float32),
    "tokens": lambda g: data.random_tokens(4, (3,), 50, g),
    "labels": lambda g: data.random_labels(40, 5, g),
    "multilabels": lambda g: data.random_labels(40, 5, g, multilabel=True),
    "assignment": lambda g: data.balanced_assignment(20, 5, g),
    "prototype labels": lambda g: data.prototype_labels(5, 100, g),
    "prototype multilabels": lambda g: data.prototype_labels(5, 20, g, multilabel=True),
    "float prototypes": lambda g: data.float_prototypes(4, (3, 2), g),
    "separable floats": lambda g: data.separable_floats(torch.arange(4), torch.zeros(4, 3), g, dtype=torch.float32),
    "separable tokens": lambda g: data.separable_tokens(torch.arange(4), (6,), 100, g),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_draw_depends_on_its_seed(name: str):
    first, again, other = (DRAWS[name](data.generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", DRAWS)
def test_a_draw_depends_on_nothing_but_its_seed(name: str):
    before, state = torch.get_default_dtype(), torch.random.get_rng_state()
    first = DRAWS[name](data.generator(1))
    torch.set_default_dtype(torch.float64)
    try:
        torch.rand(3)
        second = DRAWS[name](data.generator(1))
    finally:
        torch.set_default_dtype(before)
        torch.random.set_rng_state(state)
    assert first.dtype == second.dtype
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", DRAWS)
def test_a_draw_leaves_the_global_generator_alone(name: str):
    before = torch.random.get_rng_state()
    DRAWS[name](data.generator(1))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("classes", "features", "expected"),
    [(2, 1, 2), (5, 1, 2), (5, 2, 3), (5, 10, 5), (100, 10, 11), (100, 100, 16), (100, None, 16), (3, None, 3)],
)
def test_prototypes_are_as_many_as_the_inputs_have_room_for(classes: int, features: int | None, expected: int):
    assert data.prototype_count(classes, features) == expected


@pytest.mark.parametrize(("count", "prototypes"), [(16, 2), (16, 5), (32, 16), (3, 3)])
def test_every_prototype_is_shown_equally_often(count: int, prototypes: int):
    for seed in SEEDS:
        counts = data.balanced_assignment(count, prototypes, data.generator(seed)).bincount(minlength=prototypes)
        assert int(counts.max() - counts.min()) == (count % prototypes > 0)


@pytest.mark.parametrize(("prototypes", "classes"), [(2, 2), (3, 3), (2, 5), (16, 1000)])
def test_each_prototype_has_a_class_of_its_own(prototypes: int, classes: int):
    for seed in SEEDS:
        labels = data.prototype_labels(prototypes, classes, data.generator(seed))
        assert (labels.shape, labels.dtype) == ((prototypes,), torch.int64)
        assert len(labels.unique()) == prototypes
        assert 0 <= int(labels.min()) <= int(labels.max()) < classes


@pytest.mark.parametrize("prototypes", [2, 4, 16])
def test_multilabel_rows_come_with_their_complements(prototypes: int):
    for seed in SEEDS:
        rows = data.prototype_labels(prototypes, 6, data.generator(seed), multilabel=True)
        assert (rows.shape, rows.dtype) == ((prototypes, 6), torch.int64)
        assert torch.equal(rows[0::2] + rows[1::2], torch.ones(prototypes // 2, 6, dtype=torch.int64))


def test_an_odd_number_of_multilabel_rows_leaves_out_one_complement():
    rows = data.prototype_labels(5, 6, data.generator(0), multilabel=True)
    assert rows.shape == (5, 6)
    assert torch.equal(rows[0:4:2] + rows[1:4:2], torch.ones(2, 6, dtype=torch.int64))


@pytest.mark.parametrize("shape", SHAPES)
def test_prototypes_are_affinely_independent(shape: tuple[int, ...]):
    for seed in SEEDS:
        patterns = separable(shape, seed)[2]
        lifted = torch.cat([patterns.flatten(1).double(), torch.ones(len(patterns), 1, dtype=torch.float64)], dim=1)
        assert int(torch.linalg.matrix_rank(lifted)) == len(patterns)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_linear_model_separates_the_examples(shape: tuple[int, ...]):
    # The nearest prototype is a linear decision: argmin |x - p|^2 = argmax (p x - |p|^2 / 2).
    for seed in SEEDS:
        inputs, assignment, patterns = separable(shape, seed)
        weight = patterns.flatten(1).double()
        scores = inputs.flatten(1) @ weight.T - weight.square().sum(dim=1) / 2
        assert torch.equal(scores.argmax(dim=1), assignment)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_prototypes_of_images_differ_along_every_axis(axis: int):
    # A model that pools over the other axes must still see different classes: profiles have a third of the variance.
    for seed in SEEDS:
        patterns = data.float_prototypes(4, (3, 8, 8), data.generator(seed))
        pooled = patterns.mean(dim=[d + 1 for d in range(3) if d != axis])
        assert float(torch.pdist(pooled).min()) > data.NOISE


@pytest.mark.parametrize("vocab_size", [4, 5, 8, 9, 10, 200])
def test_prototypes_share_no_token(vocab_size: int):
    for seed in SEEDS:
        assignment = torch.arange(16) % 4
        tokens = data.separable_tokens(assignment, (9,), vocab_size, data.generator(seed))
        assert (tokens.shape, tokens.dtype) == ((16, 9), torch.int64)
        assert 0 <= int(tokens.min()) <= int(tokens.max()) < vocab_size
        used = [set(tokens[assignment == c].flatten().tolist()) for c in range(4)]
        assert sum(map(len, used)) == len(set.union(*used))


@pytest.mark.parametrize(("vocab_size", "uses_padding"), [(8, True), (9, False), (200, False)])
def test_padding_is_left_out_where_there_is_room(vocab_size: int, uses_padding: bool):
    drawn = [data.separable_tokens(torch.arange(16) % 4, (9,), vocab_size, data.generator(seed)) for seed in SEEDS]
    assert (int(torch.stack(drawn).min()) == 0) == uses_padding


def test_of_many_numbers_only_the_noise_of_the_chosen_is_drawn(monkeypatch: pytest.MonkeyPatch):
    drawn, normal = [], data._normal
    monkeypatch.setattr(data, "_normal", lambda shape, rng: drawn.append(math.prod(shape)) or normal(shape, rng))
    patterns = data.float_prototypes(4, (3, 32, 32), data.generator(0))
    assert patterns.shape == (4, 3, 32, 32)
    assert sum(drawn) < 1.5 * patterns.numel()


def test_patterns_have_unit_variance_and_are_apart_however_many_numbers_they_have():
    # Noise alone is sqrt(2) apart; the mean of the profiles' squares varies by a third where an axis has 3 places.
    for shape in ((3, 8, 8), (3, 32, 32), (16, 128)):
        for seed in SEEDS:
            patterns = data.float_prototypes(4, shape, data.generator(seed)).flatten(1)
            assert 0.5 < float(patterns.square().mean()) < 2
            assert float(torch.pdist(patterns).min()) > math.sqrt(patterns.shape[1])
