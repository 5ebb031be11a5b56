from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_logits.guard import preserved_state
from pytest_logits.model import make_spec
from pytest_logits.regions import CLIPPED_SETTINGS
from pytest_logits.scanning import BENT, FIRST, MOST, SCATTER, free_scan_of, scan_of
from pytest_logits.settings import Settings
from pytest_logits.subject import Subject
from tests.zoo import sound


def scores_of(bend: Callable[[Tensor], Tensor]) -> tuple[list[float], Callable[..., Tensor]]:
    """Scores that grow with the parameters, bent, and the amounts that were asked for."""
    asked: list[float] = []

    def scores(amount: float, *_: Any) -> Tensor:
        asked.append(amount)
        rng = torch.Generator().manual_seed(len(asked))
        return bend((0.1 + amount) * torch.randn(16, 3, generator=rng))

    return asked, scores


FIVE = [*SCATTER[:FIRST], MOST, BENT]


def test_five_settings_show_that_free_scores_are_free():
    asked, scores = scores_of(lambda z: z)
    free = free_scan_of(scores)
    assert asked == FIVE
    assert free is not None
    assert len(free.settings(MOST)) == 5
    assert free.high > 1000


def overflowing(z: Tensor) -> Tensor:
    return torch.where(z.abs() > 2000, torch.inf, z)


def piled(z: Tensor) -> Tensor:
    """At the most scattered setting half of the scores are alike, and at no other."""
    return torch.where((z.abs() > 1500) & (torch.arange(3) < 2), 20_000.0, z)


def broken(z: Tensor) -> Tensor:
    """Most rows are no numbers, but for the most scattered setting."""
    return torch.where((z.abs().amax() < 5000) & (torch.arange(16) < 11).unsqueeze(1), torch.nan, z)


@pytest.mark.parametrize("bend", [overflowing, piled])
def test_where_the_most_scattered_setting_tells_too_little_all_are_looked_at(bend: Callable[[Tensor], Tensor]):
    asked, scores = scores_of(bend)
    free = free_scan_of(scores)
    assert asked == [*FIVE, *SCATTER[FIRST + 1 : -1]]
    assert free is not None
    assert [len(rows) > 0 for rows in free.settings(MOST)] == [True] * len(SCATTER)


@pytest.mark.parametrize(
    "bend",
    [torch.sigmoid, torch.tanh, torch.relu, lambda z: z.softmax(dim=1), lambda z: z.log_softmax(dim=1)],
    ids=["sigmoid", "tanh", "relu", "softmax", "log_softmax"],
)
def test_confined_scores_are_left_to_fresh_copies_early(bend: Callable[[Tensor], Tensor]):
    asked, scores = scores_of(bend)
    assert free_scan_of(scores) is None
    assert asked == list(SCATTER[:FIRST])


@pytest.mark.parametrize("bend", [lambda z: z * torch.nan, lambda z: 20 * torch.tanh(z)], ids=["nan", "bounded"])
def test_scores_that_may_be_confined_are_left_to_fresh_copies(bend: Callable[[Tensor], Tensor]):
    assert free_scan_of(scores_of(bend)[1]) is None


def test_scores_that_are_never_negative_are_looked_at_in_more_settings():
    asked, scores = scores_of(lambda z: z.abs() + 1)
    scan_of(scores)
    assert asked == [*SCATTER, *[1.0] * CLIPPED_SETTINGS]


def test_where_most_rows_are_no_numbers_all_settings_are_looked_at():
    asked, scores = scores_of(broken)
    assert free_scan_of(scores) is None
    assert len(asked) == len(SCATTER)


# What a model keeps between its calls is not held against it.


class Once(sound.MLP):
    """Can be called once."""

    def forward(self, x: Tensor) -> Tensor:
        if hasattr(self, "used"):
            raise RuntimeError("called again")
        self.used = True
        return super().forward(x)


class Remembers(sound.MLP):
    """Gives its first scores for ever."""

    def forward(self, x: Tensor) -> Tensor:
        if not hasattr(self, "first"):
            self.first = super().forward(x)
        return self.first


class Tires(sound.MLP):
    """Puts a sigmoid on its scores from the second call on."""

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        tired = hasattr(self, "used")
        self.used = True
        return scores.sigmoid() if tired else scores


@pytest.mark.parametrize("kind", [Once, Remembers, Tires])
def test_a_model_with_a_memory_is_seen_in_fresh_copies(kind: type[nn.Module]):
    arguments = {"name": "net", "num_classes": 3, "input_shape": (10,)}
    with preserved_state():
        regions = [
            Subject(make_spec(lambda k=k: k(3), file=Path(__file__), line=1, arguments=arguments), Settings()).scan
            for k in (kind, sound.MLP)
        ]
    assert (regions[0].low, regions[0].high) == (regions[1].low, regions[1].high)
