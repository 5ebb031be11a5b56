"""Runs side by side: equivalent models stay together, and each wrong pairing parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits import lockstep
from pytest_logits.guard import preserved_state
from pytest_logits.lockstep import (
    KINDS,
    LOSSES,
    TRAINING_BOUND,
    Course,
    Run,
    allowed,
    disturbed,
    together,
    training_gaps,
)

# What no rounding makes.
FAR = 1000 * TRAINING_BOUND


@pytest.fixture(autouse=True)
def state_kept():
    with preserved_state():
        yield


class TrunkAndHead(nn.Module):
    def __init__(self, trunk: nn.Module, width: int, outputs: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))


TRUNKS: dict[str, Callable[[], nn.Module]] = {
    "none": nn.Flatten,
    "mlp": lambda: nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 6), nn.ReLU()),
    "batch norm": lambda: nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU()),
    "dropout": lambda: nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5)),
}


def gaps(trunk: str, seed: int = 0) -> dict[str, float]:
    def model(outputs: int) -> nn.Module:
        torch.manual_seed(seed)
        return TrunkAndHead(TRUNKS[trunk](), 6, outputs)

    inputs = torch.randn(16, 6, generator=torch.Generator().manual_seed(seed))
    return training_gaps(lambda: model(2), lambda: model(1), inputs, seed=seed)


@pytest.mark.parametrize("trunk", TRUNKS)
def test_equivalent_models_stay_together_with_each_optimizer_and_loss(trunk: str):
    found = [gaps(trunk, seed) for seed in range(3)]
    assert {kind.loss for kind in KINDS.values()} == set(LOSSES)
    assert [set(each) for each in found] == [set(KINDS)] * 3
    assert max(gap for each in found for gap in each.values()) <= TRAINING_BOUND


def test_500_steps_stay_together(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lockstep, "TRAINING_STEPS", 500)
    monkeypatch.setattr(lockstep, "KINDS", {name: KINDS[name] for name in ("sgd", "momentum", "adam")})
    assert max(gaps("none").values()) <= TRAINING_BOUND


@pytest.mark.parametrize("trunk", TRUNKS)
def test_a_head_with_the_same_step_parts_from_its_twin(trunk: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lockstep, "HEAD_STEP", 1.0)
    assert min(gaps(trunk).values()) > FAR


@pytest.mark.parametrize("trunk", TRUNKS)
def test_a_decay_that_is_not_halved_parts_from_its_twin(trunk: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lockstep, "HEAD_DECAY", 1.0)
    found = gaps(trunk)
    decayed = {name for name, kind in KINDS.items() if kind.decay}
    assert decayed == {"weight decay", "adamw"}
    assert min(found[name] for name in decayed) > FAR
    assert max(gap for name, gap in found.items() if name not in decayed) <= TRAINING_BOUND


@pytest.mark.parametrize("name", KINDS)
def test_twice_the_step_for_the_trunk_too_parts_from_its_twin(name: str, monkeypatch: pytest.MonkeyPatch):
    class Doubled(lockstep.Kind):
        def optimizer(self, trunk: list[Tensor], head: list[Tensor], *, single: bool) -> torch.optim.Optimizer:
            return super().optimizer([], [*trunk, *head], single=single)

    kind = KINDS[name]
    doubled = Doubled(**{field.name: getattr(kind, field.name) for field in dataclasses.fields(kind)})
    monkeypatch.setattr(lockstep, "KINDS", {name: doubled})
    assert gaps("mlp")[name] > FAR


@pytest.mark.parametrize("name", KINDS)
def test_a_wrong_loss_parts_from_its_twin(name: str, monkeypatch: pytest.MonkeyPatch):
    """pos_weight 1/w, a mean over the wrong number, hard for soft targets, ignored rows that count."""
    bce = F.binary_cross_entropy_with_logits
    wrong: dict[str, lockstep.Loss] = {
        "plain": lambda m, y: bce(m, 1 - y.double()),
        "weights, summed": lambda m, y: bce(m, y.double(), pos_weight=m.new_tensor(1 / 3), reduction="sum") / len(y),
        "weights, averaged": lambda m, y: bce(m, y.double(), pos_weight=m.new_tensor(3.0)),
        "smoothing": lambda m, y: bce(m, 0.8 * y.double() + 0.2),
        "soft targets": lambda m, y: bce(m, y.double()),
        "ignored rows": lambda m, y: bce(m, y.double()),
    }
    kind = KINDS[name]
    assert gaps("none")[name] <= TRAINING_BOUND
    monkeypatch.setitem(LOSSES, kind.loss, (LOSSES[kind.loss][0], wrong[kind.loss]))
    assert gaps("none")[name] > FAR


def test_runs_that_leave_the_numbers_are_apart():
    class Broken(TrunkAndHead):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * float("nan")

    found = training_gaps(
        lambda: TrunkAndHead(nn.Flatten(), 6, 2), lambda: Broken(nn.Flatten(), 6, 1), torch.randn(16, 6), seed=0
    )
    assert min(found.values()) == float("inf")


def test_a_head_of_the_wrong_sign_parts_from_its_twin():
    class Negated(TrunkAndHead):
        def forward(self, x: Tensor) -> Tensor:
            return -super().forward(x)

    def model(kind: type[TrunkAndHead], outputs: int) -> nn.Module:
        torch.manual_seed(0)
        return kind(nn.Flatten(), 6, outputs)

    found = training_gaps(lambda: model(TrunkAndHead, 2), lambda: model(Negated, 1), torch.randn(16, 6), seed=0)
    assert min(found.values()) > FAR


# Any two models.

X = torch.randn(8, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.arange(8) % 2


def run(change: Callable[[Tensor], Tensor] = lambda loss: loss, *, step: float = 0.1, scale: float = 1.0) -> Run:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)).double()

    def look(model: nn.Module) -> tuple[Tensor, Tensor]:
        z = model(X)
        return z, change(F.cross_entropy(scale * z, Y))

    def view(model: nn.Module) -> dict[str, Tensor]:
        return {name: p.detach().clone() for name, p in model.named_parameters()}

    return Run(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=step), look=look, view=view)


def course(right: Run, *, steps: int = 5, enough: Callable[[], bool] = lambda: False) -> Course:
    return together(run(), right, run(), steps=steps, seed=0, enough=enough)


def test_the_same_run_stays_together():
    assert course(run()) == Course(steps=5, gap=0.0, parting=None)


def test_rounding_is_not_parting():
    assert course(run(lambda loss: 3 * (loss / 3))).parting is None


@pytest.mark.parametrize("factor", [1 + 1e-3, 0.5, -1.0])
def test_another_gradient_parts_at_the_first_parameter_after_the_first_step(factor: float):
    parting = course(run(lambda loss: factor * loss)).parting
    assert parting is not None
    assert (parting.step, parting.where) == (1, "0.weight")
    assert parting.gap > parting.bound
    assert abs(parting.left - parting.right) == pytest.approx(parting.gap)


def test_other_scores_part_before_the_first_step():
    right = run()
    with torch.no_grad():
        right.model[2].bias[1] += 1e-3
    parting = course(right).parting
    assert parting is not None
    assert (parting.step, parting.where) == (0, "the scores")
    assert parting.gap == pytest.approx(1e-3)


def test_a_run_ends_when_enough_is_seen_but_not_before_one_step():
    assert course(run(), enough=lambda: True).steps == 1


def test_a_loss_without_a_gradient_takes_no_step():
    still = run(lambda loss: loss.detach())
    before = [p.detach().clone() for p in still.model.parameters()]
    still.step(0)
    assert all(map(torch.equal, before, still.model.parameters()))


def test_sparse_gradients_are_made_dense():
    model = nn.Embedding(4, 2, sparse=True).double()

    def look(model: nn.Module) -> tuple[Tensor, Tensor]:
        z = model(torch.tensor([1, 2]))
        return z, F.cross_entropy(z, torch.tensor([0, 1]))

    one = Run(model=model, optimizer=torch.optim.Adam(model.parameters()), look=look)
    before = model.weight.detach().clone()
    one.step(0)
    assert (model.weight != before).any(1).tolist() == [False, True, True, False]


def test_noise_is_of_the_size_of_float32s_rounding_and_reaches_zeros():
    model = nn.Linear(100, 3).double()
    before = [p.detach().clone() for p in model.parameters()]
    nn.init.zeros_(model.bias)
    before[1].zero_()
    disturbed(model, 0)
    for was, now in zip(before, model.parameters(), strict=True):
        moved = (now.detach() - was).abs()
        assert 0 < float(moved.max()) < 2**-23 * 10 * max(1.0, float(was.abs().max()))


def test_what_may_differ_follows_the_shadow():
    at = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert allowed(at, at + 1e-6) == pytest.approx(4e-6, rel=1e-5)
    assert 0 < allowed(at, at) < 1e-11
