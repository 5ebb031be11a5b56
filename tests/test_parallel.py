"""Under pytest-xdist: the same results as without, a model on one worker, and a dead worker that costs one item."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch.nn.functional as F

from pytest_logits import options
from pytest_logits.model import make_loss_spec
from pytest_logits.model_registry import add, isolated
from pytest_logits.parallel import Parallel, group_of, without_group
from pytest_logits.planting import plants, plants_of_losses
from pytest_logits.plugin import pytest_logits_distribution
from pytest_logits.settings import Settings
from tests.conftest import ARTICLE

SELECT = "--logit-select=outputs_are_logits,loss_reaches_its_minimum,every_parameter_learns,goes_on,comes_after"
# Beside the models of the article one that a test module registers, one in which a check can end its process, and a
# hook that sees the ids as other plugins do.
CONFTEST = """

import os
import pytest


@pytest_logits.register(input_shape=(4,), num_classes=2)
def doomed():
    return __import__("torch").nn.Linear(4, 2)


@pytest_logits.check(claim="the process goes on")
def goes_on(classifier):
    \"\"\"The process goes on.\"\"\"
    if "DIES" in os.environ and classifier.name == "doomed":
        os._exit(1)


@pytest_logits.check(claim="true")
def comes_after(classifier):
    \"\"\"True.\"\"\"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    assert not [item.nodeid for item in items if "@" in item.nodeid]
"""
MODULE = """
import pytest
import pytest_logits
from torch import nn


@pytest_logits.register(input_shape=(4,), num_classes=2)
def of_a_module():
    return nn.Linear(4, 2)


@pytest.mark.xdist_group("theirs")
def test_of_the_user(request):
    assert request.node.nodeid == "test_module.py::test_of_the_user"
"""
DEAD = "conftest.py::doomed::goes_on"
MODELS, CHECKS = 6, 5


@dataclass
class Run:
    """A run that has ended, with the results of its report, by node id, and what pytest's cache keeps for --lf."""

    stdout: str
    results: dict[str, dict[str, Any]]
    last_failed: set[str]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, clean_environment: dict[str, str]) -> dict[str, Run]:
    """One repository, checked without workers, and with two of which one dies."""
    folder = tmp_path_factory.mktemp("parallel")
    shutil.copy(ARTICLE / "models.py", folder)
    conftest = (ARTICLE / "conftest.py").read_text(encoding="utf-8") + CONFTEST
    (folder / "conftest.py").write_text(conftest, encoding="utf-8")
    (folder / "test_module.py").write_text(MODULE, encoding="utf-8")
    made = {}
    for name, arguments, environment in (
        ("serial", [SELECT], {}),
        ("two", [SELECT, "-n2"], {"DIES": "1"}),
    ):
        # In a tox environment pytest would keep its cache there.
        command = [sys.executable, "-m", "pytest", "-v", "-o", "cache_dir=.pytest_cache", "--logit-checks"]
        run = subprocess.run(
            [*command, "--logit-profile=quick", "--logit-report=out.json", *arguments],
            cwd=folder,
            env=clean_environment | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
        report = json.loads((folder / "out.json").read_text(encoding="utf-8"))
        failed = json.loads((folder / ".pytest_cache/v/cache/lastfailed").read_text(encoding="utf-8"))
        shutil.rmtree(folder / ".pytest_cache")
        made[name] = Run(run.stdout, {record["nodeid"]: record for record in report["results"]}, set(failed))
    return made


def test_two_workers_give_the_results_of_one(runs: dict[str, Run]):
    one, two = (
        [{**r, "seconds": 0} for nodeid, r in runs[name].results.items() if nodeid != DEAD]
        for name in ("serial", "two")
    )
    assert len(one) == MODELS * CHECKS - 1
    assert one == two


def test_the_checks_of_a_model_run_on_one_worker(runs: dict[str, Run]):
    workers: dict[str, set[str]] = defaultdict(set)
    for worker, model in re.findall(r"^\[(gw\d)\].* (\S+::\w+)::\w+ $", runs["two"].stdout, re.MULTILINE):
        workers[model].add(worker)
    assert set(workers) == {nodeid.rpartition("::")[0] for nodeid in runs["serial"].results}
    # What is left of the model that a worker died in is run by another.
    assert {len(of_one) for model, of_one in workers.items() if model != DEAD.rpartition("::")[0]} == {1}
    assert len(set.union(*workers.values())) > 1


def test_nobody_sees_the_groups(runs: dict[str, Run]):
    assert "@" not in runs["two"].stdout
    assert "test_of_the_user PASSED" in runs["serial"].stdout
    assert re.search(r"PASSED test_module.py::test_of_the_user", runs["two"].stdout)


def test_what_has_failed_can_be_run_again(runs: dict[str, Run]):
    assert runs["serial"].last_failed
    assert runs["two"].last_failed == runs["serial"].last_failed | {DEAD}


def test_a_worker_that_dies_costs_one_item(runs: dict[str, Run]):
    outcomes = {name: Counter(record["outcome"] for record in runs[name].results.values()) for name in runs}
    assert runs["serial"].results[DEAD]["outcome"] == "passed"
    assert outcomes["two"] == outcomes["serial"] - Counter(["passed"]) + Counter(["error"])
    # Once, not until pytest-xdist gives up.
    assert len(re.findall("replacing crashed worker", runs["two"].stdout)) == 1


def test_the_item_that_a_worker_died_of_is_an_error(runs: dict[str, Run]):
    record = runs["two"].results[DEAD]
    assert set(record) == set(runs["serial"].results[DEAD])
    assert record["claim"] == "the process goes on"
    assert re.match(r"worker gw\d died while this ran, without a word: the model calls os\._exit", record["measured"])
    assert record["reproduce"] == f"pytest --logit-checks {DEAD} --logit-profile=quick"


def test_the_death_is_told_as_a_failure(runs: dict[str, Run]):
    told = [line.strip() for line in runs["two"].stdout.splitlines()]
    assert "goes_on ended its process in doomed" in told
    assert f"rerun     pytest --logit-checks {DEAD} --logit-profile=quick" in told
    assert any(re.match(rf"{MODELS} models, {MODELS * CHECKS} checks: .*, 1 error\b", line) for line in told)


def crash(nodeid: str, config: Any) -> SimpleNamespace:
    node = SimpleNamespace(gateway=SimpleNamespace(id="gw3"))
    report = SimpleNamespace(node=node, longrepr="as pytest-xdist tells it")
    Parallel(config, Settings()).pytest_handlecrashitem(nodeid, report)  # type: ignore[arg-type]
    return report


class Session:
    """What is asked of pytest-xdist's session."""

    _max_worker_restart = 8


@pytest.fixture
def config(pytester: pytest.Pytester) -> pytest.Config:
    config = pytester.parseconfig("-n2")
    config.pluginmanager.register(Session(), "dsession")
    return config


def test_a_control_that_a_worker_died_of_is_an_error_with_what_was_planted(config: pytest.Config):
    control = crash("conftest.py::net::control[bounded_logits]", config).logit_control
    assert (control["outcome"], control["fault"]) == ("error", "bounded_logits")
    assert control["planted"] == plants()["bounded_logits"].words
    assert "gw3 died" in control["reason"]
    assert control["reproduce"] == "pytest --logit-checks 'conftest.py::net::control[bounded_logits]' --logit-controls"


def test_what_was_planted_in_a_loss_is_told_in_its_words(config: pytest.Config):
    file = (config.rootpath / "conftest.py").resolve()
    spec = make_loss_spec(F.cross_entropy, file=file, line=1, arguments={"name": "mine"})
    with isolated():
        add(spec)
        control = crash("conftest.py::mine::control[bounded_logits]", config).logit_control
        alone = crash("conftest.py::net::control[wrong_reduction]", config).logit_control
    assert control["planted"] == plants_of_losses()["bounded_logits"].words
    assert alone["planted"] == plants_of_losses()["wrong_reduction"].words


def test_a_test_of_the_users_that_a_worker_died_of_is_left_to_pytest(config: pytest.Config):
    assert vars(crash("test_a.py::test_b", config)).keys() == {"node", "longrepr"}
    assert crash("test_a.py::test_b", config).longrepr == "as pytest-xdist tells it"
    assert config.pluginmanager.get_plugin("dsession")._max_worker_restart == 8


@pytest.mark.parametrize(("given", "allowed"), [(None, 9), ("8", 8)])
def test_a_death_that_costs_an_item_does_not_count_unless_the_user_counts(
    config: pytest.Config, given: str | None, allowed: int
):
    config.option.maxworkerrestart = given
    crash("conftest.py::net::outputs_are_logits", config)
    assert config.pluginmanager.get_plugin("dsession")._max_worker_restart == allowed


@pytest.mark.parametrize(
    ("arguments", "dist"),
    [
        (["--logit-checks", "-n2"], "loadgroup"),
        (["--logit-controls", "-nauto"], "loadgroup"),
        (["--logit-checks", "-n2", "--dist=load"], "load"),
        (["--logit-checks", "-n2", "--dist=worksteal"], "worksteal"),
        (["--logit-checks", "-n2", "-d"], "no"),
        (["--logit-checks", "-n0"], "no"),
        (["--logit-checks"], "no"),
        (["-n2"], "no"),
    ],
    ids=" ".join,
)
def test_groups_are_chosen_where_the_user_has_said_nothing_else(
    pytester: pytest.Pytester, arguments: list[str], dist: str
):
    config = pytester.parseconfig(*arguments)
    hook = pytest_logits_distribution(config)
    next(hook)
    assert config.option.dist == dist


@pytest.mark.parametrize(
    ("nodeid", "plain"),
    [
        ("conftest.py::net::outputs_are_logits@conftest.py::net", "conftest.py::net::outputs_are_logits"),
        ("a@b/conftest.py::net::outputs_are_logits@a_b/conftest.py::net", "a@b/conftest.py::net::outputs_are_logits"),
        ("conftest.py::net::control[bounded_logits]@theirs", "conftest.py::net::control[bounded_logits]"),
        ("conftest.py::net::outputs_are_logits", "conftest.py::net::outputs_are_logits"),
        ("a@b/test_a.py::test_b", "a@b/test_a.py::test_b"),
        ("test_a.py::test_b@theirs", "test_a.py::test_b@theirs"),
    ],
)
def test_the_group_is_taken_off_ids_of_ours(nodeid: str, plain: str):
    assert without_group(nodeid) == plain


@pytest.mark.parametrize("file", ["conftest.py", "a@b/conftest.py", "a]/conftest.py"])
def test_pytest_xdist_reads_the_group_off_the_id(file: str):
    from xdist.scheduler import LoadGroupScheduling

    nodeid = f"{file}::net::outputs_are_logits"
    scheduler = LoadGroupScheduling.__new__(LoadGroupScheduling)
    assert scheduler._split_scope(f"{nodeid}@{group_of(nodeid)}") == group_of(nodeid)


@pytest.mark.parametrize(
    ("workers", "environment", "threads"),
    [
        (1, {}, None),
        (2, {}, 3),
        (4, {}, 1),
        (16, {}, 1),
        (2, {"OMP_NUM_THREADS": "5"}, None),
        (2, {"MKL_NUM_THREADS": "5"}, None),
    ],
)
def test_workers_share_the_processors_unless_the_environment_says_how_many_threads(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    environment: dict[str, str],
    threads: int | None,
):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    config = pytester.parseconfig()
    config.workerinput = {"workercount": workers}  # type: ignore[attr-defined]
    assert options.settings_of(config).threads == threads


SPLIT = ("--logit-checks", "--logit-select=outputs", "--splits=2")


def shards(pytester: pytest.Pytester) -> list[list[str]]:
    found = []
    for group in (1, 2):
        result = pytester.runpytest_inprocess("--collect-only", "-q", *SPLIT, f"--group={group}")
        found.append([line for line in result.outlines if "::" in line])
    return found


def test_pytest_split_shards_the_checks(repository: pytest.Pytester):
    pytest.importorskip("pytest_split")
    first, second = shards(repository)
    assert len(first) + len(second) == len({*first, *second}) == 4 * 8
    assert abs(len(first) - len(second)) <= 1


def test_pytest_split_knows_the_ids_of_the_checks_in_its_durations(repository: pytest.Pytester):
    pytest.importorskip("pytest_split")
    every = [nodeid for shard in shards(repository) for nodeid in shard]
    durations = {nodeid: 7.0 if nodeid == every[0] else 1.0 for nodeid in every}
    repository.makefile("", **{".test_durations": json.dumps(durations)})
    shortest = min(shards(repository), key=len)
    # 38 seconds in all: the first shard has the check of 7 and twelve of 1.
    assert every[0] in shortest
    assert len(shortest) == 13
