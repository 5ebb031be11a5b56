"""What the terminal can show, asked on the controller and told to the workers."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_logits.screen import WIDEST, Screen, screen_of, tell_worker


class Config:
    """As much of a config as is asked."""

    def __init__(self, columns: int | None, workerinput: dict[str, Any] | None = None) -> None:
        self.fullwidth = columns
        if workerinput is not None:
            self.workerinput = workerinput

    @property
    def pluginmanager(self) -> Config:
        return self

    def has_plugin(self, name: str) -> bool:
        return self.fullwidth is not None

    def get_terminal_writer(self) -> Config:
        return self


@pytest.mark.parametrize(("columns", "width"), [(60, 60), (80, 80), (250, WIDEST), (None, WIDEST)])
def test_the_width_is_the_terminals_up_to_what_can_be_read(columns: int | None, width: int):
    config: Any = Config(columns)
    assert screen_of(config).width == width


def test_a_worker_has_what_the_controller_found():
    told: dict[str, Any] = {}
    controller: Any = Config(60)
    tell_worker(controller, told)
    worker: Any = Config(80, told)
    assert screen_of(worker) == Screen(width=60, blocks=screen_of(controller).blocks)
