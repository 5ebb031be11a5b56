"""What the command line and the ini file say: settings, lists, and the models they name. Imports no torch."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_logits.model import ModelSpec, RegistrationError, make_spec, nearest
from pytest_logits.model_registry import add, add_from_pyproject, load_factory, load_module
from pytest_logits.settings import DEFAULT_DEVICE, DEFAULT_PROFILE, DEFAULT_SEED, PROFILES, Settings

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


def is_set(config: pytest.Config, name: str) -> bool:
    """Whether ``--logit-<name>`` is given, or its twin in the ini file is true."""
    given: bool | None = config.getoption(f"logit_{name}")
    return bool(config.getini(f"logit_{name}") if given is None else given)


def text_of(config: pytest.Config, name: str) -> str:
    """What ``--logit-<name>`` says, else the ini file."""
    given: str | None = config.getoption(f"logit_{name}")
    return str(config.getini(f"logit_{name}")) if given is None else given


def list_of(config: pytest.Config, name: str) -> list[str]:
    """What all ``--logit-<name>`` say, else the ini file."""
    given: list[str] | None = config.getoption(f"logit_{name}")
    return list(config.getini(f"logit_{name}")) if given is None else given


def words(lists: Iterable[str]) -> list[str]:
    """The words of comma-separated lists."""
    return [word.strip() for text in lists for word in text.split(",") if word.strip()]


def load_modules(config: pytest.Config) -> None:
    """Import the modules of the ini option ``logit_models``.

    Raises:
        pytest.UsageError: one cannot be imported, or registers something wrong.
    """
    for module in config.getini("logit_models"):
        try:
            load_module(module, config.rootpath)
        except RegistrationError as error:
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
        raise pytest.UsageError(f"--logit-seed: {text!r} is no integer") from None


def _profile(config: pytest.Config) -> str:
    text = text_of(config, "profile") or DEFAULT_PROFILE
    if text not in PROFILES:
        raise pytest.UsageError(f"--logit-profile: {text!r} is not known; {nearest(text, PROFILES)}")
    return text


def _device(config: pytest.Config) -> str:
    text = text_of(config, "device") or DEFAULT_DEVICE
    if text != DEFAULT_DEVICE:
        from pytest_logits.placing import device_of

        try:
            device_of(text)
        except ValueError as error:
            raise pytest.UsageError(f"--logit-device: {error}") from None
    return text


def _spec_from_options(config: pytest.Config, reference: str) -> ModelSpec:
    """The model that ``--logit-model`` names, with shape and classes from its two companions."""
    arguments: dict[str, Any] = {}
    for option, argument in (("input_shape", "input_shape"), ("classes", "num_classes")):
        text = text_of(config, option)
        flag = f"--logit-{option.replace('_', '-')}"
        if not text:
            raise pytest.UsageError(f"--logit-model {reference} needs {flag}")
        try:
            numbers = tuple(int(part) for part in text.replace("x", ",").strip("(), ").split(","))
        except ValueError:
            numbers = ()
        if option == "classes" and len(numbers) != 1:
            raise pytest.UsageError(f"{flag}: {text!r} must be an integer, the number of classes")
        if not numbers:
            raise pytest.UsageError(f"{flag}: {text!r} must be integers, such as 3,32,32")
        arguments[argument] = numbers if option == "input_shape" else numbers[0]
    factory = load_factory(reference, config.rootpath)
    try:
        code = inspect.unwrap(factory)
        file, line = Path(inspect.getfile(code)).resolve(), inspect.getsourcelines(code)[1]
    except (OSError, TypeError):
        file, line = Path(sys.modules[reference.partition(":")[0]].__file__ or config.rootpath).resolve(), 1
    return make_spec(factory, file=file, line=line, arguments=arguments)
