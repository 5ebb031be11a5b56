"""Drawings for the HTML report, as inline SVG from the evidence of a record: loss curves and histograms. Pure.

Evidence is whatever a check has put there, one of the user's own too: what has not the expected form is not drawn.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 360, 160
LEFT, RIGHT, TOP, BOTTOM = 52, 8, 10, 24
# Floors nearer to each other than this, in pixels, would have their names on top of each other.
APART = 12
# What readers call the ranges that outputs are confined to.
ACTIVATIONS = {"simplex": "softmax", "unit": "sigmoid", "symmetric": "tanh", "nonnegative": "ReLU", "sphere": "norm"}


def loss_curves(evidence: Mapping[str, Any]) -> str:
    """The losses of the run, those with the cause undone, and the floors; empty where there is no curve."""
    curves = {"loss": _losses(evidence.get("loss_curve")), "undone": _losses(evidence.get("loss_curve_undone"))}
    finite = [value for curve in curves.values() for value in curve if value is not None]
    if len(finite) < 2:
        return ""
    floors = dict(_floors(evidence))
    low, high = min([*finite, *floors.values()]), max([*finite, *floors.values()])
    low = 0.0 if 0 < low < high - low else low
    high = high if high > low else low + 1.0
    steps = max(len(curve) for curve in curves.values())

    def x(step: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / max(steps - 1, 1)

    def y(loss: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - loss) / (high - low)

    parts = [_axes(low, high, "", "step")]
    for name, line in _apart({name: y(floor) for name, floor in floors.items()}):
        parts.append(f'<path class="floor" stroke-dasharray="5 4" d="M{LEFT},{line:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(
            _text(WIDTH - RIGHT, min(line + 11, HEIGHT - BOTTOM - 2), f"{name}: {floors[name]:.4g}", anchor="end")
        )
    for name, curve in curves.items():
        dots = ' stroke-dasharray="2 3"' if name == "undone" else ""
        for points in _runs(curve):
            drawn = " ".join(f"{x(step):.1f},{y(loss):.1f}" for step, loss in points)
            parts.append(f'<polyline class="{name}"{dots} points="{drawn}"><title>{name}</title></polyline>')
    title = f"loss from {finite[0]:.4g}, lowest {min(finite):.4g}"
    return _svg("curve", title, parts)


def histograms(evidence: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Pairs (what, drawing) of ``histograms``: for each name the ``edges`` of the bins and their ``counts``."""
    found = evidence.get("histograms")
    for name, bins in found.items() if isinstance(found, Mapping) else ():
        edges, counts = (_finite(bins.get(key)) if isinstance(bins, Mapping) else [] for key in ("edges", "counts"))
        if counts and len(edges) == len(counts) + 1 and min(counts) >= 0 and max(counts) > 0 and edges[0] < edges[-1]:
            yield str(name), _histogram(str(name), edges, counts)


def _histogram(name: str, edges: Sequence[float], counts: Sequence[float]) -> str:
    span, most = edges[-1] - edges[0], max(counts)
    parts = [_axes(0, most, f"{edges[0]:.4g}", f"{edges[-1]:.4g}")]
    for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True):
        at = LEFT + (WIDTH - LEFT - RIGHT) * (left - edges[0]) / span
        wide = (WIDTH - LEFT - RIGHT) * (right - left) / span
        tall = (HEIGHT - TOP - BOTTOM) * count / most
        place = f'x="{at:.1f}" y="{HEIGHT - BOTTOM - tall:.1f}" width="{max(wide - 1, 0.5):.1f}" height="{tall:.1f}"'
        told = f"<title>{left:.4g} to {right:.4g}: {count:.0f}</title>"
        parts.append(f'<rect fill="currentColor" stroke="none" {place}>{told}</rect>')
    return _svg("histogram", f"histogram of the scores, {name}", parts)


def _losses(found: Any) -> list[float | None]:
    """The losses of a curve in order, None for one that is not finite."""
    if not isinstance(found, list | tuple):
        return []
    return [float(value) if _is_number(value) else None for value in found]


def _finite(found: Any) -> list[float]:
    if not isinstance(found, list | tuple) or not all(map(_is_number, found)):
        return []
    return [float(value) for value in found]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _floors(evidence: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The floor that the finding is about; where there is none, that of each activation that could be in the way."""
    if _is_number(evidence.get("floor")):
        yield "floor", float(evidence["floor"])
    else:
        floors = evidence.get("floors")
        for name, floor in floors.items() if isinstance(floors, Mapping) else ():
            if _is_number(floor):
                yield f"{ACTIVATIONS.get(name, name)} floor", float(floor)


def _apart(lines: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """The names with their heights, those left out that would lie on another's."""
    shown: list[float] = []
    for name, line in sorted(lines.items(), key=lambda item: item[1]):
        if all(abs(line - other) >= APART for other in shown):
            shown.append(line)
            yield name, line


def _runs(curve: Iterable[float | None]) -> Iterator[list[tuple[int, float]]]:
    """The curve in pieces without gaps; a piece of one point is a short line."""
    piece: list[tuple[int, float]] = []
    for step, loss in enumerate([*curve, None]):
        if loss is not None:
            piece.append((step, loss))
        elif piece:
            yield piece if len(piece) > 1 else piece * 2
            piece = []


def _axes(low: float, high: float, first: str, last: str) -> str:
    bottom = HEIGHT - BOTTOM
    return "".join(
        [
            f'<path class="axes" d="M{LEFT},{TOP}V{bottom}H{WIDTH - RIGHT}"/>',
            _text(LEFT - 4, TOP + 8, f"{high:.4g}", anchor="end"),
            _text(LEFT - 4, bottom, f"{low:.4g}", anchor="end"),
            _text(LEFT, HEIGHT - 8, first) if first else "",
            _text(WIDTH - RIGHT, HEIGHT - 8, last, anchor="end"),
        ]
    )


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor" stroke="none">{escape(text)}</text>'
    )


def _svg(kind: str, title: str, parts: Iterable[str]) -> str:
    """Presentation attributes, so that it can be read where the report's style is not, in another report."""
    drawn = "".join(parts)
    return (
        f'<svg class="{kind}" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" fill="none" stroke="currentColor" font-size="11">{drawn}</svg>'
    )
