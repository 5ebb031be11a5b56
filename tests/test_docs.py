"""The pages in docs/ are what docs/generate.py makes of the sources now."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from pytest_logits.causes import cause_names
from pytest_logits.model import builtin_check_names

DOCS = Path(__file__).parent.parent / "docs"
STALE = "run `python docs/generate.py`"


def _generator() -> ModuleType:
    """docs/ is no package, so the file is loaded by its path."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = _generator()
PAGES: dict[str, str] = GENERATOR.pages()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_up_to_date(name: str):
    path = DOCS / name
    assert path.is_file(), STALE
    assert path.read_text(encoding="utf-8") == PAGES[name], STALE


def test_there_is_a_page_for_each_source_and_no_other():
    on_disk = {f"{folder}/{p.name}" for folder in GENERATOR.FOLDERS for p in (DOCS / folder).iterdir()}
    wanted = {f"causes/{name}.md" for name in [*cause_names(), "index"]}
    wanted |= {f"checks/{name}.md" for name in [*builtin_check_names(), "index"]}
    assert on_disk == wanted, STALE


@pytest.mark.parametrize("folder", GENERATOR.FOLDERS)
def test_an_index_lists_every_page_in_order_with_its_summary(folder: str):
    rows = re.findall(r"^- \[(\w+)\]\((\w+)\.md\): \S.*\.$", PAGES[f"{folder}/index.md"], re.MULTILINE)
    names = sorted(cause_names() if folder == "causes" else builtin_check_names())
    assert rows == [(name, name) for name in names]


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_pages(name: str):
    targets = re.findall(r"\]\(([^)]+)\)", PAGES[name])
    assert [t for t in targets if "://" not in t and not (DOCS / name).parent.joinpath(t).resolve().is_file()] == []


@pytest.mark.parametrize("name", cause_names())
def test_every_cause_is_found_by_some_check(name: str):
    assert "](../checks/" in PAGES[f"causes/{name}.md"]


def test_pages_of_sources_that_are_gone_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(GENERATOR, "DOCS", tmp_path)
    (tmp_path / "causes").mkdir()
    (tmp_path / "causes" / "gone.md").touch()
    GENERATOR.main()
    written = {p.relative_to(tmp_path).as_posix(): p.read_text(encoding="utf-8") for p in tmp_path.rglob("*.md")}
    assert written == PAGES
