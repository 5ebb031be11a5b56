"""A curve of losses: thinned for the record, and drawn in one line of blocks, or of ASCII."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

# Points of a curve that a record keeps: more than a line of text can show.
MOST_POINTS = 60
BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = "_.:-=+*#"
NOT_FINITE = "!"
# A line with fewer points shows no shape.
FEWEST_POINTS = 8


def thinned(values: Sequence[float], most: int = MOST_POINTS) -> list[float]:
    """At most ``most`` of the values, evenly spaced, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    last = len(values) - 1
    return [values[round(index * last / (most - 1))] for index in range(most)]


def shows_blocks(stream: Any = None) -> bool:
    """Whether the stream, by default the process's own standard output, can encode the blocks."""
    encoding = getattr(sys.__stdout__ if stream is None else stream, "encoding", None) or "ascii"
    try:
        BLOCKS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def sparkline(values: Sequence[float], *, low: float, high: float, blocks: bool = True) -> str:
    """One character per value, its height the value's place from ``low`` to ``high``; ``!`` where it is not finite."""
    signs = BLOCKS if blocks else ASCII
    top = len(signs) - 1

    def sign(value: float) -> str:
        if not math.isfinite(value):
            return NOT_FINITE
        share = (value - low) / (high - low) if high > low else 0.0
        return signs[round(top * min(max(share, 0.0), 1.0))]

    return "".join(map(sign, values))


def drawn(
    curve: Sequence[float],
    *,
    least: float,
    floor: float | None = None,
    undone: Sequence[float] = (),
    width: int,
    blocks: bool = True,
) -> list[tuple[str, str]]:
    """Rows (label, text): the losses of a run, the floor that they stay above, and the run with the cause undone.

    All on one scale, from ``least``, the least that the loss can be, to the highest loss, in ``width`` columns.
    """
    finite = [value for value in (*curve, *undone) if math.isfinite(value)]
    if len(curve) < 2 or not finite:
        return []
    ends = [*curve[:1], *undone[:1]], [*curve[-1:], *undone[-1:], *([] if floor is None else [floor])]
    before, after = (max(len(_number(value)) for value in values) for values in ends)
    room = max(width - before - after - 2, FEWEST_POINTS)
    shown = thinned(curve, room)
    low, high = min(least, *finite) if math.isfinite(least) else min(finite), max(finite)

    def row(label: str, values: Sequence[float], first: str, last: float) -> tuple[str, str]:
        line = sparkline(values, low=low, high=high, blocks=blocks)
        return label, f"{first:>{before}} {line} {_number(last)}"

    rows = [row("loss", shown, _number(curve[0]), curve[-1])]
    if floor is not None:
        rows.append(row("floor", [floor] * len(shown), "", floor))
    if len(undone) > 1:
        rows.append(row("undone", thinned(undone, room), _number(undone[0]), undone[-1]))
    return rows


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"
