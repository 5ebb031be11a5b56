"""Tests that look at the same run stand side by side.

pytest-xdist gives neighbours to the same worker, which then runs what they look at once.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = [place for place, item in enumerate(items) if item.path.is_relative_to(HERE)]
    first: dict[str, int] = {}
    for place in places:
        first.setdefault(_looked_at(items[place]), place)
    ordered = sorted((items[place] for place in places), key=lambda item: first[_looked_at(item)])
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


def _looked_at(item: pytest.Item) -> str:
    marker = item.get_closest_marker("looks_at")
    return item.nodeid if marker is None else str(marker.args[0])
