"""Checks on the arguments of the strategies, made when a strategy is asked for and not when it first draws."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from hypothesis.errors import InvalidArgument

FLOAT_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def check_integer(name: str, value: Any, *, minimum: int) -> None:
    """``value`` is an integer of at least ``minimum``."""
    if not _is_integer(value) or value < minimum:
        raise InvalidArgument(f"{name}={value!r} must be an integer of at least {minimum}")


def check_bounds(low_name: str, low: Any, high_name: str, high: Any, *, minimum: int) -> None:
    """``low`` and ``high`` are integers with ``minimum <= low <= high``."""
    check_integer(low_name, low, minimum=minimum)
    check_integer(high_name, high, minimum=minimum)
    if high < low:
        raise InvalidArgument(f"{high_name}={high!r} must be at least {low_name}={low!r}")


def check_number(name: str, value: Any, *, minimum: float, maximum: float) -> None:
    """``value`` is a number in [minimum, maximum], which leaves out NaN."""
    if not _is_number(value) or not minimum <= value <= maximum:
        raise InvalidArgument(f"{name}={value!r} must be a number from {minimum!r} to {maximum!r}")


def check_positive_numbers(name: str, values: Any) -> None:
    """``values`` is a tuple or list, not empty, of finite numbers above zero."""
    _check_sequence(name, values, "finite numbers above 0")
    for value in values:
        if not _is_number(value) or not 0 < value < math.inf:
            raise InvalidArgument(f"{name}={values!r} contains {value!r}; it must hold finite numbers above 0")


def check_shares(name: str, values: Any) -> None:
    """``values`` is a tuple or list, not empty, of numbers in [0, 1)."""
    _check_sequence(name, values, "numbers from 0 to below 1")
    for value in values:
        if not _is_number(value) or not 0 <= value < 1:
            raise InvalidArgument(f"{name}={values!r} contains {value!r}; it must hold numbers from 0 to below 1")


def check_shape(name: str, value: Any) -> None:
    """``value`` is a tuple, not empty, of integers of at least 1."""
    if not isinstance(value, tuple) or not value or not all(_is_integer(side) and side >= 1 for side in value):
        raise InvalidArgument(
            f"{name}={value!r} must be a tuple of one or more positive integers, such as (3, 8, 8), "
            "without the batch axis"
        )


def check_tokens(special_tokens: Any, padding_token: Any, vocab_size: int | None) -> None:
    """Both are tokens of the vocabulary, and at least two others are left."""
    if not isinstance(special_tokens, tuple) or not all(_is_integer(token) for token in special_tokens):
        raise InvalidArgument(f"special_tokens={special_tokens!r} must be a tuple of integers")
    if padding_token is not None and not _is_integer(padding_token):
        raise InvalidArgument(f"padding_token={padding_token!r} must be an integer")
    named = {*special_tokens, *(() if padding_token is None else (padding_token,))}
    if named and vocab_size is None:
        raise InvalidArgument("special_tokens and padding_token need vocab_size, the number of tokens")
    outside = sorted(token for token in named if not 0 <= token < (vocab_size or 0))
    if outside:
        raise InvalidArgument(f"token {outside[0]} is not in [0, vocab_size={vocab_size})")
    if named and vocab_size is not None and vocab_size - len(named) < 2:
        raise InvalidArgument(f"special_tokens and padding_token leave fewer than 2 of vocab_size={vocab_size} tokens")


def check_names(name: str, values: Any, allowed: Sequence[str]) -> None:
    """``values`` is a tuple or list, not empty, of names that are all ``allowed``."""
    _check_sequence(name, values, f"names among {_listed(allowed)}")
    for value in values:
        if value not in allowed:
            close = difflib.get_close_matches(str(value), allowed, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise InvalidArgument(f"{name}={values!r} contains {value!r}; allowed are {_listed(allowed)}{hint}")


def check_choice(name: str, value: Any, allowed: Sequence[str]) -> None:
    """``value`` is one of the names that are ``allowed``."""
    if value not in allowed:
        close = difflib.get_close_matches(str(value), allowed, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InvalidArgument(f"{name}={value!r} is not known; allowed are {_listed(allowed)}{hint}")


def check_float_dtype(name: str, value: Any) -> None:
    """``value`` is one of the floating-point dtypes that a CPU computes with."""
    if value not in FLOAT_DTYPES:
        raise InvalidArgument(f"{name}={value!r} must be one of {_listed(FLOAT_DTYPES)}")


def check_float_dtypes(name: str, values: Any) -> None:
    """``values`` is a tuple or list, not empty, of such dtypes."""
    _check_sequence(name, values, f"dtypes among {_listed(FLOAT_DTYPES)}")
    for value in values:
        if value not in FLOAT_DTYPES:
            raise InvalidArgument(f"{name}={values!r} contains {value!r}; allowed are {_listed(FLOAT_DTYPES)}")


def _check_sequence(name: str, values: Any, content: str) -> None:
    if not isinstance(values, tuple | list) or not values:
        raise InvalidArgument(f"{name}={values!r} must be a tuple or list of one or more {content}")


# bool is an int to Python, and never what was meant where a size is asked for.
def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(repr(value) for value in values)
