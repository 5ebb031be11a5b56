"""Runs with --logit-checks: which items there are, what becomes of their verdicts, and what is left behind."""

from __future__ import annotations

import gc
import json
import random
import re
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest
import torch

import pytest_logits
from pytest_logits.check_registry import all_checks
from pytest_logits.finding import Location, Proof, Verdict, inconclusive, not_applicable, passed
from pytest_logits.model_registry import isolated
from pytest_logits.subject import Subject
from tests.test_report_json import errors

SHAPE = "output_shape_is_stable"
RANGE = "outputs_are_logits"
BOTH = f"--logit-select={SHAPE},{RANGE}"
CHECKS = [c.name for c in all_checks()]
# These call the factory of a model that is registered with nothing but its inputs.
ASKING = [c.name for c in all_checks() if c.needs is None]
# They do not apply to a model that is registered with nothing but its inputs.
NEEDS_MORE = {
    "predictions_match_logits",
    "own_loss_is_the_registered_one",
    "models_are_equivalent",
    "training_step_trains",
    "inputs_are_scaled",
    "labels_fit_classes",
}

NET = """
    import torch
    import pytest_logits

    @pytest_logits.register(input_shape=(4,), num_classes=2)
    def net():
        return torch.nn.Linear(4, 2)
"""
TWO_NETS = (
    NET
    + """
    @pytest_logits.register(input_shape=(4,), num_classes=2)
    def other():
        return torch.nn.Linear(4, 2)
"""
)
RAISING = """
    import torch
    import pytest_logits

    class Net(torch.nn.Module):
        def forward(self, x):
            return self.head(x)

        def head(self, x):
            raise KeyError("my own mistake")

    @pytest_logits.register(input_shape=(4,), num_classes=2)
    def net():
        return Net()
"""
# A line longer than five would be a worse introduction.
FIVE_LINES = """\
import models, pytest_logits
given = dict(input_shape=(10,), num_classes=2)
pytest_logits.register(lambda: models.IncorrectBinaryClassifier(10), name="incorrect", **given)
pytest_logits.register(lambda: models.CorrectBinaryClassifier(10), name="correct", **given)
pytest_logits.register(lambda: models.BinaryClassifierBCE(10), name="bce", task="binary", **given)
"""

Decides = Callable[[str, Callable[[Subject], Verdict]], None]


def failed(subject: Subject) -> Verdict:
    return Verdict(outcome="failed", cause="bounded_logits", measured="it is 3", expected="4")


def advice(subject: Subject) -> Verdict:
    return Verdict(outcome="advice", cause="log_probabilities_into_cross_entropy", measured="it is 3")


def sound(subject: Subject) -> Verdict:
    return passed("it is 4")


def undecided(subject: Subject) -> Verdict:
    return inconclusive("it is 3.5", expected="3 or 4")


def inapplicable(subject: Subject) -> Verdict:
    return not_applicable("it has none")


def raises(subject: Subject) -> Verdict:
    raise KeyError("my own mistake")


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    """A run in this process, which starts with no models as one of its own would."""
    with isolated():
        return pytester.runpytest_inprocess("--logit-checks", *args)


def ids(pytester: pytest.Pytester, *args: str) -> list[str]:
    """The node ids of a run, without running them."""
    return [line for line in run(pytester, "--co", "-q", *args).outlines if "::" in line]


def records(pytester: pytest.Pytester, *args: str) -> list[dict[str, Any]]:
    """The results of a run's JSON report."""
    run(pytester, "--logit-report=out.json", *args)
    results: list[dict[str, Any]] = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))["results"]
    return results


def record(pytester: pytest.Pytester, *args: str) -> dict[str, Any]:
    (only,) = records(pytester, f"--logit-select={SHAPE}", *args)
    return only


# Where a model is registered


def in_conftest(pytester: pytest.Pytester) -> tuple[str, list[str]]:
    pytester.makeconftest(NET)
    return "conftest.py", []


def in_a_test_module(pytester: pytest.Pytester) -> tuple[str, list[str]]:
    pytester.makepyfile(test_net=NET + "\n    def test_own(): pass\n")
    return "test_net.py", []


def in_a_test_module_below(pytester: pytest.Pytester) -> tuple[str, list[str]]:
    pytester.makepyfile(**{"tests/test_net": NET + "\n    def test_own(): pass\n"})
    return "tests/test_net.py", []


def in_a_conftest_below(pytester: pytest.Pytester) -> tuple[str, list[str]]:
    pytester.makepyfile(**{"tests/conftest": NET})
    return "tests/conftest.py", []


def in_a_module_that_a_test_imports(pytester: pytest.Pytester) -> tuple[str, list[str]]:
    pytester.makepyfile(**{"tests/test_own": "import nets\n\ndef test_own(): pass"}, nets=NET)
    pytester.makeini("[pytest]\npythonpath = .")
    return "nets.py", []


def in_pyproject(pytester: pytest.Pytester) -> tuple[str, list[str]]:
    pytester.makepyfile(nets="import torch\n\ndef make(): return torch.nn.Linear(4, 2)")
    table = '[tool.pytest-logits.models.net]\nfactory = "nets:make"\nnum_classes = 2\ninput_shape = [4]\n'
    (pytester.path / "pyproject.toml").write_text(table, encoding="utf-8")
    return "pyproject.toml", []


def in_a_module_of_the_ini_file(pytester: pytest.Pytester) -> tuple[str, list[str]]:
    pytester.makepyfile(**{"registered/nets": NET})
    pytester.makeini("[pytest]\nlogit_models = registered.nets")
    return "registered/nets.py", []


def by_option(pytester: pytest.Pytester) -> tuple[str, list[str]]:
    pytester.makepyfile(nets="import torch\n\ndef net(): return torch.nn.Linear(4, 2)")
    return "nets.py", ["--logit-model=nets:net", "--logit-input-shape=4", "--logit-classes=2"]


PLACES = (
    in_conftest,
    in_a_test_module,
    in_a_test_module_below,
    in_a_conftest_below,
    in_a_module_that_a_test_imports,
    in_pyproject,
    in_a_module_of_the_ini_file,
    by_option,
)
everywhere = pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
from_folders = pytest.mark.parametrize("start", [".", "below"])


@pytest.fixture
def rooted(pytester: pytest.Pytester) -> pytest.Pytester:
    """A repository with an ini file, so that pytest finds its root from a folder below."""
    pytester.makeini("[pytest]")
    pytester.mkdir("below")
    return pytester


@everywhere
def test_an_id_is_file_model_check(rooted: pytest.Pytester, place: Callable[..., tuple[str, list[str]]]):
    file, args = place(rooted)
    found = [node for node in ids(rooted, *args) if "test_own" not in node]
    assert found == [f"{file}::net::{name}" for name in CHECKS]


@everywhere
@from_folders
def test_an_id_pasted_back_is_that_item_alone(
    rooted: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    place: Callable[..., tuple[str, list[str]]],
    start: str,
):
    file, args = place(rooted)
    monkeypatch.chdir(rooted.path / start)
    pasted = f"{'' if start == '.' else '../'}{file}::net::{SHAPE}"
    assert ids(rooted, pasted, *args) == [f"{file}::net::{SHAPE}"]


@everywhere
@from_folders
def test_the_command_of_a_failure_runs_that_item_alone(
    rooted: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    decides: Decides,
    place: Callable[..., tuple[str, list[str]]],
    start: str,
):
    decides(SHAPE, failed)
    decides(RANGE, failed)
    _, args = place(rooted)
    monkeypatch.chdir(rooted.path / start)
    result = run(rooted, str(rooted.path), BOTH, *args)
    commands = [line.split(None, 1)[1] for line in result.outlines if line.startswith("  rerun ")]
    program, option, *rest = shlex.split(commands[0])
    assert (program, option) == ("pytest", "--logit-checks")
    again = run(rooted, *rest)
    assert [line for line in again.outlines if line.startswith("FAILED ")] == [
        line for line in result.outlines if line.startswith("FAILED ") and RANGE in line
    ]


@from_folders
def test_an_id_of_the_short_summary_runs_that_item_alone(
    rooted: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, decides: Decides, start: str
):
    decides(SHAPE, failed)
    rooted.makeconftest(TWO_NETS)
    monkeypatch.chdir(rooted.path / start)
    result = run(rooted, "..", f"--logit-select={SHAPE}") if start == "below" else run(rooted)
    shown = next(line for line in result.outlines if line.startswith("FAILED ")).split()[1]
    run(rooted, shown).assert_outcomes(failed=1)


@pytest.mark.parametrize(
    ("args", "outcome"),
    [(["--logit-seed=7"], "failed"), (["--logit-profile=quick"], "failed"), (["--logit-strict"], "advice")],
)
def test_the_command_of_a_failure_keeps_the_settings(
    pytester: pytest.Pytester, decides: Decides, args: list[str], outcome: str
):
    decides(SHAPE, failed if outcome == "failed" else advice)
    pytester.makeconftest(NET)
    assert args[0] in record(pytester, *args)["reproduce"]


def test_an_unnamed_factory_belongs_to_the_module_that_has_it(pytester: pytest.Pytester):
    pytester.makepyfile(nets="import torch\n\nnet = torch.nn.Linear(4, 2)")
    found = ids(pytester, "--logit-model=nets:net", "--logit-input-shape=4", "--logit-classes=2", BOTH)
    assert [node.split("::")[0] for node in found] == ["nets.py", "nets.py"]


def test_a_model_from_outside_the_repository_has_its_file_in_the_id(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    pytester.makepyfile(**{"library/nets": "import torch\n\ndef net(): return torch.nn.Linear(4, 2)"})
    monkeypatch.syspath_prepend(pytester.path / "library")
    repository = pytester.mkdir("repository")
    (repository / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.chdir(repository)
    args = ["--logit-model=nets:net", "--logit-input-shape=4", "--logit-classes=2", f"--logit-select={SHAPE}"]
    assert ids(pytester, *args) == [f"../library/nets.py::net::{SHAPE}"]


def test_models_by_option_may_be_several(pytester: pytest.Pytester):
    pytester.makepyfile(nets="import torch\n\ndef a(): return torch.nn.Linear(4, 2)\n\ndef b(): return a()\n")
    models = ["--logit-model=nets:a", "--logit-model=nets:b"]
    found = ids(pytester, *models, "--logit-input-shape=4", "--logit-classes=2", f"--logit-select={SHAPE}")
    assert found == [f"nets.py::a::{SHAPE}", f"nets.py::b::{SHAPE}"]


@pytest.mark.parametrize("shape", ["3,8,8", "3x8x8", "(3, 8, 8)"])
def test_a_shape_may_be_written_as_people_do(pytester: pytest.Pytester, shape: str):
    pytester.makepyfile(
        nets="import torch\n\ndef net(): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2))"
    )
    args = ["--logit-model=nets:net", f"--logit-input-shape={shape}", "--logit-classes=2"]
    assert record(pytester, *args)["outcome"] == "passed"


# Pairs

PAIR = TWO_NETS.replace("num_classes=2)", "num_classes=2, equivalent_to='other')", 1)


def test_a_pair_is_compared_once_where_one_names_the_other(pytester: pytest.Pytester):
    pytester.makeconftest(PAIR)
    run(pytester, "--logit-select=models_are_equivalent").assert_outcomes(passed=1, skipped=1)


def test_a_pair_that_names_no_model_ends_the_session_when_all_are_known(pytester: pytest.Pytester):
    pytester.makeconftest(PAIR.replace("to='other'", "to='othr'"))
    result = run(pytester, "--co")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines("ERROR: cannot pair 'net' (*): equivalent_to='othr' is no registered model; *'other'?")


def test_an_id_may_leave_the_file_of_the_other_unloaded(pytester: pytest.Pytester):
    pytester.makepyfile(
        test_one=NET.replace("num_classes=2", "num_classes=2, equivalent_to='other'"), test_two=TWO_NETS
    )
    assert ids(pytester, f"test_one.py::net::{SHAPE}") == [f"test_one.py::net::{SHAPE}"]


# Which items run


def test_models_of_conftest_are_checked_wherever_the_path_points(rooted: pytest.Pytester):
    rooted.makeconftest(NET)
    rooted.makepyfile(**{"tests/unit/test_own": "def test_own(): pass"})
    found = ids(rooted, "tests/unit", f"--logit-select={SHAPE}")
    assert found == ["tests/unit/test_own.py::test_own", f"conftest.py::net::{SHAPE}"]


def test_models_of_the_ini_file_are_checked_wherever_the_path_points(rooted: pytest.Pytester):
    in_a_module_of_the_ini_file(rooted)
    assert ids(rooted, "below", f"--logit-select={SHAPE}") == [f"registered/nets.py::net::{SHAPE}"]


def test_a_model_is_checked_once_where_several_paths_lead_to_it(rooted: pytest.Pytester):
    rooted.makeconftest(NET)
    assert ids(rooted, "conftest.py", ".", f"--logit-select={SHAPE}") == [f"conftest.py::net::{SHAPE}"]


def test_a_test_module_that_is_imported_early_is_checked_once(pytester: pytest.Pytester):
    pytester.makepyfile(test_net=NET)
    pytester.makeconftest("import test_net")
    assert ids(pytester, f"--logit-select={SHAPE}") == [f"test_net.py::net::{SHAPE}"]


def test_models_of_files_that_are_not_loaded_are_not_checked(rooted: pytest.Pytester):
    rooted.makeconftest(NET)
    in_a_test_module_below(rooted)
    assert ids(rooted, "below", f"--logit-select={SHAPE}") == [f"conftest.py::net::{SHAPE}"]


def test_an_id_of_a_test_checks_no_model(rooted: pytest.Pytester):
    rooted.makeconftest(NET)
    rooted.makepyfile(test_own="def test_own(): pass")
    assert ids(rooted, "test_own.py::test_own") == ["test_own.py::test_own"]


def test_an_id_of_a_model_is_all_its_checks(pytester: pytest.Pytester):
    pytester.makeconftest(TWO_NETS)
    assert ids(pytester, "conftest.py::other", BOTH) == [f"conftest.py::other::{RANGE}", f"conftest.py::other::{SHAPE}"]


@pytest.mark.parametrize("node", ["conftest.py::net::output_is_stable", "conftest.py::nett"])
def test_an_id_that_nothing_has_is_an_error(pytester: pytest.Pytester, node: str):
    pytester.makeconftest(NET)
    assert run(pytester, node).ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["-k", "other"], [f"other::{RANGE}", f"other::{SHAPE}"]),
        (["-k", "net and logits"], [f"net::{RANGE}"]),
        (["-k", "not conftest"], []),
        (["-m", "logit_checks"], [f"net::{RANGE}", f"net::{SHAPE}", f"other::{RANGE}", f"other::{SHAPE}"]),
        (["-m", "not logit_checks"], []),
        (["--deselect", "conftest.py::net"], [f"other::{RANGE}", f"other::{SHAPE}"]),
        (["--deselect", f"conftest.py::net::{SHAPE}", "-k", "net"], [f"net::{RANGE}"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("-") else "",
)
@pytest.mark.parametrize("path", [".", "below"])
def test_pytests_own_choices_hold(rooted: pytest.Pytester, path: str, args: list[str], expected: list[str]):
    rooted.makeconftest(TWO_NETS)
    found = [node.removeprefix("conftest.py::") for node in ids(rooted, path, BOTH, *args)]
    assert found == expected


@pytest.mark.parametrize("path", [".", "below"])
def test_the_number_collected_is_the_number_of_items(rooted: pytest.Pytester, path: str):
    rooted.makeconftest(TWO_NETS)
    result = run(rooted, "--co", path, BOTH, "-k", "other")
    result.stdout.fnmatch_lines("collected 4 items / 2 deselected / 2 selected")


def test_last_failed_runs_what_failed(pytester: pytest.Pytester, decides: Decides):
    decides(RANGE, failed)
    pytester.makeconftest(TWO_NETS)
    run(pytester, BOTH)
    assert ids(pytester, BOTH, "--lf") == [f"conftest.py::net::{RANGE}", f"conftest.py::other::{RANGE}"]


def test_exitfirst_stops_at_the_first_failure(pytester: pytest.Pytester, decides: Decides):
    decides(SHAPE, failed)
    pytester.makeconftest(TWO_NETS)
    run(pytester, BOTH, "-x").assert_outcomes(passed=1, failed=1)


def test_collect_only_runs_nothing(pytester: pytest.Pytester, decides: Decides):
    decides(SHAPE, failed)
    pytester.makeconftest(NET)
    assert run(pytester, "--co").ret == pytest.ExitCode.OK


def test_collect_only_writes_no_report(pytester: pytest.Pytester):
    pytester.makeconftest(NET)
    run(pytester, "--co", "--logit-report=out.json")
    assert not (pytester.path / "out.json").exists()


def test_a_session_of_checks_without_tests_is_no_empty_session(pytester: pytest.Pytester):
    pytester.makeconftest(NET)
    assert run(pytester, f"--logit-select={SHAPE}").ret == pytest.ExitCode.OK


def test_junit_names_model_and_check(pytester: pytest.Pytester, decides: Decides):
    decides(SHAPE, failed)
    pytester.makeconftest(NET)
    run(pytester, f"--logit-select={SHAPE}", "--junitxml=out.xml")
    case = ElementTree.parse(pytester.path / "out.xml").find(".//testcase")
    assert case is not None
    assert (case.get("classname"), case.get("name")) == ("conftest.net", SHAPE)


def test_junit_has_the_finding(pytester: pytest.Pytester, decides: Decides):
    decides(SHAPE, failed)
    pytester.makeconftest(NET)
    run(pytester, f"--logit-select={SHAPE}", "--junitxml=out.xml")
    properties = ElementTree.parse(pytester.path / "out.xml").findall(".//property")
    found = {p.get("name"): p.get("value") for p in properties}
    assert found["logit_outcome"] == "failed"
    assert found["logit_cause"] == "bounded_logits"
    assert found["logit_measured"] == "it is 3"


# No model registered


def test_without_models_generated_ones_are_checked(pytester: pytest.Pytester):
    assert ids(pytester) == [f"logits::generated::{name}" for name in CHECKS]


def test_with_a_model_no_generated_ones_are_checked(pytester: pytest.Pytester):
    pytester.makeconftest(NET)
    assert [node for node in ids(pytester) if "generated" in node] == []


def test_generated_items_come_after_the_users_tests(pytester: pytest.Pytester):
    pytester.makepyfile(test_own="def test_own(): pass")
    found = ids(pytester, f"--logit-select={SHAPE}")
    assert found == ["test_own.py::test_own", f"logits::generated::{SHAPE}"]


@pytest.mark.parametrize("registered", [False, True])
@from_folders
def test_a_generated_id_pasted_back_is_that_item_alone(
    rooted: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, registered: bool, start: str
):
    if registered:
        rooted.makeconftest(NET)
    rooted.makepyfile(test_own="def test_own(): pass")
    monkeypatch.chdir(rooted.path / start)
    assert ids(rooted, f"logits::generated::{SHAPE}") == [f"logits::generated::{SHAPE}"]


def test_a_generated_id_that_nothing_has_is_an_error_with_workers_too(pytester: pytest.Pytester):
    assert run(pytester, "logits::generated::output_is_stable", "-n1").ret == pytest.ExitCode.USAGE_ERROR


def test_all_generated_items_may_be_asked_for(pytester: pytest.Pytester):
    pytester.makeconftest(NET)
    assert ids(pytester, "logits::generated", BOTH) == [f"logits::generated::{RANGE}", f"logits::generated::{SHAPE}"]


def test_generated_classifiers_are_sound(pytester: pytest.Pytester):
    found = record(pytester, "--logit-profile=quick")
    assert (found["model"], found["outcome"]) == ("generated", "passed")


def test_a_run_of_generated_models_says_so_and_how_to_register(pytester: pytest.Pytester):
    result = run(pytester, f"--logit-select={SHAPE}", "--logit-profile=quick")
    result.stdout.fnmatch_lines(["No model is registered*", "*@pytest_logits.register(*"])


def test_what_a_generated_run_says_to_register_is_valid(pytester: pytest.Pytester):
    result = run(pytester, f"--logit-select={SHAPE}", "--logit-profile=quick")
    advised = [line for line in result.outlines if line.startswith("    ")]
    lines = [
        "import torch, pytest_logits",
        *(line[4:] for line in advised),
        "def MyModel(): return torch.nn.Linear(10, 2)",
    ]
    (pytester.path / "conftest.py").write_text("\n".join(lines), encoding="utf-8")
    assert record(pytester)["outcome"] == "passed"


# Verdicts


@pytest.fixture
def net(pytester: pytest.Pytester) -> pytest.Pytester:
    """One model, and one check."""
    pytester.makeini(f"[pytest]\nlogit_select = {SHAPE}")
    pytester.makeconftest(NET)
    return pytester


@pytest.fixture
def expected(pytester: pytest.Pytester) -> pytest.Pytester:
    """One model, and one check that is expected to fail."""
    pytester.makeini(f"[pytest]\nlogit_select = {SHAPE}")
    pytester.makeconftest(NET.replace("num_classes=2", f"num_classes=2, expected_failures={{'{SHAPE}': 'known'}}"))
    return pytester


@pytest.mark.parametrize(
    ("verdict", "args", "outcomes", "recorded", "code"),
    [
        (sound, [], {"passed": 1}, "passed", 0),
        (failed, [], {"failed": 1}, "failed", 1),
        (advice, [], {"passed": 1}, "advice", 0),
        (advice, ["--logit-strict"], {"failed": 1}, "failed", 1),
        (undecided, [], {"skipped": 1}, "inconclusive", 0),
        (undecided, ["--logit-strict"], {"skipped": 1}, "inconclusive", 0),
        (inapplicable, [], {"skipped": 1}, "not_applicable", 0),
        (raises, [], {"failed": 1}, "error", 1),
    ],
)
def test_a_verdict_becomes_an_outcome(
    net: pytest.Pytester,
    decides: Decides,
    verdict: Callable[[Subject], Verdict],
    args: list[str],
    outcomes: dict[str, int],
    recorded: str,
    code: int,
):
    decides(SHAPE, verdict)
    result = run(net, "--logit-report=out.json", *args)
    (found,) = json.loads((net.path / "out.json").read_text())["results"]
    assert (result.parseoutcomes(), found["outcome"], result.ret) == (outcomes, recorded, code)


@pytest.mark.parametrize(
    ("verdict", "args", "outcomes", "recorded", "code"),
    [
        (failed, [], {"xfailed": 1}, "xfailed", 0),
        (sound, [], {"failed": 1}, "xpassed", 1),
        (raises, [], {"failed": 1}, "error", 1),
        (undecided, [], {"skipped": 1}, "inconclusive", 0),
        (inapplicable, [], {"skipped": 1}, "not_applicable", 0),
        # Advice is no failure, and no proof that the reason is gone.
        (advice, [], {"passed": 1}, "advice", 0),
        (advice, ["--logit-strict"], {"xfailed": 1}, "xfailed", 0),
        (failed, ["--runxfail"], {"failed": 1}, "failed", 1),
    ],
)
def test_an_expected_failure_is_strict_on_decisive_verdicts_only(
    expected: pytest.Pytester,
    decides: Decides,
    verdict: Callable[[Subject], Verdict],
    args: list[str],
    outcomes: dict[str, int],
    recorded: str,
    code: int,
):
    decides(SHAPE, verdict)
    result = run(expected, "--logit-report=out.json", *args)
    (found,) = json.loads((expected.path / "out.json").read_text())["results"]
    assert (result.parseoutcomes(), found["outcome"], result.ret) == (outcomes, recorded, code)


def test_an_expected_failure_keeps_its_cause_in_the_record(expected: pytest.Pytester, decides: Decides):
    decides(SHAPE, failed)
    assert record(expected)["cause"] == "bounded_logits"


def test_an_expected_failure_is_shown_with_its_reason(expected: pytest.Pytester, decides: Decides):
    decides(SHAPE, failed)
    run(expected, "-rx").stdout.fnmatch_lines(f"XFAIL conftest.py::net::{SHAPE} - known*")


def test_an_expected_failure_that_passes_is_shown_with_its_reason(expected: pytest.Pytester, decides: Decides):
    decides(SHAPE, sound)
    run(expected).stdout.fnmatch_lines("*XPASS(strict)*known*")


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (undecided, "inconclusive: it is 3.5; expected 3 or 4"),
        (inapplicable, "not applicable: it has none"),
    ],
)
def test_a_skip_has_its_reason_and_the_registrations_line(
    net: pytest.Pytester, decides: Decides, verdict: Callable[[Subject], Verdict], told: str
):
    decides(SHAPE, verdict)
    assert f"SKIPPED [1] conftest.py:4: {told}" in run(net, "-rs").outlines


# A model that raises

MACHINERY = r"\b(?:pytest_logits|_pytest|pluggy|hypothesis)/\S+"


@pytest.mark.parametrize("style", ["auto", "long", "short", "native"])
def test_a_traceback_is_the_users_own(pytester: pytest.Pytester, style: str):
    pytester.makeconftest(RAISING)
    text = failure(run(pytester, f"--tb={style}", f"--logit-select={SHAPE}"))
    assert re.findall(MACHINERY, text) == []


@pytest.mark.parametrize("style", ["auto", "long", "short", "native"])
def test_a_traceback_ends_where_the_model_raised(pytester: pytest.Pytester, style: str):
    pytester.makeconftest(RAISING)
    text = failure(run(pytester, f"--tb={style}", f"--logit-select={SHAPE}"))
    assert [words in text for words in ('raise KeyError("my own mistake")', "KeyError: 'my own mistake'")] == [
        True,
        True,
    ]


MINE = "KeyError: 'my own mistake'"
NO_MODULE = "the factory of 'net' must return a torch.nn.Module; it returned int"


class Raising(torch.nn.Module):
    def forward(self, x: Any) -> Any:
        raise KeyError("my own mistake")


def refuses() -> Any:
    raise KeyError("my own mistake")


def error_of(check: str, factory: Callable[[], Any]) -> str:
    """What the error of one check says, of a model that nothing else has looked at."""
    (found,) = pytest_logits.check_classifier(factory, name="net", input_shape=(4,), num_classes=2, select=[check])
    assert (found.outcome, found.verdict.cause) == ("error", None)
    return found.verdict.measured


@pytest.mark.parametrize("check", [name for name in CHECKS if name not in NEEDS_MORE])
def test_a_model_that_raises_is_an_error_in_each_check(check: str):
    assert error_of(check, Raising) == MINE


@pytest.mark.parametrize("check", ASKING)
def test_a_factory_that_raises_is_an_error_in_each_check(check: str):
    assert error_of(check, refuses) == MINE


@pytest.mark.parametrize("check", ASKING)
def test_a_factory_that_returns_no_module_is_told(check: str):
    assert NO_MODULE in error_of(check, lambda: 3)


def test_a_check_of_what_is_not_registered_does_not_call_the_factory():
    report = pytest_logits.check_classifier(refuses, name="net", input_shape=(4,), num_classes=2)
    found = {result.check: result.verdict.measured for result in report if result.outcome == "not_applicable"}
    assert found == {
        "predictions_match_logits": "no predict= is registered",
        "models_are_equivalent": "no equivalent_to= is registered",
        "inputs_are_scaled": "no batches= is registered",
        "labels_fit_classes": "no batches= is registered",
    }


@pytest.mark.parametrize(
    ("conftest", "said"),
    [
        (RAISING, MINE),
        (NET.replace("return torch.nn.Linear(4, 2)", "raise KeyError('my own mistake')"), MINE),
        (NET.replace("torch.nn.Linear(4, 2)", "3"), NO_MODULE),
    ],
    ids=["in forward", "in the factory", "no module"],
)
def test_it_is_an_error_of_each_item_of_a_run(pytester: pytest.Pytester, conftest: str, said: str):
    pytester.makeconftest(conftest)
    found = {r["check"]: r for r in records(pytester)}
    assert found.keys() == set(CHECKS)
    # Those that do not apply call no forward, and the factory only where the model's library may register more.
    asked = [name for name in CHECKS if name not in NEEDS_MORE] if conftest == RAISING else ASKING
    assert {(found[name]["outcome"], found[name]["cause"]) for name in asked} == {("error", None)}
    assert [name for name in asked if said not in found[name]["measured"]] == []


def test_a_mistake_of_registration_shows_no_code_of_ours(pytester: pytest.Pytester):
    pytester.makeconftest(NET.replace("torch.nn.Linear(4, 2)", "3"))
    text = failure(run(pytester, f"--logit-select={SHAPE}"))
    assert re.findall(MACHINERY, text) == []


def test_a_model_that_exits_is_an_error(pytester: pytest.Pytester):
    pytester.makeconftest(RAISING.replace('KeyError("my own mistake")', "SystemExit(3)"))
    assert [found["outcome"] for found in records(pytester, f"--logit-select={SHAPE}")] == ["error"]


def test_a_factory_that_skips_is_recorded_with_its_reason(pytester: pytest.Pytester):
    """As ``pytest.importorskip`` does; silence in the report would read as approval."""
    pytester.makeconftest(NET.replace("return torch.nn.Linear(4, 2)", "__import__('pytest').skip('needs a library')"))
    found = records(pytester, f"--logit-select={SHAPE}")
    assert [(r["outcome"], r["measured"]) for r in found] == [("not_applicable", "needs a library")]


def test_an_interruption_in_the_model_ends_the_session(pytester: pytest.Pytester):
    interrupt = "__import__('signal').raise_signal(2)"
    pytester.makeconftest(RAISING.replace('raise KeyError("my own mistake")', interrupt))
    assert run_interrupted(pytester).ret == pytest.ExitCode.INTERRUPTED


def run_interrupted(pytester: pytest.Pytester) -> pytest.RunResult:
    """In a process of its own: pytester hands an interruption on to the outer run."""
    command = [sys.executable, "-m", "pytest", "--logit-checks", f"--logit-select={SHAPE}"]
    return pytester.run(*command)


def failure(result: pytest.RunResult) -> str:
    """What is printed of the failures of a run."""
    text = result.stdout.str()
    return text[text.index("= FAILURES =") : text.index("= logit checks =")]


# The summary


def test_the_summary(pytester: pytest.Pytester, decides: Decides, snapshot: Any):
    verdicts = [sound, failed, advice, undecided, inapplicable, raises]
    chosen = CHECKS[: len(verdicts)]
    for name, verdict in zip(chosen, verdicts, strict=True):
        decides(name, verdict)
    pytester.makeconftest(TWO_NETS)
    output = run(pytester, f"--logit-select={','.join(chosen)}").stdout.str()
    assert steady(between(output, "= logit checks =", "= short test summary")) == snapshot


def test_the_summary_of_generated_models(pytester: pytest.Pytester, snapshot: Any):
    output = run(pytester, f"--logit-select={SHAPE}", "--logit-profile=quick").stdout.str()
    assert steady(between(output, "= logit checks =", "= 1 passed")) == snapshot


def steady(summary: str) -> str:
    """The summary without what differs from run to run, or as checks are added."""
    summary = re.sub(r"(?m)^(seconds|forward/backward passes) .*", r"\1 <...>", summary)
    return re.sub(r"\d+ checks left out", "<n> checks left out", summary)


def between(text: str, start: str, end: str) -> str:
    """The lines after the one with ``start``, before the one with ``end``."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if start in line)
    last = next(i for i, line in enumerate(lines) if end in line and i > first)
    return "\n".join(lines[first + 1 : last]).strip("\n")


def test_models_of_one_name_in_two_files_are_two(pytester: pytest.Pytester):
    pytester.makeconftest(NET)
    in_a_conftest_below(pytester)
    run(pytester, f"--logit-select={SHAPE}").stdout.fnmatch_lines("2 models, 2 checks: 2 passed")


def test_a_run_with_no_check_has_no_summary(pytester: pytest.Pytester):
    pytester.makeconftest(NET)
    pytester.makepyfile(test_own="def test_own(): pass")
    assert "= logit checks =" not in run(pytester, "test_own.py::test_own").stdout.str()


def test_the_header_has_what_is_needed_to_run_again(pytester: pytest.Pytester):
    pytester.makeconftest(NET)
    result = run(pytester, "--co", "--logit-seed=7", "--logit-profile=quick")
    assert f"logit-checks: torch {torch.__version__}, seed 7, profile quick" in result.outlines


# The JSON report

KEYS: dict[str, tuple[type | None, ...]] = {
    "nodeid": (str,),
    "model": (str,),
    "check": (str,),
    "outcome": (str,),
    "cause": (str, None),
    "claim": (str,),
    "measured": (str,),
    "expected": (str,),
    "fix": (str,),
    "proof": (dict, None),
    "location": (dict, None),
    "counterexample": (dict, None),
    "evidence": (dict,),
    "passes": (dict,),
    "seconds": (float,),
    "reproduce": (str,),
}


def full(subject: Subject) -> Verdict:
    """A verdict with everything, and with what JSON has no word for."""
    return Verdict(
        outcome="failed",
        cause="bounded_logits",
        measured="it is 3",
        expected="4",
        proof=Proof(undone="halved", as_written=1.0, with_fix=0.5, goal=0.75, steps=3),
        location=Location(file=str(Path.cwd() / "nets.py"), line=3, code="return 3", note="Sigmoid()"),
        counterexample={"batch_size": 1, "logits": torch.zeros(2), "shape": (1, 2)},
        evidence={"loss": float("nan"), "highest": float("inf"), 3: "three"},
    )


@pytest.fixture(params=[sound, failed, undecided, raises, full], ids=lambda verdict: verdict.__name__)
def any_record(request: pytest.FixtureRequest, net: pytest.Pytester, decides: Decides) -> dict[str, Any]:
    decides(SHAPE, request.param)
    return record(net)


def test_a_record_has_the_keys_in_their_order(any_record: dict[str, Any]):
    assert list(any_record) == list(KEYS)


def test_a_records_values_have_their_types(any_record: dict[str, Any]):
    kinds = {key: None if value is None else type(value) for key, value in any_record.items()}
    assert {key: kind for key, kind in kinds.items() if kind not in KEYS[key]} == {}


def test_a_record_counts_passes(any_record: dict[str, Any]):
    assert {key: type(value) for key, value in any_record["passes"].items()} == {"forward": int, "backward": int}


def test_a_record_in_full(net: pytest.Pytester, decides: Decides):
    decides(SHAPE, full)
    found = record(net)
    del found["seconds"]
    assert found == {
        "nodeid": f"conftest.py::net::{SHAPE}",
        "model": "net",
        "check": SHAPE,
        "outcome": "failed",
        "cause": "bounded_logits",
        "claim": {c.name: c for c in all_checks()}[SHAPE].claim,
        "measured": "it is 3",
        "expected": "4",
        "fix": found["fix"],
        "proof": {"undone": "halved", "as_written": 1.0, "with_fix": 0.5, "goal": 0.75, "steps": 3},
        "location": {"file": "nets.py", "line": 3},
        "counterexample": {"batch_size": 1, "logits": "tensor([0., 0.])", "shape": [1, 2]},
        "evidence": {"loss": "nan", "highest": "inf", "3": "three"},
        "passes": {"forward": 0, "backward": 0},
        "reproduce": f"pytest --logit-checks conftest.py::net::{SHAPE}",
    }


def test_the_report_says_what_ran(net: pytest.Pytester):
    run(net, "--logit-report=out.json", "--logit-seed=7", "--logit-profile=quick")
    report = json.loads((net.path / "out.json").read_text())
    assert {key: report[key] for key in report if key not in ("results", "seconds")} == {
        "schema": 1,
        "torch": torch.__version__,
        "seed": 7,
        "profile": "quick",
        "device": "cpu",
    }


def test_the_report_has_its_keys_in_order(net: pytest.Pytester):
    run(net, "--logit-report=out.json")
    assert list(json.loads((net.path / "out.json").read_text())) == [
        "schema",
        "torch",
        "seed",
        "profile",
        "device",
        "seconds",
        "results",
    ]


def test_the_report_is_the_only_file_left(net: pytest.Pytester):
    reports = net.mkdir("reports")
    run(net, "--logit-report=reports/out.json")
    assert [path.name for path in reports.iterdir()] == ["out.json"]


def test_the_report_replaces_an_older_one(net: pytest.Pytester):
    (net.path / "out.json").write_text("older" * 10_000)
    assert record(net)["outcome"] == "passed"


def test_several_reports_may_be_asked_for(net: pytest.Pytester):
    run(net, "--logit-report=a.json", "--logit-report=b.json")
    first, second = (json.loads((net.path / name).read_text())["results"] for name in ("a.json", "b.json"))
    assert first == second


def test_the_report_is_written_where_pytest_was_started(rooted: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    rooted.makeconftest(NET)
    monkeypatch.chdir(rooted.path / "below")
    run(rooted, f"--logit-select={SHAPE}", "--logit-report=out.json")
    assert (rooted.path / "below" / "out.json").is_file()


def test_the_report_has_what_ran_before_the_first_failure(pytester: pytest.Pytester, decides: Decides):
    decides(SHAPE, failed)
    pytester.makeconftest(TWO_NETS)
    assert {found["check"]: found["outcome"] for found in records(pytester, BOTH, "-x")} == {
        RANGE: "passed",
        SHAPE: "failed",
    }


@pytest.mark.parametrize("args", [["-p", "no:terminal"], ["-q"], ["-v"]], ids=" ".join)
def test_the_report_does_not_depend_on_what_is_printed(net: pytest.Pytester, args: list[str]):
    assert record(net, *args)["outcome"] == "passed"


# Repeatable


def without_seconds(results: list[dict[str, Any]]) -> list[str]:
    return [json.dumps({key: value for key, value in found.items() if key != "seconds"}) for found in results]


def test_the_same_seed_gives_the_same_records(repository: pytest.Pytester):
    select = f"--logit-select={SHAPE},{RANGE},loss_reaches_its_minimum"
    first, second = (records(repository, select, "--logit-seed=7") for _ in range(2))
    assert without_seconds(first) == without_seconds(second)


def test_the_records_do_not_depend_on_the_random_state(repository: pytest.Pytester, restored: None):
    first = records(repository, BOTH)
    torch.manual_seed(3)
    random.seed(3)
    numpy.random.seed(3)
    assert without_seconds(first) == without_seconds(records(repository, BOTH))


DRAWS = """
import sys
from hypothesis import strategies as st
from pytest_logits.search import smallest
for name in sys.argv[1:]:
    __import__(name)
seen = []
smallest(lambda: st.integers(0, 2**40), lambda n: bool(seen.append(n)), seed=1, examples=100)
print(seen)
"""


def test_what_is_drawn_does_not_depend_on_numbers_in_the_users_code(pytester: pytest.Pytester):
    """Hypothesis collects them from every module that is loaded, so an id run alone would draw other examples."""
    pytester.makepyfile(numerous=f"numbers = {list(range(1_000_000, 1_000_500))}")
    without, with_numbers = (pytester.run(sys.executable, "-c", DRAWS, *names) for names in ([], ["numerous"]))
    assert without.outlines == with_numbers.outlines


# What is left behind


def test_what_the_interpreter_walks_through_at_its_end_is_frozen(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    at_exit: list[Any] = []
    monkeypatch.setattr("atexit.register", at_exit.append)
    pytester.makeconftest(NET)
    pytester.runpytest("--logit-checks", "--collect-only")
    assert gc.freeze in at_exit


@pytest.fixture
def restored() -> Iterator[None]:
    """Whatever a test does to the random states and torch's modes is undone."""
    states = torch.get_rng_state(), random.getstate(), numpy.random.get_state()
    modes = torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()
    yield
    torch.set_rng_state(states[0])
    random.setstate(states[1])
    numpy.random.set_state(states[2])
    torch.set_grad_enabled(modes[0])
    torch.set_default_dtype(modes[1])
    torch.set_num_threads(modes[2])


STATES: dict[str, Callable[[], Any]] = {
    "torch": lambda: torch.get_rng_state().tolist(),
    "random": random.getstate,
    "numpy": lambda: [str(part) for part in numpy.random.get_state()],
    "grad mode": torch.is_grad_enabled,
    "inference mode": torch.is_inference_mode_enabled,
    "default dtype": torch.get_default_dtype,
    "threads": torch.get_num_threads,
}
MEDDLING = """
    import random
    import numpy
    import torch
    import pytest_logits

    @pytest_logits.register(input_shape=(4,), num_classes=2)
    def net():
        torch.manual_seed(3)
        random.seed(3)
        numpy.random.seed(3)
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(1)
        return torch.nn.Linear(4, 2)
"""


@pytest.mark.parametrize("conftest", [NET, MEDDLING], ids=["plain factory", "meddling factory"])
def test_the_process_is_left_as_it_was(pytester: pytest.Pytester, restored: None, conftest: str):
    pytester.makeconftest(conftest)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(2)
    before = {name: state() for name, state in STATES.items()}
    run(pytester, "--logit-profile=quick")
    assert {name: state() for name, state in STATES.items() if state() != before[name]} == {}


def test_no_grad_does_not_change_a_verdict(pytester: pytest.Pytester, restored: None):
    pytester.makeconftest(NET)
    before = [found["outcome"] for found in records(pytester, "--logit-profile=quick")]
    torch.set_grad_enabled(False)
    assert [found["outcome"] for found in records(pytester, "--logit-profile=quick")] == before


def test_a_registered_module_is_not_changed(pytester: pytest.Pytester):
    pytester.makeconftest(
        """
        import torch
        import pytest_logits

        net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)).eval()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        pytest_logits.register(net, name="net", input_shape=(4,), num_classes=2)
        """
    )
    pytester.makepyfile(
        test_own="""
        import torch
        from conftest import before, net

        def test_own():
            assert [n for n, value in net.state_dict().items() if not torch.equal(value, before[n])] == []
            assert [m for m in net.modules() if m.training] == []
            assert [p for p in net.parameters() if p.grad is not None] == []
        """
    )
    result = run(pytester, "--logit-profile=quick", "-k", "net or own")
    assert result.parseoutcomes().get("failed", 0) == 0


def test_tests_and_their_autouse_fixtures_still_run(pytester: pytest.Pytester):
    pytester.makeconftest(
        NET
        + """
    import pytest
    seen = []

    @pytest.fixture(autouse=True)
    def noted(request):
        seen.append(request.node.name)
    """
    )
    pytester.makepyfile(
        test_own="""
        from conftest import seen

        def test_one(): assert seen[-1] == "test_one"
        class TestTwo:
            def test_two(self): assert seen[-1] == "test_two"
        """
    )
    run(pytester, f"--logit-select={SHAPE}").assert_outcomes(passed=3)


def test_a_failing_test_still_fails(net: pytest.Pytester):
    net.makepyfile(test_own="def test_own(): assert 1 == 2")
    run(net).assert_outcomes(passed=1, failed=1)


def test_warnings_of_checks_are_no_errors_of_the_user(net: pytest.Pytester):
    """With every warning an error, a sound model still passes each check."""
    net.makeini("[pytest]\nfilterwarnings = error")
    assert {found["outcome"] for found in records(net, "--logit-profile=quick")} <= {"passed", "not_applicable"}


# Five lines in an empty folder


class Article(NamedTuple):
    """A run in a process of its own, as a user would start it."""

    code: int
    output: str
    records: dict[tuple[str, str], dict[str, Any]]
    files: set[str]
    report: dict[str, Any]

    def causes(self, model: str) -> set[str]:
        return {r["cause"] for (name, _), r in self.records.items() if name == model and r["outcome"] == "failed"}


@pytest.fixture(scope="module")
def article(tmp_path_factory: pytest.TempPathFactory, clean_environment: dict[str, str]) -> Article:
    folder = tmp_path_factory.mktemp("article")
    shutil.copy(Path(__file__).parent.parent / "docs" / "examples" / "article" / "models.py", folder)
    (folder / "conftest.py").write_text(FIVE_LINES, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--logit-checks", "--logit-report=out.json", "-p", "no:cacheprovider"],
        cwd=folder,
        env=clean_environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    report = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    return Article(
        code=done.returncode,
        output=done.stdout,
        records={(found["model"], found["check"]): found for found in report["results"]},
        files={path.name for path in folder.iterdir()},
        report=report,
    )


def section(output: str, title: str) -> str:
    """One failure, without the digits that differ from machine to machine."""
    _, _, rest = output.partition(f" {title} ")
    text = re.split(r"^(?:____|====)", rest.partition("\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return re.sub(r"\d+\.\d{4,}", lambda number: f"{float(number[0]):.3f}", text).strip("\n")


def test_the_articles_report_validates_against_the_published_schema(article: Article):
    assert errors(article.report) == []


def test_the_article_fails(article: Article):
    assert article.code == pytest.ExitCode.TESTS_FAILED


def test_the_articles_first_model_is_told_its_softmax(article: Article):
    assert article.causes("incorrect") == {"softmax_before_cross_entropy"}


def test_the_articles_second_model_has_no_failure(article: Article):
    found = {r["outcome"] for (model, _), r in article.records.items() if model == "correct"}
    assert found <= {"passed", "not_applicable"}


def test_the_articles_third_model_is_told_its_squeeze(article: Article):
    assert article.causes("bce") == {"output_shape_depends_on_batch"}


def test_the_softmax_is_placed(article: Article):
    code = "        return self.model(x)"
    line = (Path(__file__).parent.parent / "docs/examples/article/models.py").read_text().splitlines().index(code) + 1
    assert article.records["incorrect", "loss_reaches_its_minimum"]["location"] == {"file": "models.py", "line": line}


def test_the_floor_of_the_softmax_is_told(article: Article):
    assert "0.3133" in between(article.output, " incorrect::loss_reaches_its_minimum ", "____")


def test_the_softmax_is_proved(article: Article):
    proof = article.records["incorrect", "loss_reaches_its_minimum"]["proof"]
    assert proof["with_fix"] < 0.3133 < proof["as_written"]


def test_a_run_leaves_nothing_but_its_report(article: Article):
    assert article.files - {"__pycache__"} == {"conftest.py", "models.py", "out.json"}


def test_the_softmax_failure_of_the_outputs(article: Article, snapshot: Any):
    assert section(article.output, "incorrect::outputs_are_logits") == snapshot


def test_the_softmax_failure_of_the_loss(article: Article, snapshot: Any):
    assert section(article.output, "incorrect::loss_reaches_its_minimum") == snapshot


def test_the_squeeze_failure(article: Article, snapshot: Any):
    assert section(article.output, "bce::output_shape_is_stable") == snapshot


def test_no_number_of_a_failure_has_more_digits_than_it_means(article: Article):
    shown = between(article.output, "= FAILURES =", "= logit checks =")
    assert re.findall(r"\d\.\d{7,}", shown) == []
