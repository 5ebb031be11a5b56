from __future__ import annotations

import dataclasses
import functools
import gc
import importlib
import importlib.metadata
import os
import shutil
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

# As many processes run as there are cores; each with threads for all of them would only wait for the others.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where compiled modules are not kept, each run in a process of its own rewrites 300 of Hypothesis's and ours anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import pytest
from hypothesis import find, settings
from hypothesis.strategies import booleans

from pytest_logits import check_registry, model_registry
from pytest_logits.finding import Verdict

if TYPE_CHECKING:
    from pytest_logits.subject import Subject

pytest_plugins = ["pytester"]

ARTICLE = Path(__file__).parent.parent / "docs" / "examples" / "article"
HOSTILE = Path(__file__).parent / "hostile"


def pytest_configure(config: pytest.Config) -> None:
    """Take Ctrl-C as ever. Import first what a run inside a run must not be the first to import, and so forget.

    That is torch, which goes in once only. Its optimisers import torch._dynamo when they are first made. The controller
    of pytest-xdist runs no test.
    """
    if config.getoption("tx", None) and not hasattr(config, "workerinput"):
        return
    # A shell without job control starts what stands before a & with Ctrl-C ignored, and its children inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in ("torch._dynamo", "pytest_logits.session"):
        importlib.import_module(name)
    check_registry.all_checks()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what looks at one long run: pytest-xdist's first shares are its largest, so one worker makes it."""
    items.sort(key=lambda item: not item.path.is_relative_to(HOSTILE))


def pytest_collection_finish() -> None:
    """What is imported and collected stays: to look through it for cycles takes a fifth of a short run inside a run.

    Hypothesis registers a generator of its own when it first draws. Version 6.100 looks then for what refers to it, and
    finds nothing that is frozen.
    """
    find(booleans(), lambda value: True, settings=settings(database=None))
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    """Skip a test of 16-bit floats where an old torch has none of what it needs."""
    try:
        return (yield)
    except RuntimeError as error:
        from tests import versions

        if versions.REFUSES_HALVES and any(words in str(error) for words in versions.REFUSALS):
            pytest.skip(f"torch {versions.TORCH}: {error}")
        raise


@pytest.fixture(autouse=True)
def no_models() -> Iterator[None]:
    """Runs inside this one share its registries: each test starts with no models and leaves no models and checks."""
    with model_registry.isolated(), check_registry.isolated():
        yield


class _ReadOnce:
    """An installed distribution, whose files pytest reads anew in every run: a fifth of what a short one takes."""

    def __init__(self, distribution: importlib.metadata.Distribution) -> None:
        self._distribution = distribution

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._distribution, name)
        if name in ("entry_points", "files", "metadata", "version"):
            setattr(self, name, value)
        return value


@functools.cache
def _distributions() -> tuple[_ReadOnce, ...]:
    return tuple(map(_ReadOnce, importlib.metadata.distributions()))


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """pytest's own, 80 columns wide wherever this runs, and quiet about one thing.

    A run inside this one finds our package imported and cannot rewrite it. It has no syrupy, which keeps one session
    in a process: it would no longer see which tests of this one are skipped, and take their snapshots for unused.
    """
    monkeypatch.setenv("PYTEST_ADDOPTS", "-W ignore::pytest.PytestAssertRewriteWarning -p no:syrupy")
    monkeypatch.setenv("COLUMNS", "80")
    installed = _distributions()
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: installed)
    return pytester


@pytest.fixture(scope="session")
def clean_environment() -> dict[str, str]:
    """The environment without what an outer run, pytest-xdist or the shell have put there, 80 columns wide."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | {"COLUMNS": "80"}


@pytest.fixture
def repository(pytester: pytest.Pytester) -> pytest.Pytester:
    """The article's models with their conftest.py, in an empty folder."""
    for name in ("models.py", "conftest.py"):
        shutil.copy(ARTICLE / name, pytester.path)
    return pytester


@pytest.fixture
def decides(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[Subject], Verdict]], None]:
    """Let a check decide as the test says, in runs inside this process."""

    def plant(name: str, function: Callable[[Subject], Verdict]) -> None:
        check = {c.name: c for c in check_registry.all_checks()}[name]
        monkeypatch.setitem(check_registry._checks, name, dataclasses.replace(check, function=function))

    return plant


@pytest.fixture
def modules(tmp_path: Path) -> Iterator[Path]:
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
