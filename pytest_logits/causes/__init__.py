"""The causes a finding can name, one file each. The file's name is the cause; the rest of its page is in the file.

The docstring says what the cause is, in one line, and why it is bad. ``FIX`` is what to change. ``BAD`` and ``GOOD``
are complete examples that differ in the fault only; the tests run them. ``SEEN`` tells where people have met it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import textwrap
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cause:
    """A named mistake.

    Attributes:
        name: the file's name.
        summary: one line of what it is.
        text: what it does to the loss and the training.
        bad: an example with the mistake. ``torch``, ``F``, ``nn`` and ``pytest_logits`` are taken as imported.
        good: the same example without it.
        fix: what to change, to be read after "Fix:".
        seen: pairs of ``project#issue`` and what happened there.
    """

    name: str
    summary: str
    text: str
    bad: str
    good: str
    fix: str
    seen: tuple[tuple[str, str], ...]

    @property
    def page(self) -> str:
        """All of it as text for a terminal."""
        parts = [self.summary, self.text, "Bad:", _indented(self.bad), "Use instead:", _indented(self.good)]
        parts.append(f"Fix: {self.fix}.")
        if self.seen:
            parts += ["Seen in the wild:", "\n".join(f"    {where}: {what}" for where, what in self.seen)]
        return "\n\n".join(parts)


def cause_names() -> list[str]:
    """All causes, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def cause(name: str) -> Cause:
    """The cause of this name.

    Raises:
        KeyError: there is none.
    """
    if name not in cause_names():
        raise KeyError(name)
    module = importlib.import_module(f"{__name__}.{name}")
    summary, _, text = inspect.cleandoc(module.__doc__ or "").partition("\n")
    return Cause(
        name=name,
        summary=summary,
        text=text.strip(),
        bad=module.BAD,
        good=module.GOOD,
        fix=module.FIX,
        seen=module.SEEN,
    )


def _indented(code: str) -> str:
    return textwrap.indent(code.strip(), "    ")
