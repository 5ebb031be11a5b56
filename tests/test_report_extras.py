"""The extras of a pytest-html report; `tox -e browser` installs it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_logits.finding import Verdict
from pytest_logits.model_registry import isolated

pytest.importorskip("pytest_html", reason="pytest-html is not installed")

SHAPE = "output_shape_is_stable"


@pytest.mark.parametrize("args", [(), ("-n", "1")], ids=["here", "with a worker"])
def test_a_result_has_its_card_in_the_html_report(pytester: pytest.Pytester, decides: Any, args: tuple[str, ...]):
    pytester.makeconftest(
        """
        import torch, pytest_logits
        pytest_logits.register(lambda: torch.nn.Linear(4, 2), name="net", input_shape=(4,), num_classes=2)
        """
    )
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
