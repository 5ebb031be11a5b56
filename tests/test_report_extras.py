"""Beside pytest-html and pytest-github-actions-annotate-failures; `tox -e browser` installs both."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_logits.annotations import OTHER_PLUGIN
from pytest_logits.finding import Location, Verdict
from pytest_logits.model_registry import isolated

SHAPE = "output_shape_is_stable"
NET = """
import torch, pytest_logits
pytest_logits.register(lambda: torch.nn.Linear(4, 2), name="net", input_shape=(4,), num_classes=2)
"""


@pytest.mark.parametrize("args", [(), ("-n", "1")], ids=["here", "with a worker"])
def test_a_result_has_its_card_in_the_html_report(pytester: pytest.Pytester, decides: Any, args: tuple[str, ...]):
    pytest.importorskip("pytest_html", reason="pytest-html is not installed")
    pytester.makeconftest(NET)
    if not args:
        decides(SHAPE, lambda subject: Verdict(outcome="failed", measured="<script>it</script>"))
    with isolated():
        pytester.runpytest_inprocess(
            "--logit-checks", f"--logit-select={SHAPE}", "--html=out.html", "--self-contained-html", *args
        )
    text = (pytester.path / "out.html").read_text(encoding="utf-8")
    # The page keeps its data as JSON in an attribute, so what was escaped once is so twice.
    assert "dl class=" in text
    assert "finding" in text
    assert "<script>it" not in text
    assert ("&amp;lt;script&amp;gt;it" in text) == (not args)


@pytest.mark.parametrize("place", [Location(file="net.py", line=14), None], ids=["a line", "no line"])
def test_a_failure_is_annotated_once_at_its_line_with_its_text(
    pytester: pytest.Pytester, decides: Any, monkeypatch: pytest.MonkeyPatch, place: Location | None
):
    pytest.importorskip(OTHER_PLUGIN, reason="pytest-github-actions-annotate-failures is not installed")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(pytester.path.parent))
    pytester.makeconftest(NET)
    decides(SHAPE, lambda subject: Verdict(outcome="failed", measured="it is 3", location=place))
    with isolated():
        result = pytester.runpytest_inprocess("--logit-checks", f"--logit-select={SHAPE}")
    (line,) = (line for line in [*result.outlines, *result.errlines] if line.startswith("::"))
    place_of_it = "net.py,line=14" if place is not None else "conftest.py,line=2"
    assert line.startswith(f"::error file={pytester.path.name}/{place_of_it}::net::{SHAPE}%0A%0A{SHAPE} does not hold")
    assert "measured  it is 3" in line
