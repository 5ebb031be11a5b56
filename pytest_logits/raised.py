"""What the user's own code has raised: in words, at which of their lines, and whether it is Ctrl-C."""

from __future__ import annotations

import dis
import signal
from collections.abc import Sequence
from types import TracebackType

from pytest_logits.finding import Location
from pytest_logits.locate import LIBRARIES, OURS, TORCH, at

RAISE = dis.opmap["RAISE_VARARGS"]
# With another handler of Python's, Ctrl-C too is raised by a line of code.
PLAIN_HANDLERS = (signal.default_int_handler, signal.SIG_DFL, signal.SIG_IGN)


def said(error: BaseException) -> str:
    """``KeyError: 'x'``, also of an exception that cannot say what it is."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:
        return f"{name}: <its text cannot be had>"
    return f"{name}: {text}" if text else name


def users_frames(files: Sequence[str]) -> list[int]:
    """Which frames of a traceback, given by their files from the outermost on, to show: those below the suite's own.

    Without torch's between and below them; with those where nothing else is left.
    """
    begin = next((i for i, file in enumerate(files) if file.startswith(OURS)), 0)
    first = next((i for i, file in enumerate(files) if i >= begin and _is_users(file)), len(files))
    ours = [i for i, file in enumerate(files) if file.startswith(OURS) and i < first]
    below = range(ours[-1] + 1 if ours else 0, len(files))
    return [i for i in below if not files[i].startswith((OURS, TORCH))] or [
        i for i in below if not files[i].startswith(OURS)
    ]


def raised_at(error: BaseException) -> Location | None:
    """The innermost line of the user's own code; None where there is none."""
    entry, found = error.__traceback__, None
    while entry is not None:
        if _is_users(entry.tb_frame.f_code.co_filename):
            found = entry
        entry = entry.tb_next
    if found is None:
        return None
    code = found.tb_frame.f_code
    return at(code.co_filename, found.tb_lineno, note=f"in {code.co_name}")


def is_raised_by_hand(error: KeyboardInterrupt) -> bool:
    """Whether a ``raise`` of the user's own code made it. Ctrl-C comes between two lines, and is nobody's ``raise``."""
    last = _innermost(error.__traceback__)
    if last is None or signal.getsignal(signal.SIGINT) not in PLAIN_HANDLERS:
        return False
    # One that was raised while another was handled passes that one on.
    before = error.__cause__ or error.__context__
    while before is not None:
        if isinstance(before, KeyboardInterrupt):
            return False
        before = before.__cause__ or before.__context__
    code = last.tb_frame.f_code
    return _is_users(code.co_filename) and code.co_code[last.tb_lasti] == RAISE


def _innermost(entry: TracebackType | None) -> TracebackType | None:
    while entry is not None and entry.tb_next is not None:
        entry = entry.tb_next
    return entry


def _is_users(file: str) -> bool:
    return not file.startswith((OURS, TORCH, "<", *LIBRARIES))
