"""Large random inputs, which are not drawn anew for each purpose."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import pytest
import torch
from torch import nn

from pytest_logits import data
from pytest_logits.feeding import MANY_NUMBERS, SCAN_ROWS
from pytest_logits.model import make_spec
from pytest_logits.settings import Settings
from pytest_logits.subject import Subject

LARGE = (3, 40, 40)
SMALL = (3, 36, 36)


def subject_of(shape: tuple[int, ...], seed: int = 0) -> Subject:
    arguments = {"name": "net", "num_classes": 2, "input_shape": shape}
    spec = make_spec(lambda: nn.Linear(shape[-1], 2), file=Path(__file__), line=1, arguments=arguments)
    return Subject(spec, Settings(seed=seed))


def test_these_sizes_are_on_both_sides_of_the_limit():
    assert SCAN_ROWS * math.prod(SMALL) < MANY_NUMBERS < SCAN_ROWS * math.prod(LARGE)


@pytest.mark.parametrize("shape", [SMALL, LARGE], ids=["small", "large"])
def test_no_row_is_in_two_batches_nor_twice_in_one(shape: tuple[int, ...]):
    subject = subject_of(shape)
    rows = [row for purpose in ("scan", "depend") for row in subject.inputs(SCAN_ROWS, purpose)]
    assert not any(torch.equal(one, other) for one, other in combinations(rows, 2))


@pytest.mark.parametrize("shape", [SMALL, LARGE], ids=["small", "large"])
def test_a_purpose_and_a_seed_have_one_batch_whatever_was_asked_for_before(shape: tuple[int, ...]):
    subject, later = subject_of(shape), subject_of(shape)
    later.inputs(SCAN_ROWS, "depend")
    batch = subject.inputs(SCAN_ROWS, "scan")
    assert torch.equal(later.inputs(SCAN_ROWS, "scan"), batch)
    assert not torch.equal(subject_of(shape, seed=1).inputs(SCAN_ROWS, "scan"), batch)


def test_large_inputs_are_standard_normal():
    batch = subject_of(LARGE).inputs(SCAN_ROWS, "scan")
    assert batch.shape == (SCAN_ROWS, *LARGE)
    # Five standard errors of the mean, and of the mean square.
    assert abs(float(batch.mean())) < 5 / math.sqrt(batch.numel())
    assert abs(float(batch.square().mean()) - 1) < 5 * math.sqrt(2 / batch.numel())


def test_a_smaller_batch_of_large_inputs_is_contiguous():
    batch = subject_of(LARGE).inputs(3, "scan")
    assert batch.shape == (3, *LARGE)
    assert batch.is_contiguous()


def test_small_inputs_are_drawn_for_each_purpose():
    subject = subject_of(SMALL)
    drawn = data.random_floats(SCAN_ROWS, SMALL, data.generator(subject.seed("inputs scan")), dtype=torch.float32)
    assert torch.equal(subject.inputs(SCAN_ROWS, "scan"), drawn)


def test_changing_a_batch_changes_no_other():
    subject = subject_of(LARGE)
    batch = subject.inputs(SCAN_ROWS, "scan")
    before = batch.clone()
    batch.zero_()
    assert torch.equal(subject.inputs(SCAN_ROWS, "scan"), before)


def test_the_numbers_are_made_again_where_their_memory_was_given_back():
    subject = subject_of(LARGE)
    before = subject.inputs(SCAN_ROWS, "scan")
    subject.forget_copies()
    assert subject._noise is None
    assert torch.equal(subject.inputs(SCAN_ROWS, "scan"), before)
