from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_logits import judged_once


@pytest.fixture(autouse=True)
def nothing_judged_before() -> Iterator[None]:
    """Tests plant faults in what torch's losses are held against, so no verdict is taken over from another test."""
    judged_once.forget()
    yield
    judged_once.forget()
