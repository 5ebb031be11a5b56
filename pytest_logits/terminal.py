"""What a run prints of the checks: failures in colour, and the summary at its end."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pytest_logits.finding import counted
from pytest_logits.generated import NAME as GENERATED
from pytest_logits.matrix import Line, reasons, table
from pytest_logits.options import ByOption
from pytest_logits.report import LABEL, escaped

GENERATED_ID = f"logits::{GENERATED}"
MARKUP: Mapping[str, dict[str, bool]] = {
    "passed": {"green": True},
    "failed": {"red": True, "bold": True},
    "error": {"red": True, "bold": True},
    "xpassed": {"red": True, "bold": True},
    "advice": {"yellow": True},
    "xfailed": {"yellow": True},
    "inconclusive": {"yellow": True},
    "title": {"bold": True},
}
UNREGISTERED = (
    "No model is registered, so generated classifiers were checked: this tests the installed torch, not your models. "
    "To check yours, register them in conftest.py:"
)
REGISTER = (
    "@pytest_logits.register(input_shape=(10,), num_classes=2)",
    "def my_model(): return MyModel()",
)
ADOPT = "To let these failures be, so that only new ones fail, put this into pyproject.toml"
ADOPT_MORE = "To let these failures be too, add this to [tool.pytest-logits.expected_failures] in pyproject.toml"


class Crash(NamedTuple):
    """Where a failure is and its first line, as pytest's short summary and ``--tb=line`` ask for it."""

    path: str
    lineno: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.lineno}: {self.message}"


class Failure(NamedTuple):
    """The text of a failure as a report's ``longrepr``: in colour where there is colour, else as it is.

    A tuple (path, line, text) is a form of ``longrepr`` that other plugins know, and find the place and the text in.
    """

    path: str
    line: int
    text: str

    @property
    def reprcrash(self) -> Crash:
        """What pytest tells of it in one line, with the file as seen from here."""
        path = Path(self.path)
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return Crash(str(shown), self.line, self.text.partition("\n")[0])

    def __str__(self) -> str:
        return self.text

    def toterminal(self, writer: Any) -> None:
        """Write the first line in red, the labels in bold."""
        first, *rest = self.text.split("\n")
        writer.line(first, red=True, bold=True)
        for line in rest:
            label = line[: LABEL + 2] if line[:2] == "  " and line[2:3].strip() else ""
            writer.write(label, bold=True)
            writer.line(line[len(label) :])


class Summary(NamedTuple):
    """What the summary tells of a run.

    ``groups`` are the selected checks in their order, each with its first tag, ``unselected`` the number of the others,
    ``because`` the reasons of expected failures by item, ``losses`` the ids, up to the check, of losses by themselves,
    ``by_option`` the models of ``--logit-model``, and ``block`` lines for pyproject.toml.
    """

    records: Sequence[Mapping[str, Any]]
    groups: Mapping[str, str]
    unselected: int
    because: Mapping[str, str]
    losses: Collection[str]
    by_option: Sequence[ByOption]
    block: Sequence[str]


def tell(reporter: pytest.TerminalReporter, summary: Summary, *, width: int, every: bool) -> None:
    """Write the counts, the table, what is advice or was not checked and why, and what can be copied."""
    records = summary.records
    reporter.section("logit checks")
    registered = {record["nodeid"].rpartition("::")[0] for record in records}
    models, losses = registered - set(summary.losses), registered & set(summary.losses)
    counts = Counter(record["outcome"] for record in records)
    told = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in counts.most_common())
    kinds = [counted(len(ids), kind) for ids, kind in ((models, "model"), (losses, "loss")) if ids]
    _wrapped(reporter, f"{', '.join(kinds)}, {counted(len(records), 'check')}: {told}", width)
    if registered == {GENERATED_ID}:
        _wrapped(reporter, UNREGISTERED, width)
        _copied(reporter, REGISTER)
    reporter.line("")
    _write(reporter, table(records, groups=summary.groups, width=width, every=every))
    said = list(reasons(records, summary.because, width=width, every=every))
    if said:
        reporter.line("")
        _write(reporter, said)
    if summary.unselected:
        left_out = f"{counted(summary.unselected, 'check')} left out by --logit-select and --logit-ignore"
        _wrapped(reporter, left_out, width)
    if summary.by_option:
        imports, calls = zip(*(named.registration for named in summary.by_option), strict=True)
        reporter.line("")
        reporter.line("To register what --logit-model names, put this into conftest.py:")
        _copied(reporter, ["import pytest_logits", *dict.fromkeys(imports), "", *calls])
    named = [record["cause"] for record in records if record["outcome"] == "failed" and record["cause"]]
    if named:
        reporter.line("")
        reporter.line(f"More on a cause: pytest --logit-explain {named[0]}")
    if summary.block:
        reporter.line("")
        new = summary.block[0].startswith("[")
        _wrapped(reporter, f"{ADOPT if new else ADOPT_MORE}, and say why:", width)
        _copied(reporter, summary.block)


def _wrapped(reporter: pytest.TerminalReporter, text: str, width: int) -> None:
    for line in textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False):
        reporter.line(escaped(line))


def _copied(reporter: pytest.TerminalReporter, lines: Iterable[str]) -> None:
    """Lines to be copied: indented, never wrapped."""
    for line in lines:
        reporter.line(escaped(f"    {line}"))


def _write(reporter: pytest.TerminalReporter, lines: Iterable[Line]) -> None:
    for line in lines:
        for piece in line:
            reporter.write(escaped(piece.text), **MARKUP.get(piece.outcome, {}))
        reporter.line("")
