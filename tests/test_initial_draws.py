"""A model that is made again has the weights that it would have drawn, and leaves the random state as it would."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

from pytest_logits import initial_draws
from pytest_logits.initial_draws import FILLING, LEAST, InitialDraws

SIDE = 160


class Filled(TorchFunctionMode):
    """Counts how often a large tensor is filled with numbers that are drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.times = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = args or tuple((kwargs or {}).values())
        self.times += func in FILLING and given[0].numel() >= LEAST
        return func(*args, **(kwargs or {}))


def filled_by(fill: Callable[[Tensor], object]) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        model = nn.Linear(SIDE, SIDE)
        with torch.no_grad():
            fill(model.weight)
        return model

    return make


def own_reset() -> nn.Module:
    model = nn.Sequential(nn.Linear(SIDE, SIDE), nn.Dropout(), nn.Linear(SIDE, SIDE)).double()
    for layer in (model[0], model[2]):
        layer.weight.data.normal_(0.0, 0.02)
    return model


MAKERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(SIDE, SIDE),
    "small layers between": lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(SIDE, SIDE), nn.Linear(4, 3)),
    "equal layers": lambda: nn.Sequential(*(nn.Linear(SIDE, SIDE) for _ in range(4))),
    "conv": lambda: nn.Conv2d(64, 64, 3),
    "embedding": lambda: nn.Embedding(500, 64, padding_idx=3),
    "recurrent": lambda: nn.LSTM(SIDE, 64),
    "attention": lambda: nn.TransformerEncoderLayer(128, 4, 256),
    "double, own reset": own_reset,
    "channels last": lambda: nn.Conv2d(64, 64, 3).to(memory_format=torch.channels_last),
    **{
        name: filled_by(getattr(init, name))
        for name in ("normal_", "uniform_", "trunc_normal_", "xavier_uniform_", "kaiming_normal_", "orthogonal_")
    },
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_model_that_is_made_again_is_the_one_that_would_have_been_drawn(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(initial_draws, "PER_CALL", 0)
    torch.manual_seed(1)
    drawn = MAKERS[name]().state_dict()
    after = torch.rand(3)
    draws, filled = InitialDraws(), [Filled(), Filled()]
    for watched in filled:
        torch.manual_seed(1)
        with watched, draws:
            made = MAKERS[name]().state_dict()
        assert torch.equal(torch.rand(3), after)
        assert made.keys() == drawn.keys()
        assert all(torch.equal(made[key], drawn[key]) and made[key].dtype == drawn[key].dtype for key in drawn)
    assert filled[0].times > 0
    assert filled[1].times == 0


def test_another_state_other_arguments_and_another_shape_are_drawn():
    draws = InitialDraws()
    fills = [
        lambda: torch.empty(SIDE, SIDE).normal_(),
        lambda: torch.empty(SIDE, SIDE).normal_(0.0, 2.0),
        lambda: torch.empty(SIDE, SIDE).normal_(mean=1.0),
        lambda: torch.empty(SIDE, SIDE).uniform_(),
        lambda: torch.empty(SIDE, SIDE, dtype=torch.float64).normal_(),
        lambda: torch.empty(SIDE * SIDE).normal_(),
        lambda: torch.empty(SIDE, SIDE).t().normal_(),
    ]
    for seed, fill in itertools.product(range(2), fills):
        torch.manual_seed(seed)
        expected = fill()
        torch.manual_seed(seed)
        with draws:
            assert torch.equal(fill(), expected)


def test_what_is_done_to_a_copy_is_not_kept():
    draws = InitialDraws()
    made = []
    for _ in range(3):
        torch.manual_seed(0)
        with draws:
            made.append(nn.Linear(SIDE, SIDE))
        with torch.no_grad():
            made[-1].weight.zero_()
    torch.manual_seed(0)
    expected = nn.Linear(SIDE, SIDE).weight
    torch.manual_seed(0)
    with draws:
        assert torch.equal(nn.Linear(SIDE, SIDE).weight, expected)


def test_a_generator_of_the_users_own_draws_each_time():
    draws, rng = InitialDraws(), torch.Generator().manual_seed(5)
    with draws:
        first = torch.empty(SIDE, SIDE).normal_(generator=rng)
        second = torch.empty(SIDE, SIDE).normal_(generator=rng)
    assert not torch.equal(first, second)


def test_a_fill_that_is_refused_says_what_torch_says():
    with InitialDraws(), pytest.raises(RuntimeError, match="std"):
        torch.empty(SIDE, SIDE).normal_(0.0, -1.0)


def test_what_is_forgotten_is_drawn_again():
    draws, filled = InitialDraws(), Filled()
    for _ in range(2):
        torch.manual_seed(0)
        with filled, draws:
            nn.Linear(SIDE, SIDE)
        draws.forget()
    assert filled.times == 2


@pytest.mark.parametrize(
    ("make", "looks"),
    [
        (lambda: nn.Linear(3, 2), False),
        (MAKERS["linear"], True),
        (lambda: nn.Sequential(nn.Linear(SIDE, SIDE), *(nn.Linear(3, 2) for _ in range(5))), False),
        (lambda: nn.Sequential(nn.Linear(1000, 1000), *(nn.Linear(3, 2) for _ in range(5))), True),
    ],
    ids=["small", "large", "mostly small", "mostly large"],
)
def test_calls_are_looked_at_again_only_where_drawing_takes_longer(make: Callable[[], nn.Module], looks: bool):
    draws = InitialDraws()
    assert draws.inside() is draws
    with draws.inside():
        make()
    assert (draws.inside() is draws) == looks


def test_of_what_is_not_looked_at_again_nothing_is_kept():
    draws, filled = InitialDraws(), Filled()
    for _ in range(2):
        torch.manual_seed(0)
        with filled, draws:
            nn.Sequential(nn.Linear(SIDE, SIDE), *(nn.Linear(3, 2) for _ in range(5)))
    assert filled.times == 2


def test_a_large_model_whose_draws_were_forgotten_is_looked_at():
    draws = InitialDraws()
    with draws.inside():
        MAKERS["linear"]()
    draws.forget()
    assert draws.inside() is draws
