"""Where models are registered: the decorator, the call."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_logits.model import RegistrationError, make_spec
from pytest_logits.model_registry import (
    add,
    equivalent_of,
    isolated,
    register,
    registered_models,
    require_pairs,
)

GOOD: dict[str, Any] = {"num_classes": 2, "input_shape": (4,)}
HERE = Path(__file__).resolve()


def net() -> torch.nn.Module:
    return torch.nn.Linear(4, 2)


# Decorator and call


def test_the_decorator_returns_the_function():
    assert register(**GOOD)(net) is net


def test_the_call_returns_the_factory():
    assert register(net, **GOOD) is net


def test_the_decorator_registers_under_its_own_line():
    line = sys._getframe().f_lineno + 2

    @register(**GOOD)
    def decorated():
        return net()

    (spec,) = registered_models()
    assert (spec.name, spec.file, spec.line) == ("decorated", HERE, line)


def test_the_call_registers_under_its_own_line():
    register(net, name="called", **GOOD)
    (spec,) = registered_models()
    assert (spec.name, spec.file, spec.line) == ("called", HERE, sys._getframe().f_lineno - 2)


def test_a_module_is_a_factory():
    register(torch.nn.Linear(4, 2), **GOOD)
    assert registered_models()[0].name == "Linear"


def test_models_come_in_order_of_registration():
    for name in ("zulu", "alpha", "mike"):
        add(make_spec(net, file=HERE, line=len(registered_models()), arguments={"name": name, **GOOD}))
    assert [spec.name for spec in registered_models()] == ["zulu", "alpha", "mike"]


def test_the_factory_is_the_only_argument_by_position():
    with pytest.raises(TypeError, match="positional"):
        register(net, (4,), 2)  # type: ignore[call-overload]


def test_a_bad_call_names_the_callers_file_and_line():
    with pytest.raises(RegistrationError) as raised:
        register(net, num_class=2)
    line = sys._getframe().f_lineno - 1
    assert str(raised.value) == (
        f"cannot register 'net' ({HERE}:{line}): unknown argument 'num_class'; did you mean 'num_classes'?"
    )


def test_a_misspelt_decorator_is_told_before_it_decorates():
    with pytest.raises(RegistrationError) as raised:
        register(num_class=2, input_shape=(4,))
    line = sys._getframe().f_lineno - 1
    assert f"({HERE}:{line}): unknown argument 'num_class'; did you mean 'num_classes'?" in str(raised.value)


def test_a_decorator_without_classes_is_told_before_it_decorates():
    with pytest.raises(RegistrationError, match="argument 'num_classes' is required"):
        register(input_shape=(4,))


def test_a_bad_value_in_a_decorator_names_the_decorators_line():
    decorate = register(num_classes=2, input_shape=(4,), task="multi-class")
    line = sys._getframe().f_lineno - 1
    with pytest.raises(RegistrationError) as raised:
        decorate(net)
    assert str(raised.value) == (
        f"cannot register 'net' ({HERE}:{line}): task='multi-class' is not known; did you mean 'multiclass'?"
    )


def test_a_decorator_without_its_arguments_is_told():
    with pytest.raises(RegistrationError, match="argument 'num_classes' is required"):

        @register
        def bare():
            return net()


def test_nothing_is_registered_where_registering_fails():
    with pytest.raises(RegistrationError):
        register(net, num_classes=0, input_shape=(4,))
    assert registered_models() == ()


# Names


def test_the_same_name_from_another_line_names_both_lines():
    add(make_spec(net, file=HERE, line=3, arguments=GOOD))
    with pytest.raises(RegistrationError) as raised:
        add(make_spec(net, file=HERE, line=9, arguments=GOOD))
    assert str(raised.value) == (
        f"cannot register 'net' ({HERE}:9): the name is taken by line 3 of the same file; pass another name="
    )


def test_the_same_line_twice_replaces():
    add(make_spec(net, file=HERE, line=3, arguments=GOOD))
    again = make_spec(net, file=HERE, line=3, arguments={**GOOD, "num_classes": 3})
    add(again)
    assert registered_models() == (again,)


def test_the_same_name_in_another_file_is_another_model():
    for file in (HERE, HERE.parent / "other.py"):
        add(make_spec(net, file=file, line=3, arguments=GOOD))
    assert len(registered_models()) == 2


# equivalent_to=


def pair(mine: dict[str, Any], its: dict[str, Any], *, file: Path = HERE) -> Any:
    """A model and another; the first names "other"."""
    first = make_spec(net, file=HERE, line=1, arguments={**GOOD, "name": "first", "equivalent_to": "other", **mine})
    add(first)
    add(make_spec(net, file=file, line=2, arguments={**GOOD, "name": "other", **its}))
    return first


ELSEWHERE = HERE.parent / "elsewhere.py"
BINARY = {"task": "binary"}


@pytest.mark.parametrize("file", [HERE, ELSEWHERE])
def test_the_other_model_is_found_by_its_name(file: Path):
    assert equivalent_of(pair({}, {}, file=file)).file == file
    require_pairs()


def test_of_two_of_one_name_that_of_the_same_file_is_meant():
    first = pair({}, {})
    add(make_spec(net, file=ELSEWHERE, line=2, arguments={**GOOD, "name": "other"}))
    assert equivalent_of(first).file == HERE


def test_several_of_one_name_in_other_files_are_told():
    first = pair({}, {}, file=ELSEWHERE)
    add(make_spec(net, file=HERE.parent / "third.py", line=2, arguments={**GOOD, "name": "other"}))
    with pytest.raises(RegistrationError, match=r"'other' is registered in several files: .*elsewhere.py, .*third.py"):
        equivalent_of(first)


@pytest.mark.parametrize(
    ("mine", "its"),
    [
        ({}, BINARY),
        (BINARY, {}),
        ({}, {**BINARY, "num_classes": 1}),
        ({"inputs": torch.randn, "input_shape": None}, {"input_shape": (9,)}),
    ],
)
def test_one_logit_and_two_logits_are_two_classes(mine: dict[str, Any], its: dict[str, Any]):
    assert equivalent_of(pair(mine, its)).name == "other"


@pytest.mark.parametrize(
    ("mine", "its", "said"),
    [
        ({"equivalent_to": "othr"}, {}, "equivalent_to='othr' is no registered model; did you mean 'other'?"),
        ({}, {"input_shape": (5,)}, "input_shape=(4,), and (5,) in equivalent_to='other'"),
        ({"vocab_size": 9}, {}, "vocab_size=9, and None in equivalent_to='other'"),
        ({"num_classes": 3}, {}, "it classifies into 3 classes, and equivalent_to='other' into 2 classes"),
        ({"task": "multilabel"}, {}, "it classifies into 2 independent labels, and equivalent_to='other' into 2 class"),
        ({"num_classes": 3}, BINARY, "it classifies into 3 classes, and equivalent_to='other' into 2 classes"),
    ],
)
def test_a_pair_that_cannot_be_compared_is_told(mine: dict[str, Any], its: dict[str, Any], said: str):
    first = pair(mine, its)
    for ask in (lambda: equivalent_of(first), require_pairs):
        with pytest.raises(RegistrationError) as raised:
            ask()
        assert str(raised.value).startswith(f"cannot pair 'first' ({HERE}:1): ")
        assert said in str(raised.value)


def test_a_lone_model_has_no_nearest_name():
    register(net, equivalent_to="other", **GOOD)
    with pytest.raises(RegistrationError, match="is no registered model; no other model is registered"):
        require_pairs()


# isolated()


def test_isolated_starts_with_no_models():
    register(net, **GOOD)
    with isolated():
        assert registered_models() == ()


def test_isolated_puts_the_models_back():
    register(net, **GOOD)
    before = registered_models()
    with isolated():
        register(net, name="inner", **GOOD)
    assert registered_models() == before


def test_isolated_puts_the_models_back_after_an_exception():
    register(net, **GOOD)
    before = registered_models()
    with pytest.raises(KeyError), isolated():
        raise KeyError
    assert registered_models() == before
