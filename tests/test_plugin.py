"""The options, their ini twins, and what loading the plugin costs a run that does not use it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_logits.causes import cause_names
from pytest_logits.check_registry import all_checks
from pytest_logits.finding import Verdict

SHAPE = "output_shape_is_stable"
HEAVY = ("torch", "numpy", "hypothesis")
OPTIONS = (
    "checks",
    "strict",
    "seed",
    "profile",
    "timeout",
    "input_shape",
    "classes",
    "select",
    "ignore",
    "model",
    "report",
)
LAZY_CONFTEST = """
    import pytest_logits

    @pytest_logits.register(input_shape=(4,), num_classes=2)
    def net():
        import torch
        return torch.nn.Linear(4, 2)
"""
# A frame of the package's in a traceback.
FRAME = r"pytest_logits[/\\]\w+\.py:\d+"
# Writes what was loaded when the run ended.
SPY = """
    import json, sys

    def pytest_unconfigure(config):
        with open("loaded.json", "w") as file:
            json.dump(sorted(sys.modules), file)
"""


Loaded = Callable[..., list[str]]


@pytest.fixture
def loaded_by(pytester: pytest.Pytester, clean_environment: dict[str, str]) -> Loaded:
    """Which of the heavy modules, and of ours, a run in a process of its own has loaded."""

    def run(*args: str) -> list[str]:
        pytester.makepyfile(spy=SPY, test_own="def test_own(): pass")
        subprocess.run(
            # Hypothesis' own plugin loads Hypothesis.
            [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", "-p", "spy", *args],
            cwd=pytester.path,
            env=clean_environment,
            check=True,
            capture_output=True,
            timeout=120,
        )
        loaded = json.loads((pytester.path / "loaded.json").read_text())
        return [name for name in loaded if name in HEAVY or name.split(".")[0] == "pytest_logits"]

    return run


# Without --logit-checks


def test_an_unused_plugin_loads_itself_only(loaded_by: Loaded):
    assert loaded_by() == ["pytest_logits", "pytest_logits.fixtures", "pytest_logits.plugin"]


def test_registering_models_loads_nothing_heavy(pytester: pytest.Pytester, loaded_by: Loaded):
    pytester.makeconftest(LAZY_CONFTEST)
    assert [name for name in loaded_by() if name in HEAVY] == []


def test_a_table_of_models_loads_nothing_heavy(pytester: pytest.Pytester, loaded_by: Loaded):
    pytester.makepyprojecttoml("""
        [tool.pytest-logits.models.net]
        factory = "nets:net"
        num_classes = 2
        input_shape = [4]
    """)
    pytester.makepyfile(nets="import torch\n\ndef net(): return torch.nn.Linear(4, 2)")
    assert [name for name in loaded_by() if name in HEAVY] == []


def test_a_blocked_plugin_loads_nothing_of_ours(loaded_by: Loaded):
    assert loaded_by("-p", "no:logits") == []


def test_importing_the_package_loads_nothing_heavy(clean_environment: dict[str, str]):
    code = f"import sys, pytest_logits.plugin; sys.exit(str([n for n in {HEAVY} if n in sys.modules] or ''))"
    done = subprocess.run([sys.executable, "-c", code], env=clean_environment, capture_output=True, text=True)
    assert done.stderr.strip() == ""


def test_models_are_not_checked_unasked(pytester: pytest.Pytester):
    pytester.makeconftest(LAZY_CONFTEST)
    pytester.makepyfile(test_own="def test_own(): pass")
    assert "net" not in pytester.runpytest_inprocess("--co", "-q").stdout.str()


def test_the_marker_is_known_unasked(pytester: pytest.Pytester):
    pytester.makepyfile(test_own="def test_own(): pass")
    result = pytester.runpytest_inprocess("--strict-markers", "-m", "not logit_checks")
    result.assert_outcomes(passed=1)


def test_a_blocked_plugin_leaves_no_option(pytester: pytest.Pytester):
    assert "logit" not in pytester.runpytest_inprocess("-p", "no:logits", "--help").stdout.str()


def test_a_blocked_plugin_leaves_no_marker(pytester: pytest.Pytester):
    assert "logit" not in pytester.runpytest_inprocess("-p", "no:logits", "--markers").stdout.str()


def test_a_blocked_plugin_leaves_no_fixture(pytester: pytest.Pytester):
    names = ("logit_classifier", "check_classifier", "separable_batch", "logit_seed")
    pytester.makepyfile("\n".join(f"def test_{name}({name}): pass" for name in names))
    output = pytester.runpytest_inprocess("-p", "no:logits").stdout.str()
    assert [name for name in names if f"fixture '{name}' not found" not in output] == []


@pytest.mark.parametrize(
    ("ini", "args", "said"),
    [
        ("", ["--logit-checks"], "unrecognized arguments: --logit-checks"),
        ("logit_checks = true", ["--strict-config"], "Unknown config option: logit_checks"),
    ],
)
def test_a_blocked_plugin_knows_no_option(pytester: pytest.Pytester, ini: str, args: list[str], said: str):
    pytester.makeini(f"[pytest]\n{ini}")
    result = pytester.runpytest_inprocess("-p", "no:logits", *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert said in result.stderr.str()


def test_models_and_checks_may_be_declared_to_a_blocked_plugin(pytester: pytest.Pytester):
    declared = """
    @pytest_logits.check(claim="nothing")
    def own_check(classifier): raise AssertionError
    """
    pytester.makeconftest(LAZY_CONFTEST + declared)
    pytester.makepyfile(test_own="def test_own(): pass")
    pytester.runpytest_inprocess("-p", "no:logits").assert_outcomes(passed=1)


# Options and their twins


@pytest.fixture
def net(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(LAZY_CONFTEST)
    return pytester


@pytest.fixture
def nets(pytester: pytest.Pytester) -> pytest.Pytester:
    """A model that nobody has registered."""
    pytester.makepyfile(nets="import torch\n\ndef net(): return torch.nn.Linear(4, 2)")
    return pytester


def ids(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if "::" in line]


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_in_the_help(pytester: pytest.Pytester, name: str):
    assert f"--logit-{name.replace('_', '-')}" in pytester.runpytest_inprocess("--help").stdout.str()


@pytest.mark.parametrize("name", [*OPTIONS, "models"])
def test_an_ini_twin_is_in_the_help(pytester: pytest.Pytester, name: str):
    assert f"\n  logit_{name} (" in pytester.runpytest_inprocess("--help").stdout.str()


def test_ini_logit_checks_turns_the_checks_on(net: pytest.Pytester):
    net.makeini("[pytest]\nlogit_checks = true")
    result = net.runpytest_inprocess("--co", "-q")
    assert f"conftest.py::net::{SHAPE}" in ids(result)


def test_ini_logit_checks_may_be_turned_off_again(net: pytest.Pytester):
    net.makeini("[pytest]\nlogit_checks = true")
    assert ids(net.runpytest_inprocess("--co", "-q", "-o", "logit_checks=false")) == []


def test_ini_logit_strict_lets_advice_fail(net: pytest.Pytester, decides: Callable[..., None]):
    decides(SHAPE, lambda subject: Verdict(outcome="advice", measured="so it is"))
    net.makeini(f"[pytest]\nlogit_strict = true\nlogit_select = {SHAPE}")
    net.runpytest_inprocess("--logit-checks").assert_outcomes(failed=1)


def test_ini_logit_seed_is_the_seed(net: pytest.Pytester):
    net.makeini("[pytest]\nlogit_seed = 7")
    net.runpytest_inprocess("--logit-checks", "--co").stdout.fnmatch_lines("logit-checks: *, seed 7, *")


def test_ini_logit_timeout_is_the_limit_of_each_check(net: pytest.Pytester, decides: Callable[..., None]):
    decides(SHAPE, lambda subject: time.sleep(1e6))
    net.makeini(f"[pytest]\nlogit_timeout = 0.05\nlogit_select = {SHAPE}")
    net.runpytest_inprocess("--logit-checks").stdout.fnmatch_lines("*TimeoutError: did not finish in 0.05 s*")


def test_ini_logit_profile_is_the_profile(net: pytest.Pytester):
    net.makeini("[pytest]\nlogit_profile = quick")
    net.runpytest_inprocess("--logit-checks", "--co").stdout.fnmatch_lines("logit-checks: *, profile quick")


def test_ini_logit_select_and_ignore_choose(net: pytest.Pytester):
    net.makeini("[pytest]\nlogit_select = outputs\nlogit_ignore = outputs_are_logits")
    wanted = [c.name for c in all_checks() if "outputs" in c.tags and c.name != "outputs_are_logits"]
    result = net.runpytest_inprocess("--logit-checks", "--co", "-q")
    assert ids(result) == [f"conftest.py::net::{name}" for name in wanted]


def test_ini_logit_model_adds_a_model(nets: pytest.Pytester):
    nets.makeini("[pytest]\nlogit_model = nets:net\nlogit_input_shape = 4\nlogit_classes = 2")
    result = nets.runpytest_inprocess("--logit-checks", "--co", "-q", f"--logit-select={SHAPE}")
    assert ids(result) == [f"nets.py::net::{SHAPE}"]


def test_ini_logit_models_loads_modules(pytester: pytest.Pytester):
    pytester.makepyfile(registrations=LAZY_CONFTEST)
    pytester.makeini("[pytest]\nlogit_models = registrations")
    result = pytester.runpytest_inprocess("--logit-checks", "--co", "-q", f"--logit-select={SHAPE}")
    assert ids(result) == [f"registrations.py::net::{SHAPE}"]


def test_ini_logit_report_writes_a_report(net: pytest.Pytester):
    net.makeini(f"[pytest]\nlogit_report = out.json\nlogit_select = {SHAPE}")
    net.runpytest_inprocess("--logit-checks")
    assert (net.path / "out.json").is_file()


@pytest.mark.parametrize(
    ("ini", "option", "line"),
    [
        ("logit_seed = 7", "--logit-seed=0", "logit-checks: *, seed 0, *"),
        ("logit_profile = quick", "--logit-profile=thorough", "logit-checks: *, profile thorough"),
        ("logit_select = learning", f"--logit-select={SHAPE}", f"*<LogitItem {SHAPE}>"),
        ("logit_ignore = learning", "--logit-ignore=outputs", "*<LogitItem loss_reaches_its_minimum>"),
    ],
)
def test_an_option_goes_before_its_ini_twin(net: pytest.Pytester, ini: str, option: str, line: str):
    net.makeini(f"[pytest]\n{ini}")
    net.runpytest_inprocess("--logit-checks", "--co", option).stdout.fnmatch_lines(line)


def test_ini_twins_are_no_unknown_keys(net: pytest.Pytester):
    values = {"checks": "false", "strict": "false"}
    lines = [f"logit_{name} = {values.get(name, '')}" for name in [*OPTIONS, "models"]]
    net.makeini("\n".join(["[pytest]", *lines]))
    net.makepyfile(test_own="def test_own(): pass")
    net.runpytest_inprocess("--strict-config").assert_outcomes(passed=1)


def test_an_empty_ini_value_is_the_default(net: pytest.Pytester):
    net.makeini("[pytest]\nlogit_seed =\nlogit_profile =\n")
    net.runpytest_inprocess("--logit-checks", "--co").stdout.fnmatch_lines("logit-checks: *, seed 0, profile standard")


@pytest.mark.parametrize(
    "given", [[f"{SHAPE},outputs_are_logits"], [SHAPE, "outputs_are_logits"], [f" {SHAPE} , outputs_are_logits ,"]]
)
def test_a_list_may_have_commas_or_come_twice(net: pytest.Pytester, given: list[str]):
    result = net.runpytest_inprocess("--logit-checks", "--co", "-q", *(f"--logit-select={text}" for text in given))
    assert ids(result) == ["conftest.py::net::outputs_are_logits", f"conftest.py::net::{SHAPE}"]


# --logit-list, --logit-explain


def test_the_list_has_every_check_and_cause(pytester: pytest.Pytester):
    output = pytester.runpytest_inprocess("--logit-list").stdout.str()
    names = [c.name for c in all_checks()] + cause_names()
    assert [name for name in names if not re.search(rf"^  {name}\s", output, re.MULTILINE)] == []


@pytest.mark.parametrize("args", [["--logit-list"], ["--logit-explain", SHAPE]])
def test_words_about_checks_exit_with_zero(pytester: pytest.Pytester, args: list[str]):
    assert pytester.runpytest_inprocess(*args).ret == 0


def test_the_list_runs_no_test(pytester: pytest.Pytester):
    pytester.makepyfile(test_own="def test_own(): assert False")
    assert "test_own" not in pytester.runpytest_inprocess("--logit-list").stdout.str()


@pytest.mark.parametrize("name", [SHAPE, "softmax_before_cross_entropy"])
def test_explain_begins_with_the_name(pytester: pytest.Pytester, name: str):
    assert pytester.runpytest_inprocess("--logit-explain", name).outlines[0].startswith(f"{name} (")


# Mistakes: one paragraph that names the nearest valid word


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--logit-explain", "outputs_are_logit"], "no such check or cause; did you mean 'outputs_are_logits'?"),
        (["--logit-checks", "--logit-seed=1.5"], "--logit-seed: '1.5' is no integer"),
        (["--logit-checks", "--logit-timeout=soon"], "--logit-timeout: 'soon' is no number of seconds"),
        (["--logit-checks", "--logit-timeout=-1"], "--logit-timeout: '-1' is no number of seconds"),
        (["--logit-checks", "--logit-timeout=inf"], "--logit-timeout: 'inf' is no number of seconds"),
        (["--logit-checks", "--logit-profile=stanard"], "'stanard' is not known; did you mean 'standard'?"),
        (["--logit-checks", "--logit-select=output"], "'output' is neither a check nor a tag; did you mean 'outputs'?"),
        (["--logit-checks", "--logit-ignore=learn"], "'learn' is neither a check nor a tag; did you mean 'learning'?"),
        (["--logit-checks", "--logit-report=out.txt"], "--logit-report: 'out.txt' must end in .json, .sarif or .html"),
        (["--logit-checks", "-o", "logit_report=out.txt"], "ini option logit_report: 'out.txt' must end in .json"),
        (["--logit-checks", "--logit-report=" + "a" * 300 + ".json"], "cannot be written: "),
        (["-o", "logit_checks=maybe"], "ini option logit_checks: invalid truth value 'maybe'; write true or false"),
        (["--logit-checks", "-o", "logit_strict=maybe"], "ini option logit_strict: invalid truth value 'maybe'"),
        (["--logit-checks", "-o", "logit_seed=1.5"], "ini option logit_seed: '1.5' is no integer"),
        (["--logit-checks", "-o", "logit_profile=stanard"], "ini option logit_profile: 'stanard' is not known; did"),
        (["--logit-checks", "-o", "logit_select=output"], "ini option logit_select: 'output' is neither a check"),
        (["--logit-checks", "-o", "logit_select='"], "ini option logit_select: No closing quotation"),
        (["--logit-checks", "--logit-report=no/out.json"], "there is no folder"),
        (["--logit-checks", "--logit-report=folder.json"], "is a folder"),
        (
            ["--logit-checks", "--logit-model=nets:net", "--logit-input-shape=a", "--logit-classes=2"],
            "--logit-input-shape: 'a' must be integers, such as 3,32,32",
        ),
        (
            ["--logit-checks", "--logit-model=nets:net", "--logit-input-shape=4", "--logit-classes=two"],
            "--logit-classes: 'two' must be an integer",
        ),
        (
            ["--logit-checks", "--logit-model=nets:net", "--logit-input-shape=4", "--logit-classes=2,3"],
            "--logit-classes: '2,3' must be an integer",
        ),
        (
            ["--logit-checks", "--logit-model=nets:net", "--logit-input-shape=4,0", "--logit-classes=2"],
            "--logit-input-shape: '4,0' must be positive integers, such as 3,32,32",
        ),
        (
            ["--logit-checks", "--logit-model=nets:net", "--logit-input-shape=4", "--logit-classes=0"],
            "--logit-classes: '0' must be an integer of at least 1, the number of classes",
        ),
        (
            ["--logit-checks", "--logit-model=math:pi", "--logit-input-shape=4", "--logit-classes=2"],
            "--logit-model math:pi: cannot register 'float' (",
        ),
        (
            ["--logit-checks", "--logit-model=nets:nett", "--logit-input-shape=4", "--logit-classes=2"],
            "--logit-model nets:nett: module 'nets' has no 'nett' (wanted by 'nets:nett'); did you mean 'net'?",
        ),
        (
            ["--logit-checks", "--logit-model=nots:net", "--logit-input-shape=4", "--logit-classes=2"],
            "--logit-model nots:net: cannot import 'nots'",
        ),
        (
            ["--logit-checks", "--logit-model=broken:net", "--logit-input-shape=4", "--logit-classes=2"],
            "ZeroDivisionError: division by zero",
        ),
        (["--logit-checks", "-o", "logit_models=nots"], "ini option logit_models: cannot import 'nots'"),
        (["--logit-checks", "-o", "logit_models=broken"], "ZeroDivisionError: division by zero"),
        (["--logit-checks", "-o", "logit_models=exits"], "cannot import 'exits': SystemExit: 3"),
        (["--logit-checks", "-o", "logit_models=skips"], "ini option logit_models: no such library"),
        (["--logit-checks", "-o", "logit_models=wrong"], "unknown argument 'num_class'; did you mean 'num_classes'?"),
        (["--logit-checks", "logits::generated::output_is_stable"], f"no such check; did you mean '{SHAPE}'?"),
    ],
    ids=lambda value: " ".join(value).replace("--logit-", "") if isinstance(value, list) else "",
)
def test_a_mistake_is_told_in_one_paragraph(nets: pytest.Pytester, args: list[str], said: str):
    nets.mkdir("folder.json")
    nets.makepyfile(broken="1 / 0", wrong="import pytest_logits\n\npytest_logits.register(int, num_class=2)")
    nets.makepyfile(exits="raise SystemExit(3)")
    nets.makepyfile(skips="import pytest; pytest.skip('no such library', allow_module_level=True)")
    result = nets.runpytest_inprocess(*args)
    assert (result.ret, [line for line in result.errlines if line]) == (4, [_Line(said)])


class _Line:
    """Equal to a line that begins with ERROR and has the words."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and other.startswith("ERROR: ") and self.words in other

    def __repr__(self) -> str:
        return f"ERROR: ...{self.words}..."


def test_a_broken_pyproject_is_told_in_one_paragraph(pytester: pytest.Pytester):
    """Where another file has the ini options, pytest does not read it."""
    pytester.makeini("[pytest]")
    Path(pytester.path, "pyproject.toml").write_text("[tool.pytest-logits.models.net\n", encoding="utf-8")
    result = pytester.runpytest_inprocess("--logit-checks")
    assert (result.ret, [line for line in result.errlines if line]) == (4, [_Line("pyproject.toml")])


def test_a_mistake_in_conftest_is_told_with_the_nearest_word(pytester: pytest.Pytester):
    pytester.makeconftest("import pytest_logits\n\npytest_logits.register(int, num_class=2)")
    result = pytester.runpytest_inprocess("--logit-checks")
    result.stderr.fnmatch_lines("*conftest.py:3): unknown argument 'num_class'; did you mean 'num_classes'?")
    assert re.findall(FRAME, result.stderr.str()) == []


def test_a_mistake_in_a_test_module_is_a_collection_error(pytester: pytest.Pytester):
    pytester.makepyfile(test_own="import pytest_logits\n\npytest_logits.register(int, num_class=2)")
    result = pytester.runpytest_inprocess("--logit-checks")
    result.stdout.fnmatch_lines("*test_own.py:3): unknown argument 'num_class'; did you mean 'num_classes'?")
    assert re.findall(FRAME, result.stdout.str()) == []


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("check_classifier(print, num_class=2)", "unknown argument 'num_class'; did you mean 'num_classes'?"),
        (
            "check_classifier(print, num_classes=2, input_shape=4, profile='quik')",
            "profile='quik' is not known; did you mean 'quick'?",
        ),
        (
            "check_classifier(print, num_classes=2, input_shape=4, select=['output'])",
            "select: 'output' is neither a check nor a tag; did you mean 'outputs'?",
        ),
        ("check_loss(print, reduction='avg')", "reduction='avg' is not known; it is one of: mean, sum, none"),
        ("check(clam='it holds')", "unknown argument 'clam'; did you mean 'claim'?"),
        ("register(None, num_classes=2, input_shape=4)", "the factory must be callable with no arguments"),
    ],
    ids=["argument", "profile", "select", "loss", "check", "none"],
)
def test_a_mistake_in_a_test_shows_no_frame_of_ours(pytester: pytest.Pytester, call: str, said: str):
    pytester.makepyfile(test_own=f"import pytest_logits\n\n\ndef test_own():\n    pytest_logits.{call}\n")
    output = pytester.runpytest_inprocess().stdout.str()
    assert said in output
    assert "test_own.py:5)" in output
    assert re.findall(FRAME, output) == []


def test_a_mistake_in_an_option_is_the_failure_of_a_fixture(pytester: pytest.Pytester):
    pytester.makepyfile(test_own="def test_own(logit_seed): pass")
    output = pytester.runpytest_inprocess("--logit-seed=x").stdout.str()
    assert "--logit-seed: 'x' is no integer" in output
    assert re.findall(FRAME, output) == []
