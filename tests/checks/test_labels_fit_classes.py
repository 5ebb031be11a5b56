from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.checks.planted import found, result_of
from tests.zoo import sound

CHECK = "labels_fit_classes"


def batches(change: Any = None, *, count: int = 4, size: int = 8, classes: int = 3) -> Any:
    """Shuffled batches of ten features, the labels changed as a user's dataset may do it."""

    def make() -> Any:
        generator = torch.Generator().manual_seed(0)
        for _ in range(count):
            labels = torch.randint(classes, (size,), generator=generator)
            yield torch.randn(size, 10, generator=generator), labels if change is None else change(labels)

    return make


def judge(change: Any = None, factory: Any = None, **arguments: Any) -> Any:
    given = {"num_classes": 3, "batches": batches(change), **arguments}
    return result_of(CHECK, factory or (lambda: sound.MLP(3)), **given)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda y: y + 1, "labels_out_of_range"),
        (lambda y: y - 1, "labels_out_of_range"),
        (lambda y: y.float(), "wrong_target_dtype"),
        (lambda y: y.int(), "wrong_target_dtype"),
        (lambda y: y.bool(), "wrong_target_dtype"),
        (lambda y: y.unsqueeze(1), "wrong_target_dtype"),
        (lambda y: F.one_hot(y, 3), "wrong_target_dtype"),
        (lambda y: F.one_hot(y, 4).float(), "wrong_target_dtype"),
        (lambda y: 0.8 * F.one_hot(y, 3).float() + 0.2, "unnormalised_targets"),
    ],
    ids=["from one", "from minus one", "float", "int32", "bool", "column", "one-hot of integers", "too wide", "soft"],
)
def test_targets_that_cross_entropy_does_not_take_are_found(change: Any, cause: str):
    result = judge(change)
    assert found(result) == ("failed", cause)
    assert result.verdict.counterexample is not None


def test_one_bad_label_in_a_later_batch_is_found():
    def make() -> Any:
        for x, y in batches()():
            yield x, y
        yield x, y.clone().index_fill_(0, torch.tensor([5]), 7)

    result = judge(batches=make)
    assert found(result) == ("failed", "labels_out_of_range")
    assert "Target 7 is out of bounds" in result.verdict.measured


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda y: 2.0 * y.clamp(max=1) - 1, "signed_targets"),
        (lambda y: y.clamp(max=1) + 1.0, "labels_out_of_range"),
        (lambda y: 255.0 * y.clamp(max=1), "labels_out_of_range"),
        (lambda y: y.clamp(max=1), "wrong_target_dtype"),
        (lambda y: y.clamp(max=1).float().unsqueeze(1), "wrong_target_dtype"),
    ],
    ids=["signed", "from one", "mask of bytes", "integers", "column"],
)
def test_targets_that_bce_does_not_take_are_found(change: Any, cause: str):
    assert found(judge(change, lambda: sound.OneLogit(True), task="binary", num_classes=2)) == ("failed", cause)


@pytest.mark.parametrize(("squeeze", "column"), [(False, False), (True, True)])
def test_targets_that_are_broadcast_are_found(squeeze: bool, column: bool):
    def change(y: Tensor) -> Tensor:
        bits = y.clamp(max=1).float()
        return bits.unsqueeze(1) if column else bits

    own = {"task": "binary", "num_classes": 2, "loss": sound.bce_by_hand, "targets": "column" if column else None}
    result = judge(change, lambda: sound.OneLogit(squeeze), **own)
    assert found(result) == ("failed", "broadcast_targets")
    assert result.verdict.location is not None


@pytest.mark.parametrize("squeeze", [True, False])
def test_targets_in_the_shape_of_the_logits_pass(squeeze: bool):
    def change(y: Tensor) -> Tensor:
        bits = y.clamp(max=1).float()
        return bits if squeeze else bits.unsqueeze(1)

    own = {"task": "binary", "num_classes": 2}
    for loss in ("bce_with_logits", sound.bce_by_hand):
        assert judge(change, lambda: sound.OneLogit(squeeze), loss=loss, **own).outcome == "passed"


@pytest.mark.parametrize(
    "change",
    [
        None,
        lambda y: y.to(torch.uint8),
        lambda y: torch.where(torch.arange(8) % 4 == 0, -100, y),
        lambda y: F.one_hot(y, 3).float(),
        lambda y: 0.9 * F.one_hot(y, 3).float() + 0.1 / 3,
        lambda y: F.one_hot(y, 3).double().float() * 0.5 + F.one_hot(y.flip(0), 3).float() * 0.5,
    ],
    ids=["index", "bytes", "ignored", "one-hot", "smoothed", "mixed"],
)
def test_targets_that_cross_entropy_takes_pass(change: Any):
    result = judge(change)
    assert result.outcome == "passed", result.verdict.measured


def test_an_index_to_ignore_of_ones_own_passes():
    loss = nn.CrossEntropyLoss(ignore_index=255)
    change = lambda y: torch.where(torch.arange(8) % 4 == 0, 255, y)  # noqa: E731
    assert judge(change, loss=loss).outcome == "passed"
    assert found(judge(change)) == ("failed", "labels_out_of_range")


def test_a_batch_whose_labels_are_all_ignored_is_no_failure():
    def make() -> Any:
        for number, (x, y) in enumerate(batches()()):
            yield x, torch.full_like(y, -100) if number == 1 else y

    assert judge(batches=make).outcome == "passed"


def test_many_labels_pass():
    def make() -> Any:
        for x, _ in batches()():
            yield x, (x[:, :6] > 0).float()

    result = judge(batches=make, factory=lambda: sound.MLP(6), task="multilabel", num_classes=6)
    assert result.outcome == "passed"


def test_dense_labels_are_looked_at_position_by_position():
    def dense(change: Any) -> Any:
        return lambda: [(torch.randn(4, 4, 12), change(torch.arange(48).view(4, 12) // 5 % 4)) for _ in range(2)]

    arguments = {"factory": lambda: sound.Conv1dHead(4), "input_shape": (4, 12), "num_classes": 4}
    assert judge(batches=dense(lambda y: y), **arguments).outcome == "passed"
    assert found(judge(batches=dense(lambda y: y + 1), **arguments)) == ("failed", "labels_out_of_range")


# Order.


def sorted_data() -> Any:
    for label in range(3):
        yield torch.randn(8, 10), torch.full((8,), label)


def test_sorted_data_is_advice():
    result = judge(batches=sorted_data)
    assert found(result) == ("advice", None)
    assert "shuffle" in result.verdict.expected
    assert result.verdict.evidence == {"batches": 3, "different_targets": 3}


def test_one_batch_of_several_classes_says_that_the_data_is_shuffled():
    def make() -> Any:
        yield from sorted_data()
        yield torch.randn(8, 10), torch.arange(8) % 3

    assert judge(batches=make).outcome == "passed"


def batches_of(*runs: tuple[int, int]) -> Any:
    """A batch for each pair of a label and a number of rows."""
    return lambda: [(torch.randn(size, 10), torch.full((size,), label)) for label, size in runs]


@pytest.mark.parametrize(
    "runs",
    [[(0, 32)], [(1, 32)] * 8, [(0, 2), (1, 2)], [(0, 4)] * 7 + [(1, 4)], [(0, 1), (1, 2), (2, 1)]],
    ids=["one batch", "one class", "two small batches", "one rare class", "hardly any rows"],
)
def test_one_class_in_each_batch_is_no_evidence_where_shuffled_data_gives_it_too(runs: list[tuple[int, int]]):
    # Seven batches of four rows of one class and one of another: (.875 ** 4 + .125 ** 4) ** 8 is .014.
    assert judge(batches=batches_of(*runs)).outcome == "passed"


def test_two_batches_may_be_evidence_enough():
    # Two classes, half of the rows each: (2 * .5 ** 16) ** 2 is 1e-9.
    assert found(judge(batches=batches_of((0, 16), (1, 16)))) == ("advice", None)


@pytest.mark.parametrize("classes", [3, 1000])
def test_a_few_batches_of_many_classes_pass(classes: int):
    arguments = {"factory": lambda: nn.Linear(10, 1000), "num_classes": 1000}
    assert judge(batches=batches(count=2, classes=classes), **arguments).outcome == "passed"


@pytest.mark.parametrize("count", [1, 4])
def test_batches_of_one_example_have_one_class_each(count: int):
    assert judge(batches=batches(size=1, count=count)).outcome == "passed"


def test_eight_batches_are_looked_at():
    taken = []

    def make() -> Any:
        number = 0
        while True:
            taken.append(number)
            yield torch.randn(4, 10), torch.arange(4) % 3
            number += 1

    assert judge(batches=make).verdict.evidence["batches"] == 8
    assert max(taken) <= 8


# Batches that cannot be looked at.


def test_without_batches_there_is_nothing_to_look_at():
    assert result_of(CHECK, lambda: sound.MLP(2)).outcome == "not_applicable"


@pytest.mark.parametrize("target", [["a", "b"], {"y": torch.zeros(2)}, None, 3, torch.tensor(3)], ids=str)
def test_targets_that_are_no_tensors_are_not_looked_at(target: Any):
    assert judge(batches=lambda: [(torch.randn(2, 10), target)]).outcome == "not_applicable"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([], "gives no batch"),
        ([torch.randn(2, 10)], "must give pairs (x, y) of tensors; it gave a Tensor of 2"),
        ([{"x": torch.randn(2, 10), "y": torch.zeros(2)}], "it gave a dict of 2"),
        ([(torch.randn(2, 10), torch.zeros(2), torch.zeros(2))], "it gave a tuple of 3"),
        ([("text", torch.zeros(2))], "it gave a tuple of 2"),
    ],
)
def test_batches_that_are_no_pairs_are_an_error_that_says_so(made: Any, said: str):
    result = judge(batches=lambda: made)
    assert result.outcome == "error"
    assert f"batches= of 'planted' {said}" in result.verdict.measured or said in result.verdict.measured
