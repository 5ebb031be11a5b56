"""Run the article's example and take a picture of its HTML report: ``python docs/figures/report.py``.

Writes docs/figures/report.png, the page as a reader has it: the matrix of models and checks, and the failure that the
terminal's picture shows, found by a search. Needs playwright with a headless Chromium, the one in ``CHROMIUM`` or on
the path, and Pillow, which matplotlib brings along.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parent.parent.parent
FIGURE = Path(__file__).parent / "report.png"
EXAMPLE = "docs/examples/article"
SEARCH = "incorrect loss_reaches"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SIZE = {"width": 960, "height": 800}
# The page has few colours; the others smooth its letters. Those kept cover all, so that a thin line keeps its own.
COLOURS = 64


def run(report: Path) -> None:
    """The checks on the example, without what the shell says to pytest."""
    quiet = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    words = [sys.executable, "-m", "pytest", "--logit-checks", EXAMPLE, f"--logit-report={report}", "-q"]
    done = subprocess.run(
        [*words, "-p", "no:cacheprovider"], cwd=ROOT, env=quiet, stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode != 1:
        sys.exit(f"the example has two faulty models, and pytest gave {done.returncode}")


def show(page: Page) -> int:
    """Search for the failure, so that it is shown alone; how far down the page that goes, in pixels."""
    search = page.get_by_label("Search")
    search.fill(SEARCH)
    search.blur()
    found = page.locator("#results > details:visible")
    if found.count() != 1:
        sys.exit(f"the search for {SEARCH!r} shows {found.count()} results")
    box = found.bounding_box()
    assert box is not None
    return round(box["y"] + box["height"])


def main() -> None:
    browser = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        report = Path(folder, "report.html")
        run(report)
        # Root, as in containers, has no sandbox.
        opened = started.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page(viewport=SIZE, color_scheme="light")
        page.goto(report.as_uri())
        end = show(page) + 16
        taken = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": SIZE["width"], "height": end})
        opened.close()
    picture = (
        Image.open(io.BytesIO(taken))
        .convert("RGB")
        .quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    )
    picture.save(FIGURE, optimize=True)


if __name__ == "__main__":
    main()
