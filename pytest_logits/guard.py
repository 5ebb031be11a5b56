"""Leave the process as it was found: what torch, numpy and Python hold for all code, as the lists of KEPT say."""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from pytest_logits import python_state, torch_state
from pytest_logits.python_state import Kept

# The last is put back first. Torch's own functions may import something, so Python comes before them.
KEPT = (python_state.WARNINGS, *torch_state.KEPT, *python_state.KEPT)


class Reading:
    """What the process is like now, to be put back after each of several blocks, between which nothing else may run.

    To read all takes as long as most of what a check does that reads what others have found out.
    """

    def __init__(self) -> None:
        self._values = [(part, part.read() if part.lasts else None) for part in KEPT]

    @contextmanager
    def preserved(self) -> Iterator[None]:
        """See :func:`preserved_state`."""
        read: list[tuple[Kept, Any]] = []
        try:
            for part, value in self._values:
                # None also stands for a module that was not imported then.
                read.append((part, part.read() if value is None else value))
            warnings.simplefilter("ignore")
            with torch.enable_grad():
                yield
        finally:
            _put_back(read)


def preserved_state() -> AbstractContextManager[None]:
    """Put back, however the block ends, every part of ``KEPT``. Inside, gradients are on.

    Not kept are code that is patched, what is imported, what threads and processes do that still run, and resources
    such as open files.
    """
    return Reading().preserved()


def _put_back(read: list[tuple[Kept, Any]]) -> None:
    """The last first. What one part raises is raised when the others are put back.

    An ExitStack does the same and takes a quarter longer: it makes a function of each part and value.
    """
    raised: BaseException | None = None
    for part, value in reversed(read):
        try:
            part.restore(value)
        except BaseException as error:
            raised = raised or error
    if raised is not None:
        raise raised


def limited_threads(count: int) -> AbstractContextManager[None]:
    """Compute with at most ``count`` threads inside the block."""
    # To set them as they are takes longer than to ask for them.
    return nullcontext() if count >= torch.get_num_threads() else _threads(max(1, count))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def random_states() -> dict[str, object]:
    """Where the random streams that :func:`seed_everything` seeds stand, by whose they are: unequal after a draw."""
    # As eight bytes each, of which a list is made in an eighth of the time.
    states: dict[str, object] = {
        "torch": torch.random.get_rng_state().view(torch.int64).tolist(),
        "random": random.getstate(),
    }
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        _, keys, *rest = numpy.random.get_state()
        states["numpy"] = (keys.tobytes(), *rest)
    return states


def seed_everything(seed: int) -> None:
    """Seed torch, ``random`` and, where it is loaded, numpy. Only inside :func:`preserved_state`."""
    # torch.manual_seed formats a stack for a CUDA that may never be used: 142 us against 1.2 on one machine.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % 2**32)
