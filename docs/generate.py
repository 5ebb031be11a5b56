"""Write a page for each cause and each check, from their sources: ``python docs/generate.py``."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_logits.causes import Cause, cause, cause_names
from pytest_logits.check_registry import Check, all_checks
from pytest_logits.model import builtin_check_names

DOCS = Path(__file__).parent
FOLDERS = ("causes", "checks")
MADE = "<!-- Made by docs/generate.py from pytest_logits/{}.py. Change it there. -->"
IMPORTS = (
    "The examples take `torch`, `torch.nn.functional as F`, `nn` and `pytest_logits` as imported. The tests run them."
)


def pages() -> dict[str, str]:
    """The text of every page, by its path in docs/."""
    causes = [cause(name) for name in cause_names()]
    checks = sorted((c for c in all_checks() if c.name in builtin_check_names()), key=lambda c: c.name)
    made = {f"causes/{c.name}.md": cause_page(c, checks) for c in causes}
    made |= {f"checks/{c.name}.md": check_page(c) for c in checks}
    made["causes/index.md"] = _index(
        "Causes", f"The mistakes that a finding can name. {IMPORTS}", {c.name: c.summary for c in causes}
    )
    made["checks/index.md"] = _index(
        "Checks", "The properties that a sound classifier has.", {c.name: c.summary for c in checks}
    )
    return made


def cause_page(found: Cause, checks: list[Check]) -> str:
    """What the cause is, why it is bad, the two examples, the fix, where it was seen, and the checks that find it."""
    parts = [
        MADE.format(f"causes/{found.name}"),
        f"# {found.name}",
        found.summary,
        found.text,
        "## Bad",
        _code(found.bad),
        "## Use instead",
        _code(found.good),
        "## Fix",
        f"{found.fix[0].upper()}{found.fix[1:]}.",
    ]
    if found.seen:
        parts += ["## Seen in the wild", "\n".join(f"- {_linked(where)}: {what}" for where, what in found.seen)]
    finders = [c.name for c in checks if re.search(rf"\b{found.name}\b", c.doc)]
    parts += ["## Found by", "\n".join(f"- [{name}](../checks/{name}.md)" for name in finders)]
    return _joined(parts)


def check_page(check: Check) -> str:
    """The claim and the docstring, with a link to each cause in it."""
    names = re.compile(rf"\b({'|'.join(cause_names())})\b")
    return _joined(
        [
            MADE.format(f"checks/{check.name}"),
            f"# {check.name}",
            f"Claims that {check.claim}. Tags: {', '.join(check.tags)}.",
            names.sub(r"[\1](../causes/\1.md)", check.doc),
        ]
    )


def _index(title: str, text: str, summaries: dict[str, str]) -> str:
    rows = [f"- [{name}]({name}.md): {summary}" for name, summary in sorted(summaries.items())]
    return _joined(["<!-- Made by docs/generate.py. -->", f"# {title}", text, "\n".join(rows)])


def _linked(where: str) -> str:
    """``owner/name#12`` with its address, where it is an issue on GitHub; GitHub leads from there to a pull request."""
    issue = re.fullmatch(r"([\w.-]+/[\w.-]+)#(\d+)", where)
    return f"[{where}](https://github.com/{issue[1]}/issues/{issue[2]})" if issue else where


def _code(text: str) -> str:
    return f"```python\n{text.strip()}\n```"


def _joined(parts: list[str]) -> str:
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write the pages, and remove those that no source has any more."""
    made = pages()
    for folder in FOLDERS:
        (DOCS / folder).mkdir(exist_ok=True)
        for path in (DOCS / folder).glob("*.md"):
            if f"{folder}/{path.name}" not in made:
                path.unlink()
    for name, text in made.items():
        (DOCS / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
