from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.subject import Subject
from pytest_logits.target_faults import every_label, finding, out_of_range, refused, unnormalised
from tests.test_subject import subject_of
from tests.zoo import sound

ZEROS = torch.zeros(4, 3)
BITS = torch.tensor([0.0, 1.0, 1.0, 0.0])


def binary(**arguments: Any) -> Subject:
    return subject_of(lambda: sound.OneLogit(True), task="binary", num_classes=2, **arguments)


def multiclass(**arguments: Any) -> Subject:
    return subject_of(lambda: sound.MLP(3), **arguments)


@pytest.mark.parametrize(
    ("targets", "cause"),
    [
        (torch.tensor([0, 1, 2, 3]), "labels_out_of_range"),
        (torch.tensor([0, 1, 2, -1]), "labels_out_of_range"),
        (torch.tensor([0, 1, 2, 7], dtype=torch.int32), "labels_out_of_range"),
        (torch.tensor([0, 1, 2, 1], dtype=torch.int32), "wrong_target_dtype"),
        (torch.tensor([0.0, 1.0, 2.0, 1.0]), "wrong_target_dtype"),
    ],
)
def test_a_refusal_is_told_in_torchs_words(targets: Tensor, cause: str):
    with pytest.raises((IndexError, RuntimeError)) as raised:
        F.cross_entropy(ZEROS, targets)
    verdict = refused(multiclass(), ZEROS, targets, raised.value)
    assert (verdict.outcome, verdict.cause) == ("failed", cause)
    assert str(raised.value).splitlines()[0] in verdict.measured
    assert f"{targets.dtype} (4,)" in verdict.measured


def test_an_empty_message_is_told_too():
    class Silent(Exception):
        pass

    error = ValueError("first line\nsecond line")
    assert "second line" not in refused(multiclass(), ZEROS, torch.arange(4) % 3, error).measured


@pytest.mark.parametrize("targets", [BITS, 0.9 * BITS + 0.05, 1.2 * BITS - 0.1, BITS * 0.5, torch.zeros(4)])
def test_targets_near_0_and_1_are_in_range(targets: Tensor):
    assert out_of_range(binary(), torch.zeros(4), targets) is None


@pytest.mark.parametrize(
    ("targets", "cause"),
    [(2 * BITS - 1, "signed_targets"), (BITS + 1, "labels_out_of_range"), (255 * BITS, "labels_out_of_range")],
)
def test_targets_far_from_0_and_1_are_out_of_range(targets: Tensor, cause: str):
    verdict = out_of_range(binary(), torch.zeros(4), targets)
    assert verdict is not None
    assert (verdict.outcome, verdict.cause) == ("failed", cause)


def test_only_a_loss_that_is_known_has_a_range():
    assert out_of_range(binary(loss=sound.bce_by_hand), torch.zeros(4), 2 * BITS - 1) is None
    assert out_of_range(multiclass(), ZEROS, torch.arange(4) % 3) is None


ONE_HOT = F.one_hot(torch.arange(4) % 3, 3).float()
SOFT = 0.7 * ONE_HOT + 0.1


@pytest.mark.parametrize(
    ("targets", "outcome"),
    [
        (ONE_HOT, None),
        (SOFT, None),
        (3 * ONE_HOT, None),
        (torch.arange(1.0, 5.0).unsqueeze(1) * ONE_HOT, None),
        (SOFT.half().float(), None),
        (torch.zeros(4, 3), None),
        (2 * SOFT, "failed"),
        (ONE_HOT + 0.1, "failed"),
        (torch.arange(2.0, 6.0).unsqueeze(1) * SOFT, "advice"),
    ],
    ids=["one-hot", "soft", "times 3", "weights", "half", "zeros", "twice", "plus", "weights and soft"],
)
def test_soft_rows_are_asked_to_sum_to_one(targets: Tensor, outcome: str | None):
    verdict = unnormalised(multiclass(), ZEROS, targets)
    assert (verdict and verdict.outcome) == outcome


def test_dense_rows_are_looked_at_along_the_classes():
    dense = SOFT.unsqueeze(2).expand(4, 3, 5)
    subject = subject_of(lambda: nn.Conv1d(4, 3, 1), input_shape=(4, 5))
    assert unnormalised(subject, torch.zeros(4, 3, 5), dense) is None
    assert unnormalised(subject, torch.zeros(4, 3, 5), 2 * dense) is not None


def test_a_loss_of_bits_has_no_rows():
    subject = subject_of(lambda: sound.MLP(3), task="multilabel")
    assert unnormalised(subject, ZEROS, torch.ones(4, 3)) is None


def test_a_finding_shows_the_first_targets():
    verdict = finding(multiclass(), "labels_out_of_range", "said", "wanted", torch.arange(20), {"more": 1})
    assert verdict.counterexample == {"targets": list(range(8))}
    assert verdict.evidence == {"targets_shape": [20], "targets_dtype": "torch.int64", "more": 1}
    assert verdict.measured == "said (targets: torch.int64 (20,))"
    assert verdict.location is None


@pytest.mark.parametrize(("rows", "labels"), [(3, [0, 49, 99]), (4, [0, 33, 66, 99])])
def test_few_rows_have_labels_from_the_first_to_the_last(rows: int, labels: list[int]):
    subject = subject_of(lambda: sound.MLP(100), num_classes=100)
    assert every_label(subject, torch.zeros(rows, 100), 100, spread=True).tolist() == labels
    assert every_label(subject, torch.zeros(rows, 100), 100).tolist() == list(range(rows))
