"""What the command line and the ini file say: settings, lists, and the models they name. Imports no torch."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_logits.model import ModelSpec, RegistrationError, make_spec
from pytest_logits.model_registry import add, add_from_pyproject, load_factory, load_module
from pytest_logits.settings import DEFAULT_DEVICE, DEFAULT_PROFILE, DEFAULT_SEED, PROFILES, Settings
from pytest_logits.told import LONGEST, nearest, one_paragraph, shown

# What the command to run a model's item again needs beside its id, by the spec's identity.
Words = Mapping[int, tuple[str, ...]]
_LOADED = pytest.StashKey[Words]()


def settings_of(config: pytest.Config) -> Settings:
    """The session's seed and profile.

    Raises:
        pytest.UsageError: one of them is not known.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    return Settings(seed=_seed(config), profile=PROFILES[_profile(config)], workers=workers, device=_device(config))


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


def load_models(config: pytest.Config) -> Words:
    """Register the models that the ini file, pyproject.toml and ``--logit-model`` name, once in a session.

    Raises:
        pytest.UsageError: one cannot be registered.
    """
    if _LOADED not in config.stash:
        load_modules(config)
        found: dict[int, tuple[str, ...]] = {}
        try:
            add_from_pyproject(config.rootpath / "pyproject.toml")
            for reference in list_of(config, "model"):
                spec = _spec_from_options(config, reference)
                add(spec)
                shape, classes = text_of(config, "input_shape"), text_of(config, "classes")
                found[id(spec)] = (
                    f"--logit-model={reference}",
                    f"--logit-input-shape={shape}",
                    f"--logit-classes={classes}",
                )
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


def _spec_from_options(config: pytest.Config, reference: str) -> ModelSpec:
    """The model that ``--logit-model`` names, with shape and classes from its two companions."""
    arguments: dict[str, Any] = {}
    where = f"{source_of(config, 'model')} {one_paragraph(reference)[:LONGEST]}"
    for option, argument in (("input_shape", "input_shape"), ("classes", "num_classes")):
        text = text_of(config, option)
        if not text:
            raise pytest.UsageError(f"{where} needs --logit-{option.replace('_', '-')}")
        said = f"{source_of(config, option)}: {shown(text)} must be"
        try:
            numbers = tuple(int(part) for part in text.replace("x", ",").strip("(), ").split(","))
        except ValueError:
            numbers = ()
        if option == "classes" and (len(numbers) != 1 or numbers[0] < 1):
            raise pytest.UsageError(f"{said} an integer of at least 1, the number of classes")
        if not numbers or min(numbers) < 1:
            raise pytest.UsageError(f"{said} {'positive ' if numbers else ''}integers, such as 3,32,32")
        arguments[argument] = numbers if option == "input_shape" else numbers[0]
    try:
        factory = load_factory(reference, config.rootpath)
        file, line = _place_of(factory, reference, config.rootpath)
        return make_spec(factory, file=file, line=line, arguments=arguments)
    except (RegistrationError, pytest.skip.Exception) as error:
        raise pytest.UsageError(f"{where}: {error}") from None


def _place_of(factory: Any, reference: str, rootpath: Path) -> tuple[Path, int]:
    """Where the factory is written, else its module."""
    try:
        code = inspect.unwrap(factory)
        return Path(inspect.getfile(code)).resolve(), inspect.getsourcelines(code)[1]
    except (OSError, TypeError, ValueError):
        module = sys.modules[reference.partition(":")[0]]
        return Path(getattr(module, "__file__", None) or rootpath).resolve(), 1
