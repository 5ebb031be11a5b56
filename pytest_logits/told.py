"""How a mistake in the configuration is told: short values, one paragraph, the nearest valid word. Imports no torch."""

from __future__ import annotations

import difflib
import math
import reprlib
from collections.abc import Iterable
from typing import Any

# Of a value, so much is shown; of a list of names, so many.
LONGEST = 80
MOST_NAMES = 100


def nearest(word: Any, words: Iterable[str]) -> str:
    """``"did you mean 'x'?"`` where one of ``words`` is near ``word``, else a list: those with such a part, or all."""
    known = list(words)
    # Cut, for difflib's time grows with the square of a word's length.
    text = word[:LONGEST] if isinstance(word, str) else shown(word)
    close = difflib.get_close_matches(text, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean {close[0]!r}?"
    parts = sorted({part for name in known for part in name.split("_")})
    part = (difflib.get_close_matches(text, parts, n=1, cutoff=0.7) or [text])[0]
    known = [name for name in known if part and part in name] or known
    more = ", ..." if len(known) > MOST_NAMES else ""
    return f"it is one of: {', '.join(known[:MOST_NAMES])}{more}"


def nearest_integer(value: Any, minimum: int) -> str:
    """``"; the nearest is 2"`` where ``value`` is or reads as a number, else nothing."""
    try:
        number = float(value[:LONGEST] if isinstance(value, str) else value)
        if isinstance(value, bool | bytes) or not math.isfinite(number):
            return ""
        return f"; the nearest is {max(minimum, round(number))}"
    except Exception:
        # Whatever it is, it is no number.
        return ""


def shown(value: Any) -> str:
    """``value`` as code on one line, cut where it is long; a value may refuse to be shown."""
    try:
        text = " ".join(_SHORT.repr(value).split())
    except Exception:
        # Its own __repr__ raises, or it is an integer of too many digits.
        return f"<{type(value).__name__}>"
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def kind(value: Any) -> str:
    """``value`` with its type: ``"3 (int)"``."""
    return f"{shown(value)} ({type(value).__name__})"


def one_paragraph(text: object) -> str:
    """``text`` on one line: what others raise may have many."""
    return " ".join(str(text).split())


def _short() -> reprlib.Repr:
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = LONGEST
    return short


_SHORT = _short()
