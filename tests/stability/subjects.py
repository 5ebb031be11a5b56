"""What the stability of verdicts is measured on: the examples, the zoo, its losses, and the real models installed."""

from __future__ import annotations

import functools
import importlib
import os
import runpy
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest_logits
from pytest_logits import model_registry
from pytest_logits.finding import Result
from pytest_logits.model import ARGUMENTS, ModelSpec

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


Run = Callable[[int, Iterable[str]], Iterable[Result]]


@dataclass(frozen=True)
class Subject:
    """One model or loss, and how its checks are run. Names are unique in a suite, and always the same.

    ``run`` takes a seed and the names or tags of the checks to run; without any it runs all.
    """

    suite: str
    name: str
    run: Run


def subjects(suite: str) -> list[Subject]:
    """All of one suite."""
    seen: Counter[str] = Counter()
    made = []
    for name, run in SUITES[suite]():
        seen[name] += 1
        made.append(Subject(suite, name if seen[name] == 1 else f"{name}#{seen[name]}", run))
    return made


Named = Iterator[tuple[str, Run]]


def _examples() -> Named:
    """The models that docs/examples register, where their packages are installed."""
    for folder in sorted(path for path in EXAMPLES.iterdir() if (path / "conftest.py").is_file()):
        sys.path.insert(0, str(folder))
        try:
            with model_registry.isolated():
                runpy.run_path(str(folder / "conftest.py"))
                specs = model_registry.registered_models()
        except ModuleNotFoundError as error:
            print(f"left out: docs/examples/{folder.name}: {error}")
            continue
        for spec in specs:
            yield f"{folder.name}/{spec.name}", functools.partial(_run_spec, spec)


def _run_spec(spec: ModelSpec, seed: int, select: Iterable[str]) -> Iterable[Result]:
    arguments = {name: getattr(spec, name) for name in ARGUMENTS}
    return pytest_logits.check_classifier(spec.factory, seed=seed, select=select, **arguments)


def _zoo() -> Named:
    """The faults, their twins, each once, and the traps."""
    families: Any = importlib.import_module("tests.zoo.families")
    seen: set[str] = set()
    for model in (*families.FAULTS, *(fault.sound for fault in families.FAULTS), *families.TRAPS):
        # Twins of one factory and the same arguments are one.
        key = repr((model.name, model.factory, sorted(model.arguments.items(), key=lambda pair: pair[0])))
        if key not in seen:
            seen.add(key)
            yield model.name, functools.partial(families.run_again, model)


def _losses() -> Named:
    """The losses of tests/zoo/own_losses."""
    families: Any = importlib.import_module("tests.zoo.own_losses.families")
    for loss in (*families.FAULTS, *families.SOUND, *families.TRAPS):
        yield loss.name, functools.partial(families.run_again, loss)


def _real() -> Named:
    """The real models whose packages are installed."""
    for entry in importlib.import_module("tests.zoo.real").entries():
        yield entry.name, functools.partial(_run_real, entry)


def _run_real(entry: Any, seed: int, select: Iterable[str]) -> Iterable[Result]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest_logits.check_classifier(
            entry.factory, name=entry.name, seed=seed, select=select, **entry.arguments
        )


SUITES: dict[str, Callable[[], Named]] = {"examples": _examples, "zoo": _zoo, "losses": _losses, "real": _real}
