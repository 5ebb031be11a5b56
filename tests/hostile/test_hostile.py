"""Runs of pytest on models that do what no model should: what becomes of each, of the others and of the process."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.hostile.models import CHECKS, KINDS, SOUND

HERE = Path(__file__).parent
CONFTEST = """
import json
import os

import pytest

import hostile_models
from hostile_state import changes, snapshot

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
# Of each that ends its process, one check: every other costs another worker.
DEADLY = [
    f"--deselect=hostile_models.py::{name}::{check}" for name in KINDS["deadly"] for check in list(CHECKS.values())[1:]
]


@pytest.fixture(scope="module", params=["serial", "two workers"])
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, clean_environment: dict[str, str]
) -> Run:
    """All models that can be survived, in one process; with those that cannot, in two."""
    folder = tmp_path_factory.mktemp("hostile")
    prepare(folder)
    workers = request.param == "two workers"
    command = [sys.executable, "-B", "-m", "pytest", *OPTIONS, *(["-n2", *DEADLY] if workers else [])]
    environment = {**clean_environment, "HOSTILE": "survived deadly" if workers else "survived"}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return read(folder, done.returncode, done.stdout.decode("utf-8", errors="replace"))


@pytest.mark.parametrize("name", KINDS["survived"])
def test_each_gets_its_verdicts(run: Run, name: str):
    entry = KINDS["survived"][name]
    found = {check: run.records[name, check] for check in CHECKS.values()}
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
