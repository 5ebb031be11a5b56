"""The example repositories give the verdicts that their READMEs promise, serial, in parallel, and for other seeds."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

DOCS = Path(__file__).parent.parent / "docs" / "examples"
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


class Run(NamedTuple):
    """A run in a process of its own that has ended: exit code, results of its report, and the models it was of."""

    code: int
    results: list[dict[str, Any]]
    models: Path


def run(folder: str, to: Path, environment: dict[str, str]) -> Run:
    shutil.copytree(DOCS / folder, to, dirs_exist_ok=True)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--logit-checks", "--logit-report=out.json"]
    done = subprocess.run(command, cwd=to, env=environment, capture_output=True, check=False)
    return Run(done.returncode, records(to), to / "models.py")


def records(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "out.json").read_text(encoding="utf-8"))["results"]
    return found


@pytest.fixture(scope="module")
def article(tmp_path_factory: pytest.TempPathFactory, clean_environment: dict[str, str]) -> Run:
    return run("article", tmp_path_factory.mktemp("article"), clean_environment)


def failures(results: list[dict[str, Any]]) -> dict[tuple[str, str], str | None]:
    return {(r["model"], r["check"]): r["cause"] for r in results if r["outcome"] not in ("passed", SKIPPED)}


def test_the_articles_example_gives_its_verdicts(article: Run):
    assert failures(article.results) == ARTICLE
    assert article.code == pytest.ExitCode.TESTS_FAILED


def test_the_real_example_gives_its_verdicts(pytester: pytest.Pytester):
    transformers = pytest.importorskip("transformers", reason="the example uses it")
    # What is first imported in a run inside this one is forgotten after it, and takes seconds to import again.
    assert transformers.BertForSequenceClassification
    assert transformers.ViTForImageClassification
    pytester.copy_example("docs/examples/real")
    code = pytester.runpytest_inprocess("--logit-checks", "--logit-report=out.json").ret
    assert failures(records(pytester.path)) == REAL
    assert code == pytest.ExitCode.TESTS_FAILED


def test_softmax_finding_has_place_floor_and_proof(article: Run):
    (found,) = (r for r in article.results if (r["model"], r["check"]) == ("incorrect", "loss_reaches_its_minimum"))
    code = article.models.read_text(encoding="utf-8").splitlines()
    assert found["location"] == {"file": "models.py", "line": code.index("        return self.model(x)") + 1}
    assert found["counterexample"]["floor"] == pytest.approx(0.3133, abs=1e-4)
    assert found["proof"]["with_fix"] < found["proof"]["goal"] < found["counterexample"]["floor"]
    assert found["proof"]["as_written"] > found["counterexample"]["floor"]


def test_same_seed_gives_the_same_numbers(pytester: pytest.Pytester, article: Run, monkeypatch: pytest.MonkeyPatch):
    """In another process, with other things done before, and of one of the models alone."""
    # Another test may have imported the example's module from where it lies in docs.
    monkeypatch.delitem(sys.modules, "models", raising=False)
    pytester.copy_example("docs/examples/article")
    pytester.runpytest_inprocess("--logit-checks", "--logit-report=out.json", "-k", "incorrect")
    here, there = (
        [{**r, "seconds": 0} for r in results if r["model"] == "incorrect"]
        for results in (records(pytester.path), article.results)
    )
    assert json.dumps(here) == json.dumps(there)
