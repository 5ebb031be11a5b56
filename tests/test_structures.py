from __future__ import annotations

from collections import OrderedDict, UserDict, namedtuple
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_logits.structures import (
    called,
    find_logits,
    handed,
    index_rows,
    mapped,
    no_scores,
    repeats,
    replaced,
    tensors_in,
)

LIKE = torch.zeros(4, 3)
NEW = torch.arange(6.0).view(2, 3)
AUXILIARY = torch.ones(4, 3)
HIDDEN = torch.ones(4, 7)
LABELS = torch.ones(4, 3, dtype=torch.int64)

Heads = namedtuple("Heads", ["logits", "auxiliary", "hidden"])


@dataclass
class Fields:
    logits: Tensor
    auxiliary: list[Tensor]
    hidden: Tensor
    name: str = "net"
    count: int = field(default=0, init=False)


def is_new(value: Any) -> bool:
    return value is NEW


def test_a_tensor_is_replaced():
    assert is_new(replaced(LIKE, LIKE, NEW))


@pytest.mark.parametrize("other", [HIDDEN, LABELS, LIKE[0], "logits", 3, None], ids=str)
def test_what_has_another_shape_or_is_no_float_stays(other: Any):
    assert replaced(other, LIKE, NEW) is other


@pytest.mark.parametrize("kind", [tuple, list])
def test_every_head_in_a_sequence_is_replaced(kind: Any):
    made = replaced(kind([LIKE, AUXILIARY, HIDDEN]), LIKE, NEW)
    assert type(made) is kind
    assert is_new(made[0])
    assert is_new(made[1])
    assert made[2] is HIDDEN


@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_every_head_in_a_mapping_is_replaced(kind: Any):
    made = replaced(kind(logits=LIKE, hidden=HIDDEN, auxiliary=AUXILIARY), LIKE, NEW)
    assert type(made) is kind
    assert list(made) == ["logits", "hidden", "auxiliary"]
    assert is_new(made["logits"])
    assert is_new(made["auxiliary"])
    assert made["hidden"] is HIDDEN


def test_a_named_tuple_stays_one():
    made = replaced(Heads(LIKE, AUXILIARY, HIDDEN), LIKE, NEW)
    assert type(made) is Heads
    assert is_new(made.logits)
    assert is_new(made.auxiliary)
    assert made.hidden is HIDDEN


def test_a_dataclass_stays_one_and_is_looked_into():
    made = replaced(Fields(LIKE, [AUXILIARY, HIDDEN], HIDDEN), LIKE, NEW)
    assert type(made) is Fields
    assert is_new(made.logits)
    assert is_new(made.auxiliary[0])
    assert made.auxiliary[1] is HIDDEN
    assert (made.name, made.count) == ("net", 0)


def test_the_original_is_not_changed():
    output = {"logits": LIKE, "heads": [AUXILIARY]}
    replaced(output, LIKE, NEW)
    assert output["logits"] is LIKE
    assert output["heads"][0] is AUXILIARY


def test_an_output_of_hugging_face_stays_one():
    outputs = pytest.importorskip("transformers.modeling_outputs")
    output = outputs.SequenceClassifierOutput(logits=LIKE, hidden_states=(HIDDEN, HIDDEN))
    made = replaced(output, LIKE, NEW)
    assert type(made) is type(output)
    assert is_new(made.logits)
    assert is_new(made["logits"])
    assert made.loss is None
    assert made.hidden_states[1] is HIDDEN
    assert find_logits(output) is LIKE


def test_logits_by_name_are_taken_before_the_first():
    assert find_logits(Heads(auxiliary=AUXILIARY, logits=LIKE, hidden=HIDDEN)) is LIKE
    assert find_logits({"loss": torch.zeros(()), "logits": LIKE}) is LIKE


def test_the_first_tensor_of_a_dataclass_without_logits_is_taken():
    @dataclass
    class Output:
        step: int
        scores: Tensor
        hidden: Tensor

    assert find_logits(Output(3, LIKE, HIDDEN)) is LIKE


def test_an_empty_output_has_no_tensors_and_no_logits():
    assert tensors_in(()) == tensors_in({}) == tensors_in(None) == []
    assert find_logits(()) == ()
    assert find_logits({}) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.bool])
def test_rows_of_any_dtype_are_picked(dtype: torch.dtype):
    made = index_rows([torch.tensor([0, 1]).to(dtype)], torch.tensor([1, 0, 1]), 2)
    assert made[0].tolist() == [1, 0, 1]
    assert made[0].dtype == dtype


def test_rows_of_an_output_are_picked_and_its_kind_stays():
    made = index_rows(Fields(LIKE, [AUXILIARY], HIDDEN), torch.tensor([0, 1, 2, 3, 0]), 4)
    assert type(made) is Fields
    assert [len(made.logits), len(made.auxiliary[0]), len(made.hidden), made.name] == [5, 5, 5, "net"]
    assert type(index_rows([LIKE], torch.tensor([0]), 4)) is list
    assert type(index_rows(Heads(LIKE, AUXILIARY, HIDDEN), torch.tensor([0]), 4)) is Heads


def test_what_has_another_number_of_rows_stays():
    assert index_rows({"table": HIDDEN[:2]}, torch.tensor([0, 0, 0]), 4)["table"].shape == (2, 7)


def test_a_mapping_that_takes_no_keywords_becomes_a_dict():
    class Encoding(UserDict[str, Tensor]):
        def __init__(self, data: Any = None) -> None:
            super().__init__(data)

    made = mapped(Encoding({"ids": LIKE}), torch.neg)
    assert type(made) is dict
    assert torch.equal(made["ids"], -LIKE)


@dataclass
class Named:
    logits: Tensor
    image_features: Tensor


@pytest.mark.parametrize("name", ["features", "last_hidden_state", "image_embeds", "Embedding", "pooler_output"])
def test_features_stay_though_there_are_as_many_as_classes(name: str):
    made = replaced({"logits": LIKE, name: AUXILIARY, "aux": AUXILIARY}, LIKE, NEW)
    assert is_new(made["logits"])
    assert is_new(made["aux"])
    assert made[name] is AUXILIARY


def test_features_in_fields_stay():
    assert replaced(Named(LIKE, AUXILIARY), LIKE, NEW).image_features is AUXILIARY
    made = replaced(namedtuple("Pair", ["logits", "features"])(LIKE, AUXILIARY), LIKE, NEW)
    assert is_new(made.logits)
    assert made.features is AUXILIARY


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (LIKE, ""),
        (LIKE.bfloat16(), ""),
        (LABELS, "a torch.int64 tensor"),
        (LIKE.to(torch.complex64), "a torch.complex64 tensor"),
        (LIKE.to_sparse(), "a sparse tensor"),
        (LIKE.to("meta"), "a tensor on the meta device"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_holds_no_scores_is_told(found: Tensor, kind: str):
    assert no_scores(found) == kind


BATCHES = [
    torch.ones(3),
    [torch.ones(3)],
    (torch.ones(3), [torch.ones(3)]),
    {"x": torch.ones(3)},
    UserDict(x=torch.ones(3)),
]


@pytest.mark.parametrize("inputs", BATCHES, ids=lambda held: type(held).__name__)
def test_what_is_called_may_write_into_what_it_gets(inputs: Any):
    def writes(*given: Any, **named: Any) -> None:
        for tensor in tensors_in([*given, *named.values()]):
            tensor.mul_(2)

    called(writes, inputs)
    assert all(bool((t == 1).all()) for t in tensors_in(inputs))
    handed(writes, inputs)
    assert all(bool((t == 2).all()) for t in tensors_in(inputs))


def test_what_is_called_gets_the_graph_of_its_input():
    x = torch.ones(3, requires_grad=True)
    called(torch.sum, x).backward()
    assert x.grad is not None


def test_what_repeats_is_the_same_numbers():
    values = torch.tensor([1.0, torch.nan, torch.inf])
    assert repeats(values, values.clone())
    assert not repeats(values, torch.tensor([1.0, torch.nan, -torch.inf]))
    assert not repeats(values, torch.tensor([1.1, torch.nan, torch.inf]))
    assert not repeats(values, values[:2])
