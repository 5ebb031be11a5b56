from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits import locate
from pytest_logits.finding import Location
from pytest_logits.guard import preserved_state
from pytest_logits.locate import activation_place, loss_place, producer, record, reshape_place
from pytest_logits.model import make_spec
from pytest_logits.scanning import BENT
from pytest_logits.settings import Settings
from pytest_logits.subject import Subject
from tests.zoo import sound

SOURCE = Path(__file__).read_text(encoding="utf-8").splitlines()


def subject_of(factory: Any, **arguments: Any) -> Subject:
    defaults: dict[str, Any] = {"name": "net", "num_classes": 3}
    if "vocab_size" not in arguments:
        defaults["input_shape"] = (10,)
    spec = make_spec(factory, file=Path(__file__), line=1, arguments={**defaults, **arguments})
    return Subject(spec, Settings())


def line_of(mark: str) -> int:
    (line,) = (i for i, text in enumerate(SOURCE, 1) if text.endswith(f"# HERE {mark}"))
    return line


def is_here(place: Location | None, mark: str) -> bool:
    line = line_of(mark)
    assert place is not None
    return (place.file, place.line, place.code) == (__file__, line, SOURCE[line - 1].strip())


@pytest.fixture(autouse=True)
def state_kept():
    with preserved_state():
        yield


class ByFunction(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(self.net(x), dim=1)  # HERE function


class ByMethod(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        return scores.softmax(dim=1)  # HERE method


def helper(scores: Tensor) -> Tensor:
    exponentials = torch.exp(scores - scores.max(dim=1, keepdim=True).values)
    return exponentials / exponentials.sum(dim=1, keepdim=True)  # HERE helper


class ByHand(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return helper(self.net(x))


class ByModule(sound.MLP):
    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.squash = nn.Softmax(dim=1)  # HERE made

    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        return self.squash(scores)  # HERE module


class InPlace(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        scores.relu_()  # HERE in place
        return scores


class InPlaceModule(sound.MLP):
    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.net(x))  # HERE in place module


class BeforeReshapes(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        scores = torch.sigmoid(self.net(x))  # HERE before reshapes
        return scores.unsqueeze(2).squeeze(2).contiguous().view(-1, 3)


class InATransformer(sound.Transformer):
    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(super().forward(x), dim=1)  # HERE transformer


class InAMixture(sound.Gated):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).tanh()  # HERE mixture


class OneOfTwo(sound.MLP):
    """The activation that is returned beside the logits is not the one."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        scores = self.net(x)
        squashed = torch.tanh(scores)  # HERE one of two
        return {"probabilities": torch.softmax(scores, dim=1), "logits": squashed}


@pytest.mark.parametrize(
    ("model", "mark", "note", "amount"),
    [
        (ByFunction, "function", "softmax()", 0.0),
        (ByMethod, "method", "softmax()", 0.0),
        (ByHand, "helper", "div()", 0.0),
        (ByModule, "module", "Softmax(dim=1), module 'squash', made at test_locate.py:{made}", 0.0),
        (InPlace, "in place", "relu_()", BENT),
        (InPlaceModule, "in place module", "ReLU(inplace=True), module 'relu'", BENT),
        (BeforeReshapes, "before reshapes", "sigmoid()", BENT),
        (InATransformer, "transformer", "softmax()", 0.0),
        (InAMixture, "mixture", "tanh()", BENT),
        (OneOfTwo, "one of two", "tanh()", BENT),
    ],
    ids=lambda v: v if isinstance(v, str) and "(" not in v else "",
)
def test_the_line_that_applies_the_activation_is_found(model: Any, mark: str, note: str, amount: float):
    arguments = sound.TOKENS if issubclass(model, sound.Transformer) else {}
    place = activation_place(subject_of(lambda: model(3), **arguments), amount=amount)
    assert is_here(place, mark)
    assert place is not None
    assert place.note.startswith(note.format(made=line_of("made")))


def make_sequential() -> nn.Module:
    return nn.Sequential(
        nn.Linear(10, 16),
        nn.ReLU(),
        nn.Linear(16, 3),
        nn.Softmax(dim=1),  # HERE sequential
    )


def test_in_a_bare_sequential_it_is_the_line_of_the_construction():
    place = activation_place(subject_of(make_sequential), amount=0.0)
    assert is_here(place, "sequential")
    assert place is not None
    assert place.note.startswith("Softmax(dim=1), module '3'")


def test_in_a_module_that_was_made_before_there_is_no_line_to_tell():
    # Neither its forward nor its construction is in the user's code of this run.
    made = make_sequential()
    assert activation_place(subject_of(made), amount=0.0) is None


def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: str) -> Any:
    """A module that lies where libraries lie."""
    (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(locate, "LIBRARIES", (*locate.LIBRARIES, str(tmp_path)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return __import__(name)


LIBRARY = "import torch\n\ndef squash(scores):\n    return torch.softmax(scores, dim=1)\n"


def test_a_library_that_applies_it_is_passed_over_for_the_line_that_calls_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    third = library(tmp_path, monkeypatch, "third_party_squash", LIBRARY)

    class Calls(sound.MLP):
        def forward(self, x: Tensor) -> Tensor:
            return third.squash(self.net(x))  # HERE calls a library

    assert is_here(activation_place(subject_of(lambda: Calls(3)), amount=0.0), "calls a library")


def test_where_only_libraries_are_on_the_stack_the_innermost_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    code = LIBRARY + (
        "\nclass Net(torch.nn.Linear):\n    def forward(self, x):\n        return squash(super().forward(x))\n"
    )
    third = library(tmp_path, monkeypatch, "third_party_net", code)
    place = activation_place(subject_of(lambda: third.Net(10, 3)), amount=0.0)
    assert place is not None
    assert (place.file, place.line) == (str(tmp_path / "third_party_net.py"), 4)
    assert place.code == "return torch.softmax(scores, dim=1)"


def test_softmax_inside_a_sound_model_is_not_blamed():
    # Whatever is named as the producer of free logits, it is the head, not the attention or the gate.
    for model, arguments in ((sound.Transformer, sound.TOKENS), (sound.Gated, {})):
        place = activation_place(subject_of(lambda model=model: model(3), **arguments), amount=0.0)
        assert place is None or "oftmax" not in place.note + place.code


# Making and unmaking.


@pytest.mark.parametrize("fails", [False, True])
def test_the_construction_of_modules_is_left_as_it_was(fails: bool):
    before = nn.Module.__init__

    def factory() -> nn.Module:
        if fails:
            raise ZeroDivisionError
        return sound.MLP(3)

    subject = subject_of(factory)
    if fails:
        with pytest.raises(ZeroDivisionError):
            activation_place(subject, amount=0.0)
    else:
        activation_place(subject, amount=0.0)
    assert nn.Module.__init__ is before


def test_the_operations_of_a_call_are_recorded_with_their_lines():
    x = torch.tensor([[1.0, -2.0]])
    made, operations = record(lambda: torch.tanh(F.relu(x) + 1), size=2)  # HERE recorded
    assert [o.name for o in operations] == ["relu", "add", "tanh"]
    assert {o.place for o in operations} == {(__file__, line_of("recorded"))}
    found = producer(operations, made)
    assert found is not None
    assert (found.name, found.module) == ("tanh", None)
    assert torch.equal(found.result, made)


def test_what_comes_after_and_changes_nothing_is_not_the_producer():
    x = torch.tensor([[1.0, 2.0]])
    made, operations = record(lambda: torch.relu(torch.exp(x)).reshape(2, 1), size=2)
    found = producer(operations, made)
    assert found is not None
    assert found.name == "exp"


def test_values_are_those_at_the_time_of_the_call():
    x = torch.tensor([[1.0, -2.0]])
    _, operations = record(lambda: torch.neg(x).relu_(), size=2)
    assert [o.values.tolist() for o in operations if o.values is not None] == [[[-1.0, 2.0]], [[0.0, 2.0]]]


def test_values_of_another_size_are_not_kept():
    _, operations = record(lambda: torch.ones(3).sum(), size=3)
    assert [o.values is not None for o in operations if o.name == "sum"] == [False]


def test_final_values_that_nothing_gave_have_no_producer():
    _, operations = record(lambda: torch.ones(3) + 1, size=3)
    assert producer(operations, torch.zeros(3)) is None


# The batch axis.


class SqueezesItself(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(10, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x).squeeze()  # HERE squeeze


class SqueezesInside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = x.unsqueeze(2).squeeze()  # HERE squeeze inside
        return self.head(features)


class Raises(SqueezesInside):
    def forward(self, x: Tensor) -> Tensor:
        features = x.unsqueeze(2).squeeze()  # HERE squeeze, then raise
        return F.batch_norm(features, None, None, training=True)


@pytest.mark.parametrize(
    ("model", "mark", "note"),
    [
        (SqueezesItself, "squeeze", "squeeze(): (1, 1) to ()"),
        (SqueezesInside, "squeeze inside", "squeeze(): (1, 10, 1) to (10,)"),
        (Raises, "squeeze, then raise", "squeeze(): (1, 10, 1) to (10,)"),
    ],
)
def test_the_line_that_drops_the_batch_axis_is_found(model: Callable[[], nn.Module], mark: str, note: str):
    place = reshape_place(subject_of(model), 1)
    assert is_here(place, mark)
    assert place is not None
    assert place.note == note


def test_a_model_that_keeps_the_batch_axis_has_no_such_line():
    assert reshape_place(subject_of(lambda: sound.MLP(3)), 1) is None


# Losses.


def own_loss(z: Tensor, y: Tensor) -> Tensor:  # HERE own loss
    return F.cross_entropy(z, y)


class OwnLoss(nn.Module):
    def forward(self, z: Tensor, y: Tensor) -> Tensor:  # HERE own loss module
        return F.cross_entropy(z, y)


@pytest.mark.parametrize(("loss", "mark"), [(own_loss, "own loss"), (OwnLoss(), "own loss module")])
def test_a_loss_of_the_users_own_is_where_it_is_defined(loss: Any, mark: str):
    assert is_here(loss_place(subject_of(lambda: sound.MLP(3), loss=loss)), mark)


def test_a_callable_object_is_placed_at_its_call():
    class Called:
        def __call__(self, z: Tensor, y: Tensor) -> Tensor:
            return F.cross_entropy(z, y)

    place = loss_place(subject_of(lambda: sound.MLP(3), loss=Called()))
    assert place is not None
    assert place.code.startswith("def __call__")


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), F.cross_entropy], ids=["module", "function"])
def test_a_loss_of_torch_has_no_place(loss):
    assert loss_place(subject_of(lambda: sound.MLP(3), loss=loss)) is None
