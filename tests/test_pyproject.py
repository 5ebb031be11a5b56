"""Models in the tables of pyproject.toml."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_logits.model import RegistrationError
from pytest_logits.model_registry import registered_models
from pytest_logits.pyproject import add_from_pyproject


@pytest.fixture
def pyproject(modules: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = modules / "pyproject.toml"
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return write


def test_a_table_registers_a_model(pyproject: Callable[[str], Path]):
    path = pyproject("""
        [tool.pytest-logits.models.spam]
        factory = "nets:Net.small"
        num_classes = 3
        input_shape = [3, 8]
        task = "multilabel"
        expected_failures = { outputs_are_logits = "known" }
    """)
    add_from_pyproject(path)
    (spec,) = registered_models()
    assert (spec.name, spec.file, spec.line) == ("spam", path.resolve(), 1)
    assert (spec.num_classes, spec.input_shape, spec.task) == (3, (3, 8), "multilabel")
    assert spec.expected_failures == {"outputs_are_logits": "known"}


def test_the_factory_of_a_table_is_the_object_it_names(pyproject: Callable[[str], Path]):
    add_from_pyproject(
        pyproject("""
            [tool.pytest-logits.models.spam]
            factory = "nets:Net"
            num_classes = 2
            input_shape = [4]
        """)
    )
    assert registered_models()[0].factory is sys.modules["nets"].Net


def test_the_line_is_that_of_the_models_own_table(pyproject: Callable[[str], Path]):
    """Not of one whose name begins the same."""
    table = 'factory = "nets:Net"\nnum_classes = 2\ninput_shape = [4]\n'
    add_from_pyproject(
        pyproject(f"[tool.pytest-logits.models.spam_filter]\n{table}\n[tool.pytest-logits.models.spam]\n{table}")
    )
    assert {spec.name: spec.line for spec in registered_models()} == {"spam_filter": 1, "spam": 6}


def test_a_quoted_name_has_its_line(pyproject: Callable[[str], Path]):
    add_from_pyproject(
        pyproject("""
            # first
            [tool.pytest-logits.models."spam.v2"]
            factory = "nets:Net"
            num_classes = 2
            input_shape = [4]
        """)
    )
    assert [(spec.name, spec.line) for spec in registered_models()] == [("spam.v2", 2)]


@pytest.mark.parametrize("text", ["", "[tool.other]\nx = 1\n", "[tool.pytest-logits]\n"])
def test_a_file_without_the_table_registers_nothing(pyproject: Callable[[str], Path], text: str):
    add_from_pyproject(pyproject(text))
    assert registered_models() == ()


def test_a_missing_file_registers_nothing(tmp_path: Path):
    add_from_pyproject(tmp_path / "pyproject.toml")
    assert registered_models() == ()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("num_classes = 2", "factory = 'pkg.mod:name' is required"),
        ("factory = 3", "factory = 'pkg.mod:name' is required"),
        ('factory = "nets"', "'nets' is no factory: it must look like 'pkg.mod:factory'"),
        ('factory = "nots:Net"', "cannot import 'nots' for 'nots:Net'"),
        ('factory = "nets:Not"', "module 'nets' has no 'Not' (wanted by 'nets:Not')"),
        ('factory = "nets:Net"\nnum_class = 2', "unknown argument 'num_class'; did you mean 'num_classes'?"),
        ('factory = "nets:Net"\nnum_classes = 0\ninput_shape = [4]', "num_classes= must be an integer"),
        ('factory = "nets:Net"\nnum_classes = 2\ninput_shape = "4"', "input_shape= must be positive integers"),
        ('factory = "nets:number"\nnum_classes = 2\ninput_shape = [4]', "the factory must be callable"),
    ],
)
def test_a_bad_table_is_named_with_its_place(pyproject: Callable[[str], Path], lines: str, said: str):
    path = pyproject(f"# first\n[tool.pytest-logits.models.spam]\n{lines}\n")
    with pytest.raises(RegistrationError) as raised:
        add_from_pyproject(path)
    assert str(raised.value).startswith(f"cannot register 'spam' ({path}:2): ")
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "[tool.pytest-logits]\nmodels = 3\n",
        '[tool.pytest-logits.models]\nspam = "nets:Net"\n',
        '[tool]\npytest-logits = "on"\n',
        "[tool.pytest-logits.models.spam\n",
    ],
    ids=["models is no table", "a model is no table", "no table at all", "no TOML"],
)
def test_a_file_that_has_another_form_is_an_error_that_names_it(pyproject: Callable[[str], Path], text: str):
    path = pyproject(text)
    with pytest.raises(RegistrationError) as raised:
        add_from_pyproject(path)
    assert str(path) in str(raised.value)
