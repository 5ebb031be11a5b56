"""Mistakes are told on one line, whatever the value."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from pytest_logits.told import LONGEST, MOST_NAMES, kind, nearest, nearest_integer, one_paragraph, shown


class Refuses:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("stanard", "did you mean 'standard'?"),
        ("zzz", "it is one of: quick, standard, thorough"),
        ("thor", "did you mean 'thorough'?"),
    ],
)
def test_the_nearest_word_is_named(word: str, said: str):
    assert nearest(word, ("quick", "standard", "thorough")) == said


def test_the_words_that_hold_the_word_are_named():
    names = ["bounded_logits", "softmax_before_cross_entropy", "softmax_before_bce_with_logits"]
    both = "it is one of: softmax_before_cross_entropy, softmax_before_bce_with_logits"
    assert [nearest(word, names) for word in ("softmax", "softmx")] == [both, both]


def test_a_long_list_of_names_is_cut():
    assert nearest("zzz", [f"name_{n}" for n in range(MOST_NAMES + 1)]).endswith(f"name_{MOST_NAMES - 1}, ...")


@pytest.mark.parametrize(
    "value",
    [10**5000, Refuses(), "x" * 10**6, [0] * 10**6, nn.Linear(2, 2), torch.zeros(9, 9)],
    ids=["digits", "refuses", "long", "list", "module", "tensor"],
)
def test_any_value_is_shown_on_one_short_line(value: Any):
    text = shown(value)
    assert len(text) <= LONGEST
    assert "\n" not in text


@pytest.mark.parametrize("value", ["softmax", 3, None, (3, 32, 32), {"a": 1}, ["b"]])
def test_a_short_value_is_shown_as_code(value: Any):
    assert shown(value) == repr(value)


def test_a_value_is_shown_with_its_type():
    assert kind("3") == "'3' (str)"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "; the nearest is 1"),
        (-5, "; the nearest is 1"),
        (2.0, "; the nearest is 2"),
        (2.4, "; the nearest is 2"),
        ("10", "; the nearest is 10"),
        (True, ""),
        ("two", ""),
        (float("nan"), ""),
        (float("inf"), ""),
        (None, ""),
        (10**400, ""),
        (torch.zeros(2), ""),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_nearest_integer_is_named(value: Any, said: str):
    assert nearest_integer(value, 1) == said


def test_lines_become_one():
    assert one_paragraph("one\n\n  two\n") == "one two"
