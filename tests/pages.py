"""Pages of the documentation as small repositories, which the tests play from top to bottom in an empty folder.

- A ``python``, ``toml`` or ``ini`` block after a paragraph that ends in a name in code and a colon is that file.
- Any other ``python`` block is a script, which runs to its end.
- In a ``console`` block a line ``$ pytest ...`` is run. Each line after it is in the output, as a line or part of one,
  in this order; ``...`` is what is left out. It exits with 0, or as ``<!-- exits with 1 -->`` before the block says.
- ``<!-- needs: package -->`` leaves the page out where the package is not installed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
# Made by docs/generate.py or from a run, or held by tests of their own.
ELSEWHERE = {"zoo.md", "zoo_losses.md", "real-models.md", "explanation/ce-and-bce.md"}
FILES = ("python", "toml", "ini")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class File:
    """A file to write."""

    name: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Script:
    """Python to run."""

    text: str


@dataclass(frozen=True, kw_only=True)
class Command:
    """What is typed, the lines that are shown of its output, and its exit code."""

    words: list[str]
    shown: list[str] = field(default_factory=list)
    code: int = 0


Step = File | Script | Command


def pages() -> list[str]:
    """The pages that are played, by their path in docs/."""
    made = (DOCS / "causes", DOCS / "checks", DOCS / "examples")
    found = (path for path in sorted(DOCS.rglob("*.md")) if not any(folder in path.parents for folder in made))
    return [name for name in (path.relative_to(DOCS).as_posix() for path in found) if name not in ELSEWHERE]


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def needs(page: str) -> list[str]:
    return re.findall(r"<!-- needs: (\w+) -->", text_of(page))


def steps(page: str) -> Iterator[Step]:
    """What the page says to do, in order."""
    text = text_of(page)
    end = 0
    for block in BLOCK.finditer(text):
        before, end = text[end : block.start()].rstrip(), block.end()
        language, body = block[1], block[2]
        named = re.search(r"`([\w./]+)`:$", before)
        if language in FILES and named is not None:
            yield File(name=named[1], text=body)
        elif language == "python":
            yield Script(text=body)
        elif language == "console":
            exits = re.search(r"<!-- exits with (\d) -->$", before)
            yield from _commands(body, int(exits[1]) if exits else 0)


def _commands(body: str, code: int) -> Iterator[Command]:
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        command, *shown = part.splitlines()
        yield Command(words=command.split(), shown=shown, code=code)


def patterns(shown: list[str]) -> list[str]:
    """Shown lines for ``fnmatch_lines``, to which brackets are a set of characters."""
    return [f"*{line.strip().replace('[', '[[]')}*" for line in shown if line.strip() not in ("...", "")]
