"""The example repositories give the verdicts that their READMEs promise, serial, in parallel, and for other seeds."""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import Any

import pytest

SKIPPED = "not_applicable"
ARTICLE = {
    ("incorrect", "outputs_are_logits"): "softmax_before_cross_entropy",
    ("incorrect", "loss_reaches_its_minimum"): "softmax_before_cross_entropy",
    ("bce", "output_shape_is_stable"): "output_shape_depends_on_batch",
}
REAL = {
    ("cnn_with_softmax", "outputs_are_logits"): "softmax_before_cross_entropy",
    ("cnn_with_softmax", "loss_reaches_its_minimum"): "softmax_before_cross_entropy",
}


def report(pytester: pytest.Pytester, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and results of a run in a process of its own."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--logit-checks", "--logit-report=out.json"]
    result = pytester.run(*command, *arguments)
    return int(result.ret), json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))["results"]


def failures(results: list[dict[str, Any]]) -> dict[tuple[str, str], str | None]:
    return {(r["model"], r["check"]): r["cause"] for r in results if r["outcome"] not in ("passed", SKIPPED)}


HAS_TRANSFORMERS = importlib.util.find_spec("transformers") is not None
EXAMPLES = [
    ("article", ARTICLE),
    pytest.param("real", REAL, marks=pytest.mark.skipif(not HAS_TRANSFORMERS, reason="the example uses transformers")),
]


@pytest.mark.parametrize(("folder", "expected"), EXAMPLES)
def test_example_gives_its_verdicts(pytester: pytest.Pytester, folder: str, expected):
    pytester.copy_example(f"docs/examples/{folder}")
    code, results = report(pytester)
    assert failures(results) == expected
    assert code == pytest.ExitCode.TESTS_FAILED


def test_softmax_finding_has_place_floor_and_proof(pytester: pytest.Pytester):
    pytester.copy_example("docs/examples/article")
    _, results = report(pytester, "-k", "incorrect and loss_reaches_its_minimum")
    (found,) = results
    code = (pytester.path / "models.py").read_text(encoding="utf-8").splitlines()
    assert found["location"] == {"file": "models.py", "line": code.index("        return self.model(x)") + 1}
    assert found["counterexample"]["floor"] == pytest.approx(0.3133, abs=1e-4)
    assert found["proof"]["with_fix"] < found["proof"]["goal"] < found["counterexample"]["floor"]
    assert found["proof"]["as_written"] > found["counterexample"]["floor"]


def test_same_seed_gives_the_same_numbers(pytester: pytest.Pytester):
    pytester.copy_example("docs/examples/article")
    runs = [report(pytester, "-k", "incorrect")[1] for _ in range(2)]
    for results in runs:
        for result in results:
            del result["seconds"]
    assert json.dumps(runs[0]) == json.dumps(runs[1])
