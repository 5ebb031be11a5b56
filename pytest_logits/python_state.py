"""What code may change in the Python process it runs in, numpy included: how each part is read and put back."""

from __future__ import annotations

import _signal
import gc
import locale
import logging
import os
import random
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from itertools import islice
from typing import Any, NamedTuple


class Kept(NamedTuple):
    """One part of the state. ``restore`` is given what ``read`` returned, and changes nothing where nothing differs."""

    name: str
    read: Callable[[], Any]
    restore: Callable[[Any], object]
    # Whether what was read can be put back more than once, and later.
    lasts: bool = True


def _attributes(owner: Any, *names: str) -> tuple[Callable[[], Any], Callable[[Any], object]]:
    """Keep attributes as the objects they are."""

    def read() -> dict[str, Any]:
        return {name: getattr(owner, name) for name in names}

    def restore(before: dict[str, Any]) -> None:
        for name, value in before.items():
            if getattr(owner, name, None) is not value:
                setattr(owner, name, value)

    return read, restore


def _lists(owner: Any, *names: str) -> tuple[Callable[[], Any], Callable[[Any], object]]:
    """Keep lists: which objects they are, and what they hold."""

    def read() -> dict[str, tuple[list[Any], list[Any]]]:
        return {name: (getattr(owner, name), list(getattr(owner, name))) for name in names}

    def restore(before: dict[str, tuple[list[Any], list[Any]]]) -> None:
        for name, (found, content) in before.items():
            if found != content:
                found[:] = content
            if getattr(owner, name, None) is not found:
                setattr(owner, name, found)

    return read, restore


def _settings(
    *pairs: tuple[Callable[[], Any], Callable[[Any], object]],
) -> tuple[Callable[[], Any], Callable[[Any], object]]:
    """Keep what some getters return, by their setters."""

    def read() -> list[Any]:
        return [get() for get, _ in pairs]

    def restore(before: list[Any]) -> None:
        for (get, put), value in zip(pairs, before, strict=True):
            if get() != value:
                put(value)

    return read, restore


def _folder() -> str | None:
    try:
        # A ninth of the time of Path.cwd(), twice for every check.
        return os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return None


def _return_to(folder: str | None) -> None:
    if folder is not None and _folder() != folder:
        os.chdir(folder)


def _encoded_environment() -> dict[Any, Any]:
    """What ``os.environ`` holds, as the system has it: to decode and encode each variable takes fifty times as long."""
    data: dict[Any, Any] | None = getattr(os.environ, "_data", None)
    return dict(os.environ) if data is None else data


def _environment() -> tuple[dict[Any, Any], dict[str, str]]:
    """As it is, and in words, which are made anew only where it has changed since they were last asked for."""
    global _last_environment
    found = _encoded_environment()
    if found != _last_environment[0]:
        _last_environment = (dict(found), dict(os.environ))
    return _last_environment


_last_environment: tuple[dict[Any, Any], dict[str, str]] = ({}, {})


def _restore_environment(read: tuple[dict[Any, Any], dict[str, str]]) -> None:
    encoded, before = read
    if _encoded_environment() == encoded:
        return
    zone = os.environ.get("TZ")
    for name in [name for name in os.environ if name not in before]:
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
    if zone != before.get("TZ") and hasattr(time, "tzset"):
        time.tzset()


def _umask() -> int:
    # It can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask


_loaded: dict[str, Any] = {}


def _modules() -> dict[str, Any]:
    """The loaded modules by name. To copy thousands takes most of a millisecond: the last copy does until one is added.

    One that was put in the place of another, under its name, is then not noticed.
    """
    global _loaded
    last = next(reversed(sys.modules))
    if len(_loaded) != len(sys.modules) or _loaded.get(last) is not sys.modules[last]:
        _loaded = dict(sys.modules)
    return _loaded


def _restore_modules(before: dict[str, Any]) -> None:
    # What was imported since stays: to import torch or numpy a second time breaks them. It stands behind the last one
    # from before where none of those is gone.
    added = len(sys.modules) - len(before)
    if added >= 0 and next(islice(reversed(sys.modules), added, None)) == next(reversed(before)):
        return
    for name in before.keys() - sys.modules.keys():
        sys.modules[name] = before[name]


# To ask for them takes as long as to read them all.
_SIGNALS = tuple(signal.valid_signals())


def _handlers() -> dict[int, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    # What signal.getsignal gives, without making members of an enumeration of numbers.
    return {number: _signal.getsignal(number) for number in _SIGNALS}


def _restore_handlers(before: dict[int, Any]) -> None:
    for number, handler in before.items():
        # None is a handler that Python has not set and cannot set.
        if handler is not None and _signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def _alarm() -> tuple[float, float, float] | None:
    if not hasattr(signal, "setitimer"):
        return None
    return (time.monotonic(), *signal.getitimer(signal.ITIMER_REAL))


def _restore_alarm(before: tuple[float, float, float] | None) -> None:
    """An alarm that was set before rings when it would have rung; one that was set since does not ring."""
    if before is None:
        return
    since, left, interval = before
    if left:
        left = max(left - (time.monotonic() - since), 1e-6)
    if left or signal.getitimer(signal.ITIMER_REAL)[0]:
        signal.setitimer(signal.ITIMER_REAL, left, interval)


def _blocked() -> set[int] | None:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, [])) if hasattr(signal, "pthread_sigmask") else None


def _restore_blocked(before: set[int] | None) -> None:
    if before is not None and _blocked() != before:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _warnings() -> warnings.catch_warnings[None]:
    caught: warnings.catch_warnings[None] = warnings.catch_warnings()
    caught.__enter__()
    return caught


def _decimal() -> tuple[Any, Any] | None:
    decimal = sys.modules.get("decimal")
    return None if decimal is None else (decimal.getcontext(), decimal.getcontext().copy())


def _restore_decimal(before: tuple[Any, Any] | None) -> None:
    if before is None:
        return
    context, copied = before
    sys.modules["decimal"].setcontext(context)
    for name in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp"):
        setattr(context, name, getattr(copied, name))
    context.flags.update(copied.flags)
    context.traps.update(copied.traps)


def _start_method() -> tuple[Any, str | None] | None:
    multiprocessing = sys.modules.get("multiprocessing")
    return None if multiprocessing is None else (multiprocessing, multiprocessing.get_start_method(allow_none=True))


def _restore_start_method(before: tuple[Any, str | None] | None) -> None:
    if before is not None and before[0].get_start_method(allow_none=True) != before[1]:
        before[0].set_start_method(before[1], force=True)


def _numpy() -> tuple[Any, ...] | None:
    # Only if something else has imported it already.
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    return numpy, numpy.random.get_state(), numpy.geterr(), numpy.geterrcall(), numpy.get_printoptions()


def _restore_numpy(before: tuple[Any, ...] | None) -> None:
    if before is None:
        return
    numpy, state, errors, call, printing = before
    numpy.random.set_state(state)
    numpy.seterr(**errors)
    numpy.seterrcall(call)
    if numpy.get_printoptions() != printing:
        numpy.set_printoptions(**printing)


_LIMITS = [(sys.getrecursionlimit, sys.setrecursionlimit), (sys.getswitchinterval, sys.setswitchinterval)]
if hasattr(sys, "set_int_max_str_digits"):
    _LIMITS.append((sys.get_int_max_str_digits, sys.set_int_max_str_digits))

KEPT = (
    Kept("random state of Python", random.getstate, random.setstate),
    Kept("numpy: random state, error handling, print options", _numpy, _restore_numpy),
    Kept("working directory", _folder, _return_to),
    Kept("environment", _environment, _restore_environment),
    Kept("umask", *_settings((_umask, os.umask))),
    Kept("sys.path, meta_path, path_hooks, argv", *_lists(sys, "path", "meta_path", "path_hooks", "argv")),
    Kept("loaded modules: none is unloaded", _modules, _restore_modules),
    Kept("standard streams", *_attributes(sys, "stdin", "stdout", "stderr")),
    Kept(
        "hooks of sys",
        *_attributes(sys, "excepthook", "displayhook", "unraisablehook", "breakpointhook", "dont_write_bytecode"),
    ),
    Kept("hook of threading", *_attributes(threading, "excepthook")),
    Kept("trace and profile functions", *_settings((sys.gettrace, sys.settrace), (sys.getprofile, sys.setprofile))),
    Kept("recursion limit, switch interval, digits of integers", *_settings(*_LIMITS)),
    Kept("garbage collector: threshold", *_settings((gc.get_threshold, lambda value: gc.set_threshold(*value)))),
    Kept(
        "garbage collector: on or off",
        *_settings((gc.isenabled, lambda value: gc.enable() if value else gc.disable())),
    ),
    Kept("signal handlers", _handlers, _restore_handlers),
    Kept("blocked signals", _blocked, _restore_blocked),
    Kept("alarm", _alarm, _restore_alarm, lasts=False),
    Kept("root logger: handlers, filters", *_lists(logging.root, "handlers", "filters")),
    Kept(
        "root logger: level; logging.disable",
        *_settings(
            (lambda: logging.root.level, logging.root.setLevel), (lambda: logging.root.manager.disable, logging.disable)
        ),
    ),
    Kept("locale", *_settings((lambda: locale.setlocale(locale.LC_ALL), lambda v: locale.setlocale(locale.LC_ALL, v)))),
    Kept("decimal context", _decimal, _restore_decimal),
    Kept("start method of multiprocessing", _start_method, _restore_start_method),
    Kept("folder of temporary files", *_attributes(tempfile, "tempdir")),
)
# Apart, to be put back last: what puts back another may warn.
WARNINGS = Kept(
    "warning filters and what shows warnings",
    _warnings,
    lambda caught: caught.__exit__(None, None, None),
    lasts=False,
)
