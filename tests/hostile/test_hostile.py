"""Runs of pytest on models that do what no model should: what becomes of each, of the others and of the process."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest
import torch

from pytest_logits.guard import preserved_state
from tests import versions
from tests.hostile.models import CHECKS, KINDS

HERE = Path(__file__).parent
CONFTEST = """
import json
import os
import random

import numpy
import pytest
import torch

import hostile_models
from hostile_state import changes, snapshot

random.seed(0)
numpy.random.seed(0)
torch.manual_seed(0)
for kind in os.environ["HOSTILE"].split():
    hostile_models.register(kind)
changed = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    before = snapshot()
    try:
        return (yield)
    finally:
        item.user_properties.append(("changed", repr(changes(before, snapshot()))))


def pytest_runtest_logreport(report):
    changed.update({report.nodeid: value for name, value in report.user_properties if name == "changed"})


def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        with open("changed.json", "w", encoding="utf-8") as file:
            json.dump(changed, file)
"""
OWN = """
import random

import numpy
import torch


def test_own():
    print("drawn:", float(torch.rand(())), random.random(), float(numpy.random.rand()))
"""


class Run(NamedTuple):
    """What is left of a run: its exit code, what it printed, its records and the state that items have changed."""

    code: int
    output: str
    records: dict[tuple[str, str], dict[str, Any]]
    changed: dict[str, str]
    files: set[str]


def prepare(folder: Path) -> None:
    shutil.copy(HERE / "models.py", folder / "hostile_models.py")
    shutil.copy(HERE / "state.py", folder / "hostile_state.py")
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (folder / "test_own.py").write_text(OWN, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")


def read(folder: Path, code: int, output: str) -> Run:
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    changed = json.loads((folder / "changed.json").read_text(encoding="utf-8"))
    records = {(record["model"], record["check"]): record for record in report["results"]}
    return Run(code, output, records, changed, {path.name for path in folder.iterdir()})


OPTIONS = ["--logit-checks", "--logit-profile=quick", f"--logit-select={','.join(CHECKS.values())}"]
OPTIONS += ["--logit-report=report.json", "-p", "no:cacheprovider", "-v", "-rA"]
ENTRIES = [entry for kind in KINDS.values() for entry in kind.values()]
DESELECTED = [
    f"--deselect=hostile_models.py::{entry.name}::{check}"
    for entry in ENTRIES
    for check in CHECKS.values()
    if check not in entry.verdicts
]
WANTED = {(entry.name, check) for entry in KINDS["survived"].values() for check in entry.verdicts}


@pytest.fixture(scope="module", params=["serial", pytest.param("two workers", marks=pytest.mark.slow)])
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, clean_environment: dict[str, str]
) -> Run:
    """All models that can be survived, in one process; with those that cannot, in two."""
    folder = tmp_path_factory.mktemp("hostile")
    prepare(folder)
    workers = request.param == "two workers"
    command = [sys.executable, "-B", "-m", "pytest", *OPTIONS, *DESELECTED, *(["-n2"] if workers else [])]
    environment = {**clean_environment, "HOSTILE": "survived deadly" if workers else "survived"}
    # A worker is not given the -B.
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return read(folder, done.returncode, done.stdout.decode("utf-8", errors="replace"))


@pytest.mark.parametrize("name", KINDS["survived"])
def test_each_gets_its_verdicts(run: Run, name: str):
    versions.needs_torch_2_4(name == "is_half_precision", "no NLL loss of float16 on a CPU")
    entry = KINDS["survived"][name]
    found = {check: run.records[name, check] for check in entry.verdicts}
    assert {check: f"{r['outcome']} {r['measured']}" for check, r in found.items()} == {
        check: _Verdict(words) for check, words in entry.verdicts.items()
    }


class _Verdict:
    """Equal to a verdict with the outcome and the words."""

    def __init__(self, wanted: str) -> None:
        self.outcome, _, self.words = wanted.partition(" ")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and other.startswith(f"{self.outcome} ") and self.words in other

    def __repr__(self) -> str:
        return f"{self.outcome} ...{self.words}..."


def test_each_item_leaves_the_process_as_it_was(run: Run):
    of_items = {f"hostile_models.py::{name}::{check}" for name, check in WANTED}
    assert of_items <= run.changed.keys()
    assert {nodeid: run.changed[nodeid] for nodeid in of_items if run.changed[nodeid] != "{}"} == {}


def test_there_are_at_least_sixty():
    assert len(ENTRIES) >= 60


def test_the_session_ends_with_its_summary_and_the_usual_exit_code(run: Run):
    assert run.code == pytest.ExitCode.TESTS_FAILED
    # The triton that torch 2.15 brings speaks of leaks after that, as Python ends.
    last = [line for line in run.output.splitlines() if line.startswith("=")][-1]
    assert re.search(r"^=+ \d+ failed, \d+ passed.* =+$", last)
    assert "INTERNALERROR" not in run.output


def test_the_users_own_test_draws_what_it_would_have_drawn(run: Run):
    """It runs after all models, or in a worker between some."""
    with preserved_state():
        random.seed(0)
        numpy.random.seed(0)
        torch.manual_seed(0)
        drawn = f"drawn: {float(torch.rand(()))} {random.random()} {float(numpy.random.rand())}"
    assert drawn in run.output


def test_nothing_is_written_but_the_reports(run: Run):
    ours = {"report.json", "changed.json", "hostile_models.py", "hostile_state.py"}
    assert run.files == ours | {"conftest.py", "test_own.py", "pytest.ini"}


def test_a_traceback_is_the_users_own(run: Run):
    sections = re.split(r"^=+ ([^=\n]+) =+$", run.output, flags=re.MULTILINE)
    failures = sections[sections.index("FAILURES") + 1]
    assert "mine" in failures
    assert set(re.findall(r"\b(?:pytest_logits|_pytest|pluggy|hypothesis|torch)/\S+\.py", failures)) == set()


def test_what_a_model_says_does_not_steer_the_terminal(run: Run):
    assert [mark for mark in ("\x1b[2J", "\x07") if mark in run.output] == []
    assert r"ValueError: \x1b[2J\x07red" in run.output


def test_a_place_is_the_users_line(run: Run):
    source = (HERE / "models.py").read_text(encoding="utf-8").splitlines()
    place = run.records["RaisesInForward", CHECKS["shape"]]["location"]
    assert (place["file"], source[place["line"] - 1].strip()) == ("hostile_models.py", 'raise ValueError("mine")')


def test_where_a_worker_is_lost_only_its_item_is(run: Run, request: pytest.FixtureRequest):
    if "serial" in request.node.name:
        pytest.skip("in one process, what ends it ends the session")
    lost = {model for (model, _), record in run.records.items() if "died while this ran" in record["measured"]}
    assert lost == set(KINDS["deadly"])
    assert run.records.keys() >= WANTED


def test_what_does_not_end_is_an_error_with_its_place(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """In a process of its own: threads that do not end stay behind."""
    prepare(pytester.path)
    monkeypatch.setenv("HOSTILE", "endless")
    select = f"--logit-select={CHECKS['learns']}"
    result = pytester.runpytest_subprocess(*OPTIONS[:2], *OPTIONS[3:], select, "--logit-timeout=0.3")
    run = read(pytester.path, int(result.ret), result.stdout.str())
    found = {name: (record["outcome"], record["measured"]) for (name, _), record in run.records.items()}
    assert found == {name: ("error", _Place(name)) for name in KINDS["endless"]}
    assert {nodeid for nodeid, changed in run.changed.items() if changed != "{}"} <= {"test_own.py::test_own"}
    result.assert_outcomes(passed=1, failed=len(KINDS["endless"]))


class _Place:
    """Equal to words that say how long a model was given and in which of its functions it was."""

    def __init__(self, name: str) -> None:
        inside = {"SpinsInTrain": "train", "SpinsInBackward": "backward", "spins_in_the_factory": name}
        self.words = rf"did not finish in 0\.3 s at hostile_models\.py:\d+ in {inside.get(name, 'forward')}"
        if name == "GoesOnAsIfNothingWere":
            # It may have gone on to its end.
            self.words = self.words.replace(" at", "( at") + ")?"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(self.words, other) is not None

    def __repr__(self) -> str:
        return self.words
