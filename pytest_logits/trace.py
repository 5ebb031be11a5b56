"""What one training run of a model was like."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean

from torch import Tensor, nn

from pytest_logits.regions import FEW_SCORES, Extent
from pytest_logits.sparkline import thinned

# Rises at one step, as shares of the way that the loss has come, and how many of them make a run noisy. Steps that are
# too large at first make one or two.
NOISE, RISES = 0.25, 3
# A rise by this share of the first loss is none: where a loss is flat it goes up and down.
FLAT = 1e-3
# The steps of a noisy run whose mean is looked at.
WINDOW = 8
# Scores of different inputs that differ by less than this share of themselves hang on float32's last digits. Those of a
# plain net of twenty layers differ by 5e-6 at most at the first four losses of 100 seeds, of one of six layers and of
# every other sound model of the zoo by .009 and more at two seeds.
RESOLUTION = 1e-5
FIRST = 4
# So many numbers of a gradient are looked at before all of them are.
LOOK = 4096


@dataclass
class Trace:
    """One training run: step size, losses before each step, what the outputs were like, and who got a gradient.

    ``connected`` are the names of the parameters with a gradient at any step, ``moved`` those with one that is not 0.
    ``right`` says of each decision of the last step whether it is the label.
    ``went_on`` says that it had further steps, being on its way or falling steadily. ``broken`` counts the logits that
    are not finite before the first step, and are no mask. ``reached_by_input`` says that the rows of the scores
    differed by more than ``RESOLUTION`` at one of the first ``FIRST`` losses. ``won`` are rows (n, K) of the last
    scores, one for each class that has the highest score in one whose scores are no larger than ``regions.ROOM``.
    """

    step_size: float
    losses: list[float] = field(default_factory=list)
    right: Tensor | None = None
    most_predicted: int = 0
    rows_differ: bool = False
    reached: bool = False
    cut: bool = False
    went_on: bool = False
    broken: int = 0
    reached_by_input: bool = False
    connected: set[str] = field(default_factory=set)
    moved: set[str] = field(default_factory=set)
    model: nn.Module | None = None
    won: Tensor | None = None
    _extent: Extent = field(default_factory=Extent)
    _unmeasured: list[Tensor] = field(default_factory=list)

    @property
    def accuracy(self) -> float:
        """The share of the last step's decisions that are right."""
        return 0.0 if self.right is None else float(self.right.double().mean())

    @property
    def gradient(self) -> bool:
        """Whether any parameter has had a gradient that is not zero."""
        return bool(self.moved)

    @property
    def lowest(self) -> float:
        """The lowest finite loss."""
        return min(self._finite, default=math.nan)

    @property
    def least(self) -> float:
        """What the loss got down to: the lowest, or the lowest mean of eight steps in a row of a noisy run.

        One low step of a noisy run is luck.
        """
        if not self.is_noisy:
            return self.lowest
        finite = self._finite
        return min(fmean(finite[i : i + WINDOW]) for i in range(max(len(finite) - WINDOW, 0) + 1))

    @property
    def is_noisy(self) -> bool:
        """Whether the loss has risen at several steps by much of the way that it has come."""
        finite = self._finite
        rise = NOISE * (finite[0] - min(finite)) if finite else 0.0
        return rise > 0 and sum(later - earlier > rise for earlier, later in pairwise(finite)) >= RISES

    @property
    def _finite(self) -> list[float]:
        return [value for value in self.losses if math.isfinite(value)]

    @property
    def falls_steadily(self) -> bool:
        """Whether the loss falls and has not risen at any step, which steps that are too large do not make."""
        rise = FLAT * self.losses[0]
        rises = any(later > earlier + rise for earlier, later in pairwise(self.losses))
        return self.losses[-1] < self.losses[0] and not rises

    def note_scores(self, scores: Tensor) -> None:
        """Keep the scores (N, K, ...) or (N,) of a step, to be measured when it is asked where they lie."""
        self._unmeasured.append(scores)
        if sum(kept.numel() for kept in self._unmeasured) > FEW_SCORES:
            self._measure()

    @property
    def extent(self) -> Extent:
        """Where the scores of all steps lie."""
        if self._unmeasured:
            self._measure()
        return self._extent

    def _measure(self) -> None:
        self._extent.add_all(self._unmeasured)
        self._unmeasured = []

    def note_spread(self, scores: Tensor) -> None:
        """Note whether the input reaches these scores (N, ...), at one of the first losses; zeros do not tell."""
        if self.reached_by_input or len(self.losses) >= FIRST:
            return
        rows = scores.reshape(len(scores), -1).double()
        spread, size = rows.amax(dim=0) - rows.amin(dim=0), rows.abs().amax(dim=0)
        self.reached_by_input = bool((spread > RESOLUTION * size).any())

    def note_gradients(self, parameters: list[Tensor], names: dict[int, str]) -> None:
        """Make sparse gradients dense, which Adam needs; note whose gradient is there, and whose is not zero."""
        for p in parameters:
            if p.grad is None:
                continue
            p.grad = p.grad.to_dense() if p.grad.is_sparse else p.grad
            name = names.get(id(p), f"unregistered {id(p)}")
            self.connected.add(name)
            if name not in self.moved and _moves(p.grad):
                self.moved.add(name)


def _moves(gradient: Tensor) -> bool:
    """Whether it is not zero. Nearly always its first numbers tell, and to count all takes longer than a pass."""
    flat = gradient.flatten()
    return bool(flat[:LOOK].any()) or bool(flat[LOOK:].count_nonzero())


def curve(losses: list[float]) -> list[float]:
    """The losses of a run as its evidence keeps them: thinned, to six digits."""
    return [round(value, 6) for value in thinned(losses)]
