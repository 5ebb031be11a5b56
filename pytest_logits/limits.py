"""How long a check may take: one that does not end is an error with its place, and the session goes on.

In the main thread of a system that has it, the alarm of the operating system rings (``SIGALRM``, as pytest-timeout's
signal method does), which also ends waiting: a lock, a sleep, a join. Elsewhere an exception is sent to the thread,
which sees it at its next line of Python. Neither ends code in C that does not come back to Python.
"""

from __future__ import annotations

import ctypes
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from types import FrameType, TracebackType
from typing import Any, Protocol

# A model that has run out of time once gets this share of it for each later check; twice, and no other check runs it.
LATER = 0.1
MOST_EXCEEDED = 2
# The alarm rings again after so many seconds, for code that catches everything.
AGAIN = 0.5
# An import that is cut leaves half a package, and all that needs it fails from then on: it gets so many seconds more.
IMPORT = 60.0
SOON = 0.05
# A timer is as exact as this, in seconds.
TICK = 0.001


class OutOfTime(BaseException):
    """A check has not finished in its time. Two arguments: what became of it, and why it had no more.

    No ``Exception``: code that goes on after one of those ends too.
    """


class Limit:
    """How long each check of one model may take, in seconds; 0 for ever."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._exceeded: list[str] = []

    def of(self, check: str) -> AbstractContextManager[None]:
        """The time of one check.

        Raises:
            OutOfTime: the block has not finished, or is not begun as two checks of this model have not.
        """
        return self._of(check) if self.seconds else nullcontext()

    @contextmanager
    def _of(self, check: str) -> Iterator[None]:
        if len(self._exceeded) >= MOST_EXCEEDED:
            raise OutOfTime("not run", f", as {' and '.join(self._exceeded)}")
        seconds = self.seconds * LATER if self._exceeded else self.seconds
        alarm = _alarm(seconds)
        _ringing.append(alarm)
        raised: BaseException | None = None
        try:
            alarm.start()
            yield
        except BaseException as error:
            raised = error
        finally:
            # It may ring once more before it is stopped.
            with suppress(OutOfTime):
                alarm.stop()
            alarm.stop()
            _ringing.remove(alarm)
        if raised is not None and (not alarm.rang or isinstance(raised, KeyboardInterrupt)):
            raise raised
        if alarm.rang:
            # Also where the model's code has caught it: what it gave then decides nothing.
            what = f"did not finish in {seconds:g} s"
            why = f"; it had a tenth of the limit, as {self._exceeded[0]}" if self._exceeded else ""
            self._exceeded.append(f"{check} {what}")
            entry = raised.__traceback__ if raised is not None else None
            raise OutOfTime(what, why).with_traceback(_without_handler(entry)) from None


class _Alarm(Protocol):
    rang: bool

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def lift(self) -> None: ...


_ringing: list[_Alarm] = []


def lift() -> None:
    """Let what is running take as long as it will: someone looks at it with a debugger."""
    for alarm in _ringing:
        alarm.lift()


def _alarm(seconds: float) -> _Alarm:
    if hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread():
        return _Signal(seconds)
    return _Thread(seconds)


class _Signal:
    """The operating system's alarm. One that was set before, as by pytest-timeout, rings when it would have."""

    def __init__(self, seconds: float) -> None:
        self._due = time.monotonic() + seconds
        self._over = False
        self._importing = _imports(sys._getframe())
        self.rang = False
        self._twice = False
        self._previous: Any = None
        self._others = math.inf
        self._interval = 0.0

    def start(self) -> None:
        left, self._interval = signal.getitimer(signal.ITIMER_REAL)
        if left:
            self._others = time.monotonic() + left
        self._previous = signal.signal(signal.SIGALRM, self._ring)
        self._wait()

    def stop(self) -> None:
        self._over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        # None was set by code that is no Python.
        signal.signal(signal.SIGALRM, signal.SIG_DFL if self._previous is None else self._previous)
        if self._others < math.inf:
            signal.setitimer(signal.ITIMER_REAL, max(self._others - time.monotonic(), TICK), self._interval)

    def lift(self) -> None:
        self._due = math.inf

    def _wait(self, least: float = TICK) -> None:
        until = min(self._due, self._others)
        signal.setitimer(signal.ITIMER_REAL, max(until - time.monotonic(), least) if until < math.inf else 0)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic() + TICK
        if self._over:
            return
        if now >= self._others:
            self._others = now + self._interval if self._interval else math.inf
            self._wait()
            if callable(self._previous):
                self._previous(number, frame)
        if now < self._due:
            self._wait()
            return
        if now < self._due + IMPORT and _imports(frame) > self._importing:
            signal.setitimer(signal.ITIMER_REAL, SOON)
            return
        # Code that catches everything has caught the first. Two that follow at once leave its ``try`` as well.
        self._twice = self.rang and not self._twice
        self.rang = True
        signal.setitimer(signal.ITIMER_REAL, TICK / 100 if self._twice else AGAIN)
        raise OutOfTime


class _Thread:
    """An exception sent from another thread, where the operating system has no alarm or this is not the main thread.

    In CPython 3.11 every thread that is traced, as by Hypothesis or coverage, stands still at its next call while an
    exception is on its way to any thread, and for good after one was taken back: only one that arrives lowers the flag
    that all threads read. So one that a thread in C does not take is taken back now and then, and after each that was
    taken back another arrives at once. From the sending of it on, nothing here calls a function of Python.
    """

    def __init__(self, seconds: float) -> None:
        self.rang = False
        self._seconds = seconds
        self._importing = _imports(sys._getframe())
        self._target = ctypes.c_ulong(threading.get_ident())
        # Held for as long as the block may ring.
        self._running = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="logit-timeout", daemon=True)

    def start(self) -> None:
        self._running.acquire()
        self._thread.start()

    def stop(self) -> None:
        self.lift()
        if self._thread.is_alive():
            self._thread.join()
        if self.rang:
            # One that was sent as the block ended must not arrive behind it: this one takes its place.
            try:
                _send(self._target, _SENT)
                while True:
                    pass
            except OutOfTime:
                pass

    def lift(self) -> None:
        if self._running.locked():
            self._running.release()

    def _watch(self) -> None:
        wait, late = self._seconds, time.monotonic() + self._seconds + IMPORT
        this = ctypes.c_ulong(threading.get_ident())
        while not self._running.acquire(timeout=wait):
            frame = sys._current_frames().get(self._target.value)
            wait = SOON
            if time.monotonic() < late and _imports(frame) > self._importing:
                continue
            self.rang = True
            _send(self._target, _SENT)
            if self._running.acquire(timeout=AGAIN):
                return
            try:
                _send(self._target, None)
                _send(this, _SENT)
                while True:
                    pass
            except OutOfTime:
                pass


_send = ctypes.pythonapi.PyThreadState_SetAsyncExc
_SENT = ctypes.py_object(OutOfTime)


def _imports(frame: FrameType | None) -> int:
    """How deep in imports a stack is."""
    found = 0
    while frame is not None:
        found += frame.f_code.co_filename.startswith("<frozen importlib")
        frame = frame.f_back
    return found


def _without_handler(entry: TracebackType | None) -> TracebackType | None:
    """The traceback up to where the code was, without the handler that raised."""
    first = entry
    while entry is not None:
        last = entry.tb_next
        if last is not None and last.tb_next is None and last.tb_frame.f_code.co_filename == __file__:
            entry.tb_next = None
        entry = entry.tb_next
    return first
