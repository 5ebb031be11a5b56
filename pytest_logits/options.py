"""What the command line and the ini file say: settings, lists, and the models they name. Imports no torch."""

from __future__ import annotations

import inspect
import math
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_logits.model import ModelSpec, RegistrationError, make_spec
from pytest_logits.model_registry import add
from pytest_logits.pyproject import add_from_pyproject
from pytest_logits.references import load_factory, load_module
from pytest_logits.settings import (
    DEFAULT_DEVICE,
    DEFAULT_PROFILE,
    DEFAULT_SEED,
    DEFAULT_TIMEOUT,
    PROFILES,
    Settings,
)
from pytest_logits.told import LONGEST, nearest, one_paragraph, shown

# The companions of --logit-model, and the arguments of register() that they give.
COMPANIONS = {"input_shape": "input_shape", "classes": "num_classes"}


@dataclass(frozen=True, kw_only=True)
class ByOption:
    """A model that ``--logit-model`` names: what its registration would say, and what of that was guessed, in words."""

    reference: str
    arguments: Mapping[str, Any]
    guessed: str
    options: tuple[str, ...]

    @property
    def registration(self) -> tuple[str, str]:
        """The import and the call that register it."""
        module, _, attribute = self.reference.partition(":")
        arguments = "".join(f", {name}={value!r}" for name, value in self.arguments.items())
        return (
            f"from {module} import {attribute.partition('.')[0]}",
            f"pytest_logits.register({attribute}{arguments})",
        )


# By the identity of the spec.
Models = Mapping[int, ByOption]
_LOADED = pytest.StashKey[Models]()


def settings_of(config: pytest.Config) -> Settings:
    """The session's seed, profile and time limit.

    Raises:
        pytest.UsageError: one of them is not known.
    """
    return Settings(
        seed=_seed(config),
        profile=PROFILES[_profile(config)],
        threads=_threads(config),
        device=_device(config),
        timeout=_timeout(config),
    )


def source_of(config: pytest.Config, name: str) -> str:
    """What a mistake in an option is told by: ``--logit-<name>`` where it is given, else the ini file's twin."""
    if config.getoption(f"logit_{name}") is None:
        return f"ini option logit_{name}"
    return f"--logit-{name.replace('_', '-')}"


def _ini(config: pytest.Config, name: str) -> Any:
    """What the ini file says.

    Raises:
        pytest.UsageError: it cannot be read as what the option is.
    """
    try:
        return config.getini(f"logit_{name}")
    except (TypeError, ValueError, pytest.UsageError) as error:
        # Which of them is a matter of pytest's version; none names the option.
        raise pytest.UsageError(f"ini option logit_{name}: {one_paragraph(error)}") from None


def is_set(config: pytest.Config, name: str) -> bool:
    """Whether ``--logit-<name>`` is given, or its twin in the ini file is true."""
    given: bool | None = config.getoption(f"logit_{name}")
    return bool(_ini(config, name) if given is None else given)


def text_of(config: pytest.Config, name: str) -> str:
    """What ``--logit-<name>`` says, else the ini file."""
    given: str | None = config.getoption(f"logit_{name}")
    return str(_ini(config, name)) if given is None else given


def list_of(config: pytest.Config, name: str) -> list[str]:
    """What all ``--logit-<name>`` say, else the ini file."""
    given: list[str] | None = config.getoption(f"logit_{name}")
    return list(_ini(config, name)) if given is None else given


def words(lists: Iterable[str]) -> list[str]:
    """The words of comma-separated lists."""
    return [word.strip() for text in lists for word in text.split(",") if word.strip()]


def load_modules(config: pytest.Config) -> None:
    """Import the modules of the ini option ``logit_models``.

    Raises:
        pytest.UsageError: one cannot be imported, or registers something wrong.
    """
    for module in _ini(config, "models"):
        try:
            load_module(module, config.rootpath)
        except (RegistrationError, pytest.skip.Exception) as error:
            raise pytest.UsageError(f"ini option logit_models: {error}") from None


def load_models(config: pytest.Config) -> Models:
    """Register the models that the ini file, pyproject.toml and ``--logit-model`` name, once in a session.

    Returns:
        those of ``--logit-model``.

    Raises:
        pytest.UsageError: one cannot be registered.
    """
    if _LOADED not in config.stash:
        load_modules(config)
        found: dict[int, ByOption] = {}
        try:
            add_from_pyproject(config.rootpath / "pyproject.toml")
            for reference in list_of(config, "model"):
                spec, by_option = _model_of_option(config, reference)
                add(spec)
                found[id(spec)] = by_option
        except RegistrationError as error:
            raise pytest.UsageError(str(error)) from None
        config.stash[_LOADED] = found
    return config.stash[_LOADED]


def _seed(config: pytest.Config) -> int:
    text = text_of(config, "seed") or str(DEFAULT_SEED)
    try:
        return int(text)
    except ValueError:
        raise pytest.UsageError(f"{source_of(config, 'seed')}: {shown(text)} is no integer") from None


def _threads(config: pytest.Config) -> int | None:
    """A worker's share of the processors, unless the environment says how many threads each process is to have."""
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers == 1 or any(name in os.environ for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")):
        return None
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, processors // workers)


def _timeout(config: pytest.Config) -> float:
    text = text_of(config, "timeout") or f"{DEFAULT_TIMEOUT:g}"
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise pytest.UsageError(
            f"{source_of(config, 'timeout')}: {shown(text)} is no number of seconds; 0 is for as long as it takes"
        )
    return seconds


def _profile(config: pytest.Config) -> str:
    text = text_of(config, "profile") or DEFAULT_PROFILE
    if text not in PROFILES:
        said = f"{shown(text)} is not known; {nearest(text, PROFILES)}"
        raise pytest.UsageError(f"{source_of(config, 'profile')}: {said}")
    return text


def _device(config: pytest.Config) -> str:
    text = text_of(config, "device") or DEFAULT_DEVICE
    if text != DEFAULT_DEVICE:
        from pytest_logits.placing import device_of

        try:
            device_of(text)
        except ValueError as error:
            raise pytest.UsageError(f"{source_of(config, 'device')}: {one_paragraph(error)}") from None
    return text


def _model_of_option(config: pytest.Config, reference: str) -> tuple[ModelSpec, ByOption]:
    """The model that ``--logit-model`` names, with shape and classes from its two companions, or guessed."""
    arguments: dict[str, Any] = {}
    where = f"{source_of(config, 'model')} {one_paragraph(reference)[:LONGEST]}"
    options = [f"--logit-model={reference}"]
    for option, argument in COMPANIONS.items():
        text = text_of(config, option)
        if text:
            arguments[argument] = _numbers(config, option, text)
            options.append(f"--logit-{option.replace('_', '-')}={text}")
    try:
        factory, guessed = load_factory(reference, config.rootpath), ""
        if len(arguments) < len(COMPANIONS):
            arguments, guessed = _guessed(where, factory, arguments)
        file, line = _place_of(factory, reference, config.rootpath)
        spec = make_spec(factory, file=file, line=line, arguments=arguments)
    except (RegistrationError, pytest.skip.Exception) as error:
        raise pytest.UsageError(f"{where}: {error}") from None
    return spec, ByOption(reference=reference, arguments=arguments, guessed=guessed, options=tuple(options))


def _numbers(config: pytest.Config, option: str, text: str) -> int | tuple[int, ...]:
    """The shape, or the number of classes, that an option says."""
    said = f"{source_of(config, option)}: {shown(text)} must be"
    try:
        numbers = tuple(int(part) for part in text.replace("x", ",").strip("(), ").split(","))
    except ValueError:
        numbers = ()
    if option == "classes" and (len(numbers) != 1 or numbers[0] < 1):
        raise pytest.UsageError(f"{said} an integer of at least 1, the number of classes")
    if not numbers or min(numbers) < 1:
        raise pytest.UsageError(f"{said} {'positive ' if numbers else ''}integers, such as 3,32,32")
    return numbers if option == "input_shape" else numbers[0]


def _guessed(where: str, factory: Any, given: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What is given, with what can be guessed of the rest; and the guess in words."""
    from pytest_logits.guess import CannotGuess, guess

    try:
        made = guess(factory, **given)
    except CannotGuess as error:
        raise pytest.UsageError(f"{where}: {error}") from None
    return dict(made.arguments), made.told


def _place_of(factory: Any, reference: str, rootpath: Path) -> tuple[Path, int]:
    """Where the factory is written, else its module."""
    try:
        code = inspect.unwrap(factory)
        return Path(inspect.getfile(code)).resolve(), inspect.getsourcelines(code)[1]
    except (OSError, TypeError, ValueError):
        module = sys.modules[reference.partition(":")[0]]
        return Path(getattr(module, "__file__", None) or rootpath).resolve(), 1
