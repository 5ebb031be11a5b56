from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_logits.raised import is_raised_by_hand, raised_at, said, users_frames

OURS = str(Path(__import__("pytest_logits").__file__).parent / "runner.py")
TORCH = str(Path(torch.__file__).parent / "nn" / "modules" / "module.py")
LIBRARY = pytest.__file__
USERS, CONFTEST = "/project/net.py", "/project/conftest.py"


class Silent(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("x"), "KeyError: 'x'"),
        (MemoryError(), "MemoryError"),
        (Silent(), "Silent: <its text cannot be had>"),
    ],
)
def test_an_exception_in_words(error: BaseException, words: str):
    assert said(error) == words


@pytest.mark.parametrize(
    ("files", "shown"),
    [
        ([OURS, USERS], [1]),
        ([CONFTEST, LIBRARY, OURS, LIBRARY, OURS, TORCH, USERS], [6]),
        ([OURS, TORCH, USERS, TORCH, USERS, TORCH], [2, 4]),
        ([OURS, USERS, OURS, TORCH], [1]),
        ([OURS, TORCH, USERS, LIBRARY], [2, 3]),
        ([OURS, TORCH, TORCH], [1, 2]),
        ([OURS, LIBRARY], [1]),
        ([OURS, OURS], []),
    ],
    ids=lambda value: "",
)
def test_the_frames_to_show_are_the_users(files: list[str], shown: list[int]):
    assert users_frames(files) == shown


def interrupt() -> None:
    raise KeyboardInterrupt


def raised_by(block: Callable[[], object]) -> KeyboardInterrupt:
    try:
        block()
    except KeyboardInterrupt as error:
        return error
    raise AssertionError("not raised")


def passes_on() -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise


def raises_another() -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("mine")  # noqa: B904


def test_a_raise_in_the_code_is_by_hand():
    assert is_raised_by_hand(raised_by(interrupt))


@pytest.mark.parametrize("block", [lambda: signal.raise_signal(signal.SIGINT), passes_on, raises_another])
def test_a_signal_is_not(block: Callable[[], object]):
    assert not is_raised_by_hand(raised_by(block))


def test_what_a_handler_raises_is_not():
    def handler(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handler)
    try:
        error = raised_by(lambda: signal.raise_signal(signal.SIGINT))
        assert not is_raised_by_hand(error)
    finally:
        signal.signal(signal.SIGINT, before)


def test_one_without_a_traceback_is_not():
    assert not is_raised_by_hand(KeyboardInterrupt())


def test_the_place_is_the_innermost_line_of_the_users():
    error = raised_by(interrupt)
    place = raised_at(error)
    assert place is not None
    assert (place.file, place.line, place.code, place.note) == (
        __file__,
        interrupt.__code__.co_firstlineno + 1,
        "raise KeyboardInterrupt",
        "in interrupt",
    )


def test_without_code_of_the_users_there_is_no_place():
    assert raised_at(KeyboardInterrupt()) is None
