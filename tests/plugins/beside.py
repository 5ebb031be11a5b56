"""Beside each other plugin the checks give the verdicts that they give alone: real runs, one after the other.

For ``tox -e plugins``, which installs them: ``pytest tests/plugins/beside.py``. The name keeps it out of the suite.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

CHECKS = "outputs_are_logits,output_shape_is_stable,evaluation_is_deterministic,loss_reaches_its_minimum"
CONFTEST = """
import pytest_logits
import torch
from torch import nn

torch.manual_seed(0)


class Net(nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.1), nn.ReLU(), nn.Linear(8, 3), activation)

    def forward(self, x):
        return self.layers(x)


@pytest_logits.register(input_shape=(6,), num_classes=3)
def sound():
    return Net(nn.Identity())


@pytest_logits.register(input_shape=(6,), num_classes=3)
def faulty():
    return Net(nn.Softmax(dim=1))


@pytest_logits.register(input_shape=(6,), num_classes=3)
def raising():
    raise KeyError("<b>my own mistake</b>")


@pytest_logits.register(input_shape=(6,), num_classes=3, expected_failures={"outputs_are_logits": "known"})
def expected():
    return Net(nn.Softmax(dim=1))
"""
OWN = """
import pytest
from hypothesis import given
from hypothesis import strategies as st


def test_passes(): pass


def test_fails(): assert 1 == 2


@pytest.mark.skip(reason="no")
def test_skips(): pass


@given(number=st.integers(0, 9))
def test_draws(number): assert number < 10


def test_takes_a_classifier(logit_classifier): assert logit_classifier.num_classes == 3
"""


@dataclass(frozen=True)
class Beside:
    """One plugin: the name of its entry point, its distribution, and a way to be used."""

    entry: str
    distribution: str
    arguments: tuple[str, ...] = ()
    more: Mapping[str, str] = ()  # type: ignore[assignment]
    left: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The plugin and how it is used."""
        return " ".join([self.entry, *self.arguments])


ASYNC = "import pytest\n\n\n@pytest.mark.asyncio\nasync def test_waits(): pass\n"
BENCH = "def test_is_timed(benchmark): benchmark(sum, [1, 2])\n"
PAGE = ("-p", "metadata", "-p", "html_fixtures")
PLUGINS = (
    Beside("xdist", "pytest-xdist", ("-n", "2")),
    Beside("xdist", "pytest-xdist", ("-n", "2", "--dist=loadfile")),
    Beside("randomly", "pytest-randomly", ("--randomly-seed=1",)),
    Beside("randomly", "pytest-randomly", ("--randomly-seed=2",)),
    Beside("rerunfailures", "pytest-rerunfailures", ("--reruns=1",)),
    Beside("timeout", "pytest-timeout", ("--timeout=300",)),
    Beside("pytest_cov", "pytest-cov", ("--cov=.", "--cov-report="), left=(".coverage",)),
    Beside("html", "pytest-html", (*PAGE, "--html=page.html", "--self-contained-html"), left=("page.html",)),
    Beside("sugar", "pytest-sugar", ("--force-sugar",)),
    Beside("asyncio", "pytest-asyncio", ("--asyncio-mode=auto",), {"test_async.py": ASYNC}),
    Beside("benchmark", "pytest-benchmark", ("--benchmark-min-rounds=2",), {"test_bench.py": BENCH}, (".benchmarks",)),
    Beside("hypothesispytest", "hypothesis", ("--hypothesis-show-statistics", "--hypothesis-seed=7")),
    Beside("hypothesispytest", "hypothesis", ("--hypothesis-verbosity=debug", "--hypothesis-explain")),
    Beside("pytest_torch", "pytest-torch"),
)


@dataclass(frozen=True)
class Done:
    """What a run leaves: its exit code, what it printed, the records, the outcomes of the user's tests, its files."""

    code: int
    output: str
    records: dict[str, dict[str, Any]]
    own: dict[str, list[str]]
    files: set[str]


def run(folder: Path, pytester: pytest.Pytester, *arguments: str, more: Mapping[str, str], auto: bool = False) -> Done:
    """A run in a process of its own, with the plugins that the arguments name and no others, or with all there are."""
    folder.mkdir()
    for name, text in {"conftest.py": CONFTEST, "test_own.py": OWN, **more}.items():
        (folder / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--logit-checks", f"--logit-select={CHECKS}"]
    command += ["--logit-profile=quick", "--logit-report=out.json", "--junitxml=out.xml", "--color=no"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("PYTEST_ADDOPTS", raising=False)
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "" if auto else "1")
        result = pytester.run(*command, *(() if auto else ("-p", "logits")), *arguments, timeout=900)
    records = json.loads((folder / "out.json").read_text(encoding="utf-8"))["results"]
    for record in records:
        # Which check pays for a run that several share depends on their order.
        del record["seconds"], record["passes"]
    # Plugins may print what they like.
    cases = ElementTree.parse(folder / "out.xml").iter("testcase")
    own = {one.get("name", ""): [child.tag for child in one] for one in cases if one.get("classname") == "test_own"}
    kept = {path.name for path in folder.iterdir()} - {"__pycache__", "out.json", "out.xml", ".hypothesis"}
    output = result.stdout.str() + result.stderr.str()
    return Done(int(result.ret), output, {record["nodeid"]: record for record in records}, own, kept)


def the_same(one: Done, other: Done) -> bool:
    """Whether two runs have the same records, but for training that the clock has cut short in either."""
    cut = {
        nodeid
        for done in (one, other)
        for nodeid, record in done.records.items()
        if record["evidence"].get("cut_after_seconds") is not None
    }
    first, second = ({k: v for k, v in done.records.items() if k not in cut} for done in (one, other))
    return list(one.records) == list(other.records) and first == second


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs have their folders."""
    return tmp_path_factory.mktemp("beside")


_ALONE: list[Done] = []


@pytest.fixture
def alone(folder: Path, pytester: pytest.Pytester) -> Done:
    """The run with no other plugin, made once."""
    if not _ALONE:
        _ALONE.append(run(folder / "alone", pytester, more={}))
    return _ALONE[0]


def installed(distribution: str) -> bool:
    """Whether the plugin can be had; tox installs all."""
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def test_alone_the_models_get_their_verdicts(alone: Done):
    found = {
        (r["model"], r["check"]): r["cause"] for r in alone.records.values() if r["outcome"] in ("failed", "xfailed")
    }
    assert found["faulty", "outputs_are_logits"] == "softmax_before_cross_entropy"
    assert found["expected", "outputs_are_logits"] == "softmax_before_cross_entropy"
    assert not [model for model, _ in found if model == "sound"]
    assert {r["outcome"] for r in alone.records.values() if r["model"] == "raising"} == {"error"}
    assert alone.code == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.id)
def test_beside_it_the_verdicts_are_the_same(plugin: Beside, alone: Done, folder: Path, pytester: pytest.Pytester):
    if not installed(plugin.distribution):
        pytest.skip(f"{plugin.distribution} is not installed")
    name = f"run{PLUGINS.index(plugin)}"
    done = run(folder / name, pytester, "-p", plugin.entry, *plugin.arguments, more=dict(plugin.more))
    assert "INTERNALERROR" not in done.output
    assert the_same(done, alone), done.output
    assert done.own == alone.own
    assert done.code == alone.code
    assert done.files == {"conftest.py", "test_own.py", *dict(plugin.more), *plugin.left}


def test_with_all_at_once_the_verdicts_are_the_same(alone: Done, folder: Path, pytester: pytest.Pytester):
    done = run(folder / "all", pytester, "-n", "2", "--reruns=1", "--timeout=300", more={}, auto=True)
    assert "INTERNALERROR" not in done.output
    assert the_same(done, alone), done.output
    assert done.code == alone.code


def test_a_timeout_of_pytest_timeout_is_an_error_of_that_check(folder: Path, pytester: pytest.Pytester):
    if not installed("pytest-timeout"):
        pytest.skip("pytest-timeout is not installed")
    hangs = CONFTEST.replace('raise KeyError("<b>my own mistake</b>")', "import time; time.sleep(60)")
    arguments = ("-p", "timeout", "--timeout=3", "--timeout-method=signal", "-k", "raising and outputs_are_logits")
    done = run(folder / "hangs", pytester, *arguments, more={"conftest.py": hangs})
    (record,) = done.records.values()
    assert (record["check"], record["outcome"]) == ("outputs_are_logits", "error")
    assert "Timeout" in record["measured"]
    assert done.code == pytest.ExitCode.TESTS_FAILED


def test_the_page_of_pytest_html_escapes_what_models_say(folder: Path, pytester: pytest.Pytester):
    if not installed("pytest-html"):
        pytest.skip("pytest-html is not installed")
    arguments = ("-p", "html", *PAGE, "--html=page.html", "-k", "raising")
    run(folder / "page", pytester, *arguments, more={})
    page = (folder / "page" / "page.html").read_text(encoding="utf-8")
    assert "my own mistake" in page
    assert "<b>my own mistake" not in page
