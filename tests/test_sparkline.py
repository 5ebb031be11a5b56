"""The loss curve in one line."""

from __future__ import annotations

import io
import itertools
import math

import pytest

from pytest_logits.sparkline import MOST_POINTS, drawn, shows_blocks, sparkline, thinned


@pytest.mark.parametrize("count", [0, 1, 2, MOST_POINTS])
def test_a_short_curve_is_kept(count: int):
    assert thinned([float(n) for n in range(count)]) == list(range(count))


@pytest.mark.parametrize("count", [MOST_POINTS + 1, 301])
def test_a_long_curve_is_thinned_evenly(count: int):
    found = thinned([float(n) for n in range(count)])
    steps = {int(b - a) for a, b in itertools.pairwise(found)}
    assert (len(found), found[0], found[-1]) == (MOST_POINTS, 0, count - 1)
    assert max(steps) - min(steps) <= 1


def test_the_height_is_the_place_between_low_and_high():
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], low=0, high=7) == "▁▂▃▄▅▆▇█"
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], low=0, high=7, blocks=False) == "_.:-=+*#"


def test_what_lies_outside_is_drawn_at_the_edge():
    assert sparkline([-1, 9], low=0, high=7) == "▁█"


def test_what_is_not_finite_is_marked():
    assert sparkline([math.nan, math.inf, -math.inf], low=0, high=7) == "!!!"


def test_a_constant_is_drawn():
    assert sparkline([3, 3], low=3, high=3) == "▁▁"


def test_the_floor_is_at_its_height():
    curve = [0.8, 0.6, 0.4, 0.4]
    assert drawn(curve, least=0, floor=0.4, undone=[0.8, 0.2, 0.0], width=80) == [
        ("loss", "0.8000 █▆▅▅ 0.4000"),
        ("floor", "       ▅▅▅▅ 0.4000"),
        ("undone", "0.8000 █▃▁ 0.0000"),
    ]


def test_without_a_floor_there_is_the_curve_alone():
    assert drawn([0.8, 0.4], least=0, width=80) == [("loss", "0.8000 █▅ 0.4000")]


@pytest.mark.parametrize("curve", [[], [0.5], [math.nan, math.nan]])
def test_what_is_no_curve_is_not_drawn(curve: list[float]):
    assert drawn(curve, least=0, floor=0.1, width=80) == []


@pytest.mark.parametrize("width", [30, 60])
def test_a_curve_keeps_to_the_width(width: int):
    rows = drawn([float(n) for n in range(2000, 1000, -1)], least=0, floor=1234.5, undone=[9e9, 1.0], width=width)
    assert max(len(text) for _, text in rows) <= width


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", True), ("ascii", False), ("cp1252", False), ("none", False)])
def test_blocks_are_shown_where_they_can_be_encoded(encoding: str, shown: bool):
    class Stream(io.StringIO):
        pass

    Stream.encoding = encoding  # type: ignore[assignment, misc]
    assert shows_blocks(Stream()) is shown


def test_a_stream_that_has_no_encoding_shows_no_blocks():
    assert not shows_blocks(object())
