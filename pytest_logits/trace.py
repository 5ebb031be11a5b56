"""What one training run of a model was like."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

from torch import Tensor, nn

from pytest_logits.regions import Extent
from pytest_logits.sparkline import thinned

# A rise at one step, as a share of the way that the loss has come, which small steps downhill do not make.
NOISE = 0.25


@dataclass
class Trace:
    """One training run: step size, losses before each step, what the outputs were like, and who got a gradient.

    ``connected`` are the names of the parameters with a gradient at any step, ``moved`` those with one that is not 0.
    ``went_on`` says that it had further steps, being on its way.
    """

    step_size: float
    losses: list[float] = field(default_factory=list)
    accuracy: float = 0.0
    most_predicted: int = 0
    extent: Extent = field(default_factory=Extent)
    rows_differ: bool = False
    reached: bool = False
    cut: bool = False
    went_on: bool = False
    connected: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    model: nn.Module | None = None

    @property
    def gradient(self) -> bool:
        """Whether any parameter has had a gradient that is not zero."""
        return bool(self.moved)

    @property
    def least(self) -> float:
        """The lowest finite loss; of a noisy run, the lowest that two steps in a row were at or below.

        One step of a noisy run below its goal is luck.
        """
        finite = [value for value in self.losses if math.isfinite(value)]
        if len(finite) > 2 and _is_noisy(finite):
            finite = [max(pair) for pair in pairwise(finite)]
        return min(finite, default=math.nan)

    @property
    def falls_steadily(self) -> bool:
        """Whether the loss has fallen at every step, which steps that are too large do not make."""
        return all(later < earlier for earlier, later in pairwise(self.losses))

    def note_gradients(self, parameters: list[Tensor], names: dict[int, str]) -> None:
        """Make sparse gradients dense, which Adam needs; note whose gradient is there, and whose is not zero."""
        for p in parameters:
            if p.grad is None:
                continue
            p.grad = p.grad.to_dense() if p.grad.is_sparse else p.grad
            name = names.get(id(p), f"unregistered {id(p)}")
            self.connected.add(name)
            if name not in self.moved and bool(p.grad.count_nonzero()):
                self.moved.add(name)


def _is_noisy(losses: list[float]) -> bool:
    """Whether the loss rises at a step by a quarter of the way from the first to the lowest, or by more."""
    rise = NOISE * (losses[0] - min(losses))
    return any(later - earlier > rise for earlier, later in pairwise(losses))


def curve(losses: list[float]) -> list[float]:
    """The losses of a run as its evidence keeps them: thinned, to six digits."""
    return [round(value, 6) for value in thinned(losses)]
