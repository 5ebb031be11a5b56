from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from hypothesis.errors import InvalidArgument

from pytest_logits.strategies import _validate


@pytest.mark.parametrize("value", [0, -1, True, 1.0, "1", None])
def test_integer_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(f"size={value!r} must be an integer of at least 1")):
        _validate.check_integer("size", value, minimum=1)


def test_bounds_in_the_wrong_order_name_both_arguments() -> None:
    with pytest.raises(InvalidArgument, match=r"max_size=2 must be at least min_size=3"):
        _validate.check_bounds("min_size", 3, "max_size", 2, minimum=1)


@pytest.mark.parametrize("value", [0.5, 9, math.nan, math.inf, True, "1"])
def test_number_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(f"bound={value!r} must be a number from 1.0 to 8.0")):
        _validate.check_number("bound", value, minimum=1.0, maximum=8.0)


@pytest.mark.parametrize("values", [(), 1.0, None, {1.0}])
def test_numbers_that_are_no_sequence_are_refused(values: Any) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(f"scales={values!r} must be a tuple or list of one or more")):
        _validate.check_positive_numbers("scales", values)


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, True, "1"])
def test_positive_number_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(f"contains {value!r}; it must hold finite numbers above 0")):
        _validate.check_positive_numbers("scales", (1.0, value))


@pytest.mark.parametrize("value", [(), 3, [3], (0,), (3, -1), (True,), (2.0,), None])
def test_shape_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(f"input_shape={value!r} must be a tuple")):
        _validate.check_shape("input_shape", value)


def test_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(
        InvalidArgument, match=r"contains 'liner'; allowed are 'linear', 'cnn'; did you mean 'linear'\?"
    ):
        _validate.check_names("families", ("cnn", "liner"), ("linear", "cnn"))


def test_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"contains 3; allowed are 'linear', 'cnn'$"):
        _validate.check_names("families", (3,), ("linear", "cnn"))


# One string is a sequence of strings to Python; as an argument it is a slip.
def test_names_given_as_one_text_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"families='linear' must be a tuple or list of one or more names"):
        _validate.check_names("families", "linear", ("linear", "cnn"))


@pytest.mark.parametrize("value", [torch.int64, torch.complex64, torch.bool, "float32", float, None])
def test_dtype_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(f"dtype={value!r} must be one of torch.float32")):
        _validate.check_float_dtype("dtype", value)
    with pytest.raises(InvalidArgument, match=re.escape(f"contains {value!r}; allowed are torch.float32")):
        _validate.check_float_dtypes("dtypes", (torch.float32, value))


def test_right_arguments_pass() -> None:
    _validate.check_integer("size", 1, minimum=1)
    _validate.check_bounds("min_size", 2, "max_size", 2, minimum=1)
    _validate.check_number("bound", 8, minimum=1.0, maximum=8.0)
    _validate.check_positive_numbers("scales", [1, 0.1])
    _validate.check_shape("input_shape", (3, 8, 8))
    _validate.check_names("families", ["cnn"], ("linear", "cnn"))
    for dtype in _validate.FLOAT_DTYPES:
        _validate.check_float_dtype("dtype", dtype)
    _validate.check_float_dtypes("dtypes", _validate.FLOAT_DTYPES)
