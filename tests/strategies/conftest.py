from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import hypothesis
import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tensors this small are slower with more threads, and far slower where the cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def minimal() -> Callable[..., Any]:
    """The example that a strategy shrinks to, among those that meet a condition."""

    def find(strategy: hypothesis.strategies.SearchStrategy[Any], condition: Callable[[Any], bool]) -> Any:
        # Explaining what in an example matters takes most of the time, and nobody reads it here.
        phases = (hypothesis.Phase.generate, hypothesis.Phase.shrink)
        settings = hypothesis.settings(database=None, deadline=None, phases=phases, max_examples=1000)
        return hypothesis.find(strategy, condition, settings=settings, random=Random(0))

    return find


@pytest.fixture(scope="session")
def torch_state_kept() -> Callable[[], Any]:
    """A context that fails if torch's random state or default dtype is not the same at its end."""

    @contextmanager
    def kept() -> Iterator[None]:
        before = torch.random.get_rng_state(), torch.get_default_dtype()
        yield
        assert torch.equal(torch.random.get_rng_state(), before[0])
        assert torch.get_default_dtype() == before[1]

    return kept


@pytest.fixture
def float64_by_default() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
