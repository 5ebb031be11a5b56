from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits import step_watch
from pytest_logits.guard import preserved_state
from pytest_logits.learning import learning_run
from pytest_logits.own_training import MOST_BATCHES, OwnTraining, users_batches
from pytest_logits.step_watch import OwnRun
from pytest_logits.subject import SubjectError
from tests.test_subject import same, subject_of
from tests.zoo import sound


@pytest.fixture(autouse=True)
def state_kept():
    with preserved_state():
        yield


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


def step(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def trained(steps: int = 4, factory: Any = None, *, run: dict[str, Any] | None = None, **arguments: Any) -> OwnRun:
    given = {"optimizer": sgd, **arguments}
    return OwnTraining(subject_of(factory or (lambda: sound.MLP(3)), **given)).run(steps, **(run or {}))


def test_each_step_gives_the_optimizer_its_own_gradient():
    seen = trained(train_step=step)
    assert (seen.steps, seen.stepped, len(seen.taken), len(seen.modes)) == (4, 4, 4, 4)
    for taken in seen.taken:
        for given, incoming in zip(taken.given, taken.incoming, strict=True):
            assert bool(given.any())
            assert torch.equal(given, incoming)


def test_the_first_step_goes_down_its_gradient():
    assert trained(train_step=step).climb == pytest.approx(-1)
    assert (
        trained(train_step=step, optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1, maximize=True)).climb
        > 0.99
    )


def test_gradients_that_are_not_cleared_are_the_sum():
    def not_clearing(model: Any, optimizer: Any, x: Any, y: Any) -> None:
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    first, second, *_ = trained(train_step=not_clearing).taken
    for old, given, incoming in zip(first.given, second.given, second.incoming, strict=True):
        assert torch.allclose(given, old + incoming, atol=1e-6)


def test_gradients_of_several_passes_are_summed():
    def twice(model: Any, optimizer: Any, x: Any, y: Any) -> None:
        optimizer.zero_grad()
        for _ in range(2):
            F.cross_entropy(model(x), y).backward()
        optimizer.step()

    taken = trained(train_step=twice).taken[0]
    assert torch.allclose(torch.cat(taken.given), torch.cat(taken.incoming))


def test_a_closure_says_nothing_of_what_was_cleared():
    def closed(model: Any, optimizer: Any, x: Any, y: Any) -> None:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)

    seen = trained(train_step=closed)
    assert (seen.stepped, seen.taken) == (4, [])


@pytest.mark.parametrize("train_step", [None, step])
def test_a_run_is_repeatable(train_step: Any):
    first, second = (trained(train_step=train_step, factory=lambda: sound.CNN(3), **sound.IMAGE) for _ in range(2))
    assert (first.first, first.last) == (second.first, second.last)
    assert not math.isnan(first.last)


def test_the_reference_loss_leaves_modes_and_buffers_as_they_are():
    model = nn.Sequential(nn.Linear(10, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    subject = subject_of(lambda: sound.MLP(3))
    model[1].eval()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    OwnTraining(subject)._reference_loss(model)
    assert [m.training for m in model] == [True, False, True]
    assert all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())


def test_a_turned_run_goes_the_other_way():
    written, turned = trained(1), trained(1, run={"flip": True})
    assert written.last < written.first < turned.last
    assert torch.equal(torch.cat(turned.taken[0].given), -torch.cat(written.taken[0].given))


def test_a_scaled_run_goes_less_far():
    written, scaled = trained(1), trained(1, run={"scale": 0.01})
    assert scaled.first == written.first
    assert 0 < scaled.first - scaled.last < 0.02 * (written.first - written.last)


def test_a_model_may_be_trained_further():
    subject = subject_of(lambda: sound.MLP(3), optimizer=sgd)
    own, model = OwnTraining(subject), subject.fresh()
    first = own.run(2, model=model)
    assert own.run(2, model=model).first == first.last
    assert not same(model, subject.fresh())


def test_parameters_are_sorted_by_whether_the_optimizer_has_them():
    other = nn.Linear(2, 2)

    def part(model: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD([*model.net[2].parameters(), *other.parameters()], lr=0.1)

    seen = trained(optimizer=part)
    assert seen.missing == seen.unchanged == ("net.0.weight", "net.0.bias")
    assert seen.changed == ("net.2.weight", "net.2.bias")
    assert seen.connected == {"net.0.weight", "net.0.bias", "net.2.weight", "net.2.bias"}
    assert seen.foreign == 2


def test_what_is_declared_frozen_is_not_missed():
    seen = trained(frozen="net.0.*", optimizer=lambda m: torch.optim.SGD(m.net[2].parameters(), lr=0.1))
    assert (seen.missing, seen.unchanged) == ((), ())


def test_modes_are_those_of_passes_with_a_graph():
    def validates(model: Any, optimizer: Any, x: Any, y: Any) -> None:
        model.train()
        step(model, optimizer, x, y)
        model.eval()
        with torch.no_grad():
            model(x)

    assert trained(train_step=validates).modes == [True] * 4


def test_passes_are_counted():
    subject = subject_of(lambda: sound.MLP(3), optimizer=sgd, train_step=step)
    own = OwnTraining(subject)
    halves = len(own.batches)
    before = subject.passes
    own.run(5)
    spent = subject.passes - before
    # The reference loss is computed of both halves, before and after, and of the first alone.
    assert (spent.forward, spent.backward) == (5 + 2 * halves + 1, 5)


def test_only_so_many_numbers_are_watched(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(step_watch, "WATCHED", 20)
    assert [len(t) for t in trained(1).taken[0].given] == [3, 16]
    monkeypatch.setattr(step_watch, "WATCHED", 1)
    assert [len(t) for t in trained(1).taken[0].given] == [3]


def test_hooks_are_taken_off_also_after_an_error():
    def raises(model: Any, optimizer: Any, x: Any, y: Any) -> None:
        raise KeyError

    subject = subject_of(lambda: sound.MLP(3), train_step=raises)
    model = subject.fresh()
    with pytest.raises(KeyError):
        OwnTraining(subject).run(1, model=model)
    assert not model._forward_pre_hooks
    assert all(not p._backward_hooks for p in model.parameters())


# Batches.


def test_the_suites_batch_comes_in_two_halves():
    own = OwnTraining(subject_of(lambda: sound.MLP(3)))
    (x, y), (other, _) = own.batches
    assert x.shape == other.shape == (8, 10)
    assert y.shape == (8,)
    assert own.data == "the suite's separable batch"


def test_targets_come_as_the_loss_gets_them():
    own = OwnTraining(subject_of(lambda: sound.MLP(3), targets="onehot"))
    assert own.batches[0][1].shape == (8, 3)


def test_the_first_of_the_users_batches_are_taken_as_they_are():
    pairs = [(torch.full((2, 10), float(i)), torch.tensor([0, 1])) for i in range(20)]
    own = OwnTraining(subject_of(lambda: sound.MLP(3), batches=lambda: iter(pairs)))
    assert len(own.batches) == MOST_BATCHES
    assert all(x is given for (x, _), (given, _) in zip(own.batches, pairs, strict=False))
    assert own.data == "your batches"


def test_no_more_of_the_users_batches_are_asked_for_than_are_taken():
    def endless() -> Any:
        for number in range(MOST_BATCHES):
            yield torch.full((2, 10), float(number)), torch.tensor([0, 1])
        raise AssertionError("asked for one more")

    assert len(users_batches(subject_of(lambda: sound.MLP(3), batches=endless))) == MOST_BATCHES


def test_batches_that_are_drawn_are_repeatable():
    subject = subject_of(lambda: sound.MLP(3), batches=lambda: [(torch.randn(2, 10), torch.tensor([0, 1]))])
    (first,), (second,) = users_batches(subject), users_batches(subject)
    assert torch.equal(first[0], second[0])


@pytest.mark.parametrize("made", [[], [torch.zeros(2, 10)], [(torch.zeros(2, 10),)], [("x", torch.zeros(2))]])
def test_batches_that_are_no_pairs_are_told_of(made: Any):
    with pytest.raises(SubjectError, match=r"batches= of 'net' (gives no batch|must give pairs \(x, y\) of tensors)"):
        users_batches(subject_of(lambda: sound.MLP(3), batches=lambda: made))


def test_the_shared_run_is_trained_also_where_the_step_asks_first():
    subject = subject_of(lambda: sound.MLP(3), optimizer=sgd)
    OwnTraining(subject).run(2)
    assert learning_run(subject).best.gradient


class Bare(torch.optim.SGD):
    """An optimizer whose step takes nothing."""

    def step(self) -> None:  # type: ignore[override]
        super().step()


def test_a_step_without_a_closure_argument_is_taken():
    seen = OwnTraining(subject_of(lambda: sound.MLP(3), optimizer=lambda m: Bare(m.parameters(), lr=0.1))).run(2)
    assert (seen.steps, seen.missing, bool(seen.changed)) == (2, (), True)
