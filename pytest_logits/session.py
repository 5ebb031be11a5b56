"""A pytest session with ``--logit-checks``: options, registered models, collection, records, summary, report."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_logits.check_registry import Check, all_checks
from pytest_logits.control_items import ControlItem, control_items, told
from pytest_logits.finding import Verdict
from pytest_logits.generated import NAME as GENERATED
from pytest_logits.generated import GeneratedSubjects
from pytest_logits.items import GeneratedCollector, LogitFile, LogitItem, model_collector
from pytest_logits.model import LossSpec, ModelSpec, RegistrationError, Spec, nearest, require_known_checks
from pytest_logits.model_registry import registered, require_pairs
from pytest_logits.options import is_set, list_of, load_models, settings_of, words
from pytest_logits.progress import Progress
from pytest_logits.report import json_report, write_whole
from pytest_logits.runner import decide
from pytest_logits.selection import selected_checks
from pytest_logits.settings import DEFAULT_DEVICE
from pytest_logits.subjects import Subjects

GENERATED_ID = f"logits::{GENERATED}"
# What the summary tells beside the counts.
TOLD = (("advice", "advice"), ("inconclusive", "not decided"), ("not_applicable", "does not apply"))


class LogitSession:
    """The plugin object that exists only where the checks are wanted."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.settings = settings_of(config)
        self.strict = is_set(config, "strict")
        self.with_controls = is_set(config, "controls")
        # First, for a module that registers models may declare checks.
        self._words = load_models(config)
        try:
            self.checks = selected_checks(
                select=words(list_of(config, "select")), ignore=words(list_of(config, "ignore"))
            )
        except ValueError as error:
            raise pytest.UsageError(f"--logit-select/--logit-ignore: {error}") from None
        self.known = frozenset(c.name for c in all_checks())
        self.reports = [_report_path(config, text) for text in list_of(config, "report")]
        self.records: dict[str, dict[str, Any]] = {}
        self.controls: dict[str, dict[str, Any]] = {}
        self.progress = Progress(config)
        self.started = time.perf_counter()
        self.generated_only = False
        self.subjects = Subjects(self.settings)
        self._in_files: set[Path] = set()

    # Models

    def make_items(self, parent: pytest.Collector, spec: Spec) -> Iterator[LogitItem]:
        """An item for every selected check on a registered model or loss, and for every control if they are wanted."""
        try:
            require_known_checks(spec, self.known)
        except RegistrationError as error:
            raise parent.CollectError(str(error)) from None
        kind = "loss" if isinstance(spec, LossSpec) else "model"
        for check in (check for check in self.checks if kind in check.subjects):
            yield LogitItem.from_parent(
                parent,
                name=check.name,
                check=check,
                model=spec.name,
                settings=self.settings,
                decide=lambda check=check: self._decide(check, spec),
                passes=lambda: self.subjects.of(spec).passes,
                expected_failure=spec.expected_failures.get(check.name),
                spec=spec,
                options=self._options_for(spec),
                strict=self.strict,
            )
        if self.with_controls and isinstance(spec, ModelSpec):
            yield from control_items(
                parent,
                spec,
                checks=self.checks,
                settings=self.settings,
                subjects=self.subjects,
                options=self._options_for(spec),
                strict=self.strict,
            )

    def _decide(self, check: Check, spec: Spec) -> Verdict:
        subject = self.subjects.of(spec)
        subject.tell = self.progress.tell
        with self.progress.of(f"{spec.name}::{check.name}"):
            return decide(check, subject)

    def _options_for(self, spec: Spec) -> tuple[str, ...]:
        """What the command to run a model's item again needs beside the id, the seed and the profile."""
        words = ("--logit-strict",) if self.config.getoption("logit_strict") else ()
        return words + self._words.get(id(spec), ())

    def _generated_items(self, parent: pytest.Collector, checks: Iterable[Check]) -> Iterator[LogitItem]:
        subjects = GeneratedSubjects(self.settings)
        for check in checks:
            yield LogitItem.from_parent(
                parent,
                name=check.name,
                check=check,
                model=GENERATED,
                settings=self.settings,
                decide=lambda check=check: subjects.decide(check),
                passes=lambda: subjects.passes,
                strict=self.strict,
            )

    # Collection

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> LogitFile | None:
        """A file that has registered models by the time the walk reaches it."""
        specs = [spec for spec in registered() if spec.file == file_path.resolve()]
        if not specs:
            return None
        self._in_files.add(file_path.resolve())
        return self._file(parent, file_path, specs)

    def _file(self, parent: pytest.Collector, path: Path, specs: list[Spec]) -> LogitFile:
        outside = not path.is_relative_to(self.config.rootpath)
        nodeid = Path(os.path.relpath(path, self.config.rootpath)).as_posix() if outside else None
        file: LogitFile = LogitFile.from_parent(
            parent, path=path, nodeid=nodeid, specs=specs, make_items=self.make_items
        )
        return file

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Add the models that a test module has registered while it was imported."""
        report = yield
        if isinstance(collector, pytest.Module) and report.passed and collector.path.resolve() not in self._in_files:
            specs = [spec for spec in registered() if spec.file == collector.path.resolve()]
            report.result.extend(model_collector(collector, spec, self.make_items) for spec in specs)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Take ids of generated items off the arguments: there is no file of that name for pytest to look for."""
        args = self.config.args
        self._generated_ids = [arg for arg in args if arg.split("::")[:2] == GENERATED_ID.split("::")]
        self._has_ids = any("::" in arg for arg in args)
        self.config.args = [arg for arg in args if arg not in self._generated_ids]
        names = [check.name for check in self.checks]
        for arg in self._generated_ids:
            name = "::".join(arg.split("::")[2:])
            if name and name not in names:
                raise pytest.UsageError(f"{arg}: no such check; {nearest(name, names)}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Add the models of loaded files that the arguments did not lead to, unless ids were asked for.

        With no model registered, and beside controls, add the generated ones.
        """
        self._require_no_late_check()
        if not self._has_ids:
            # Now all are known; an id may leave the other of a pair unloaded.
            try:
                require_pairs()
            except RegistrationError as error:
                raise pytest.UsageError(str(error)) from None
            present = {id(item.spec) for item in items if isinstance(item, LogitItem)}
            missing: dict[Path, list[Spec]] = {}
            for spec in registered():
                if id(spec) not in present:
                    missing.setdefault(spec.file, []).append(spec)
            for path, specs in missing.items():
                items.extend(session.genitems(self._file(session, path, specs)))
        wanted = {arg.split("::")[2] for arg in self._generated_ids if arg.count("::") == 2}
        whole = any(arg == GENERATED_ID for arg in self._generated_ids)
        self.generated_only = not registered() and not self._has_ids
        # Beside the negative controls the positive one: sound classifiers pass here. What a check of the user's own
        # claims may hold of their models only.
        positive = self.with_controls and not self._has_ids
        if self.generated_only or self._generated_ids or positive:
            every = self.generated_only or whole
            checks = [c for c in self.checks if every or c.name in wanted or (positive and c.declared is None)]
            items.extend(session.genitems(self._generated_collector(session, checks)))

    def _require_no_late_check(self) -> None:
        """Checks are known before collection, so that an id leads to its item whatever else is collected."""
        for check in all_checks():
            if check.declared is not None and check.name not in self.known:
                file, line = check.declared
                raise pytest.UsageError(
                    f"check {check.name!r} ({file}:{line}) is declared too late to take part; declare it in the "
                    "conftest.py of the folder where pytest is started, in a plugin, or in a module of logit_models"
                )

    def _generated_collector(self, session: pytest.Session, checks: list[Check]) -> GeneratedCollector:
        collector: GeneratedCollector = GeneratedCollector.from_parent(
            session, name=GENERATED, nodeid=GENERATED_ID, items=lambda parent: self._generated_items(parent, checks)
        )
        return collector

    # Results

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach the record to the report, which takes it from a worker to the controller."""
        report = yield
        if isinstance(item, ControlItem) and call.when == "call" and item.result is not None:
            report.logit_control = item.record(item.result)  # type: ignore[attr-defined]
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
            if report.skipped and isinstance(report.longrepr, tuple):
                # Where the model was registered, not the line of ours that skips.
                path, line, _ = item.reportinfo()
                report.longrepr = (str(path), (line or 0) + 1, report.longrepr[2])
            report.logit_record = record  # type: ignore[attr-defined]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather the records, on the controller too."""
        record = getattr(report, "logit_record", None)
        if record is not None:
            self.records[report.nodeid] = record
        control = getattr(report, "logit_control", None)
        if control is not None:
            self.controls[report.nodeid] = control

    def pytest_report_header(self) -> str:
        """What is needed to run this again."""
        settings = self.settings
        told = f"logit-checks: torch {torch.__version__}, seed {settings.seed}, profile {settings.profile.name}"
        return told if settings.device == DEFAULT_DEVICE else f"{told}, device {settings.device}"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """What was checked, what was not and why, and advice: silence must not read as approval."""
        if self.config.getoption("verbose") < 0:
            return
        self._tell_records(terminalreporter)
        if self.with_controls and (self.controls or self.records):
            terminalreporter.section("logit controls")
            for line in told(self.controls.values(), self.records.values()):
                terminalreporter.line(line)

    def _tell_records(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.records:
            return
        terminalreporter.section("logit checks")
        records = sorted(self.records.values(), key=lambda record: str(record["nodeid"]))
        models = {record["nodeid"].rpartition("::")[0] for record in records}
        counts = Counter(record["outcome"] for record in records)
        told = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in counts.most_common())
        terminalreporter.line(f"{_plural(len(models), 'model')}, {_plural(len(records), 'check')}: {told}")
        if models == {GENERATED_ID}:
            terminalreporter.line(
                "No model is registered, so generated classifiers were checked: this tests the installed"
            )
            terminalreporter.line("torch, not your models. To check yours, register them in conftest.py:")
            terminalreporter.line("    @pytest_logits.register(input_shape=(10,), num_classes=2)")
            terminalreporter.line("    def my_model(): return MyModel()")
        for outcome, title in TOLD:
            alike: dict[tuple[str, str], list[str]] = {}
            for record in records:
                if record["outcome"] == outcome:
                    alike.setdefault((record["check"], record["measured"]), []).append(record["model"])
            for (check, measured), names in alike.items():
                terminalreporter.line(f"{title}: {check} on {', '.join(names)}: {measured}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the reports, on the controller only."""
        if hasattr(self.config, "workerinput") or self.config.option.collectonly:
            return
        for path in self.reports:
            text = json_report(
                self.records.values(),
                controls=self.controls.values() if self.with_controls else None,
                torch_version=torch.__version__,
                seed=self.settings.seed,
                profile=self.settings.profile.name,
                device=self.settings.device,
                seconds=time.perf_counter() - self.started,
            )
            write_whole(path, text)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _report_path(config: pytest.Config, text: str) -> Path:
    path = Path(config.invocation_params.dir, text)
    if path.suffix != ".json":
        raise pytest.UsageError(f"--logit-report: {text!r} must end in .json")
    if path.is_dir():
        raise pytest.UsageError(f"--logit-report: {text!r} is a folder")
    if not path.parent.is_dir():
        raise pytest.UsageError(f"--logit-report: there is no folder {str(path.parent)!r} to write {path.name!r} to")
    return path
