"""What the user's terminal can show: how wide it is, and whether blocks. A worker has it from the controller."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pytest

from pytest_logits.sparkline import shows_blocks

# Longer lines are hard to read.
WIDEST = 100
_KEY = "logit_screen"


@dataclass(frozen=True, kw_only=True)
class Screen:
    """Columns that text may take, and whether the loss curve may be drawn with block characters."""

    width: int
    blocks: bool


def screen_of(config: pytest.Config) -> Screen:
    """The screen of this session."""
    told: dict[str, Any] | None = getattr(config, "workerinput", {}).get(_KEY)
    if told is not None:
        return Screen(**told)
    # Without pytest's terminal reporter there is no writer to ask.
    reporting = config.pluginmanager.has_plugin("terminalreporter")
    width = min(config.get_terminal_writer().fullwidth, WIDEST) if reporting else WIDEST
    return Screen(width=width, blocks=shows_blocks())


def tell_worker(config: pytest.Config, workerinput: dict[str, Any]) -> None:
    """Let a worker of pytest-xdist, which has no terminal, write for this one."""
    workerinput[_KEY] = asdict(screen_of(config))
