"""Exact verdicts that once depended on the seed, at seeds where they did."""

from __future__ import annotations

import pytest

import pytest_logits
from tests.zoo.families import FAULTS, TRAPS

ENTRIES = {entry.name: entry for entry in (*TRAPS, *(f.sound for f in FAULTS), *FAULTS)}


@pytest.mark.parametrize(
    ("name", "check", "seed", "outcome"),
    [
        # Its ReLU is on for all rows as initialised, and was taken for one that is pooled.
        ("ReLUOneLogit", "outputs_are_logits", 14, "failed"),
        # Half of the settings overflow, a few rows more or less.
        ("sigmoid_logistic", "outputs_are_logits", 0, "failed"),
        ("sigmoid_logistic", "outputs_are_logits", 16, "failed"),
        ("softmax_over_sum_unclamped", "outputs_are_logits", 12, "failed"),
        ("softmax_over_sum_unclamped", "outputs_are_logits", 19, "failed"),
        # Scores that overflow to plus infinity were said to be bounded by it.
        ("LearnedScale", "outputs_are_logits", 0, "passed"),
        ("LearnedScale", "outputs_are_logits", 11, "passed"),
        # Off for every row as initialised and in two settings more.
        ("ReLUOneLogit", "outputs_depend_on_inputs", 10, "passed"),
        # All settings were the same.
        ("InList", "no_class_is_privileged", 7, "not_applicable"),
        ("InList", "no_class_is_privileged", 8, "not_applicable"),
        # Every row was NaN in eight settings.
        ("exp_of_exp", "no_class_is_privileged", 6, "passed"),
        ("root_of_negative", "no_class_is_privileged", 5, "passed"),
    ],
)
def test_a_verdict_is_the_same_whatever_is_drawn(name: str, check: str, seed: int, outcome: str):
    entry = ENTRIES[name]
    (result,) = pytest_logits.check_classifier(
        entry.factory, name=entry.name, seed=seed, select=[check], **entry.arguments
    )
    assert result.outcome == outcome
