from __future__ import annotations

import gc
import random
import weakref
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_logits.search import smallest
from pytest_logits.strategies import classifiers, logits
from tests import versions


def test_the_smallest_value_is_found():
    assert smallest(lambda: st.integers(0, 1000), lambda n: n >= 123, seed=0, examples=100) == 123


def test_lists_shrink_to_as_few_and_as_small_elements_as_show_it():
    assert smallest(
        lambda: st.lists(st.integers(0, 99)), lambda v: len(v) >= 2 and max(v) > 7, seed=0, examples=200
    ) == [0, 8]


def test_tensors_shrink_too():
    versions.shrinks_further()
    found = smallest(lambda: logits(max_classes=3), lambda z: bool((z > 5).any()), seed=0, examples=200)
    assert found is not None
    assert found.tolist() == [[0.0, 6.0]]


def test_nothing_is_found_where_nothing_goes_wrong():
    assert smallest(st.integers, lambda n: False, seed=0, examples=50) is None


def test_a_screen_in_which_nothing_goes_wrong_spares_the_search():
    seen: list[int] = []

    def wrong(n: int) -> bool:
        seen.append(n)
        return n > 100

    assert smallest(lambda: st.integers(0, 1000), wrong, seed=0, examples=50, screen=[3, 7]) is None
    assert seen == [3, 7]


def test_where_a_screen_finds_something_the_smallest_is_searched():
    assert smallest(lambda: st.integers(0, 1000), lambda n: n >= 123, seed=0, examples=100, screen=[3, 700]) == 123


def test_what_only_the_screen_finds_is_the_answer():
    assert smallest(lambda: st.integers(0, 10), lambda n: n == 700, seed=0, examples=50, screen=[3, 700, 700]) == 700


def test_the_first_plain_value_that_goes_wrong_is_the_answer_and_nothing_is_drawn():
    seen: list[int] = []

    def wrong(n: int) -> bool:
        seen.append(n)
        return n > 4

    assert smallest(lambda: st.integers(0, 1000), wrong, seed=0, examples=50, plain=[3, 5, 6]) == 5
    assert seen == [3, 5]


def test_where_no_plain_value_goes_wrong_one_is_searched():
    assert smallest(lambda: st.integers(0, 1000), lambda n: n >= 123, seed=0, examples=100, plain=[3, 5]) == 123


def test_plain_values_are_not_asked_where_the_screen_finds_nothing():
    assert smallest(st.integers, lambda n: n == 3, seed=0, examples=50, screen=[1, 2], plain=[3]) is None


def test_nothing_is_found_among_no_values():
    assert smallest(lambda: st.integers().filter(lambda n: False), lambda n: True, seed=0, examples=50) is None


@pytest.mark.parametrize("examples", [1, 7, 60])
def test_no_more_values_are_looked_at_than_asked_for(examples: int):
    seen: list[int] = []

    def fine(n: int) -> bool:
        seen.append(n)
        return False

    smallest(lambda: st.integers(0, 10**9), fine, seed=0, examples=examples)
    assert len(seen) == examples


def looked_at(seed: int) -> list[Any]:
    seen: list[Any] = []
    smallest(classifiers, lambda c: bool(seen.append(c)), seed=seed, examples=20)
    return seen


def test_the_same_seed_looks_at_the_same_values_whatever_ran_before():
    first = looked_at(1)
    random.seed(5)
    torch.manual_seed(5)
    looked_at(2)
    assert looked_at(1) == first
    assert looked_at(3) != first


def test_a_test_that_hypothesis_has_run_on_the_same_range_changes_nothing():
    """Hypothesis remembers, for a range, the numbers from the source of the loaded modules; such as 918273.25."""
    ranges = st.floats(-918274, 918274)

    def looked_at() -> list[float]:
        seen: list[float] = []
        smallest(lambda: ranges, lambda x: bool(seen.append(x)), seed=3, examples=200)
        return seen

    def drawn() -> set[float]:
        seen: set[float] = set()

        @settings(max_examples=500, database=None, derandomize=True)
        @given(ranges)
        def draw(x: float) -> None:
            seen.add(x)

        draw()
        return seen

    before, users = looked_at(), drawn()
    assert looked_at() == before
    assert drawn() == users


def test_the_random_states_are_left_alone():
    before = random.getstate(), torch.random.get_rng_state()
    looked_at(1)
    assert random.getstate() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


@pytest.mark.parametrize("error", [ZeroDivisionError, ValueError, AssertionError, RuntimeError])
def test_an_exception_of_the_users_passes_through(error: type[Exception]):
    def raises(n: int) -> bool:
        raise error("the user's own")

    with pytest.raises(error, match="the user's own"):
        smallest(st.integers, raises, seed=0, examples=10)


def test_an_exception_while_shrinking_passes_through():
    def goes_wrong(n: int) -> bool:
        if n < 50:
            raise ZeroDivisionError("the user's own")
        return n >= 100

    with pytest.raises(ZeroDivisionError, match="the user's own"):
        smallest(lambda: st.integers(0, 10**6), goes_wrong, seed=0, examples=100)


def test_no_example_database_is_written(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    smallest(lambda: st.integers(0, 1000), lambda n: n >= 123, seed=0, examples=100)
    assert list(tmp_path.iterdir()) == []


def test_it_can_be_asked_inside_a_test_that_hypothesis_runs():
    found = []

    @settings(max_examples=3, database=None, derandomize=True, deadline=None)
    @given(least=st.integers(2, 9))
    def test(least: int) -> None:
        found.append(smallest(lambda: st.integers(0, 100), lambda value: value >= least, seed=0, examples=200) == least)

    test()
    assert found
    assert all(found)


def test_what_nothing_was_found_with_does_not_wait_for_the_garbage_collector():
    class Model:
        """As large as a model may be."""

    def search() -> weakref.ref[Model]:
        model = Model()
        smallest(st.integers, lambda n: type(model) is not Model, seed=0, examples=5)
        return weakref.ref(model)

    gc.collect()
    gc.disable()
    try:
        assert search()() is None
    finally:
        gc.enable()
