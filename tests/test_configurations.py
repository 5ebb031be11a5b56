"""Drawn configurations, mostly wrong: each is taken, or refused in one paragraph that names the place.

Five hundred are drawn here, always the same ones. ``LOGIT_CONFIGURATIONS=10000`` draws as many; the tox environment
stability does.
"""

from __future__ import annotations

import datetime
import functools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pytest_logits
from pytest_logits import api, check_registry, model_registry, options
from pytest_logits.check_registry import GROUPS
from pytest_logits.model import (
    ARGUMENTS,
    LOSS_ARGUMENTS,
    LOSS_TAKES,
    LOSSES,
    REDUCTIONS,
    TARGETS,
    TASKS,
    RegistrationError,
    builtin_check_names,
)
from pytest_logits.pyproject import add_from_pyproject
from pytest_logits.selection import selected_checks
from pytest_logits.settings import PROFILES

# Shared by the ten tests below.
DRAWN = int(os.environ.get("LOGIT_CONFIGURATIONS", "500")) // 10
# A paragraph: a place, a value in short and the names that are allowed.
LONGEST = 4000
CHOICES: Mapping[str, tuple[str, ...]] = {
    "task": TASKS,
    "loss": LOSSES,
    "targets": TARGETS,
    "loss_takes": LOSS_TAKES,
    "reduction": REDUCTIONS,
}
WORDS = tuple(builtin_check_names()) + GROUPS


class Hostile:
    """Refuses whatever it is asked."""

    def refuse(self, *_: Any) -> Any:
        raise ZeroDivisionError("refused")

    __repr__ = __str__ = __bool__ = __eq__ = __len__ = __iter__ = __index__ = __float__ = refuse
    __hash__ = None  # type: ignore[assignment]


def drawn(test: Callable[..., None]) -> Callable[..., None]:
    quiet = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
    made: Callable[..., None] = settings(
        max_examples=DRAWN, derandomize=True, database=None, deadline=None, suppress_health_check=quiet
    )(test)
    return made


def misspelt(words: tuple[str, ...]) -> st.SearchStrategy[str]:
    """One of the words with a letter left out, doubled or changed."""

    def spoil(word: str, at: int, how: int) -> str:
        at %= len(word)
        return word[:at] + ("", word[at] * 2, "q")[how] + word[at + 1 :]

    return st.builds(spoil, st.sampled_from(words), st.integers(0, 40), st.integers(0, 2))


def anything() -> st.SearchStrategy[Any]:
    """Values of any kind, few of them right."""
    plain = (
        st.none()
        | st.booleans()
        | st.integers(-3, 12)
        | st.sampled_from([0, -1, 2**62, 2**63, 10**30, 10**5000])
        | st.floats()
        | st.text(max_size=12)
        | st.sampled_from(["", " ", "\n\n", "a" * 10_000, "::", "../..", "\x00", "\ud800", "{}", "%s"])
        | st.binary(max_size=4)
        | st.dates()
    )
    odd = st.sampled_from(
        [
            Hostile(),
            object(),
            int,
            len,
            torch.nn.Linear(2, 2),
            torch.nn.Linear,
            torch.zeros(3),
            torch.zeros(0),
            numpy.zeros(3),
            numpy.int64(3),
            torch.Size([3, 4]),
            float("nan"),
            datetime.datetime(2026, 1, 1),
            functools.partial(int, "3"),
            lambda: None,
            ...,
        ]
    )
    nested = st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=3), plain, max_size=2)
    return plain | odd | nested | nested.map(lambda value: [value]) | st.lists(plain, max_size=3).map(tuple)


def arguments_of(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments of register or register_loss: right ones, of which a few are replaced or added."""
    right: dict[str, st.SearchStrategy[Any]] = {
        "num_classes": st.integers(1, 9),
        "input_shape": st.sampled_from([(4,), [3, 8, 8], 5, ()]),
        "expected_failures": st.dictionaries(st.sampled_from(WORDS) | misspelt(WORDS), st.just("known"), max_size=1),
        "frozen": st.sampled_from(["head", ("a.*", "b")]),
    }
    right |= {name: st.sampled_from(choices) for name, choices in CHOICES.items()}
    some = st.fixed_dictionaries({}, optional={name: right.get(name, st.none()) for name in names})
    wrong = st.dictionaries(st.sampled_from(names) | misspelt(names), anything(), max_size=2)
    spelt = st.sampled_from([name for name in names if name in CHOICES]).flatmap(
        lambda name: st.fixed_dictionaries({name: misspelt(CHOICES[name])})
    )
    base = st.just({"num_classes": 2, "input_shape": (4,)} if "input_shape" in names else {})
    return st.builds(lambda *parts: {k: v for part in parts for k, v in part.items()}, base, some, wrong | spelt)


def refusal(call: Callable[[], object], *places: str, kinds: tuple[type[BaseException], ...]) -> str | None:
    """What a call is refused with, None where it is taken."""
    try:
        call()
    except kinds as error:
        said = str(error)
        # Values are shown in short and on one line.
        assert "\n" not in said
        assert 0 < len(said) <= LONGEST
        assert any(place in said for place in places), said
        assert "object at 0x" not in said or "Hostile" not in said
        return said
    return None


def names_the_nearest(said: str | None, arguments: Mapping[str, Any]) -> None:
    """A misspelt word is refused, and where it is what is complained of the word that was meant is in the complaint."""
    for name, choices in CHOICES.items():
        value = arguments.get(name)
        if isinstance(value, str) and value not in choices:
            assert said is not None
            if f"{name}={value!r} is not known" in said:
                assert "did you mean" in said or "it is one of" in said
                assert any(choice in said.partition("is not known")[2] for choice in choices)


@pytest.fixture(autouse=True)
def checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call with right arguments is taken and runs no check."""
    monkeypatch.setattr(api, "run_check", None)
    monkeypatch.setattr(api, "selected_checks", lambda **words: selected_checks(**words) and ())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is above no other test's."""
    return tmp_path_factory.mktemp("configured")


# In Python

CALLS: Mapping[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "register": (pytest_logits.register, ARGUMENTS),
    "register_loss": (pytest_logits.register_loss, LOSS_ARGUMENTS),
    "check_classifier": (pytest_logits.check_classifier, (*ARGUMENTS, "seed", "profile", "device", "select", "ignore")),
    "check_loss": (pytest_logits.check_loss, (*LOSS_ARGUMENTS, "seed", "profile", "device", "select", "ignore")),
    "parametrize_with_checks": (pytest_logits.parametrize_with_checks, ARGUMENTS),
}


def subject() -> torch.nn.Module:
    return torch.nn.Linear(4, 2)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_taken_or_refused_at_its_line(name: str):
    function, names = CALLS[name]

    @drawn
    @given(arguments=arguments_of(names), what=st.just(subject) | anything())
    def holds(arguments: dict[str, Any], what: Any) -> None:
        if name == "parametrize_with_checks":
            what = [what]
        with model_registry.isolated():
            said = refusal(lambda: function(what, **arguments), f"{__file__}:", kinds=(RegistrationError,))
        names_the_nearest(said, arguments)

    holds()


@pytest.mark.parametrize("name", ["register", "register_loss"])
def test_a_decorator_is_taken_or_refused_at_its_line(name: str):
    function, names = CALLS[name]

    @drawn
    @given(arguments=arguments_of(names))
    def holds(arguments: dict[str, Any]) -> None:
        with model_registry.isolated():
            said = refusal(lambda: function(**arguments)(subject), f"{__file__}:", kinds=(RegistrationError,))
        names_the_nearest(said, arguments)

    holds()


def own_check(classifier: object) -> None:
    """Nothing."""


@drawn
@given(
    arguments=st.dictionaries(
        st.sampled_from(["claim", "tags"]) | misspelt(("claim", "tags")), st.just("own") | anything(), max_size=3
    ),
    function=st.just(own_check) | anything(),
)
def test_a_check_is_taken_or_refused_at_its_line(arguments: dict[str, Any], function: Any):
    with check_registry.isolated():
        refusal(lambda: pytest_logits.check(**arguments)(function), ".py:", kinds=(RegistrationError,))


# In pyproject.toml


def toml(value: Any) -> str:
    """A value of TOML; what TOML has no word for is a string."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value) if abs(value) < 10**300 or value != value or isinstance(value, float) else "0"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{toml(str(key))} = {toml(each)}' for key, each in value.items())}}}"
    text = value if isinstance(value, str) else type(value).__name__
    return '"' + "".join(c if c.isalnum() and c.isascii() else f"\\u{ord(c) % 0xD800:04x}" for c in text) + '"'


KEYS = (*ARGUMENTS, "factory", "reduction")
HEADERS = ("models.net", "losses.net", "models", "losses", "model.net", "models.net.deeper", "", 'models."a b"')


def table() -> st.SearchStrategy[str]:
    value = st.just("nets:net") | anything() | st.sampled_from([[4], 2, "cross_entropy", {"a": "b"}])
    head = st.just("[tool.pytest-logits.models.net]") | st.builds(
        "[{}.{}{}]".format,
        st.just("tool") | misspelt(("tool",)),
        st.just("pytest-logits.") | misspelt(("pytest-logits",)).map(lambda word: toml(word) + "."),
        st.sampled_from(HEADERS),
    )
    rows = st.dictionaries(st.sampled_from(KEYS) | misspelt(KEYS), value, max_size=4)
    good = {"factory": "nets:net", "num_classes": 2, "input_shape": [4]}
    return st.builds(
        lambda head, good, rows, cut: "\n".join(
            [head, *(f"{key} = {toml(each)}" for key, each in {**good, **rows}.items())]
        )[:cut],
        head,
        st.sampled_from([good, {}]),
        rows,
        st.just(None) | st.integers(0, 80),
    )


@drawn
@given(text=st.lists(table(), min_size=1, max_size=2).map("\n".join) | st.text(max_size=30) | st.binary(max_size=10))
def test_a_table_is_taken_or_refused_with_its_place(text: str | bytes, folder: Path, nets: None):
    pyproject = folder / "pyproject.toml"
    pyproject.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    with model_registry.isolated():
        refusal(lambda: add_from_pyproject(pyproject), str(pyproject), kinds=(RegistrationError,))


# On the command line and in the ini file


class Config:
    """What the options are read from: pytest's own, for one run."""

    def __init__(self, given: Mapping[str, Any], ini: Mapping[str, Any], rootpath: Path) -> None:
        self.given, self.ini, self.rootpath = given, ini, rootpath
        self.stash = pytest.Stash()

    def getoption(self, name: str) -> Any:
        return self.given.get(name)

    def getini(self, name: str) -> Any:
        empty: Any = [] if name in ("logit_select", "logit_ignore", "logit_model", "logit_models") else ""
        value = self.ini.get(name, empty)
        if isinstance(value, Exception):
            raise value
        return value


@pytest.fixture
def nets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module with a factory, and one that ends the process when it is imported."""
    module = type(sys)("nets")
    module.net = subject  # type: ignore[attr-defined]
    module.number = 3  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nets", module)


REFERENCES = (
    "nets:net",
    "nets:number",
    "nets:nett",
    "nets",
    "nets:",
    ":net",
    "nets:net.x",
    "nots:net",
    "nets:..",
    "a b",
)
REFERENCES_OF_OTHERS = ("builtins:dict", "math:pi", "math:pi.x", "sys:exit", "..:x", "nets:number.real")


def option_values() -> st.SearchStrategy[dict[str, Any]]:
    text = st.text(max_size=8) | st.sampled_from(["0", "-1", "3,32,32", "4x4", "9" * 5000, "1.5", "(4,)", ",", "1e3"])
    refused = st.sampled_from([ValueError("invalid truth value 'maybe'"), TypeError("expects a string, got int: 7")])
    return st.fixed_dictionaries(
        {},
        optional={
            "logit_seed": text | refused,
            "logit_profile": st.sampled_from(tuple(PROFILES)) | misspelt(tuple(PROFILES)) | text,
            "logit_device": st.sampled_from(["cpu", "cuda:99", "cup", "meta", "mps:x"]) | text,
            "logit_input_shape": st.just("4") | text,
            "logit_classes": st.just("2") | text,
            "logit_select": st.lists(st.sampled_from(WORDS) | misspelt(WORDS) | text, max_size=2) | refused,
            "logit_ignore": st.lists(misspelt(WORDS), max_size=1),
            "logit_model": st.lists(st.sampled_from(REFERENCES + REFERENCES_OF_OTHERS) | text, max_size=1),
            "logit_models": st.lists(st.sampled_from(["nets", "nots", "", "..", "a b", "\x00"]), max_size=1),
            "logit_strict": st.booleans() | refused,
        },
    )


def on_the_command_line(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that a command line can have."""
    return {
        name: value for name, value in values.items() if name != "logit_models" and not isinstance(value, Exception)
    }


@drawn
@given(given_=option_values().map(on_the_command_line), ini=option_values())
def test_options_are_taken_or_refused_by_name(given_: dict[str, Any], ini: dict[str, Any], folder: Path, nets: None):
    config: Any = Config(given_, ini, folder / "empty")

    def read() -> None:
        options.settings_of(config)
        options.is_set(config, "strict")
        options.load_models(config)
        try:
            selected_checks(
                select=options.words(options.list_of(config, "select")),
                ignore=options.words(options.list_of(config, "ignore")),
            )
        except ValueError as error:
            raise pytest.UsageError(f"--logit-{error}") from None

    before = list(sys.path)
    try:
        with model_registry.isolated():
            refusal(read, "--logit-", "ini option logit_", kinds=(pytest.UsageError,))
    finally:
        sys.path[:] = before
