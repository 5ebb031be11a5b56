from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

import pytest

from pytest_logits import limits
from pytest_logits.limits import Limit, OutOfTime, lift

SHORT = 0.05


def spin() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(1e6)


def wait() -> None:
    threading.Event().wait()


def go_on() -> None:
    """Ends, but only after it has caught what should have ended it."""
    try:
        sleep()
    except BaseException:
        return


def say_another() -> None:
    try:
        sleep()
    except BaseException as error:
        raise ValueError("mine") from error


def catch_all() -> None:
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


def out_of_time(block: Callable[[], object], limit: Limit | None = None) -> OutOfTime:
    with pytest.raises(OutOfTime) as raised, (limit or Limit(SHORT)).of("a_check"):
        block()
    return raised.value


@pytest.mark.parametrize("block", [spin, sleep, wait, go_on, say_another, catch_all])
def test_what_does_not_end_is_out_of_time(block: Callable[[], None]):
    assert out_of_time(block).args == ("did not finish in 0.05 s", "")


def test_the_traceback_ends_where_the_code_was():
    entry = out_of_time(spin).__traceback__
    while entry is not None and entry.tb_next is not None:
        entry = entry.tb_next
    assert entry is not None
    assert entry.tb_frame.f_code is spin.__code__


def test_what_ends_is_let_be():
    with Limit(60.0).of("a_check"):
        pass


def test_an_exception_in_time_is_let_through():
    with pytest.raises(ZeroDivisionError), Limit(60.0).of("a_check"):
        raise ZeroDivisionError


def test_no_seconds_are_no_limit():
    before = signal.getsignal(signal.SIGALRM)
    with Limit().of("a_check"):
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        assert signal.getsignal(signal.SIGALRM) is before


def test_after_one_a_tenth_is_left_and_after_two_nothing_is_run():
    limit, ran = Limit(0.5), []
    assert out_of_time(spin, limit).args == ("did not finish in 0.5 s", "")
    with limit.of("another"):
        ran.append("another")
    assert out_of_time(spin, limit).args == (
        "did not finish in 0.05 s",
        "; it had a tenth of the limit, as a_check did not finish in 0.5 s",
    )
    refused = out_of_time(lambda: ran.append("third"), limit)
    assert refused.args == (
        "not run",
        ", as a_check did not finish in 0.5 s and a_check did not finish in 0.05 s",
    )
    assert ran == ["another"]


@pytest.fixture
def alarms() -> Any:
    """What rings for someone else. Whatever a test does to the alarm is undone."""
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    yield rung
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("block", [lambda: None, spin], ids=["ends", "does not end"])
def test_the_alarm_of_another_is_put_back(alarms: list[int], block: Callable[[], None]):
    handler = signal.getsignal(signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, 1000, 7)
    try:
        with Limit(SHORT).of("a_check"):
            block()
    except OutOfTime:
        pass
    left, interval = signal.getitimer(signal.ITIMER_REAL)
    assert (990 < left <= 1000, interval) == (True, 7)
    assert signal.getsignal(signal.SIGALRM) is handler
    assert alarms == []


def test_the_alarm_of_another_rings_inside(alarms: list[int]):
    signal.setitimer(signal.ITIMER_REAL, SHORT / 10)
    assert out_of_time(spin).args[0] == "did not finish in 0.05 s"
    assert alarms == [signal.SIGALRM]


def test_what_the_handler_of_another_raises_goes_through(alarms: list[int]):
    """As pytest-timeout's does."""

    def fail(number: int, frame: Any) -> None:
        raise ZeroDivisionError

    signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, SHORT)
    with pytest.raises(ZeroDivisionError), Limit(60.0).of("a_check"):
        spin()


def test_an_alarm_that_was_due_inside_rings_behind(alarms: list[int]):
    signal.setitimer(signal.ITIMER_REAL, 1000)
    with Limit(60.0).of("a_check"):
        limits._ringing[-1]._others = 0.0  # type: ignore[attr-defined]
    while not alarms:
        pass
    assert alarms == [signal.SIGALRM]


def test_whoever_looks_with_a_debugger_has_all_the_time():
    with Limit(SHORT).of("a_check"):
        lift()
        time.sleep(3 * SHORT)


def slow_module(seconds: float) -> Callable[[], None]:
    """The import of a module that takes so long."""

    class Loader:
        def create_module(self, spec: Any) -> None:
            return None

        def exec_module(self, module: ModuleType) -> None:
            time.sleep(seconds)
            module.done = True  # type: ignore[attr-defined]

        def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
            import importlib.util

            return importlib.util.spec_from_loader(name, self) if name == "slow_module" else None

    def load() -> None:
        finder = Loader()
        sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
        sys.modules.pop("slow_module", None)
        try:
            __import__("slow_module")
        finally:
            sys.meta_path.remove(finder)  # type: ignore[arg-type]

    return load


@pytest.mark.parametrize("in_thread", [False, True])
def test_an_import_is_not_cut(in_thread: bool):
    """What is half imported is broken for all that comes."""

    def load_and_spin() -> None:
        slow_module(4 * SHORT)()
        spin()

    run = in_another_thread if in_thread else out_of_time
    assert run(load_and_spin).args[0] == "did not finish in 0.05 s"
    assert sys.modules.pop("slow_module").done


def test_an_import_that_does_not_end_is_cut_in_the_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "IMPORT", SHORT)
    assert out_of_time(slow_module(1e6)).args[0] == "did not finish in 0.05 s"


def in_another_thread(block: Callable[[], object]) -> OutOfTime:
    found: list[OutOfTime] = []
    thread = threading.Thread(target=lambda: found.append(out_of_time(block)))
    thread.start()
    thread.join()
    return found[0]


def doze() -> None:
    """Sleeps as code in C does that comes back to Python now and then."""
    while True:
        time.sleep(0.001)


@pytest.mark.parametrize("block", [spin, doze])
def test_in_another_thread_python_code_is_ended(block: Callable[[], None]):
    assert in_another_thread(block).args == ("did not finish in 0.05 s", "")


def test_in_another_thread_what_ends_is_let_be():
    ended: list[bool] = []

    def run() -> None:
        with Limit(60.0).of("a_check"):
            pass
        ended.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ended == [True]
    assert [t.name for t in threading.enumerate() if t.name == "logit-timeout"] == []


def traced_calls(count: int) -> None:
    """Calls that a tracer sees. Where they do not end, the alarm of the operating system ends them."""
    before = sys.gettrace()
    with Limit(20.0).of("traced calls"):
        sys.settrace(lambda *event: None)
        try:
            for _ in range(count):
                (lambda: None)()
        finally:
            sys.settrace(before)


@pytest.mark.parametrize("block", [lambda: None, spin], ids=["ends", "does not end"])
def test_after_a_limit_in_another_thread_tracers_go_on(block: Callable[[], None]):
    """In Python 3.11 they stand still where an exception was sent and none has arrived since."""

    def run() -> None:
        with suppress(OutOfTime), Limit(SHORT).of("a_check"):
            block()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    traced_calls(1000)


def test_while_a_thread_does_not_come_back_to_python_tracers_go_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(limits, "AGAIN", SHORT)
    held, ended = threading.Lock(), []

    def wait_in_c() -> None:
        held.acquire()

    held.acquire()
    thread = threading.Thread(target=lambda: ended.append(out_of_time(wait_in_c).args[0]))
    thread.start()
    try:
        time.sleep(3 * SHORT)
        traced_calls(1000)
    finally:
        held.release()
        thread.join()
    assert ended == ["did not finish in 0.05 s"]
