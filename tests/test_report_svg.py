from __future__ import annotations

import math
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_logits.report_svg import histograms, loss_curves
from tests.example_report import CURVE, HOSTILE, SPREAD

RUN = {**CURVE, "loss_curve": [0.69, 0.5, "nan", 0.35, 0.327]}


def drawn(evidence: dict[str, Any]) -> ElementTree.Element:
    return ElementTree.fromstring(loss_curves(evidence))


def texts(element: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()) for text in element.iter("text")]


def heights(line: ElementTree.Element) -> list[float]:
    return [float(point.split(",")[1]) for point in line.attrib["points"].split()]


def levels(element: ElementTree.Element) -> list[float]:
    """The heights of the floors."""
    paths = (path.attrib["d"] for path in element.iter("path") if path.attrib["class"] == "floor")
    return [float(re.split("[,H]", path)[1]) for path in paths]


def test_a_curve_has_a_line_with_a_gap_where_it_is_not_finite():
    lines = [line for line in drawn(RUN).iter("polyline") if line.attrib["class"] == "loss"]
    assert [len(heights(line)) for line in lines] == [2, 2]


def test_a_lower_loss_is_drawn_lower():
    (line,) = drawn({"loss_curve": [3.0, 2.0, 1.0]}).iter("polyline")
    assert heights(line) == sorted(heights(line))


def test_the_curve_with_the_cause_undone_is_drawn_beside_it():
    assert [line.attrib["class"] for line in drawn(RUN).iter("polyline")] == ["loss", "loss", "undone"]


def test_the_two_curves_are_told_apart_without_colour():
    dotted = {line.attrib["class"]: "stroke-dasharray" in line.attrib for line in drawn(RUN).iter("polyline")}
    assert dotted == {"loss": False, "undone": True}


def test_the_floor_of_the_finding_is_drawn_below_the_losses_and_above_those_undone():
    root = drawn(RUN)
    (level,) = levels(root)
    lines = {line.attrib["class"]: heights(line) for line in root.iter("polyline")}
    assert max(lines["loss"]) < level < max(lines["undone"])
    assert "floor: 0.3133" in texts(root)


def test_without_a_finding_the_floors_of_activations_are_named():
    evidence = {"loss_curve": [2.0, 0.1], "floors": {"simplex": 1.4, "unit": 0.2}}
    assert {"softmax floor: 1.4", "sigmoid floor: 0.2"} <= set(texts(drawn(evidence)))


def test_of_floors_on_top_of_each_other_one_is_named():
    evidence = {"loss_curve": [2.0, 0.1], "floors": {"simplex": 1.4, "unit": 1.4001}}
    assert len(levels(drawn(evidence))) == 1


@pytest.mark.parametrize(
    "evidence",
    [{}, {"loss_curve": []}, {"loss_curve": [1.0]}, {"loss_curve": "abc"}, {"loss_curve": ["nan", "inf"]}],
    ids=str,
)
def test_what_is_no_curve_is_not_drawn(evidence: dict[str, Any]):
    assert loss_curves(evidence) == ""


@pytest.mark.parametrize("losses", [[1.0, 1.0], [1e300, -1e300], [1e-300, 0.0], [True, 2.0, 1.0]], ids=str)
def test_no_curve_has_a_place_that_is_no_number(losses: list[float]):
    assert not re.search("nan|inf", loss_curves({"loss_curve": losses}))


def test_a_histogram_has_a_bar_for_each_bin():
    ((name, drawing),) = histograms(SPREAD)
    bars = list(ElementTree.fromstring(drawing).iter("rect"))
    assert name == "least scattered"
    assert [float(bar.attrib["height"]) for bar in bars] == [pytest.approx(126), pytest.approx(42)]


@pytest.mark.parametrize(
    "found",
    [
        None,
        [1, 2],
        {"a": None},
        {"a": {"edges": [0.0, 1.0], "counts": [1, 2]}},
        {"a": {"edges": [0.0, 1.0], "counts": [0]}},
        {"a": {"edges": [1.0, 1.0], "counts": [1]}},
        {"a": {"edges": [0.0, math.inf], "counts": [1]}},
    ],
    ids=str,
)
def test_what_is_no_histogram_is_not_drawn(found: Any):
    assert list(histograms({"histograms": found})) == []


def test_names_of_a_hostile_user_are_text():
    evidence = {"loss_curve": [2.0, 0.1], "floors": {HOSTILE: 1.0}}
    assert f"{HOSTILE} floor: 1" in texts(drawn(evidence))
