"""The report files of a session: written at its end, or before SIGTERM ends it; one that cannot be written is told."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from pytest_logits.report import write_whole


class ReportFiles:
    """Writes each report whole or not at all, so that a session that is ended early leaves what it has finished.

    pytest ends itself on Ctrl-C, ``-x``, ``--maxfail`` and ``pytest.exit``, and so reaches :meth:`write`. On SIGTERM it
    does not, so a handler writes first and then lets the signal do what it did before: what was there is called, or
    the process dies of the signal. The handler is there only between :meth:`open` and :meth:`close`, only where a
    report is asked for, and does nothing in a forked child.
    """

    def __init__(self, config: pytest.Config, paths: Iterable[Path], text_for: Callable[[Path], str]) -> None:
        self._config = config
        self._paths = tuple(paths)
        self._text_for = text_for
        self._problems: list[str] = []
        self._before: Any = None
        self._owner: int | None = None
        self._writing = False
        self._waiting: tuple[int, FrameType | None] | None = None

    def open(self) -> None:
        """Put in the handler, where signals can be handled and the present one is neither ignored nor out of reach."""
        if not self._paths or threading.current_thread() is not threading.main_thread():
            return
        before = signal.getsignal(signal.SIGTERM)
        if before is None or before is signal.SIG_IGN:
            return
        self._before, self._owner = before, os.getpid()
        signal.signal(signal.SIGTERM, self._on_sigterm)

    def write(self) -> bool:
        """Write the reports; whether all of them could be written."""
        self._writing = True
        self._problems.clear()
        try:
            for path in self._paths:
                try:
                    write_whole(path, self._text_for(path))
                except OSError as error:
                    self._problems.append(f"ERROR: --logit-report: cannot write {path}: {error.strerror or error}")
        finally:
            self._writing = False
            if self._waiting is not None:
                waiting, self._waiting = self._waiting, None
                self._tell()
                self._pass_on(*waiting)
        return not self._problems

    def close(self) -> None:
        """Put the handler back, and say as the last words of the session what could not be written."""
        if self._owner is not None:
            self._owner = None
            # Another one on top of ours stays; ours then only passes on.
            if signal.getsignal(signal.SIGTERM) == self._on_sigterm:
                signal.signal(signal.SIGTERM, self._before)
        self._tell()

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        if self._owner == os.getpid():
            if self._writing:
                # The signal has stopped the writing of this same report: let it finish.
                self._waiting = number, frame
                return
            self.write()
            self._tell()
        self._pass_on(number, frame)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if callable(self._before):
            self._before(number, frame)
            return
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _tell(self) -> None:
        problems, self._problems = self._problems, []
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        for line in problems:
            if reporter is None:
                print(line, file=sys.stderr)
            else:
                reporter.ensure_newline()
                reporter.write_line(line, red=True)
