"""The layers of ARCHITECTURE.md: no module imports from a later layer, and no file of the package is left out."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pytest_logits"
TABLE_ROW = re.compile(r"^\| (\w+) \| ((?:`[\w/]+`(?:, )?)+) \|", re.MULTILINE)
# Layers in which one module may import any other: each is one folder of like things.
FOLDERS = {"causes", "checks", "strategies"}
# Modules that are loaded only when an option asks for them, from inside a function.
DEFERRED = {("plugin", "session"), ("plugin", "explain")}


def layers() -> list[list[str]]:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    return [re.findall(r"`([\w]+)/?`", modules) for _, modules in TABLE_ROW.findall(text)]


def files() -> dict[Path, str]:
    """Every file of the package, with the name the table knows it by."""
    found = {path: path.stem for path in PACKAGE.glob("*.py")}
    for folder in (PACKAGE / "causes", PACKAGE / "checks", ROOT / "strategies"):
        found |= dict.fromkeys(folder.glob("*.py"), folder.name)
    return found


def imports(path: Path) -> set[str]:
    """The names, as in the table, of our modules that a file imports; imports for type checkers only do not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    names = set()
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "pytest_logits":
                names |= {alias.name for alias in node.names}
            elif node.module.startswith("pytest_logits."):
                names.add(node.module.split(".")[1])
    return names


ORDER = [name for layer in layers() for name in layer]


def test_the_table_lists_every_module_once():
    assert sorted(ORDER) == sorted(set(files().values()) - {"__init__"})


@pytest.mark.parametrize("path", sorted(files()), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_module_imports_from_a_later_one(path: Path):
    name = files()[path]
    before = ORDER[: ORDER.index(name)] if name in ORDER else []
    allowed = set(before) | {to for at, to in DEFERRED if at == name}
    if name in FOLDERS:
        allowed.add(name)
    assert imports(path) - allowed == set()


def test_what_the_plugin_loads_when_unused_imports_nothing_heavy():
    """The modules behind ``import pytest_logits.plugin``, followed through their imports outside functions."""
    heavy = {"torch", "numpy", "hypothesis"}
    for name in (
        "__init__",
        "plugin",
        "fixtures",
        "options",
        "told",
        "model",
        "model_registry",
        "references",
        "pyproject",
        "own_checks",
    ):
        tree = ast.parse((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
        tops = {
            (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
            for node in tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        assert tops & heavy == set(), name


# What reads objects from bytes, runs text as code, or speaks to a network.
UNWANTED_MODULES = {
    "pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "socket",
    "urllib.request",
    "http",
    "requests",
    "ssl",
}
UNWANTED_CALLS = {"eval", "exec", "torch.load", "torch.hub.load", "compile"}


@pytest.mark.parametrize("path", sorted(files()), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_nothing_is_unpickled_run_as_code_or_fetched(path: Path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported, called = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {part for alias in node.names for part in (alias.name, alias.name.split(".")[0])}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= {node.module, node.module.split(".")[0]}
        elif isinstance(node, ast.Call):
            called.add(ast.unparse(node.func))
    assert imported & UNWANTED_MODULES == set()
    assert called & UNWANTED_CALLS == set()
