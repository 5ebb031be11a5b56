"""A pytest session with ``--logit-checks``: options, registered models, collection, records, summary, report."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_logits.annotations import OTHER_PLUGIN, workflow_commands
from pytest_logits.check_registry import Check, all_checks
from pytest_logits.control_items import ControlItem, control_items, control_record, told
from pytest_logits.expected import ExpectedFailures
from pytest_logits.finding import Verdict
from pytest_logits.generated import NAME as GENERATED
from pytest_logits.generated import GeneratedSubjects
from pytest_logits.items import GeneratedCollector, LogitFile, LogitItem, model_collector
from pytest_logits.limits import Limit, lift
from pytest_logits.model import LossSpec, ModelSpec, RegistrationError, Spec, require_known_checks
from pytest_logits.model_registry import registered, require_pairs
from pytest_logits.options import is_set, list_of, load_models, settings_of, source_of, words
from pytest_logits.parallel import Parallel
from pytest_logits.progress import Progress
from pytest_logits.report import escaped
from pytest_logits.report_card import extra
from pytest_logits.report_files import ReportFiles
from pytest_logits.report_formats import refusal, report_text
from pytest_logits.report_json import report_of
from pytest_logits.report_places import Place, place_of
from pytest_logits.runner import decide
from pytest_logits.screen import screen_of, tell_worker
from pytest_logits.selection import selected_checks
from pytest_logits.settings import DEFAULT_DEVICE
from pytest_logits.subjects import Subjects
from pytest_logits.terminal import GENERATED_ID, Failure, Summary, tell
from pytest_logits.told import nearest, shown


class LogitSession:
    """The plugin object that exists only where the checks are wanted."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.settings = settings_of(config)
        self.strict = is_set(config, "strict")
        self.with_controls = is_set(config, "controls")
        # First, for a module that registers models may declare checks.
        self._by_option = load_models(config)
        try:
            self.checks = selected_checks(
                select=words(list_of(config, "select")), ignore=words(list_of(config, "ignore"))
            )
        except ValueError as error:
            option, _, said = str(error).partition(": ")
            raise pytest.UsageError(f"{source_of(config, option)}: {said}") from None
        self.known = frozenset(c.name for c in all_checks())
        self.expected = _expected_failures(config)
        # Why a failure was expected, by the id of its item.
        self.because: dict[str, str] = {}
        reports = [_report_path(config, text) for text in list_of(config, "report")]
        quiet = hasattr(config, "workerinput") or config.option.collectonly
        self.report_files = ReportFiles(config, () if quiet else reports, self._report_text)
        self.records: dict[str, dict[str, Any]] = {}
        self.controls: dict[str, dict[str, Any]] = {}
        # Where the model of each node id is registered.
        self.registered: dict[str, Place] = {}
        self.progress = Progress(config)
        self.started = time.perf_counter()
        self.generated_only = False
        self.subjects = Subjects(self.settings)
        self._limits: defaultdict[int, Limit] = defaultdict(lambda: Limit(self.settings.timeout))
        self._in_files: set[Path] = set()
        if hasattr(config.option, "numprocesses"):
            config.pluginmanager.register(Parallel(config, self.settings), "logits-parallel")

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
                expected=self.expected.of(spec, check.name, check.tags),
                spec=spec,
                options=self._options_for(spec),
                strict=self.strict,
                limit=self._limits[id(spec)],
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
                limit=self._limits[id(spec)],
            )

    def _decide(self, check: Check, spec: Spec) -> Verdict:
        subject = self.subjects.of(spec)
        subject.tell = self.progress.tell
        with self.progress.of(f"{spec.name}::{check.name}"):
            return decide(check, subject)

    def _options_for(self, spec: Spec) -> tuple[str, ...]:
        """What the command to run a model's item again needs beside the id, the seed and the profile."""
        words = ("--logit-strict",) if self.config.getoption("logit_strict") else ()
        by_option = self._by_option.get(id(spec))
        return words + (by_option.options if by_option is not None else ())

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
                if self._is_whole(session):
                    self.expected.require_models(registered())
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

    def _is_whole(self, session: pytest.Session) -> bool:
        """Whether every file that may register a model has been loaded: no path given, and none left out or broken."""
        config, source = self.config, self.config.args_source
        at_root = source != pytest.Config.ArgsSource.ARGS and config.invocation_params.dir == config.rootpath
        partial = any(getattr(config.option, name, None) for name in ("lf", "ignore", "ignore_glob"))
        whole = at_root or source == pytest.Config.ArgsSource.TESTPATHS
        return whole and not partial and not session.testsfailed

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

    def pytest_enter_pdb(self) -> None:
        """Whoever looks at a model with a debugger has all the time."""
        lift()

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
            if self.config.getoption("htmlpath", None):
                report.extras = [*getattr(report, "extras", ()), extra(record)]  # type: ignore[attr-defined]
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, Any, Any]:
        """Gather the records, on the controller too, and give a failure its colours and place before others tell it."""
        record = getattr(report, "logit_record", None)
        if record is not None:
            self.records[report.nodeid] = record
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

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Workers write for the controller's terminal."""
        tell_worker(self.config, node.workerinput)

    def pytest_report_header(self) -> list[str]:
        """What is needed to run this again, and what was guessed."""
        settings = self.settings
        guessed = [f"{named.reference}: guessed {named.guessed}" for named in self._by_option.values() if named.guessed]
        told = f"logit-checks: torch {torch.__version__}, seed {settings.seed}, profile {settings.profile.name}"
        return [told if settings.device == DEFAULT_DEVICE else f"{told}, device {settings.device}", *guessed]

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
            tell(terminalreporter, self._summary(), width=screen.width, every=verbose)
        if self.with_controls and (self.controls or self.records):
            terminalreporter.section("logit controls")
            for line in told(self.controls.values(), self.records.values()):
                terminalreporter.line(escaped(line))

    def _summary(self) -> Summary:
        records = sorted(self.records.values(), key=lambda record: str(record["nodeid"]))
        return Summary(
            records=records,
            groups={check.name: check.tags[0] for check in self.checks},
            unselected=len(self.known) - len(self.checks),
            because=self.because,
            by_option=tuple(self._by_option.values()),
            block=self.expected.block(records),
        )

    # Reports

    def pytest_sessionstart(self) -> None:
        """From here on a signal that ends the session leaves what it has finished."""
        self.report_files.open()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the reports, on the controller only. One that cannot be written is a failure, as pytest's own are."""
        # A call that pytest refuses has run nothing; an older report stays.
        written = exitstatus == pytest.ExitCode.USAGE_ERROR or self.report_files.write()
        if not written and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_unconfigure(self) -> None:
        """Leave signals as they were."""
        self.report_files.close()

    def _report_text(self, path: Path) -> str:
        """The report that the ending of ``path`` asks for."""
        report = report_of(
            self.records.values(),
            controls=self.controls.values() if self.with_controls else None,
            torch_version=torch.__version__,
            seed=self.settings.seed,
            profile=self.settings.profile.name,
            device=self.settings.device,
            seconds=time.perf_counter() - self.started,
        )
        return report_text(path, report, root=self.config.rootpath, registered=self.registered)


def _expected_failures(config: pytest.Config) -> ExpectedFailures:
    try:
        expected = ExpectedFailures(config.rootpath / "pyproject.toml")
        expected.require_known({check.name: check.tags for check in all_checks()})
    except RegistrationError as error:
        raise pytest.UsageError(str(error)) from None
    return expected


def _report_path(config: pytest.Config, text: str) -> Path:
    path, where = Path(config.invocation_params.dir, text), source_of(config, "report")
    if refused := refusal(path):
        raise pytest.UsageError(f"{where}: {text!r} {refused}")
    try:
        path.stat()
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        # Too long, with a NUL in it, behind a link to itself, or below what is no folder.
        raise pytest.UsageError(f"{where}: {shown(text)} cannot be written: {error}") from None
    if path.is_dir():
        raise pytest.UsageError(f"{where}: {text!r} is a folder")
    if not path.parent.is_dir():
        raise pytest.UsageError(f"{where}: there is no folder {str(path.parent)!r} to write {path.name!r} to")
    return path
