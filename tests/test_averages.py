from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pytest_logits import averages
from pytest_logits.averages import HELD_OUT_SETTINGS, average_of_others, may_be_average


def settings(width: int, made: Callable[[Tensor], Tensor] = lambda z: z, *, hidden: int = 6) -> list[Tensor]:
    """Scores of sixteen rows from eight random heads of ``width`` outputs."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(16, hidden, generator=rng)
    return [made(16 * x @ torch.randn(hidden, width, generator=rng)) for _ in range(8)]


def with_mean(z: Tensor) -> Tensor:
    return torch.cat([z, z.mean(dim=1, keepdim=True)], dim=1)


@pytest.mark.parametrize("width", [2, 4, 30, 999])
def test_the_mean_of_the_others_is_found(width: int):
    assert average_of_others(settings(width, with_mean)) == width


@pytest.mark.parametrize("width", [3, 10, 20])
def test_other_weights_are_found(width: int):
    def made(z: Tensor) -> Tensor:
        return torch.cat([0.2 * z[:, :1] + 0.8 * z[:, 1:2], z], dim=1)

    assert average_of_others(settings(width, made)) == 0


@pytest.mark.parametrize("hidden", [1, 2, 6])
@pytest.mark.parametrize("width", [2, 3, 10, 100, 1000])
def test_free_scores_have_none(width: int, hidden: int):
    assert average_of_others(settings(width, hidden=hidden)) is None


@pytest.mark.parametrize("width", [3, 10, 100])
@pytest.mark.parametrize("made", [lambda z: z.softmax(dim=1), torch.sigmoid, torch.relu, torch.round, torch.sign])
def test_saturated_scores_have_none(width: int, made: Callable[[Tensor], Tensor]):
    assert average_of_others(settings(width, made)) is None


def test_a_masked_class_is_left_out():
    def masked(z: Tensor) -> Tensor:
        return torch.cat([with_mean(z), torch.full((len(z), 1), -torch.inf)], dim=1)

    assert average_of_others(settings(4, masked)) == 4


def test_weights_that_each_setting_has_of_its_own_are_none():
    rng = torch.Generator().manual_seed(1)

    def made(z: Tensor) -> Tensor:
        share = torch.rand((), generator=rng)
        return torch.cat([z, share * z[:, :1] + (1 - share) * z[:, 1:2]], dim=1)

    assert average_of_others(settings(3, made)) is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_coarse_scores_decide_nothing(dtype: torch.dtype):
    assert average_of_others([scores.to(dtype) for scores in settings(4, with_mean)]) is None


def test_no_rows_decide_nothing():
    assert average_of_others([torch.zeros(0, 4)]) is None


@pytest.mark.parametrize(
    "made", [lambda z: z.softmax(dim=1), torch.sigmoid, lambda z: z], ids=["softmax", "sigmoid", ""]
)
def test_of_many_classes_none_is_looked_at_by_itself_that_is_no_mean(
    made: Callable[[Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
):
    asked: list[int] = []
    monkeypatch.setattr(averages, "_is_average", lambda scores, c, others: bool(asked.append(c)))
    average_of_others(settings(1000, made))
    assert asked == []
    average_of_others(settings(999, with_mean))
    assert asked == [999]


def test_a_class_that_is_by_far_the_lowest_of_some_row_is_not_looked_at(monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []
    monkeypatch.setattr(averages, "_is_average", lambda scores, c, others: bool(asked.append(c)))
    scores = [torch.tensor([[0.0, 1.0, 5.0, 2.0], [2.0, 0.0, 6.0, 3.0]])] * 8
    average_of_others(scores)
    assert asked == [3]


def test_a_class_that_is_the_lowest_by_less_than_its_weights_may_be_off_is_found():
    def made(z: Tensor) -> Tensor:
        high, low = z[:, :1], z[:, :1] - z[:, 1:2].abs()
        return torch.cat([1.009 * low - 0.009 * high, low, high], dim=1)

    assert average_of_others(settings(2, made)) == 0


# Few settings show that there is none, and never that there is one.
FEW = 2 * HELD_OUT_SETTINGS - 1


@pytest.mark.parametrize("width", [2, 4, 30, 60, 999])
@pytest.mark.parametrize("few", [1, 4, FEW])
def test_the_mean_of_the_others_may_be_one_in_few_settings(width: int, few: int):
    assert may_be_average(settings(width, with_mean)[:few])


@pytest.mark.parametrize("width", [3, 10, 20])
def test_other_weights_may_be_found_in_more_settings(width: int):
    def made(z: Tensor) -> Tensor:
        return torch.cat([0.2 * z[:, :1] + 0.8 * z[:, 1:2], z], dim=1)

    assert may_be_average(settings(width, made)[:4])


def test_weights_may_be_off_by_as_much_as_is_allowed():
    """In each row by so much of the distance from the nearest other score, to one side or the other."""
    signs = torch.tensor([1.0, -1.0]).repeat(8).unsqueeze(1)

    def made(z: Tensor) -> Tensor:
        mean = z.mean(dim=1, keepdim=True)
        gap = (z - mean).abs().amin(dim=1, keepdim=True)
        return torch.cat([z, mean + 0.95 * averages.OFF * signs * gap], dim=1)

    drawn = settings(4, made)
    assert average_of_others(drawn) == 4
    assert may_be_average(drawn[:4])


@pytest.mark.parametrize(("width", "hidden"), [(2, 1), (3, 1), (5, 2), (10, 6), (30, 16)])
def test_four_settings_of_free_scores_show_that_there_is_none(width: int, hidden: int):
    assert not may_be_average(settings(width, hidden=hidden)[:4])


@pytest.mark.parametrize(
    "scores",
    [torch.zeros(0, 4), torch.zeros(3, 4), torch.tensor([[0.0, 1.0, 5.0, 2.0]]), settings(40)[0]],
    ids=["no rows", "nothing moves", "one row", "more classes than rows"],
)
def test_too_little_shows_nothing(scores: Tensor):
    assert may_be_average([scores])


def test_where_the_settings_are_enough_they_decide():
    assert may_be_average(settings(4, with_mean))
    assert not may_be_average(settings(30))
