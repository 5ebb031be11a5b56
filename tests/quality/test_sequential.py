from __future__ import annotations

from hypothesis import strategies as st

from tests.quality.sequential import keeps_promise


def test_what_is_drawn_often_is_kept():
    assert keeps_promise(st.integers(0, 9), lambda value: value == 3)


def test_what_is_hardly_ever_drawn_is_broken():
    # Two of 2**40 numbers, neither of which Hypothesis takes for a special one.
    assert not keeps_promise(st.integers(0, 2**40), lambda value: value in (123_456_789_012, 987_654_321_098))
