"""A pytest session with ``--logit-checks``: options, registered models, and the items that are made of them."""

from __future__ import annotations

import atexit
import gc
import os
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_logits.check_registry import Check, all_checks
from pytest_logits.control_items import control_items
from pytest_logits.expected import ExpectedFailures
from pytest_logits.finding import Verdict
from pytest_logits.generated import NAME as GENERATED
from pytest_logits.generated import GeneratedSubjects
from pytest_logits.items import GeneratedCollector, LogitFile, LogitItem, model_collector
from pytest_logits.limits import Limit, lift
from pytest_logits.model import LossSpec, RegistrationError, Spec, require_known_checks
from pytest_logits.model_registry import registered, require_pairs
from pytest_logits.options import is_set, list_of, load_models, settings_of, source_of, words
from pytest_logits.parallel import Parallel
from pytest_logits.progress import Progress
from pytest_logits.records import Records
from pytest_logits.report_formats import refusal
from pytest_logits.runner import decide
from pytest_logits.screen import tell_worker
from pytest_logits.selection import selected_checks
from pytest_logits.settings import DEFAULT_DEVICE
from pytest_logits.subjects import Subjects
from pytest_logits.terminal import GENERATED_ID, Summary
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
        records = Records(
            config,
            settings=self.settings,
            reports=[_report_path(config, text) for text in list_of(config, "report")],
            with_controls=self.with_controls,
            summary_of=self._summary,
        )
        config.pluginmanager.register(records, "logits-records")
        self.progress = Progress(config)
        self.generated_only = False
        self.subjects = Subjects(self.settings)
        self._limits: defaultdict[int, Limit] = defaultdict(lambda: Limit(self.settings.timeout))
        self._in_files: set[Path] = set()
        # The interpreter's last walk through all that torch has made takes longer than the checks of a small model.
        atexit.register(gc.freeze)
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
        if self.with_controls:
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

    # Beside the results

    def pytest_enter_pdb(self) -> None:
        """Whoever looks at a model with a debugger has all the time."""
        lift()

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

    def _summary(self, found: Records) -> Summary:
        records = sorted(found.records.values(), key=lambda record: str(record["nodeid"]))
        return Summary(
            records=records,
            groups={check.name: check.tags[0] for check in self.checks},
            unselected=len(self.known) - len(self.checks),
            because=found.because,
            losses=found.losses,
            by_option=tuple(self._by_option.values()),
            block=self.expected.block(records),
        )


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
