"""The figures of the documentation: what is drawn, and the numbers beside it, are those of a run."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
import torch
import torch.nn.functional as F

from tests.pages import text_of

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "figures"
PAGE = text_of("explanation/double-softmax.md")


def _loaded(name: str) -> ModuleType:
    """docs/ is no package, so the file is loaded by its path. Its dataclasses look their module up."""
    spec = importlib.util.spec_from_file_location(f"figures_{name}", FIGURES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


MEASURED = _loaded("double_softmax")
TERMINAL = _loaded("terminal")


def texts(figure: str) -> list[str]:
    root = ElementTree.parse(FIGURES / figure).getroot()
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


# The terminal.


def test_the_terminal_shows_what_the_readme_shows_as_text():
    (shown,) = TERMINAL.BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    drawn = "".join("".join(texts("terminal.svg")).split())
    assert drawn == "".join(f"$ {TERMINAL.COMMAND} {shown}".split()), "run `python docs/figures/terminal.py`"


def test_a_section_is_cut_out_of_the_output_of_a_run():
    output = "=== FAILURES ===\n___ a::b ___\none\n\x1b[31m___ c::d ___\x1b[0m\ntwo\n\n=== 2 failed ==="
    assert TERMINAL.section(output, "a::b") == ["___ a::b ___", "one"]
    assert [TERMINAL.plain(line) for line in TERMINAL.section(output, "c::d")] == ["___ c::d ___", "two", ""]


def test_colours_of_a_terminal_are_colours_of_the_picture():
    red, bold = f' fill="{TERMINAL.COLOURS[1]}"', ' font-weight="bold"'
    line = "a\x1b[31mb\x1b[1mc\x1b[0md\x1b[91;1me"
    assert list(TERMINAL.pieces(line)) == [("a", ""), ("b", red), ("c", red + bold), ("d", ""), ("e", red + bold)]


def test_what_a_terminal_shows_is_text_in_the_picture():
    picture = TERMINAL.svg(["<script>", "  a & b"])
    root = ElementTree.fromstring(picture)
    assert ["".join(node.itertext()) for node in root if node.tag.endswith("rect")] == [""]
    assert "".join(root.itertext()).split() == ["<script>", "a", "&", "b"]


# What a double softmax does.


def test_the_script_of_the_story_gives_what_the_page_says():
    with_softmax, single = MEASURED.story(softmax=True)
    without, single_without = MEASURED.story(softmax=False)
    assert single == single_without == 0
    assert f"{with_softmax:.1%}".replace("%", " %") in PAGE
    assert f"{without:.1%}".replace("%", " %") in PAGE


@pytest.mark.parametrize("classes", [2, 10])
def test_both_learn_and_only_one_gets_below_the_floor(classes: int):
    floor = MEASURED.floor(classes)
    right, wrong = (MEASURED.with_adam(classes, softmax=softmax) for softmax in (False, True))
    assert right.accuracies[-1] == wrong.accuracies[-1] == 1.0
    assert right.losses[-1] < 0.01 * floor
    assert floor <= min(wrong.losses) < 1.001 * floor
    drawn = texts("double_softmax_losses.svg")
    assert f"floor {floor:.4f}" in drawn
    assert "softmax first: accuracy 1.00" in drawn


def test_the_table_of_floors_is_the_formula():
    (classes, floors, guesses) = (
        re.findall(r"[\d.]+", row)
        for row in re.findall(r"^\| (?:classes|floor|guessing.*?) (\|.*)\|$", PAGE, re.MULTILINE)
    )
    assert [f"{MEASURED.floor(int(k)):.4f}" for k in classes] == floors
    assert [f"{torch.tensor(int(k)).double().log():.4f}" for k in classes] == guesses
    assert f"{MEASURED.floor(1000) / float(torch.tensor(1000.0).log()):.2f}".lstrip("0") in PAGE


def test_plain_sgd_at_100_classes_learns_without_the_softmax_only():
    drawn = texts("double_softmax_sgd.svg")
    for softmax, name in ((False, "logits"), (True, "softmax first")):
        shown = f"{MEASURED.with_sgd(100, softmax=softmax).accuracies[-1]:.2f}"
        assert shown in PAGE
        assert f"{name}: {shown} at the end" in drawn


@pytest.mark.parametrize("share", [0.5, 0.6, 0.7, 0.73, 0.9])
def test_what_softmax_outputs_say_at_the_minimum(share: float):
    """Held against the loss itself, on a grid of what a model may say."""
    says = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    outputs = torch.stack([says, 1 - says], dim=1)
    target = torch.tensor([share, 1 - share], dtype=torch.float64).expand_as(outputs)
    best = says[F.cross_entropy(outputs, target, reduction="none").argmin()]
    assert MEASURED.said(share) == pytest.approx(float(best), abs=1e-5)


def test_what_the_page_says_of_calibration():
    assert f"{MEASURED.said(0.6):.3f} where the share is 0.6, {MEASURED.said(0.7):.3f} where it is 0.7" in PAGE
    # said(p) is 1 where log(p / (1 - p)) is.
    assert f"1 from {torch.tensor(1.0, dtype=torch.float64).sigmoid():.4f} on" in PAGE
