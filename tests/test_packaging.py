"""The strategies mapping: pyproject.toml, the folders on disk, and what an import finds agree."""

from __future__ import annotations

import configparser
import importlib
import re
import sys
from pathlib import Path

import pytest

import pytest_logits

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]


def test_packages_are_the_folders_on_disk():
    own = {
        p.parent.relative_to(ROOT).as_posix().replace("/", ".") for p in (ROOT / "pytest_logits").rglob("__init__.py")
    }
    mapped = {
        ".".join(["pytest_logits", *p.parent.relative_to(ROOT).parts])
        for p in (ROOT / "strategies").rglob("__init__.py")
    }
    assert set(SETUP["packages"]) == own | mapped


def test_only_the_strategies_are_mapped():
    assert SETUP["package-dir"] == {"pytest_logits.strategies": "strategies"}


def test_the_package_is_marked_as_typed():
    assert "py.typed" in SETUP["package-data"]["pytest_logits"]
    assert (ROOT / "pytest_logits" / "py.typed").is_file()


def test_every_file_that_is_no_module_is_package_data():
    package = ROOT / "pytest_logits"
    others = {p for p in package.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    assert others == {p for pattern in SETUP["package-data"]["pytest_logits"] for p in package.glob(pattern)}


@pytest.mark.parametrize("path", sorted((ROOT / "strategies").glob("*.py")), ids=lambda p: p.name)
def test_strategies_import_each_other_by_their_installed_name(path: Path):
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"^(?:from|import) (?:\.|strategies).*", text, re.MULTILINE) == []


@pytest.mark.parametrize("name", SETUP["packages"])
def test_every_package_imports(name: str):
    assert importlib.import_module(name).__name__ == name


def test_public_names_exist():
    assert [name for name in pytest_logits.__all__ if not hasattr(pytest_logits, name)] == []


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'regster'"):
        _ = pytest_logits.regster


def test_the_workflow_runs_the_environments_of_tox_each_with_its_python():
    text = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    run = dict(re.findall(r'environment: ([\w-]+), python: "([\d.]+)"', text))
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    named = re.findall(r"[\w-]+", tox["tox"]["env_list"] + tox["tox"]["labels"].partition("=")[2])
    assert set(run) == set(named)
    pythons = {name: f"3.{name[3:5]}" for name in named if name.startswith("py3")}
    assert {name: run[name] for name in pythons} == pythons
