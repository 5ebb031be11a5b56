"""What a run prints, whole: of one model and of many, wide and narrow, in colour and without, with workers."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_logits.finding import Location, Proof, Verdict, inconclusive, not_applicable, passed
from pytest_logits.model_registry import isolated
from pytest_logits.subject import Subject
from tests import versions

SHAPE, RANGE = "output_shape_is_stable", "outputs_are_logits"
BOTH = f"--logit-select={SHAPE},{RANGE}"
ONE = f"--logit-select={SHAPE}"
Decides = Callable[[str, Callable[[Subject], Verdict]], None]
NET = """
import torch
import pytest_logits

@pytest_logits.register(input_shape=(4,), num_classes=2)
def net():
    return torch.nn.Linear(4, 2)
"""
MANY = """
import torch
import pytest_logits

for number in range(14):
    pytest_logits.register(
        lambda: torch.nn.Linear(4, 2), name=f"net_with_a_long_name_{number}", input_shape=(4,), num_classes=2
    )
"""
RAISING = NET.replace("return torch.nn.Linear(4, 2)", "raise KeyError('my own mistake')")
SOFTMAX = NET.replace("torch.nn.Linear(4, 2)", "torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Softmax(1))")


def failed(subject: Subject) -> Verdict:
    """A failure with everything that one can have."""
    return Verdict(
        outcome="failed",
        cause="softmax_before_cross_entropy",
        measured="the lowest loss is 0.4 at accuracy 1.00, after 5 steps",
        expected="below 0.25; the least any scores can reach is 0, the least softmax outputs can reach is 0.3133",
        location=Location(file=str(Path.cwd() / "net.py"), line=14, code="return x.softmax(1)", note="softmax()"),
        proof=Proof(undone="loss on log(output)", as_written=0.4, with_fix=0.1, goal=0.25, steps=3),
        counterexample={"batch_size": 16},
        evidence={
            "loss_curve": [0.7, 0.6, 0.5, 0.45, 0.4],
            "loss_curve_undone": [0.7, 0.3, 0.1],
            "least_possible": 0.0,
            "floor": 0.3133,
        },
    )


VERDICTS: dict[str, Callable[[Subject], Verdict]] = {
    "passed": lambda subject: passed("it is 4"),
    "failed": failed,
    "advice": lambda subject: Verdict(outcome="advice", measured="it is 3"),
    "inconclusive": lambda subject: inconclusive("it is 3.5", expected="3 or 4"),
    "not_applicable": lambda subject: not_applicable("it has none"),
}


@pytest.fixture
def terminal(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A repository of one model, and no service that pytest prints more for."""
    for name in ("CI", "BUILD_NUMBER", "NO_COLOR", "FORCE_COLOR", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)
    pytester.makeconftest(NET)
    return pytester


def run(pytester: pytest.Pytester, *args: str, uncoloured: bool = False) -> str:
    """What a run in this process prints, less what differs from run to run, and less its colours if so wanted."""
    with isolated():
        return normalised(pytester.runpytest_inprocess("--logit-checks", *args).stdout.str(), uncoloured=uncoloured)


def normalised(text: str, *, uncoloured: bool = False) -> str:
    text = re.sub(r"\x1b\[\d*m", "", text) if uncoloured else text
    text = re.sub(
        r"(?m)^(=+ test session starts|platform|cachedir|rootdir|configfile|plugins|hypothesis).*\n", "", text
    )
    text = re.sub(r"\d+ checks left out", "<n> checks left out", text)
    text = re.sub(r"torch \d\S+,", "torch <version>,", text)
    text = re.sub(r"in \d+\.\d\ds(?: \(.*?\))?", "in <time>", text)
    text = re.sub(r"=+ (.* in <time>) =+", r"== \1 ==", text)

    # Seconds, in a column that stays as wide as it is.
    def seconds(found: re.Match[str]) -> str:
        return "<s>".rjust(len(found[0]))

    return "\n".join(re.sub(r" +\d+\.\d\d(?=\s|$)", seconds, row).rstrip() for row in text.splitlines())


@pytest.mark.parametrize("outcome", [*VERDICTS, "xfailed", "xpassed"])
def test_one_model(terminal: pytest.Pytester, decides: Decides, snapshot: Any, outcome: str):
    if versions.PYTEST_8_0 and outcome == "xfailed":
        pytest.skip("pytest 8.0 shows the text of what is expected to fail as well")
    decides(SHAPE, VERDICTS[{"xfailed": "failed", "xpassed": "passed"}.get(outcome, outcome)])
    if outcome.startswith("x"):
        terminal.makeconftest(NET.replace("num_classes=2", f"num_classes=2, expected_failures={{{SHAPE!r}: 'known'}}"))
    assert run(terminal, ONE, "-rxX") == snapshot


def test_one_model_that_raises(terminal: pytest.Pytester, snapshot: Any):
    terminal.makeconftest(RAISING)
    assert run(terminal, ONE, "--tb=short") == snapshot


def test_a_loss_by_itself_is_no_model(terminal: pytest.Pytester):
    terminal.makeconftest(f"{NET}\npytest_logits.register_loss(torch.nn.functional.cross_entropy)\n")
    told = run(terminal, "--logit-select=loss_stays_finite")
    assert "1 model, 1 loss, 2 checks: 2 passed" in told
    terminal.makeconftest(
        "import pytest_logits\nimport torch\n\npytest_logits.register_loss(torch.nn.functional.cross_entropy)\n"
    )
    assert "\n1 loss, 1 check: 1 passed" in run(terminal, "--logit-select=loss_stays_finite")


@pytest.fixture
def many(terminal: pytest.Pytester, decides: Decides) -> pytest.Pytester:
    """14 models, of which two are worth saying something of."""
    terminal.makeconftest(MANY)
    decides(RANGE, lambda subject: passed("it is 4"))
    special = {"net_with_a_long_name_3": "inconclusive", "net_with_a_long_name_7": "advice"}
    decides(SHAPE, lambda subject: VERDICTS[special.get(subject.name, "passed")](subject))
    return terminal


def test_many_models(many: pytest.Pytester, snapshot: Any):
    assert run(many, BOTH) == snapshot


def test_many_models_in_a_narrow_terminal(many: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, snapshot: Any):
    monkeypatch.setenv("COLUMNS", "60")
    assert run(many, BOTH) == snapshot


def test_verbose_lists_each_of_many_models(many: pytest.Pytester):
    text = run(many, BOTH, "-v")
    assert [n for n in range(14) if f"\nnet_with_a_long_name_{n} " not in text] == []


def test_a_failure_in_a_narrow_terminal(
    terminal: pytest.Pytester, decides: Decides, monkeypatch: pytest.MonkeyPatch, snapshot: Any
):
    decides(SHAPE, failed)
    monkeypatch.setenv("COLUMNS", "60")
    assert run(terminal, ONE) == snapshot


@pytest.fixture
def faulty(terminal: pytest.Pytester, decides: Decides) -> pytest.Pytester:
    """One model that fails one check."""
    decides(SHAPE, failed)
    return terminal


def test_colour_is_pytests(faulty: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    red, green, bold, off = "\x1b[31m", "\x1b[32m", "\x1b[1m", "\x1b[0m"
    monkeypatch.setenv("FORCE_COLOR", "1")
    text = run(faulty, BOTH)
    assert f"{red}{bold}softmax_before_cross_entropy at net.py:14{off}" in text
    assert f"{bold}  measured  {off}the lowest loss" in text
    assert f"{red}{bold}   FAILED{off}" in text
    assert f"{green}   passed{off}" in text


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("PY_COLORS", "0")])
def test_colour_is_left_out_as_pytest_does(
    faulty: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str, value: str
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv(name, value)
    assert "\x1b" not in run(faulty, ONE)


def test_without_colour_the_text_is_the_same(faulty: pytest.Pytester):
    coloured, plain = run(faulty, ONE, "-rN", "--color=yes", uncoloured=True), run(faulty, ONE, "-rN")
    assert coloured.splitlines() == plain.splitlines()


def test_quiet_has_failures_and_no_summary(faulty: pytest.Pytester):
    text = run(faulty, ONE, "-q")
    assert "softmax_before_cross_entropy at net.py:14" in text
    assert "logit checks" not in text


def test_no_header_has_none_of_ours(faulty: pytest.Pytester):
    assert "logit-checks: torch" not in run(faulty, ONE, "--no-header")


def test_the_short_summary_has_the_first_line(faulty: pytest.Pytester):
    assert f"FAILED conftest.py::net::{SHAPE} - softmax_before_cross_en" in run(faulty, ONE)


def test_a_service_prints_a_failure_once(faulty: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """There pytest's short summary is not cut to the width."""
    monkeypatch.setenv("CI", "true")
    text = run(faulty, ONE)
    assert text.splitlines()[-2] == f"FAILED conftest.py::net::{SHAPE} - softmax_before_cross_entropy at net.py:14"


def test_one_line_for_a_failure_has_its_first(faulty: pytest.Pytester):
    assert "\nnet.py:14: softmax_before_cross_entropy at net.py:14" in run(faulty, ONE, "--tb=line")


def test_other_plugins_find_the_place_and_the_text(faulty: pytest.Pytester):
    """A report's ``longrepr`` may be (path, line, text), and then that is the place of the fault."""
    faulty.makeconftest(
        f"""{NET}
def pytest_runtest_logreport(report):
    if report.failed:
        path, line, text = report.longrepr
        print([path, line, text.splitlines()[0]])
"""
    )
    told = [str(faulty.path / "net.py"), 14, "softmax_before_cross_entropy at net.py:14"]
    assert f"{told}\n" in run(faulty, ONE, "-s")


def test_no_progress_where_output_is_no_terminal(faulty: pytest.Pytester):
    assert "\x1b[K" not in run(faulty, ONE, "--color=yes")


@pytest.fixture
def from_workers(terminal: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> str:
    """What two workers print in 60 columns of ASCII: a model that is trained, behind a softmax."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    terminal.makeconftest(SOFTMAX)
    select = f"--logit-select={SHAPE},loss_reaches_its_minimum"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--logit-checks", "-n2", select]
    return terminal.run(*command).stdout.str()


def test_workers_write_for_the_controllers_terminal(from_workers: str, snapshot: Any):
    text = normalised(from_workers)
    # What was checked first differs from run to run, and with it the line of progress.
    text = re.sub(r"(?s)profile standard\n.*?\n=+ FAILURES", "profile standard\n= FAILURES", text)
    text = re.sub(r"\[gw\d\].*", "[gw] <python>", text)
    text = re.sub(r"(?m) +\d+/\d+$", " <passes>", text)
    text = re.sub(r"\d+ steps", "<n> steps", text)
    text = re.sub(r"(?<=[ =])\d\.\d{4,}", "<loss>", text)
    assert re.sub(r"(?<= )[_.:=+*#-]{5,}(?= )", "<curve>", text) == snapshot
    assert text.isascii()


# A model by its name alone


@pytest.fixture
def unregistered(terminal: pytest.Pytester) -> pytest.Pytester:
    """A module with a model, and nothing that says so."""
    (terminal.path / "conftest.py").unlink()
    terminal.makepyfile(
        nets="""
        from torch import nn

        class Net(nn.Sequential):
            def __init__(self):
                super().__init__(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))

        def needs_size(size):
            return nn.Linear(size, 2)
        """
    )
    return terminal


def test_a_model_by_its_name_alone(unregistered: pytest.Pytester, decides: Decides, snapshot: Any):
    decides(SHAPE, VERDICTS["passed"])
    assert run(unregistered, ONE, "--logit-model=nets:Net") == snapshot


def test_the_printed_registration_gives_the_same_verdict(unregistered: pytest.Pytester):
    text = run(unregistered, ONE, "--logit-model=nets:Net")
    printed = text.partition("put this into conftest.py:\n")[2].partition("\n==")[0]
    unregistered.makeconftest("\n".join(line[4:] for line in printed.splitlines()))
    assert f"{SHAPE}    passed" in run(unregistered, ONE)


def test_the_command_of_a_guessed_model_names_it_alone(unregistered: pytest.Pytester, decides: Decides):
    decides(SHAPE, failed)
    text = run(unregistered, ONE, "--logit-model=nets:Net", "--logit-classes=3")
    assert f"  rerun     pytest --logit-checks nets.py::Net::{SHAPE} --logit-model=nets:Net --logit-classes=3" in text


def test_a_model_that_cannot_be_guessed_says_what_to_do(unregistered: pytest.Pytester):
    with isolated():
        result = unregistered.runpytest_inprocess("--logit-checks", "--logit-model=nets:needs_size")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--logit-model nets:needs_size: calling it with no arguments raised TypeError" in (
        result.stderr.str() + result.stdout.str()
    )
