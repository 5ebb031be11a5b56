"""Registration says at once what is wrong, what was meant, and where."""

from __future__ import annotations

import dataclasses
import functools
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_logits.model import (
    ARGUMENTS,
    ModelSpec,
    RegistrationError,
    builtin_check_names,
    caller,
    make_spec,
    require_known_checks,
)

CHECK = "outputs_are_logits"
GOOD: dict[str, Any] = {"num_classes": 2, "input_shape": (4,)}


def net() -> torch.nn.Module:
    return torch.nn.Linear(4, 2)


def spec(factory: Any = net, **arguments: Any) -> ModelSpec:
    return make_spec(factory, file=Path("/user/conftest.py"), line=7, arguments=arguments)


def complaint(factory: Any = net, **arguments: Any) -> str:
    with pytest.raises(RegistrationError) as raised:
        spec(factory, **arguments)
    return str(raised.value)


def test_an_expected_failure_that_no_check_has_is_named_once_the_checks_are_known():
    made = spec(**GOOD, expected_failures={"outputs_are_logit": "known"})
    with pytest.raises(RegistrationError) as raised:
        require_known_checks(made, ["outputs_are_logits", "own_check"])
    assert str(raised.value) == (
        f"cannot register 'net' ({Path('/user/conftest.py')}:7): expected_failures names 'outputs_are_logit', "
        "which is no check; did you mean 'outputs_are_logits'?"
    )


def test_expected_failures_of_known_checks_are_right():
    require_known_checks(spec(**GOOD, expected_failures={"own_check": "known"}), ["outputs_are_logits", "own_check"])


def test_good_arguments_become_the_fields():
    made = spec(**GOOD, task="multilabel", loss="bce", targets="multihot")
    assert (made.num_classes, made.input_shape, made.task, made.loss, made.targets) == (
        2,
        (4,),
        "multilabel",
        "bce",
        "multihot",
    )


def test_every_field_but_the_place_is_an_argument():
    fields = {field.name for field in dataclasses.fields(ModelSpec)}
    assert fields - set(ARGUMENTS) == {"factory", "file", "line"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"num_class": 2}, "unknown argument 'num_class'; did you mean 'num_classes'?"),
        ({"input_shapes": (4,)}, "unknown argument 'input_shapes'; did you mean 'input_shape'?"),
        ({"expected_failure": {}}, "unknown argument 'expected_failure'; did you mean 'expected_failures'?"),
        ({"num_classes": None}, "argument 'num_classes' is required"),
        ({"num_classes": 0}, "num_classes= must be an integer of at least 1; got 0 (int)"),
        ({"num_classes": 2.0}, "num_classes= must be an integer of at least 1; got 2.0 (float)"),
        ({"num_classes": "2"}, "num_classes= must be an integer of at least 1; got '2' (str)"),
        ({"num_classes": True}, "num_classes= must be an integer of at least 1; got True (bool)"),
        ({"task": "multi-class"}, "task='multi-class' is not known; did you mean 'multiclass'?"),
        ({"task": "zzz"}, "task='zzz' is not known; it is one of: multiclass, binary, multilabel"),
        ({"task": 2}, "task=2 is not known; it is one of: multiclass, binary, multilabel"),
        ({"task": ["binary"]}, "task=['binary'] is not known; did you mean 'binary'?"),
        ({"loss": "crossentropy"}, "loss='crossentropy' is not known; did you mean 'cross_entropy'?"),
        ({"loss": "nll"}, "loss='nll' is not known; did you mean 'nll_loss'?"),
        ({"loss": 3}, "loss= must be one of cross_entropy, bce_with_logits, nll_loss, bce, or callable; got 3 (int)"),
        ({"targets": "one_hot"}, "targets='one_hot' is not known; did you mean 'onehot'?"),
        ({"targets": 3}, "or callable; got 3 (int)"),
        ({"targets": "multihot"}, "targets='multihot' needs task='multilabel'"),
        ({"task": "binary", "num_classes": 3}, "task='binary' has two classes; got num_classes=3"),
        ({"input_shape": "4"}, "input_shape= must be positive integers, such as (3, 32, 32), without the batch axis"),
        ({"input_shape": (4, 0)}, "input_shape= must be positive integers"),
        ({"input_shape": (4.0,)}, "input_shape= must be positive integers"),
        ({"input_shape": 0}, "input_shape= must be positive integers"),
        ({"input_shape": True}, "input_shape= must be positive integers"),
        ({"input_shape": None}, "argument 'input_shape' is required"),
        ({"vocab_size": 1}, "vocab_size= must be an integer of at least 2; got 1 (int)"),
        ({"inputs": torch.randn}, "pass either inputs= or input_shape=/vocab_size=, not both"),
        ({"input_shape": None, "inputs": 3}, "inputs= must be callable; got 3 (int)"),
        ({"logits": "logits"}, "logits= must be callable; got 'logits' (str)"),
        ({"predict": 3}, "predict= must be callable; got 3 (int)"),
        ({"equivalent_to": 3}, "equivalent_to= must be the name of another registered model; got 3 (int)"),
        ({"equivalent_to": ""}, "equivalent_to= must be the name of another registered model; got '' (str)"),
        ({"equivalent_to": "net"}, "equivalent_to='net' is the model itself; it must name another one"),
        ({"name": "two words"}, "name='two words' must consist of letters, digits, '_', '-' and '.'"),
        ({"name": "net::two"}, "name='net::two' must consist of"),
        ({"name": "net\n"}, "must consist of"),
        ({"expected_failures": [CHECK]}, "expected_failures= maps a check's name to the reason"),
        ({"expected_failures": {3: "known"}}, "expected_failures= maps a check's name to the reason; got 3 (int)"),
        ({"expected_failures": {CHECK: ""}}, f"expected_failures['{CHECK}'] needs a reason, in words; got '' (str)"),
        ({"expected_failures": {CHECK: "  "}}, f"expected_failures['{CHECK}'] needs a reason, in words"),
        ({"expected_failures": {CHECK: None}}, f"expected_failures['{CHECK}'] needs a reason, in words"),
        ({"expected_failures": {CHECK: True}}, f"expected_failures['{CHECK}'] needs a reason, in words"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_a_bad_argument_is_named(arguments: dict[str, Any], said: str):
    assert said in complaint(**{**GOOD, **arguments})


def test_a_complaint_names_model_file_and_line():
    assert complaint(num_classes=0, input_shape=(4,)).startswith("cannot register 'net' (/user/conftest.py:7): ")


def test_of_several_unknown_arguments_the_first_is_named():
    assert "unknown argument 'zulu'" in complaint(**GOOD, zulu=1, yankee=1, xray=1, whisky=1, victor=1, uniform=1)


@pytest.mark.parametrize("factory", [3, "nets:net", None])
def test_a_factory_must_be_callable(factory: Any):
    assert "the factory must be callable with no arguments" in complaint(factory, **GOOD)


def test_a_lambda_needs_a_name():
    assert "pass name='...'" in complaint(lambda: net(), **GOOD)


@pytest.mark.parametrize(
    ("factory", "name"),
    [
        (net, "net"),
        (torch.nn.Linear(4, 2), "Linear"),
        (torch.nn.Identity, "Identity"),
        (functools.partial(net), "partial"),
    ],
)
def test_the_default_name_is_the_factorys(factory: Any, name: str):
    assert spec(factory, **GOOD).name == name


@pytest.mark.parametrize("shape", [4, (4,), [4]])
def test_an_input_shape_is_kept_as_a_tuple(shape: Any):
    assert spec(num_classes=2, input_shape=shape).input_shape == (4,)


@pytest.mark.parametrize("instead", [{"vocab_size": 9}, {"inputs": torch.randn}])
def test_tokens_and_own_inputs_need_no_shape(instead: dict[str, Any]):
    assert spec(num_classes=2, **instead).input_shape is None


def test_an_argument_that_is_none_counts_as_not_given():
    assert spec(**GOOD, task=None, name=None, loss=None).task == "multiclass"


def test_the_names_of_checks_are_the_files():
    folder = Path(__file__).parent.parent / "pytest_logits" / "checks"
    assert list(builtin_check_names()) == sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))


def test_the_caller_is_told_by_depth():
    def inner() -> tuple[Path, int]:
        return caller(1)

    assert inner() == (Path(__file__).resolve(), sys._getframe().f_lineno)
