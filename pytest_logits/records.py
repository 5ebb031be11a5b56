"""What a session has found: records from the items and the workers, the summary in the terminal, the report files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Generator
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_logits.annotations import OTHER_PLUGIN, workflow_commands
from pytest_logits.control_items import ControlItem, control_record, told
from pytest_logits.items import LogitItem
from pytest_logits.model import LossSpec
from pytest_logits.report import escaped
from pytest_logits.report_card import extra
from pytest_logits.report_files import ReportFiles
from pytest_logits.report_formats import report_text
from pytest_logits.report_json import report_of
from pytest_logits.report_places import Place, place_of
from pytest_logits.screen import screen_of
from pytest_logits.settings import Settings
from pytest_logits.terminal import Failure, Summary, tell


class Records:
    """The plugin object that gathers results. Under xdist the controller's has them all."""

    def __init__(
        self,
        config: pytest.Config,
        *,
        settings: Settings,
        reports: Collection[Path],
        with_controls: bool,
        summary_of: Callable[[Records], Summary],
    ) -> None:
        self.config = config
        self.settings = settings
        self.with_controls = with_controls
        self._summary_of = summary_of
        quiet = hasattr(config, "workerinput") or config.option.collectonly
        self._files = ReportFiles(config, () if quiet else reports, self._report_text)
        self._started = time.perf_counter()
        self.records: dict[str, dict[str, Any]] = {}
        self.controls: dict[str, dict[str, Any]] = {}
        # Why a failure was expected, by the id of its item.
        self.because: dict[str, str] = {}
        # What is registered as a loss by itself, by the ids of its items up to the check.
        self.losses: set[str] = set()
        # Where the model of each node id is registered.
        self.registered: dict[str, Place] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the record to the report, which takes it from a worker to the controller."""
        report = yield
        if isinstance(item, ControlItem) and call.when == "call" and item.result is not None:
            report.logit_control = control_record(item.result, item.words)  # type: ignore[attr-defined]
        elif isinstance(item, LogitItem) and call.when == "call" and item.result is not None:
            record = item.result.to_json()
            if hasattr(report, "wasxfail"):
                record["outcome"] = "xfailed"
            elif report.skipped and item.result.outcome == "error":
                # The model asked for it, with pytest.skip or importorskip.
                record["outcome"] = "not_applicable"
                record["measured"] = str(call.excinfo.value) if call.excinfo is not None else ""
            elif report.failed and item.result.outcome not in ("failed", "error"):
                record["outcome"] = "failed" if item.result.outcome == "advice" else "xpassed"
                if item.expected is not None and record["outcome"] == "xpassed":
                    report.longrepr = (
                        f"{report.longrepr}\n{item.check.name} holds: take it out of {item.expected.where}"
                    )
            if report.skipped and isinstance(report.longrepr, tuple):
                # Where the model was registered, not the line of ours that skips.
                path, line, _ = item.reportinfo()
                report.longrepr = (str(path), (line or 0) + 1, report.longrepr[2])
            report.logit_record = record  # type: ignore[attr-defined]
            report.logit_loss = isinstance(item.spec, LossSpec)  # type: ignore[attr-defined]
            if self.config.getoption("htmlpath", None):
                report.extras = [*getattr(report, "extras", ()), extra(record)]  # type: ignore[attr-defined]
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, Any, Any]:
        """Gather the records, on the controller too, and give a failure its colours and place before others tell it."""
        record = getattr(report, "logit_record", None)
        if record is not None:
            self.records[report.nodeid] = record
            if getattr(report, "logit_loss", False):
                self.losses.add(report.nodeid.rpartition("::")[0])
            path, line, _ = report.location
            if line is not None:
                self.registered[report.nodeid] = Place(Path(path).as_posix(), line + 1)
            if hasattr(report, "wasxfail"):
                self.because[report.nodeid] = report.wasxfail
            if isinstance(report.longrepr, str) and not hasattr(self.config, "workerinput"):
                place = place_of(record, self.registered) or Place(path, 1)
                file = str(self.config.rootpath / place.file)
                report.longrepr = Failure(file, place.line, report.longrepr)
        control = getattr(report, "logit_control", None)
        if control is not None:
            self.controls[report.nodeid] = control
        return (yield)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """What was checked, what was not and why, and advice: silence must not read as approval."""
        for line in workflow_commands(
            self.records.values(),
            root=self.config.rootpath,
            registered=self.registered,
            environment=os.environ,
            failures=not self.config.pluginmanager.hasplugin(OTHER_PLUGIN),
        ):
            terminalreporter.write_line(line)
        if self.config.getoption("verbose") < 0:
            return
        if self.records:
            screen, verbose = screen_of(self.config), self.config.getoption("verbose") > 0
            tell(terminalreporter, self._summary_of(self), width=screen.width, every=verbose)
        if self.with_controls and (self.controls or self.records):
            terminalreporter.section("logit controls")
            for line in told(self.controls.values(), self.records.values()):
                terminalreporter.line(escaped(line))

    # Reports

    def pytest_sessionstart(self) -> None:
        """From here on a signal that ends the session leaves what it has finished."""
        self._files.open()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the reports, on the controller only. One that cannot be written is a failure, as pytest's own are."""
        # A call that pytest refuses has run nothing; an older report stays.
        written = exitstatus == pytest.ExitCode.USAGE_ERROR or self._files.write()
        if not written and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_unconfigure(self) -> None:
        """Leave signals as they were."""
        self._files.close()

    def _report_text(self, path: Path) -> str:
        """The report that the ending of ``path`` asks for."""
        report = report_of(
            self.records.values(),
            controls=self.controls.values() if self.with_controls else None,
            torch_version=torch.__version__,
            seed=self.settings.seed,
            profile=self.settings.profile.name,
            device=self.settings.device,
            seconds=time.perf_counter() - self._started,
        )
        return report_text(path, report, root=self.config.rootpath, registered=self.registered)
