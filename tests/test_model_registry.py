"""Where models are registered: the decorator, the call, pyproject.toml."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_logits.model import RegistrationError, make_spec
from pytest_logits.model_registry import (
    add,
    add_from_pyproject,
    equivalent_of,
    isolated,
    load_factory,
    load_module,
    register,
    registered_models,
    require_pairs,
)

GOOD: dict[str, Any] = {"num_classes": 2, "input_shape": (4,)}
HERE = Path(__file__).resolve()


def net() -> torch.nn.Module:
    return torch.nn.Linear(4, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with modules to import; what a test imports from it is forgotten."""
    sources = {
        "nets.py": "class Net:\n    @classmethod\n    def small(cls): return cls()\nnumber = 3\n",
        "needs.py": "import there_is_no_such_module\n",
        "broken.py": "1 / 0\n",
        "wrong.py": "def f(:\n",
    }
    for name, source in sources.items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    before = set(sys.modules)
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def pyproject(folder: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = folder / "pyproject.toml"
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    return write


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


# pyproject.toml


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


# Factories by name


def test_a_factory_may_be_nested(folder: Path):
    found = load_factory("nets:Net.small", folder)
    assert found == sys.modules["nets"].Net.small


@pytest.mark.parametrize("reference", ["nets", "nets:", ":Net", ""])
def test_a_reference_of_another_form_is_an_error(folder: Path, reference: str):
    with pytest.raises(RegistrationError, match=r"must look like 'pkg\.mod:factory'"):
        load_factory(reference, folder)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("nots:Net", "cannot import 'nots' for 'nots:Net': No module named 'nots'"),
        ("needs:Net", "cannot import 'needs' for 'needs:Net': No module named 'there_is_no_such_module'"),
        ("nets:Not", "module 'nets' has no 'Not' (wanted by 'nets:Not')"),
        ("nets:Net.large", "module 'nets' has no 'Net.large' (wanted by 'nets:Net.large')"),
        # The user's own mistake, with its type: a message without it would read "division by zero".
        ("broken:Net", "cannot import 'broken' for 'broken:Net': ZeroDivisionError: division by zero"),
        ("wrong:Net", "cannot import 'wrong' for 'wrong:Net': SyntaxError"),
    ],
)
def test_a_factory_that_cannot_be_had_is_an_error(folder: Path, reference: str, said: str):
    with pytest.raises(RegistrationError) as raised:
        load_factory(reference, folder)
    assert said in str(raised.value)


def test_a_name_in_the_module_that_is_near_is_named(folder: Path):
    with pytest.raises(RegistrationError, match="did you mean 'Net'"):
        load_factory("nets:Nett", folder)


def test_what_a_loaded_module_imports_later_is_found_too(folder: Path):
    """A factory may import its model when it is called, which the plugin recommends."""
    (folder / "lazy.py").write_text("def net():\n    import nets\n    return nets.Net()\n", encoding="utf-8")
    assert type(load_module("lazy", folder).net()).__name__ == "Net"
