"""Failures that are expected by ``[tool.pytest-logits.expected_failures]`` of pyproject.toml. Imports no torch."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_logits.model import RegistrationError, Spec
from pytest_logits.pyproject import ours_in
from pytest_logits.told import nearest

TABLE = "expected_failures"
HEADER = f"[tool.pytest-logits.{TABLE}]"


@dataclass(frozen=True, kw_only=True)
class Expected:
    """That a check may fail, and why. ``strict``: it must not pass either; ``where`` says so."""

    reason: str
    where: str
    strict: bool = True


class ExpectedFailures:
    """The table: ``"model::check"``, ``"model::tag"``, ``"check"`` or ``"tag"`` to the reason.

    A key of one model and one check is strict, as ``expected_failures=`` of a registration is. A check or a tag by
    itself is of all models, a tag of several checks: what then passes only passes.
    """

    def __init__(self, pyproject: Path) -> None:
        """Read the table.

        Raises:
            RegistrationError: the file cannot be read, or a value is no reason in words.
        """
        self._file = pyproject
        ours = ours_in(pyproject)
        self._present = TABLE in ours
        found = ours.get(TABLE, {})
        if not isinstance(found, dict):
            raise RegistrationError(f"{HEADER} in {pyproject} must be a table of reasons")
        for key, reason in found.items():
            if not isinstance(reason, str) or not reason.strip():
                hint = f'; write "{key}::..." in quotes' if isinstance(reason, dict) else ""
                raise RegistrationError(
                    f"{HEADER} in {pyproject}: {key!r} needs a reason, in words; got {reason!r}{hint}"
                )
        self.reasons: dict[str, str] = found

    def require_known(self, tags: Mapping[str, Iterable[str]]) -> None:
        """Hold the names of checks and tags against those that there are: ``tags`` of each check.

        Raises:
            RegistrationError: names the nearest that is known.
        """
        known = [*tags, *sorted({tag for its in tags.values() for tag in its})]
        for key in self.reasons:
            name = key.rpartition("::")[2]
            if name not in known:
                raise RegistrationError(
                    f"{self._place(key)}: {name!r} is neither a check nor a tag; {nearest(name, known)}"
                )

    def require_models(self, specs: Iterable[Spec]) -> None:
        """Hold the names of models and losses against those that are registered.

        Raises:
            RegistrationError: names the nearest that is registered.
        """
        known = [name for spec in specs for name in self._names(spec)]
        for key in self.reasons:
            model = key.rpartition("::")[0]
            if model and model not in known:
                hint = nearest(model, known[::2]) if known else "none is registered"
                raise RegistrationError(f"{self._place(key)}: no model or loss {model!r} is registered; {hint}")

    def of(self, spec: Spec, check: str, tags: Iterable[str]) -> Expected | None:
        """What is expected of a check on a model: by the registration, else by the nearest key of the table."""
        if check in spec.expected_failures:
            where = f"expected_failures= at {spec.file.name}:{spec.line}"
            return Expected(reason=spec.expected_failures[check], where=where)
        models, words = self._names(spec), [check, *tags]
        for key in [*(f"{model}::{word}" for word in words for model in models), *words]:
            if key in self.reasons:
                strict = "::" in key and key.endswith(f"::{check}")
                return Expected(reason=self.reasons[key], where=f"{HEADER}: {key!r}", strict=strict)
        return None

    def block(self, records: Collection[Mapping[str, Any]]) -> list[str]:
        """The lines of TOML that let what has failed fail, each with its cause for a reason; none where nothing has.

        An error of a model's is no failure that could be expected.
        """
        ids = {record["nodeid"].rpartition("::")[0] for record in records}
        names = Counter(nodeid.rpartition("::")[2] for nodeid in ids)
        lines = []
        for record in records:
            model = record["nodeid"].rpartition("::")[0]
            if record["outcome"] == "failed" and not model.startswith("logits::"):
                key = record["model"] if names[record["model"]] == 1 else model
                lines.append(f"{_quoted(key + '::' + record['check'])} = {_quoted(_reason(record))}")
        return lines if self._present or not lines else [HEADER, *lines]

    def _names(self, spec: Spec) -> tuple[str, str]:
        """What a key may call the model: its name, and its id where that name is not the only one."""
        file = Path(os.path.relpath(spec.file, self._file.parent)).as_posix()
        return spec.name, f"{file}::{spec.name}"

    def _place(self, key: str) -> str:
        return f"{key!r} of {HEADER} in {self._file}"


def _reason(record: Mapping[str, Any]) -> str:
    """The cause and its place, which whoever pastes it may put better."""
    place = record["location"]
    where = f" at {place['file']}:{place['line']}" if place else ""
    return f"known: {record['cause'] or record['measured']}{where}"


def _quoted(text: str) -> str:
    """A basic string of TOML, which JSON's strings are but for one letter."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
