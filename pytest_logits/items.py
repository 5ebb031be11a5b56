"""Models, losses and checks as pytest nodes: ``<file>::<model>::<check>``, ``<file>::<loss>::<check>``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from pytest_logits.check_registry import Check
from pytest_logits.expected import Expected
from pytest_logits.finding import LogitFailure, Passes, Result, Verdict
from pytest_logits.junit import properties_of
from pytest_logits.limits import Limit
from pytest_logits.model import Spec
from pytest_logits.raised import said, users_frames
from pytest_logits.report import escaped, failure_text, skip_reason
from pytest_logits.runner import reproduce, run_check
from pytest_logits.screen import screen_of
from pytest_logits.settings import Settings

SKIPPED = ("inconclusive", "not_applicable")


class LogitItem(pytest.Item):
    """One check on one model. ``result`` is None until it has run."""

    result: Result | None = None
    # Behind the id while pytest-xdist reads it on a worker, see parallel.py.
    group = ""

    def __init__(
        self,
        *,
        check: Check,
        model: str,
        settings: Settings,
        decide: Callable[[], Verdict],
        passes: Callable[[], Passes],
        expected: Expected | None = None,
        spec: Spec | None = None,
        options: tuple[str, ...] = (),
        strict: bool = False,
        limit: Limit | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.check = check
        self.model = model
        self.settings = settings
        self.decide = decide
        self.passes = passes
        self.spec = spec
        self.options = options
        self.strict = strict
        self.limit = limit
        self.expected = expected
        self.add_marker("logit_checks")
        # Torch says so once wherever numpy is not installed; no check needs it.
        self.add_marker(pytest.mark.filterwarnings("ignore:Failed to initialize NumPy:UserWarning"))

    @cached_property
    def _own_id(self) -> str:
        return super().nodeid

    @property
    def nodeid(self) -> str:
        """``<file>::<model>::<check>``."""
        return self._own_id + self.group

    def runtest(self) -> None:
        """Run the check. Advice passes unless strict; what does not decide or apply is a skip with its reason."""
        run = run_check(
            self.check,
            self.decide,
            self.passes,
            spec=self.spec,
            model=self.model,
            nodeid=self.nodeid,
            root=self.config.rootpath,
            rerun=reproduce(self._pasteable_id(), self.settings, self.options),
            limit=self.limit,
        )
        self.result = run.result
        self.user_properties += properties_of(run.result)
        fails = run.result.outcome == "failed" or (run.result.outcome == "advice" and self.strict)
        if self.expected is not None and (fails or (self.expected.strict and run.result.outcome == "passed")):
            # Only now: a verdict that does not decide is neither the failure that was expected nor its absence.
            self.add_marker(pytest.mark.xfail(reason=self.expected.reason, raises=LogitFailure, strict=True))
        if run.error is not None:
            raise run.error
        if fails:
            raise LogitFailure(self.text_of(run.result))
        if run.result.outcome in SKIPPED:
            pytest.skip(skip_reason(run.result))

    def text_of(self, result: Result) -> str:
        """A failure in words."""
        screen = screen_of(self.config)
        return failure_text(result, width=screen.width, blocks=screen.blocks)

    def _pasteable_id(self) -> str:
        """The node id with its file as seen from where pytest was started, which is how pytest reads its arguments."""
        if self.spec is None:
            return self.nodeid
        file = os.path.relpath(self.spec.file, self.config.invocation_params.dir)
        return "::".join([Path(file).as_posix(), self.model, self.check.name])

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The finding as it is; an exception of the model's with the frames that are the user's."""
        if isinstance(excinfo.value, LogitFailure):
            return str(excinfo.value)
        frames = users_frames([str(entry.path) for entry in excinfo.traceback])
        if not frames:
            return escaped(said(excinfo.value))
        if not self.config.getoption("fulltrace"):
            excinfo.traceback = type(excinfo.traceback)([excinfo.traceback[i] for i in frames])
        return _escape(super().repr_failure(excinfo, style))

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where the model was registered, and which model and check this is."""
        line = self.spec.line - 1 if self.spec is not None else None
        return self.path, line, f"{self.model}::{self.check.name}"


def _escape(shown: Any) -> Any:
    """pytest's text of an exception, with control characters as escapes: a part of it is what the model says."""
    if isinstance(shown, str):
        return escaped(shown)
    for traceback, crash, *_ in getattr(shown, "chain", [(shown.reprtraceback, shown.reprcrash)]):
        if crash is not None:
            crash.message = escaped(crash.message)
        for entry in traceback.reprentries:
            entry.lines[:] = [escaped(line) for line in entry.lines]
    return shown


class ModelCollector(pytest.Collector):
    """The checks of one registered model."""

    def __init__(self, *, spec: Spec, make_items: ItemMaker, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        self.make_items = make_items

    def collect(self) -> Iterator[LogitItem]:
        """One item per selected check."""
        yield from self.make_items(self, self.spec)


class LogitFile(pytest.File):
    """A file that registers models: conftest.py, pyproject.toml, or any module that was imported."""

    def __init__(self, *, specs: Iterable[Spec], make_items: ItemMaker, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.specs = tuple(specs)
        self.make_items = make_items

    def collect(self) -> Iterator[ModelCollector]:
        """One collector per model, in order of registration."""
        for spec in self.specs:
            yield model_collector(self, spec, self.make_items)


class GeneratedCollector(pytest.Collector):
    """The checks on generated classifiers, ``logits::generated::<check>``."""

    def __init__(self, *, items: Callable[[pytest.Collector], Iterable[LogitItem]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._items = items

    def collect(self) -> Iterable[LogitItem]:
        """One item per selected check."""
        return self._items(self)


ItemMaker = Callable[[pytest.Collector, Spec], Iterable[LogitItem]]


def model_collector(parent: pytest.Collector, spec: Spec, make_items: ItemMaker) -> ModelCollector:
    """The collector of one model under the file that registered it."""
    collector: ModelCollector = ModelCollector.from_parent(parent, name=spec.name, spec=spec, make_items=make_items)
    return collector
