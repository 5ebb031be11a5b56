"""Run the article's example and show its output: ``python docs/figures/terminal.py``.

Writes docs/figures/terminal.svg, in the colours of the run, and the same failure as text into README.md.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"
COMMAND = "pytest --logit-checks docs/examples/article"
SHOWN = "incorrect::loss_reaches_its_minimum"
BLOCK = re.compile(rf"(?<=<!-- output of: {re.escape(COMMAND)} -->\n```text\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)

SIZE, ADVANCE, LEADING, MARGIN = 13, 7.8, 18, 16
BACKGROUND, FOREGROUND = "#1f2430", "#d7dae0"
# What terminals call 30 to 37; the bright ones, 90 to 97, are drawn alike.
COLOURS = ("#5c6370", "#f07178", "#a5d76e", "#e6c07b", "#6cb6ff", "#c792ea", "#7fdbca", "#d7dae0")
NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"
STYLE = re.compile(r"\x1b\[([\d;]*)m")


def run() -> str:
    """What a colour terminal of 80 columns gets to see."""
    quiet = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    for name in ("COLUMNS", "NO_COLOR", "CI", "GITHUB_ACTIONS"):
        quiet.pop(name, None)
    words = [sys.executable, "-m", *COMMAND.split(), "--color=yes", "-p", "no:cacheprovider"]
    done = subprocess.run(words, cwd=ROOT, env=quiet, capture_output=True, text=True, encoding="utf-8", check=False)
    return done.stdout


def plain(line: str) -> str:
    return STYLE.sub("", line)


def section(output: str, title: str) -> list[str]:
    """The lines under a rule with this title, the rule included."""
    lines = output.splitlines()
    start = next(i for i, line in enumerate(lines) if f" {title} " in plain(line) and plain(line).startswith("__"))
    end = next(i for i in range(start + 1, len(lines)) if plain(lines[i]).startswith(("___", "===")))
    return lines[start:end]


def pieces(line: str) -> Iterator[tuple[str, str]]:
    """Stretches of a line with the attributes that they are drawn with."""
    colour, bold, end = "", "", 0
    for code in [*STYLE.finditer(line), None]:
        stretch = line[end : code.start() if code else len(line)]
        if stretch:
            yield stretch, colour + bold
        if code is None:
            return
        end = code.end()
        for number in map(int, (code[1] or "0").split(";")):
            if number == 0:
                colour = bold = ""
            elif number == 1:
                bold = ' font-weight="bold"'
            elif 30 <= number <= 37 or 90 <= number <= 97:
                colour = f' fill="{COLOURS[number % 10]}"'


def svg(lines: list[str]) -> str:
    """The lines as a picture of a terminal. Each stretch has its place and length, whatever font is at hand."""
    width = round(max(len(plain(line)) for line in lines) * ADVANCE + 2 * MARGIN)
    height = len(lines) * LEADING + 2 * MARGIN
    rows = []
    for number, line in enumerate(lines):
        column, y = 0, MARGIN + number * LEADING + SIZE
        for stretch, attributes in pieces(line):
            # Browsers do not all keep spaces, and would stretch what is left to the length.
            shown = stretch.strip().replace(" ", NO_BREAK_SPACE)
            if shown:
                start = column + len(stretch) - len(stretch.lstrip())
                place = f'x="{MARGIN + start * ADVANCE:.1f}" y="{y}" textLength="{len(shown) * ADVANCE:.1f}"'
                rows.append(f"<text {place}{attributes}>{escape(shown)}</text>")
            column += len(stretch)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
            ">",
            f'<rect width="{width}" height="{height}" rx="8" fill="{BACKGROUND}"/>',
            f'<g font-family="ui-monospace, Menlo, Consolas, monospace" font-size="{SIZE}" fill="{FOREGROUND}">',
            *rows,
            "</g>",
            "</svg>",
            "",
        ]
    )


def main() -> None:
    found = section(run(), SHOWN)
    while not plain(found[-1]).strip():
        found.pop()
    lines = [f"$ \x1b[1m{COMMAND}\x1b[0m", "", *found]
    (Path(__file__).parent / "terminal.svg").write_text(svg(lines), encoding="utf-8", newline="\n")
    text = "".join(f"{plain(line).rstrip()}\n" for line in found)
    README.write_text(BLOCK.sub(lambda _: text, README.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
