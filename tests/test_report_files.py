"""What is left of a session that is ended early or has nowhere to write: its report, or the older one."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_logits import report_files
from pytest_logits.finding import Verdict, passed
from pytest_logits.report import write_whole
from pytest_logits.report_files import ReportFiles
from pytest_logits.subject import Subject

SHAPE = "output_shape_is_stable"
CONFTEST = """
import pytest
import pytest_logits
import torch

for name in ("one", "two", "three"):
    pytest_logits.register(lambda: torch.nn.Linear(4, 2), name=name, input_shape=(4,), num_classes=2)


def pytest_runtest_setup(item):
    if item.nodeid.split("::")[-2] == "three":
        {ending}
"""
END = {
    "ctrl-c": "raise KeyboardInterrupt",
    "exit": "pytest.exit('enough', returncode=7)",
    "sigterm": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
}
Decides = Callable[[str, Callable[[Subject], Verdict]], None]


class Config:
    """What ReportFiles asks of pytest's own: a plugin manager, with no terminal reporter."""

    def __init__(self) -> None:
        self.pluginmanager = self

    def get_plugin(self, name: str) -> None:
        return None


@pytest.fixture
def handled() -> Iterator[list[int]]:
    """The signals that reached the handler that was there before."""
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    yield seen
    signal.signal(signal.SIGTERM, before)


def files(path: Path, text: Callable[[Path], str] = lambda path: "whole") -> ReportFiles:
    config: Any = Config()
    return ReportFiles(config, [path], text)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


# The handler


def test_sigterm_writes_and_then_does_what_it_did_before(tmp_path: Path, handled: list[int]):
    reports = files(tmp_path / "out.json")
    reports.open()
    terminate()
    reports.close()
    assert ((tmp_path / "out.json").read_text(), handled) == ("whole", [signal.SIGTERM])


def test_the_handler_before_is_put_back(tmp_path: Path, handled: list[int]):
    before, reports = signal.getsignal(signal.SIGTERM), files(tmp_path / "out.json")
    reports.open()
    assert signal.getsignal(signal.SIGTERM) != before
    reports.close()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_handler_on_top_stays_and_ours_only_passes_on(tmp_path: Path, handled: list[int]):
    reports = files(tmp_path / "out.json")
    reports.open()
    ours = signal.getsignal(signal.SIGTERM)

    def on_top(number: int, frame: Any) -> None:
        ours(number, frame)

    signal.signal(signal.SIGTERM, on_top)
    reports.close()
    assert signal.getsignal(signal.SIGTERM) is on_top
    terminate()
    assert (list(tmp_path.iterdir()), handled) == ([], [signal.SIGTERM])


def test_an_ignored_signal_stays_ignored(tmp_path: Path, handled: list[int]):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    reports = files(tmp_path / "out.json")
    reports.open()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_without_a_report_there_is_no_handler(handled: list[int]):
    before, config = signal.getsignal(signal.SIGTERM), Config()
    ReportFiles(config, [], str).open()  # type: ignore[arg-type]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_forked_child_writes_nothing(tmp_path: Path, handled: list[int], monkeypatch: pytest.MonkeyPatch):
    reports = files(tmp_path / "out.json")
    reports.open()
    own = os.getpid()
    with monkeypatch.context() as child:
        child.setattr(report_files.os, "getpid", lambda: own + 1)
        os.kill(own, signal.SIGTERM)
    reports.close()
    assert (list(tmp_path.iterdir()), handled) == ([], [signal.SIGTERM])


def test_sigterm_while_writing_lets_the_writing_finish(tmp_path: Path, handled: list[int]):
    def text(path: Path) -> str:
        terminate()
        return "" if handled else "whole"

    reports = files(tmp_path / "out.json", text)
    reports.open()
    reports.write()
    reports.close()
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert (found, handled) == ({"out.json": "whole"}, [signal.SIGTERM])


# Sessions that end early


@pytest.fixture
def passes(decides: Decides) -> None:
    decides(SHAPE, lambda subject: passed("so it is"))


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("--logit-checks", f"--logit-select={SHAPE}", "--logit-report=out.json", *args)


def models(pytester: pytest.Pytester) -> list[str]:
    return [found["model"] for found in json.loads((pytester.path / "out.json").read_text())["results"]]


def test_ctrl_c_leaves_what_was_finished(pytester: pytest.Pytester, passes: None):
    pytester.makeconftest(CONFTEST.format(ending=END["ctrl-c"]))
    done = pytester.inline_run(
        "--logit-checks", f"--logit-select={SHAPE}", "--logit-report=out.json", no_reraise_ctrlc=True
    )
    assert (done.ret, models(pytester)) == (pytest.ExitCode.INTERRUPTED, ["one", "two"])


def test_pytest_exit_leaves_what_was_finished_and_its_code(pytester: pytest.Pytester, passes: None):
    pytester.makeconftest(CONFTEST.format(ending=END["exit"]))
    assert (run(pytester).ret, models(pytester)) == (7, ["one", "two"])


EXITS = """
import pytest
import pytest_logits
import torch

pytest_logits.register(lambda: torch.nn.Linear(4, 2), name="one", input_shape=(4,), num_classes=2)


class Net(torch.nn.Linear):
    def forward(self, x):
        pytest.exit("enough", returncode=7)


def factory():
    pytest.exit("enough", returncode=7)


pytest_logits.register({ending}, name="two", input_shape=(4,), num_classes=2)
"""


@pytest.mark.parametrize("ending", ["factory", "lambda: Net(4, 2)"])
def test_pytest_exit_in_a_model_ends_the_session_with_its_code(pytester: pytest.Pytester, ending: str):
    pytester.makeconftest(EXITS.format(ending=ending))
    pytester.makepyfile("def test_own(): pass")
    done = run(pytester)
    assert (done.ret, models(pytester)) == (7, ["one"])
    done.stdout.fnmatch_lines(["*Exit: enough*"])


def test_maxfail_leaves_what_was_finished(pytester: pytest.Pytester, decides: Decides):
    decides(SHAPE, lambda subject: Verdict(outcome="failed", measured="so it is"))
    pytester.makeconftest(CONFTEST.format(ending="pass"))
    assert (run(pytester, "--maxfail=2").ret, models(pytester)) == (pytest.ExitCode.TESTS_FAILED, ["one", "two"])


def test_a_refused_call_leaves_the_older_report(pytester: pytest.Pytester):
    pytester.makeconftest(CONFTEST.format(ending="pass"))
    (pytester.path / "out.json").write_text("older")
    assert run(pytester, "no_such_file.py").ret == pytest.ExitCode.USAGE_ERROR
    assert (pytester.path / "out.json").read_text() == "older"


@pytest.mark.skipif(sys.platform == "win32", reason="there os.kill does not ask, it kills")
def test_sigterm_leaves_what_was_finished_and_kills(pytester: pytest.Pytester, clean_environment: dict[str, str]):
    pytester.makeconftest(CONFTEST.format(ending=END["sigterm"]))
    command = ["--logit-checks", f"--logit-select={SHAPE}", "--logit-report=out.json", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *command],
        cwd=pytester.path,
        env=clean_environment,
        capture_output=True,
        timeout=300,
        check=False,
    )
    left = {path.name for path in pytester.path.iterdir()} - {"__pycache__"}
    assert (done.returncode, models(pytester), left) == (
        -signal.SIGTERM,
        ["one", "two"],
        {"conftest.py", "out.json"},
    )


# Nowhere to write


@pytest.fixture
def full(pytester: pytest.Pytester, passes: None, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """No room for out.json; other files can be written."""

    def write(path: Path, text: str) -> None:
        if path.name == "out.json":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_whole(path, text)

    monkeypatch.setattr(report_files, "write_whole", write)
    pytester.makeconftest(CONFTEST.format(ending="pass"))
    return pytester


@pytest.mark.parametrize("quiet", [[], ["-q"], ["--no-summary"]], ids=str)
def test_a_full_disk_is_told_in_the_last_line_and_fails(full: pytest.Pytester, quiet: list[str]):
    result = run(full, *quiet)
    said = f"ERROR: --logit-report: cannot write {full.path / 'out.json'}: {os.strerror(errno.ENOSPC)}"
    assert ([line for line in result.outlines if line][-1], result.ret) == (said, pytest.ExitCode.TESTS_FAILED)
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_a_full_disk_changes_no_other_exit_code(full: pytest.Pytester):
    full.makeconftest(CONFTEST.format(ending=END["exit"]))
    assert run(full).ret == 7


def test_a_report_that_can_be_written_is(full: pytest.Pytester):
    (full.path / "out.json").write_text("older")
    run(full, "--logit-report=second.json")
    assert json.loads((full.path / "second.json").read_text())["results"]
    assert (full.path / "out.json").read_text() == "older"


def test_without_a_terminal_reporter_it_is_told_on_stderr(
    tmp_path: Path, handled: list[int], capsys: pytest.CaptureFixture[str]
):
    reports = files(tmp_path / "gone" / "out.json")
    assert not reports.write()
    reports.close()
    assert capsys.readouterr().err.startswith(f"ERROR: --logit-report: cannot write {tmp_path / 'gone' / 'out.json'}: ")
