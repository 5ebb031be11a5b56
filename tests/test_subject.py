from __future__ import annotations

import copy
import math
import random
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits import copies
from pytest_logits.copies import SMALL_MODEL, SubjectError
from pytest_logits.feeding import SCAN_ROWS
from pytest_logits.finding import Passes, Verdict, passed
from pytest_logits.guard import preserved_state
from pytest_logits.model import make_spec
from pytest_logits.settings import Settings
from pytest_logits.structures import index_rows, tensors_in
from pytest_logits.subject import Subject
from tests.zoo import sound


def subject_of(factory: Any, *, seed: int = 0, **arguments: Any) -> Subject:
    """Of a multi-class model of ten features and three classes unless said otherwise."""
    defaults: dict[str, Any] = {"name": "net", "num_classes": 3}
    if "inputs" not in arguments and "vocab_size" not in arguments:
        defaults["input_shape"] = (10,)
    spec = make_spec(factory, file=Path(__file__), line=1, arguments={**defaults, **arguments})
    return Subject(spec, Settings(seed=seed))


def same(a: nn.Module, b: nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.fixture(autouse=True)
def state_kept():
    """A subject seeds as it needs; only what runs it restores the state."""
    with preserved_state():
        yield


# Models.


class SeededThreeWays(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(10, 3)
        self.register_buffer("drawn", torch.tensor([random.random(), float(np.random.rand())]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


FACTORIES: dict[str, Any] = {
    "factory": lambda: sound.MLP(3),
    "batch norm": lambda: nn.Sequential(nn.Linear(10, 3), nn.BatchNorm1d(3)),
    "lazy": lambda: nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(3)),
    "instance": sound.MLP(3),
    "seeded three ways": SeededThreeWays,
    "double": lambda: sound.MLP(3).double(),
    "half": lambda: sound.MLP(3).half(),
}


@pytest.mark.parametrize("name", FACTORIES)
def test_fresh_copies_are_equal_in_train_mode_and_independent(name: str):
    subject = subject_of(FACTORIES[name])
    first = subject.fresh()
    torch.rand(7)
    second, third = subject.fresh(), subject.fresh()
    assert all(m.training for m in (first, second, third))
    assert same(first, second)
    with torch.no_grad():
        for p in first.parameters():
            p.add_(1)
    assert not same(first, second)
    assert same(second, third)


@pytest.mark.parametrize("name", ["factory", "lazy", "seeded three ways"])
def test_another_seed_or_name_gives_other_weights(name: str):
    first = subject_of(FACTORIES[name]).fresh()
    assert not same(first, subject_of(FACTORIES[name], seed=1).fresh())
    assert not same(first, subject_of(FACTORIES[name], name="other").fresh())


@pytest.mark.parametrize("handed", ["itself", "by a factory"])
def test_a_shared_module_is_copied_and_never_touched(handed: str):
    shared = nn.Sequential(nn.Linear(10, 3), nn.BatchNorm1d(3)).eval()
    shared[0].weight.requires_grad_(False)
    before = copy.deepcopy(shared)
    subject = subject_of(shared if handed == "itself" else lambda: shared)
    model = subject.fresh()
    assert model is not shared
    assert same(model, before)
    subject.loss(subject.logits_of(model, subject.inputs(8, "test")), torch.arange(8) % 3).backward()
    assert subject.scan.rows > 0
    assert not shared.training
    assert same(shared, before)
    assert all(p.grad is None for p in shared.parameters())
    assert [p.requires_grad for p in shared.parameters()] == [p.requires_grad for p in before.parameters()]


def test_a_factory_that_makes_new_modules_is_not_copied():
    class Uncopyable(sound.MLP):
        def __deepcopy__(self, memo: Any) -> Any:
            raise AssertionError("copied")

    subject = subject_of(lambda: Uncopyable(3))
    assert same(subject.fresh(), subject.fresh())


@pytest.mark.parametrize("made", [None, "model", torch.zeros(3), sound.MLP])
def test_a_factory_that_makes_no_module_is_told_of(made: Any):
    with pytest.raises(SubjectError, match=r"the factory of 'net' must return a torch.nn.Module; it returned"):
        subject_of(lambda: made).fresh()


def test_a_model_that_is_not_scattered_is_as_initialised():
    subject = subject_of(lambda: sound.MLP(3))
    assert same(subject.scattered(0.0), subject.fresh())


def test_scattering_is_repeatable_and_varies():
    subject = subject_of(lambda: sound.MLP(3))
    assert same(subject.scattered(4.0), subject.scattered(4.0))
    assert not same(subject.scattered(4.0), subject.scattered(4.0, 1))
    assert not same(subject.scattered(4.0), subject.scattered(16.0))


@pytest.mark.parametrize("amount", [1.0, 16.0, 256.0])
def test_parameters_are_scattered_by_multiples_of_their_own_size(amount: float):
    class Sizes(sound.MLP):
        def __init__(self) -> None:
            super().__init__(3)
            self.large = nn.Parameter(torch.full((100, 100), 5.0))
            self.zero = nn.Parameter(torch.zeros(100, 100))

    subject = subject_of(Sizes)
    moved = {name: p.detach() for name, p in subject.scattered(amount).named_parameters()}
    # The size of 10,000 normal numbers is off by .7 %: five times that. All zeros take 1 / sqrt(100).
    assert float((moved["large"] - 5).square().mean().sqrt()) == pytest.approx(5 * amount, rel=0.035)
    assert float(moved["zero"].square().mean().sqrt()) == pytest.approx(0.1 * amount, rel=0.035)


# Inputs.


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("factory", torch.float32), ("double", torch.float64), ("half", torch.float16), ("lazy", torch.float32)],
)
def test_inputs_have_the_dtype_of_the_model(name: str, dtype: torch.dtype):
    subject = subject_of(FACTORIES[name])
    inputs = subject.inputs(5, "test")
    assert (inputs.shape, inputs.dtype) == ((5, 10), dtype)
    assert subject.separable_batch().inputs.dtype == dtype
    assert subject.logits_of(subject.fresh(), inputs).shape == (5, 3)


def test_a_model_without_parameters_takes_the_default_dtype():
    subject = subject_of(nn.Flatten, input_shape=(3,))
    assert subject.dtype == torch.float32
    torch.set_default_dtype(torch.float64)
    assert subject_of(nn.Flatten, input_shape=(3,)).dtype == torch.float64


def test_inputs_depend_on_seed_name_and_purpose_only():
    def drawn(purpose: str = "test", **arguments: Any) -> Tensor:
        torch.rand(3)
        inputs: Tensor = subject_of(lambda: sound.MLP(3), **arguments).inputs(4, purpose)
        return inputs

    assert torch.equal(drawn(), drawn())
    for other in (drawn("other"), drawn(seed=1), drawn(name="other")):
        assert not torch.equal(drawn(), other)


@pytest.mark.parametrize(("input_shape", "expected"), [(None, (4, 16)), ((7,), (4, 7)), ((2, 3), (4, 2, 3))])
def test_tokens_come_from_the_vocabulary(input_shape: Any, expected: tuple[int, ...]):
    inputs = subject_of(lambda: sound.LSTM(3), vocab_size=200, input_shape=input_shape).inputs(4, "test")
    assert (inputs.shape, inputs.dtype) == (expected, torch.int64)
    assert 0 <= int(inputs.min()) <= int(inputs.max()) < 200


class Named(nn.Module):
    """Takes its two inputs by position or by name."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.head(a - b)


def rows(count: int, rng: torch.Generator) -> Tensor:
    return torch.randn(count, 4, generator=rng)


@pytest.mark.parametrize(
    "inputs",
    [
        lambda n, g: (rows(n, g), rows(n, g)),
        lambda n, g: {"b": rows(n, g), "a": rows(n, g)},
        lambda n, g: {"a": rows(n, g), "b": torch.zeros(())},
        lambda n, g: (rows(n, g), 0.5),
    ],
    ids=["tuple", "dict", "scalar tensor beside", "number beside"],
)
def test_the_users_inputs_reach_the_model(inputs: Any):
    subject = subject_of(Named, inputs=inputs)
    assert subject.logits_of(subject.fresh(), subject.inputs(5, "test")).shape == (5, 3)
    batch = subject.separable_batch()
    assert subject.logits_of(subject.fresh(), batch.inputs).shape == (len(batch.labels), 3)
    assert batch.distinct


def test_a_tensor_from_the_user_is_passed_as_it_is():
    subject = subject_of(lambda: nn.Linear(4, 3), inputs=rows)
    made = subject.inputs(5, "test")
    assert isinstance(made, Tensor)
    assert torch.equal(made, subject.inputs(5, "test"))


def test_inputs_that_ignore_the_generator_are_repeatable_too():
    subject = subject_of(lambda: nn.Linear(4, 3), inputs=lambda n, g: torch.randn(n, 4))
    assert torch.equal(subject.inputs(5, "test"), subject.inputs(5, "test"))


@pytest.mark.parametrize(
    ("inputs", "got"),
    [
        (lambda n, g: torch.zeros(n + 1, 4), r"Tensor with sizes \[6\]"),
        (lambda n, g: (torch.zeros(n + 1, 4), torch.zeros(n + 2)), r"tuple with sizes \[6, 7\]"),
        (lambda n, g: {"x": torch.zeros(1, 4)}, r"dict with sizes \[1\]"),
        (lambda n, g: [[0.0] * 4] * n, r"list with sizes \[\]"),
        (lambda n, g: None, r"NoneType with sizes \[\]"),
    ],
)
def test_inputs_with_another_number_of_rows_are_told_of(inputs: Any, got: str):
    subject = subject_of(Named, inputs=inputs)
    with pytest.raises(SubjectError, match=rf"inputs= of 'net' must return .* 5 rows when .* it returned {got}"):
        subject.inputs(5, "test")


def test_inputs_that_are_all_alike_are_not_distinct():
    subject = subject_of(lambda: nn.Linear(4, 3), inputs=lambda n, g: torch.ones(n, 4))
    assert not subject.separable_batch().distinct


@pytest.mark.parametrize(
    ("arguments", "prototypes", "labels"),
    [
        ({"num_classes": 2}, 2, (16,)),
        ({"num_classes": 10}, 10, (20,)),
        ({"num_classes": 1000}, 11, (22,)),
        ({"num_classes": 1000, "input_shape": (30,)}, 16, (32,)),
        ({"num_classes": 5, "input_shape": (1,)}, 2, (16,)),
        ({"num_classes": 5, "vocab_size": 3}, 3, (16,)),
        ({"num_classes": 5, "vocab_size": 2}, 2, (16,)),
        ({"num_classes": 5, "vocab_size": 50}, 5, (16,)),
        ({"num_classes": 1, "task": "binary"}, 2, (16,)),
        ({"num_classes": 6, "task": "multilabel"}, 11, (22, 6)),
        ({"num_classes": 1, "task": "multilabel"}, 2, (16, 1)),
    ],
    ids=str,
)
def test_a_separable_batch_shows_every_prototype_with_its_label(
    arguments: dict[str, Any], prototypes: int, labels: tuple[int, ...]
):
    subject = subject_of(lambda: nn.Linear(10, 3), **arguments)
    batch = subject.separable_batch()
    assert (batch.prototypes, batch.labels.shape, len(batch.inputs)) == (prototypes, labels, labels[0])
    assert batch.labels.dtype == torch.int64
    assert int(batch.labels.max()) < max(subject.num_classes, 2)
    assert batch.distinct
    assert torch.equal(batch.inputs, subject.separable_batch().inputs)
    if not subject.multilabel:
        assert len(batch.labels.unique()) == prototypes


def test_tensors_are_found_in_batches_of_any_kind():
    a, b = torch.zeros(2), torch.ones(3)
    for batch in ((a, b), [a, b], {"a": a, "b": b}, (a, {"b": [b]}), {"a": a, "n": 3, "b": (b, None)}):
        assert [t.tolist() for t in tensors_in(batch)] == [[0, 0], [1, 1, 1]]


def test_rows_are_picked_from_what_has_as_many():
    index = torch.tensor([1, 1, 0])
    two, three, scalar = torch.tensor([[1], [2]]), torch.zeros(3), torch.tensor(7)
    made = index_rows({"x": two, "mask": (three, scalar), "n": 2}, index, 2)
    assert made["x"].tolist() == [[2], [2], [1]]
    assert made["mask"][0] is three
    assert made["mask"][1] is scalar
    assert made["n"] == 2


# Logits.


class Both(NamedTuple):
    logits: Tensor
    probabilities: Tensor


@dataclass
class Output:
    loss: float
    scores: Tensor
    hidden: Tensor


SCORES = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
OTHER = torch.zeros(4, 7)


@pytest.mark.parametrize(
    "output",
    [
        SCORES,
        SimpleNamespace(logits=SCORES, hidden=OTHER),
        {"hidden": OTHER, "logits": SCORES},
        (SCORES, OTHER),
        [SCORES, OTHER],
        Both(SCORES, OTHER),
        Output(0.5, SCORES, OTHER),
    ],
    ids=["tensor", ".logits", "dict", "tuple", "list", "named tuple", "dataclass"],
)
def test_logits_are_found(output: Any):
    assert subject_of(lambda: sound.MLP(3)).extract(output) is SCORES


@pytest.mark.parametrize(
    ("output", "logits"),
    [
        ({"out": SCORES}, lambda output: output["out"]),
        ((OTHER, SCORES), lambda output: output[1]),
        (Output(0.5, OTHER, SCORES), lambda output: output.hidden),
    ],
    ids=["dict", "tuple", "dataclass"],
)
def test_logits_are_taken_from_where_the_user_says(output: Any, logits: Any):
    assert subject_of(lambda: sound.MLP(3), logits=logits).extract(output) is SCORES


@pytest.mark.parametrize(
    ("output", "got"),
    [
        ({"out": SCORES}, "dict"),
        ((), "tuple"),
        (None, "NoneType"),
        ("scores", "str"),
        (SCORES.argmax(dim=1), "a torch.int64 tensor"),
    ],
)
def test_an_output_without_logits_is_told_of_with_the_way_out(output: Any, got: str):
    with pytest.raises(SubjectError, match=rf"the model of 'net' .*floating-point .*it gave {got}.*logits="):
        subject_of(lambda: sound.MLP(3)).extract(output)


@pytest.mark.parametrize(("found", "got"), [(None, "NoneType"), (SCORES.long(), "a torch.int64 tensor")])
def test_a_logits_function_that_finds_none_is_told_of(found: Any, got: str):
    with pytest.raises(SubjectError, match=rf"logits= of 'net' must give a floating-point tensor .*it gave {got}"):
        subject_of(lambda: sound.MLP(3), logits=lambda output: found).extract(SCORES)


def test_passes_are_counted():
    subject = subject_of(lambda: sound.MLP(3))
    assert subject.passes == Passes()
    logits = subject.logits_of(subject.fresh(), subject.inputs(6, "test"))
    subject.forward(subject.fresh(), subject.inputs(6, "test"))
    subject.backward(subject.loss(logits, torch.arange(6) % 3))
    assert subject.passes == Passes(forward=2, backward=1)


def test_materialising_a_lazy_model_is_counted():
    subject = subject_of(FACTORIES["lazy"])
    subject.fresh()
    assert subject.passes.forward == 1


def test_what_is_remembered_is_made_once():
    subject = subject_of(lambda: sound.MLP(3))
    assert [subject.remember("key", lambda n=n: n) for n in (1, 2)] == [1, 1]
    assert subject.remember("other", lambda: 3) == 3


# Loss.


@pytest.mark.parametrize(
    ("arguments", "takes", "form", "name"),
    [
        ({}, "logits", "categorical", "cross_entropy"),
        ({"task": "binary", "num_classes": 2}, "logits", "bernoulli", "bce_with_logits"),
        ({"task": "multilabel"}, "logits", "bernoulli", "bce_with_logits"),
        ({"loss": "nll_loss"}, "log_probabilities", "categorical", "nll_loss"),
        ({"loss": nn.CrossEntropyLoss()}, "logits", "categorical", "CrossEntropyLoss"),
        ({"loss": sound.focal}, "logits", "categorical", "focal"),
        ({"loss": sound.wants_probabilities}, "probabilities", "categorical", "wants_probabilities"),
    ],
)
def test_a_loss_has_a_nature_and_a_name(arguments: dict[str, Any], takes: str, form: str, name: str):
    outputs = 1 if arguments.get("task") == "binary" else 3
    subject = subject_of(lambda: sound.MLP(outputs), **arguments)
    assert (subject.nature.takes, subject.nature.form, subject.loss_name) == (takes, form, name)


@pytest.mark.parametrize("function", [F.binary_cross_entropy_with_logits, F.mse_loss], ids=["BCE", "squared error"])
def test_a_loss_of_the_users_own_over_classes_is_given_class_indices(function: Any):
    seen = []

    def loss(z: Tensor, y: Tensor) -> Tensor:
        seen.append(y)
        return function(z, F.one_hot(y, 3).to(z.dtype))

    subject = subject_of(lambda: sound.MLP(3), loss=loss)
    labels = torch.arange(6) % 3
    subject.loss(torch.zeros(6, 3), labels)
    assert torch.equal(seen[-1], labels)


def test_a_loss_of_one_element_is_a_scalar():
    subject = subject_of(lambda: sound.MLP(3), loss=lambda z, y: F.cross_entropy(z, y).reshape(1))
    assert subject.loss(torch.zeros(6, 3), torch.arange(6) % 3).shape == ()


@pytest.mark.parametrize(
    ("loss", "got"),
    [
        (nn.CrossEntropyLoss(reduction="none"), r"a tensor of shape \(6,\)"),
        (lambda z, y: 1.0, "float"),
        (lambda z, y: None, "NoneType"),
    ],
)
def test_a_loss_that_is_no_scalar_is_told_of_with_the_way_out(loss: Any, got: str):
    subject = subject_of(lambda: sound.MLP(3), loss=loss)
    with pytest.raises(
        SubjectError, match=rf"loss= of 'net' must return a scalar tensor \(use reduction='mean'\); it returned {got}"
    ):
        subject.loss(torch.zeros(6, 3), torch.arange(6) % 3)


@pytest.mark.parametrize(
    ("arguments", "outputs", "single"),
    [
        ({"num_classes": 2}, nn.Linear(10, 1), True),
        ({"num_classes": 2}, nn.Sequential(nn.Linear(10, 1), nn.Flatten(0)), True),
        ({"num_classes": 2, "loss": "nll_loss"}, nn.Linear(10, 1), True),
        ({"num_classes": 2, "loss": lambda z, y: F.cross_entropy(z, 0 * y)}, nn.Linear(10, 1), True),
        ({"num_classes": 2}, nn.Linear(10, 2), False),
        ({"num_classes": 2, "task": "binary"}, nn.Linear(10, 1), False),
        ({"num_classes": 2, "loss": "bce_with_logits"}, nn.Linear(10, 1), False),
        ({"num_classes": 1, "task": "multilabel"}, nn.Linear(10, 1), False),
    ],
    ids=["CE", "CE of (N,)", "NLL", "own CE", "two columns", "binary", "BCE", "multilabel"],
)
def test_a_single_column_is_known_where_it_matters(arguments: dict[str, Any], outputs: nn.Module, single: bool):
    assert subject_of(outputs, **arguments).has_single_column is single


@pytest.mark.parametrize(
    ("arguments", "logits", "decided"),
    [
        ({}, [[0.1, 0.3, 0.2], [-1.0, -3.0, -2.0]], [1, 0]),
        ({}, [[[0.0, 9.0], [1.0, 8.0], [0.5, 7.0]]], [[1, 0]]),
        ({"task": "binary", "num_classes": 2}, [-0.1, 0.1], [0, 1]),
        ({"task": "binary", "num_classes": 2}, [[-0.1], [0.1]], [0, 1]),
        ({"task": "binary", "num_classes": 2, "loss": "bce"}, [[0.4], [0.6]], [0, 1]),
        ({"task": "binary", "num_classes": 2, "loss": "cross_entropy"}, [[0.4, 0.6], [0.6, 0.4]], [1, 0]),
        ({"task": "multilabel"}, [[-0.1, 0.1, 7.0]], [[0, 1, 1]]),
        ({"task": "multilabel", "loss": "bce"}, [[0.4, 0.6, 1.0]], [[0, 1, 1]]),
    ],
)
def test_decisions_are_those_that_the_loss_trains(arguments: dict[str, Any], logits: Any, decided: Any):
    assert subject_of(lambda: sound.MLP(3), **arguments).decide(torch.tensor(logits)).tolist() == decided


def test_sample_logits_are_those_of_a_fresh_copy():
    subject = subject_of(lambda: sound.MLP(3))
    assert subject.sample_logits.shape == (SCAN_ROWS, 3)
    assert not subject.sample_logits.requires_grad
    expected = subject.logits_of(subject.fresh(), subject.inputs(SCAN_ROWS, "scan"))
    assert torch.equal(subject.sample_logits, expected.detach())


def test_a_scan_looks_at_more_settings_where_no_output_is_negative():
    free, clipped = subject_of(lambda: sound.MLP(3)), subject_of(lambda: nn.Sequential(sound.MLP(3), nn.ReLU()))
    assert len(clipped.scan.samples) > len(free.scan.samples)
    assert (free.region, clipped.region) == ("free", "nonnegative")


def test_a_small_model_is_computed_with_one_thread_and_a_large_one_shares():
    torch.set_num_threads(4)
    assert subject_of(lambda: sound.MLP(3)).threads == 1
    large = subject_of(lambda: nn.Linear(1001, 1000), input_shape=(1001,))
    assert large.threads == 4
    for share, threads in ((1, 1), (3, 3), (9, 4)):
        large.settings = Settings(threads=share)
        assert large.threads == threads


class WithFeatures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(10, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = torch.relu(self.body(x))
        return {"logits": self.head(features), "features": features}


@pytest.mark.parametrize("rows", [1, 6, 16, 40])
def test_what_a_loss_of_the_output_gets_beside_the_scores_has_their_rows(rows: int):
    def loss(output: dict[str, Tensor], targets: Tensor) -> Tensor:
        assert len(output["logits"]) == len(output["features"]) == len(targets)
        return F.cross_entropy(output["logits"], targets)

    subject = subject_of(WithFeatures, loss=loss, loss_takes="output")
    assert subject.loss(torch.zeros(rows, 3), torch.zeros(rows, dtype=torch.long)).item() == pytest.approx(math.log(3))


def judged(subject: Subject, verdict_of: Any) -> tuple[str, list[bool]]:
    """The outcome of a judge in one copy, and for each time it was asked whether it got the copy that is used again."""
    asked: list[bool] = []

    def judge(scattered: Any) -> Verdict:
        asked.append(getattr(scattered, "__self__", None) is subject.reused)
        scattered(0.0, 0)
        return verdict_of(len(asked))

    return subject.in_one_copy(judge).outcome, asked


def failed(what: str) -> Verdict:
    return Verdict(outcome="failed", measured=what)


def test_what_passes_in_one_copy_is_not_looked_at_in_fresh_ones():
    assert judged(subject_of(sound.MLP(3)), lambda times: passed("fine")) == ("passed", [True])


def test_what_does_not_pass_in_one_copy_is_decided_by_fresh_ones():
    subject = subject_of(sound.MLP(3))
    assert judged(subject, lambda times: failed("bad")) == ("failed", [True, False])
    assert judged(subject, lambda times: failed("bad") if times == 1 else passed("fine")) == ("passed", [True, False])


def test_what_a_copy_that_is_used_again_raises_is_raised_only_by_fresh_ones_too():
    def verdict_of(times: int) -> Verdict:
        if times == 1:
            raise ValueError("it remembers")
        return passed("fine")

    assert judged(subject_of(sound.MLP(3)), verdict_of) == ("passed", [True, False])
    with pytest.raises(ValueError, match="always"):
        judged(subject_of(sound.MLP(3)), lambda times: (_ for _ in ()).throw(ValueError("always")))


def test_the_copy_that_is_used_again_is_given_back():
    subject = subject_of(sound.MLP(3))
    first = subject.reused
    assert subject.reused is first
    subject.forget_reused()
    assert subject.reused is not first


@pytest.mark.parametrize(("smallest", "kept"), [(0, False), (SMALL_MODEL, True)], ids=["large", "small"])
def test_it_is_given_back_before_a_copy_of_a_large_model_is_trained(
    smallest: int, kept: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(copies, "SMALL_MODEL", smallest)
    subject = subject_of(sound.MLP(3))
    first = subject.reused
    assert same(subject.to_train(), subject.fresh())
    assert (subject.reused is first) == kept
