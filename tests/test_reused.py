from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pytest_logits.guard import preserved_state
from pytest_logits.model import make_spec
from pytest_logits.reused import Reused
from pytest_logits.settings import Settings
from pytest_logits.subject import Subject


@pytest.fixture(autouse=True)
def state_kept():
    with preserved_state():
        yield


class Normed(nn.Module):
    """A batch norm, which counts its batches in a buffer, and a matrix large enough for noise that repeats."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 300), nn.BatchNorm1d(300), nn.Linear(300, 300), nn.Linear(300, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def subject_of(factory: object) -> Subject:
    arguments = {"name": "net", "num_classes": 3, "input_shape": (10,)}
    return Subject(make_spec(factory, file=Path(__file__), line=1, arguments=arguments), Settings())


def test_each_time_it_is_what_a_fresh_copy_is():
    subject = subject_of(Normed)
    reused = Reused(subject)
    for amount, variant in ((0.0, 0), (16.0, 3), (1.0, 0), (0.0, 0)):
        model, fresh = reused.scattered(amount, variant), subject.scattered(amount, variant)
        wanted = fresh.state_dict()
        assert {name: torch.equal(value, wanted[name]) for name, value in model.state_dict().items()} == dict.fromkeys(
            wanted, True
        )
        assert model.training
        subject.scores(model.eval(), subject.inputs(4, "here"), purpose="here")
        subject.scores(model.train(), subject.inputs(4, "here"), purpose="here")


def test_nothing_is_seen_of_it_in_a_later_copy():
    subject = subject_of(Normed)
    before = subject.fresh().state_dict()
    Reused(subject).scattered(16.0)
    after = subject.fresh().state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_registered_module_is_not_touched():
    module = Normed()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    subject = subject_of(module)
    Reused(subject).scattered(16.0)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


class Writes(nn.Module):
    """A layer that writes into its own weight as it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.net.weight.mul_(2)
        return self.net(x)


def test_what_a_forward_pass_writes_into_a_parameter_is_put_back():
    subject = subject_of(Writes)
    reused = Reused(subject)
    wanted = subject.fresh().net.weight
    for _ in range(2):
        model = reused.scattered(0.0)
        assert torch.equal(model.net.weight, wanted)
        subject.scores(model, subject.inputs(4, "here"), purpose="here")


def test_what_a_forward_pass_writes_into_a_scattered_parameter_is_put_back():
    subject = subject_of(Writes)
    reused = Reused(subject)
    wanted = subject.scattered(4.0).net.weight
    for _ in range(2):
        model = reused.scattered(4.0)
        assert torch.equal(model.net.weight, wanted)
        subject.scores(model, subject.inputs(4, "here"), purpose="here")


def test_a_parameter_that_has_its_noise_already_is_not_written_to():
    reused = Reused(subject_of(Normed))
    versions = [p._version for p in reused.scattered(4.0, 1).parameters()]
    assert [p._version for p in reused.scattered(4.0, 1).parameters()] == versions
    assert [p._version for p in reused.scattered(4.0, 2).parameters()] != versions


def test_a_parameter_that_is_as_it_was_made_is_not_written_to():
    reused = Reused(subject_of(Normed))
    versions = [p._version for p in reused.scattered(0.0).parameters()]
    assert [p._version for p in reused.scattered(0.0).parameters()] == versions
    reused.scattered(1.0)
    assert [p._version for p in reused.scattered(0.0).parameters()] != versions
