from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_logits import loss_subject


@pytest.fixture(autouse=True)
def nothing_judged_before() -> Iterator[None]:
    """Tests plant faults in what torch's losses are held against, so no verdict is taken over from another test."""
    loss_subject._judged.clear()
    yield
    loss_subject._judged.clear()
