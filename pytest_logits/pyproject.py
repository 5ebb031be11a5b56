"""The models and losses of ``[tool.pytest-logits]`` in pyproject.toml. Imports no torch."""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path
from typing import Any

from pytest_logits.model import RegistrationError, make_loss_spec, make_spec
from pytest_logits.model_registry import add
from pytest_logits.references import load_factory
from pytest_logits.told import LONGEST, kind, nearest, one_paragraph, shown

# pytest leaves the frames of this module out: a mistake is told at the user's own line.
__tracebackhide__ = True

# The tables of pyproject.toml, and what a table in them is.
KINDS = {"models": "model", "losses": "loss"}
# What [tool.pytest-logits] may hold; expected.py reads the last.
TABLES = (*KINDS, "expected_failures")
TABLE = "pytest-logits"


def ours_in(pyproject: Path) -> dict[str, Any]:
    """The table ``[tool.pytest-logits]``; empty where there is no such file or table.

    pytest itself requires tomli where Python has no tomllib, so this adds no dependency.

    Raises:
        RegistrationError: the file cannot be read, or the table has a key that is not known.
    """
    if not pyproject.is_file():
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return _table_of_ours(tomllib.loads(pyproject.read_text(encoding="utf-8")), pyproject)
    except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
        raise RegistrationError(f"cannot read {pyproject}: {one_paragraph(error)}") from None


def add_from_pyproject(pyproject: Path) -> None:
    """Register what stands in ``[tool.pytest-logits.models.<name>]`` and ``[tool.pytest-logits.losses.<name>]``.

    A missing file or table registers nothing.
    """
    ours = ours_in(pyproject)
    if not ours:
        return
    text = pyproject.read_text(encoding="utf-8")
    for plural, make in (("models", make_spec), ("losses", make_loss_spec)):
        tables = ours.get(plural, {})
        if not isinstance(tables, dict):
            raise RegistrationError(
                f"[tool.{TABLE}.{plural}] in {pyproject} must be a table of tables, one per {KINDS[plural]}"
            )
        for name, table in tables.items():
            place = pyproject.resolve(), _header_line(text, plural, name)
            factory, arguments = _factory_of(name, table, *place)
            add(make(factory, file=place[0], line=place[1], arguments={"name": name, **arguments}))


def _table_of_ours(parsed: dict[str, Any], pyproject: Path) -> dict[str, Any]:
    """The table ``[tool.pytest-logits]``; a key in it, or a name of it, that is nearly right is told."""
    tools = parsed.get("tool", {})
    if not isinstance(tools, dict):
        return {}
    for name, table in tools.items():
        near = name != TABLE and difflib.get_close_matches(name[:LONGEST], [TABLE], cutoff=0.8)
        if near and isinstance(table, dict) and set(table) & set(TABLES):
            raise RegistrationError(f"[tool.{name}] in {pyproject} is not known; did you mean [tool.{TABLE}]?")
    ours = tools.get(TABLE, {})
    if not isinstance(ours, dict):
        raise RegistrationError(f"[tool.{TABLE}] in {pyproject} must be a table; got {kind(ours)}")
    for key in ours:
        if key not in TABLES:
            raise RegistrationError(f"[tool.{TABLE}] in {pyproject} knows no {shown(key)}; {nearest(key, TABLES)}")
    return ours


def _factory_of(name: str, table: Any, pyproject: Path, header: int) -> tuple[Any, dict[str, Any]]:
    """What a table's ``factory`` names, and the table's other keys."""
    where = f"cannot register {shown(name)} ({pyproject}:{header})"
    if not isinstance(table, dict):
        raise RegistrationError(f"{where}: it must be a table; got {kind(table)}")
    arguments = dict(table)
    reference = arguments.pop("factory", None)
    if not isinstance(reference, str):
        near = [key for key in arguments if difflib.get_close_matches(key[:LONGEST], ["factory"])]
        meant = f"; did you mean 'factory' by {shown(near[0])}?" if near else ""
        raise RegistrationError(f"{where}: factory = 'pkg.mod:name' is required{meant}")
    try:
        return load_factory(reference, pyproject.parent), arguments
    except RegistrationError as error:
        raise RegistrationError(f"{where}: {error}") from error


def _header_line(text: str, plural: str, name: str) -> int:
    """The line of ``[tool.pytest-logits.<plural>.<name>]``, 1 where the table is written in another form."""
    quoted = rf"(?:{re.escape(name)}|\"{re.escape(name)}\"|'{re.escape(name)}')"
    header = re.compile(rf"\s*\[\s*tool\s*\.\s*\"?pytest-logits\"?\s*\.\s*{plural}\s*\.\s*{quoted}\s*\]")
    return next((number for number, row in enumerate(text.splitlines(), 1) if header.match(row)), 1)
