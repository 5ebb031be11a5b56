"""A pytest session with ``--logit-checks``: options, registered models, collection, records, summary, report."""

from __future__ import annotations

import inspect
import os
import sys
import time
from collections import Counter, OrderedDict
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_logits.check_registry import Check
from pytest_logits.finding import Verdict
from pytest_logits.generated import NAME as GENERATED
from pytest_logits.generated import GeneratedSubjects
from pytest_logits.items import GeneratedCollector, LogitFile, LogitItem, model_collector
from pytest_logits.loss_subject import LossSubject
from pytest_logits.model import LossSpec, ModelSpec, RegistrationError, Spec, make_spec, nearest
from pytest_logits.model_registry import (
    add,
    add_from_pyproject,
    load_factory,
    load_module,
    registered,
    require_pairs,
)
from pytest_logits.progress import Progress
from pytest_logits.report import json_report, write_whole
from pytest_logits.runner import decide
from pytest_logits.selection import selected_checks
from pytest_logits.settings import DEFAULT_PROFILE, DEFAULT_SEED, PROFILES, Settings
from pytest_logits.subject import Subject

GENERATED_ID = f"logits::{GENERATED}"
# What the summary tells beside the counts.
TOLD = (("advice", "advice"), ("inconclusive", "not decided"), ("not_applicable", "does not apply"))
# Models whose training runs are kept while their checks run; more only matter when items of many models interleave.
KEPT_SUBJECTS = 4


class LogitSession:
    """The plugin object that exists only where the checks are wanted."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        workers = getattr(config, "workerinput", {}).get("workercount", 1)
        self.settings = Settings(seed=_seed(config), profile=PROFILES[_profile(config)], workers=workers)
        self.strict: bool = config.getoption("logit_strict") or config.getini("logit_strict")
        try:
            self.checks = selected_checks(select=words(_list(config, "select")), ignore=words(_list(config, "ignore")))
        except ValueError as error:
            raise pytest.UsageError(f"--logit-select/--logit-ignore: {error}") from None
        self.reports = [_report_path(config, text) for text in _list(config, "report")]
        self.records: dict[str, dict[str, Any]] = {}
        self.progress = Progress(config)
        self.started = time.perf_counter()
        self.generated_only = False
        self._subjects: OrderedDict[int, Subject | LossSubject] = OrderedDict()
        self._in_files: set[Path] = set()
        self._from_options: dict[int, tuple[str, ...]] = {}
        self._load_models()

    # Models

    def _load_models(self) -> None:
        config, root = self.config, self.config.rootpath
        for module in config.getini("logit_models"):
            try:
                load_module(module, root)
            except RegistrationError as error:
                raise pytest.UsageError(f"ini option logit_models: {error}") from None
        try:
            add_from_pyproject(root / "pyproject.toml")
            for reference in _list(config, "model"):
                spec = _spec_from_options(config, reference)
                add(spec)
                shape, classes = _text(config, "input_shape"), _text(config, "classes")
                words = (f"--logit-model={reference}", f"--logit-input-shape={shape}", f"--logit-classes={classes}")
                self._from_options[id(spec)] = words
        except RegistrationError as error:
            raise pytest.UsageError(str(error)) from None

    def subject(self, spec: Spec) -> Subject | LossSubject:
        """The subject of a model or loss, shared by its checks; the least recently used one is dropped."""
        if id(spec) not in self._subjects:
            self._subjects[id(spec)] = (
                LossSubject.registered(spec, self.settings)
                if isinstance(spec, LossSpec)
                else Subject(spec, self.settings)
            )
        self._subjects.move_to_end(id(spec))
        while len(self._subjects) > KEPT_SUBJECTS:
            self._subjects.popitem(last=False)
        return self._subjects[id(spec)]

    def make_items(self, parent: pytest.Collector, spec: Spec) -> Iterator[LogitItem]:
        """An item for every selected check on a registered model, or on a registered loss."""
        kind = "loss" if isinstance(spec, LossSpec) else "model"
        for check in (check for check in self.checks if kind in check.subjects):
            yield LogitItem.from_parent(
                parent,
                name=check.name,
                check=check,
                model=spec.name,
                settings=self.settings,
                decide=lambda check=check: self._decide(check, spec),
                passes=lambda: self.subject(spec).passes,
                expected_failure=spec.expected_failures.get(check.name),
                spec=spec,
                options=self._options_for(spec),
                strict=self.strict,
            )

    def _decide(self, check: Check, spec: Spec) -> Verdict:
        subject = self.subject(spec)
        subject.tell = self.progress.tell
        with self.progress.of(f"{spec.name}::{check.name}"):
            return decide(check, subject)

    def _options_for(self, spec: Spec) -> tuple[str, ...]:
        """What the command to run a model's item again needs beside the id, the seed and the profile."""
        words = ("--logit-strict",) if self.config.getoption("logit_strict") else ()
        return words + self._from_options.get(id(spec), ())

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

        With no model registered, add the generated ones.
        """
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
        if self.generated_only or self._generated_ids:
            checks = [c for c in self.checks if self.generated_only or whole or c.name in wanted]
            items.extend(session.genitems(self._generated_collector(session, checks)))

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
        if isinstance(item, LogitItem) and call.when == "call" and item.result is not None:
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

    def pytest_report_header(self) -> str:
        """What is needed to run this again."""
        return (
            f"logit-checks: torch {torch.__version__}, seed {self.settings.seed}, profile {self.settings.profile.name}"
        )

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """What was checked, what was not and why, and advice: silence must not read as approval."""
        if not self.records or self.config.getoption("verbose") < 0:
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
                torch_version=torch.__version__,
                seed=self.settings.seed,
                profile=self.settings.profile.name,
                seconds=time.perf_counter() - self.started,
            )
            write_whole(path, text)


def words(lists: Iterable[str]) -> list[str]:
    """The words of comma-separated lists."""
    return [word.strip() for text in lists for word in text.split(",") if word.strip()]


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _text(config: pytest.Config, name: str) -> str:
    given: str | None = config.getoption(f"logit_{name}")
    return str(config.getini(f"logit_{name}")) if given is None else given


def _list(config: pytest.Config, name: str) -> list[str]:
    given: list[str] | None = config.getoption(f"logit_{name}")
    return list(config.getini(f"logit_{name}")) if given is None else given


def _seed(config: pytest.Config) -> int:
    text = _text(config, "seed") or str(DEFAULT_SEED)
    try:
        return int(text)
    except ValueError:
        raise pytest.UsageError(f"--logit-seed: {text!r} is no integer") from None


def _profile(config: pytest.Config) -> str:
    text = _text(config, "profile") or DEFAULT_PROFILE
    if text not in PROFILES:
        raise pytest.UsageError(f"--logit-profile: {text!r} is not known; {nearest(text, PROFILES)}")
    return text


def _report_path(config: pytest.Config, text: str) -> Path:
    path = Path(config.invocation_params.dir, text)
    if path.suffix != ".json":
        raise pytest.UsageError(f"--logit-report: {text!r} must end in .json")
    if path.is_dir():
        raise pytest.UsageError(f"--logit-report: {text!r} is a folder")
    if not path.parent.is_dir():
        raise pytest.UsageError(f"--logit-report: there is no folder {str(path.parent)!r} to write {path.name!r} to")
    return path


def _spec_from_options(config: pytest.Config, reference: str) -> ModelSpec:
    """The model that ``--logit-model`` names, with shape and classes from its two companions."""
    arguments: dict[str, Any] = {}
    for option, argument in (("input_shape", "input_shape"), ("classes", "num_classes")):
        text = _text(config, option)
        flag = f"--logit-{option.replace('_', '-')}"
        if not text:
            raise pytest.UsageError(f"--logit-model {reference} needs {flag}")
        try:
            numbers = tuple(int(part) for part in text.replace("x", ",").strip("(), ").split(","))
        except ValueError:
            numbers = ()
        if option == "classes" and len(numbers) != 1:
            raise pytest.UsageError(f"{flag}: {text!r} must be an integer, the number of classes")
        if not numbers:
            raise pytest.UsageError(f"{flag}: {text!r} must be integers, such as 3,32,32")
        arguments[argument] = numbers if option == "input_shape" else numbers[0]
    factory = load_factory(reference, config.rootpath)
    try:
        code = inspect.unwrap(factory)
        file, line = Path(inspect.getfile(code)).resolve(), inspect.getsourcelines(code)[1]
    except (OSError, TypeError):
        file, line = Path(sys.modules[reference.partition(":")[0]].__file__ or config.rootpath).resolve(), 1
    return make_spec(factory, file=file, line=line, arguments=arguments)
