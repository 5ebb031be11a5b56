"""What a long check is doing, behind the dots of the current line, and gone when it is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest

# A check that is done by then shows nothing.
PATIENCE = 2.0
EVERY = 0.5
# Narrower than this says nothing.
NARROWEST = 20


class Progress:
    """Writes beside pytest's own line, where there is a terminal to write to; otherwise does nothing."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._label = ""
        self._next = 0.0
        self._shown = False

    @contextmanager
    def of(self, label: str) -> Iterator[None]:
        """What is told inside the block belongs to ``label``."""
        self._label, self._next = label, time.monotonic() + PATIENCE
        try:
            yield
        finally:
            if self._shown:
                self._write("\x1b[K")
                self._shown = False

    def tell(self, what: str) -> None:
        """Show what is being done, twice a second at most and not before two seconds have passed."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or not reporter.isatty:
            return
        writer = self._config.get_terminal_writer()
        room = writer.fullwidth - writer.width_of_current_line - 2
        if room < NARROWEST:
            return
        text = f" {self._label}: {what}"[:room]
        self._write(f"\x1b[K{text}\x1b[{len(text)}D")
        self._shown = True

    def _write(self, text: str) -> None:
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
            sys.stdout.write(text)
            sys.stdout.flush()
