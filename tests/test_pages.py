"""The pages written by hand tell the truth: their files, scripts and commands give what the pages show."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_logits import check_registry, model_registry
from pytest_logits.model import ARGUMENTS, LOSS_ARGUMENTS
from tests.pages import BLOCK, DOCS, FILES, Command, File, needs, pages, patterns, steps, text_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PLAYED = [page for page in pages() if any(steps(page))]
ROOT = DOCS.parent
WRITTEN = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *(DOCS / page for page in pages())]


@contextmanager
def own_registries() -> Iterator[None]:
    """A run inside this process starts with nothing registered by the run before."""
    with model_registry.isolated(), check_registry.isolated():
        yield


@pytest.mark.parametrize("page", PLAYED)
def test_a_page_does_what_it_says(pytester: pytest.Pytester, page: str):
    missing = [package for package in needs(page) if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"{missing[0]} is not installed")
    for number, step in enumerate(steps(page), 1):
        if isinstance(step, File):
            path = pytester.path / step.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text, encoding="utf-8")
        elif isinstance(step, Command):
            assert step.words[0] == "pytest"
            result = played(pytester, step.words[1:], apart=bool(needs(page)))
            result.stdout.fnmatch_lines(patterns(step.shown))
            assert result.ret == step.code
        else:
            with own_registries():
                exec(compile(step.text, f"{page}, block {number}", "exec"), {"__name__": "snippet"})


def played(pytester: pytest.Pytester, words: list[str], *, apart: bool) -> pytest.RunResult:
    """One run; in a process of its own where it imports more than torch, which must not be imported twice."""
    words = [*words, "-p", "no:cacheprovider"]
    if apart:
        return pytester.run(sys.executable, "-m", "pytest", *words)
    with own_registries():
        return pytester.runpytest_inprocess(*words)


def test_every_block_that_can_run_is_a_step():
    """What is neither a file, a script nor a command is told by its language: sh, yaml, text."""
    for page in pages():
        blocks = [language for language, _ in BLOCK.findall(text_of(page))]
        assert set(blocks) <= {*FILES, "console", "sh", "text", "yaml"}
        commands = [step for step in steps(page) if isinstance(step, Command)]
        assert len(commands) == text_of(page).count("\n$ ") >= blocks.count("console"), page


@pytest.mark.parametrize("path", [*(DOCS / page for page in pages()), ROOT / "README.md"], ids=lambda path: path.stem)
def test_registrations_in_toml_are_valid(path: Path):
    for language, body in BLOCK.findall(path.read_text(encoding="utf-8")):
        ours = tomllib.loads(body)["tool"]["pytest-logits"] if language == "toml" else {}
        for kind, arguments in (("models", ARGUMENTS), ("losses", LOSS_ARGUMENTS)):
            for table in ours.get(kind, {}).values():
                assert set(table) - {"factory"} <= set(arguments)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_links_lead_to_files(path: Path):
    text = BLOCK.sub("", path.read_text(encoding="utf-8"))
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    assert [t for t in targets if "://" not in t and not path.parent.joinpath(t).resolve().exists()] == []


def test_the_table_of_false_alarms_is_what_the_pages_of_the_runs_say():
    zoo, losses, real = (text_of(page) for page in ("zoo.md", "zoo_losses.md", "real-models.md"))

    def row(text: str, name: str) -> tuple[int, int]:
        count, _, alarms = re.findall(rf"^\| {name} \| (\d+) \| (\d+) \| (\d+) \|$", text, re.MULTILINE)[0]
        return int(count), int(alarms)

    traps, trap_alarms = row(losses, "traps")
    sound, sound_alarms = row(losses, "sound")
    models = re.findall(r"The checks on (\d+) sound classifiers", real) + re.findall(r"a check failed: (\d+)", real)
    measured = [
        row(zoo, "twins"),
        row(zoo, "traps"),
        (sound + traps, sound_alarms + trap_alarms),
        tuple(map(int, models)),
    ]
    page = text_of("explanation/verdicts.md")
    told = re.findall(r"^\| [^|]* \| (\d+) \| (\d+) \| \[", page, re.MULTILINE)
    assert [tuple(map(int, pair)) for pair in told] == measured
    assert f"{traps} of them traps" in page
    zoo_models = measured[0][0] + measured[1][0]
    assert f"below 1 in {zoo_models // 3} for the zoo's {zoo_models}" in " ".join(page.split())
