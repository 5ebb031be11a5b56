"""Where a model's outputs lie, and what a loss can still reach from there.

An output activation confines the scores to a region. Each region has the map that confines free scores to it, which
gives the floor of a loss behind it, and the map that undoes it, which gives the proof.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.linalg import vector_norm

Region = Literal[
    "simplex",
    "wrong_simplex",
    "log_simplex",
    "sphere",
    "stretched",
    "unit",
    "symmetric",
    "bounded",
    "nonnegative",
    "free",
]

# The flat end of an activation shows as a pile: a quarter of the values within one per cent of the same bound, at each
# of three parameter scales that are four times apart. Scores that are not bounded grow with the scale instead.
PILE_WIDTH = 0.01
PILE_SHARE = 0.25
PILE_SCALES = 3
# Scores that are never negative and often exactly 0 over this many mild settings of the parameters are clipped: a free
# score changes its sign among them, and none of its values is exactly 0. Softplus and exp are not 0 there either; a
# row's least score moved to 0 is 0 exactly once in each row.
CLIPPED_SETTINGS = 16
CLIPPED_SHARE = 0.1
MILD = 1.0
# softmax(z) + epsilon, or exp(z) / (sum + epsilon), have row sums that are all alike and near 1. Free scores that are
# not negative do not have 32 row sums within a ten-thousandth of each other.
SUM_SLACK = 1e-4
NEAR_ONE = 0.01
# Row sums of scores in the hundreds of thousands, by hand in float32: 1e5 units of 1.2e-7.
COARSE = 0.02
# Rows whose norms agree to a hundredth over every row and every parameter scale are normalised: free scores spread over
# orders of magnitude there. A LayerNorm's epsilon leaves rows of variance .01 within 5e-4 of their norm.
SPHERE = 0.01
# Scores this large leave a loss nothing to gain: e**-64 is below float32's resolution of any loss near 1.
ROOM = 64.0
# Rows of log-probabilities have a logsumexp of 0. log(softmax + 1e-7) at K = 1000 is 1e-4 off; free scores are off by
# about log K. Between the two nothing is decided.
LOG_GAP = 0.1
# A floor that hides less than this share of what there is to learn, from all-equal scores to the minimum, is no fault:
# cosine logits of scale 4 hide .0005 of it at K = 2, tanh 18 %.
MATERIAL = 0.05
# The ends of so many scores are found in less time than it takes to ask for them twice.
FEW_SCORES = 2**14


def row_sum_tolerance(dtype: torch.dtype, width: int) -> float:
    """How far a softmax's row sums may be from 1: exp and division to a few ulp, a sum over ``width`` terms in pairs.

    4 + log2(K) units in the last place: 1.7e-6 in float32 at K = 1000, where 5e-7 is measured (facts of torch 2.13);
    in float16 and bfloat16, which are computed in float32 and rounded once, one unit is enough.
    """
    unit = torch.finfo(dtype).eps
    return unit * (4 + math.log2(max(width, 1))) if dtype in (torch.float32, torch.float64) else unit


def _log_tolerance(tolerance: float) -> float:
    """The same for the logarithm of a sum of exponentials, whose terms carry the rounding of their logarithms."""
    return 4 * tolerance + 1e-6


@dataclass
class Extent:
    """The smallest facts about a growing set of outputs that decide in which regions all of them lie."""

    rows: int = 0
    dropped: int = 0
    low: float = math.inf
    high: float = -math.inf
    sum_gap: float = 0.0
    least_sum: float = math.inf
    largest_sum: float = -math.inf
    log_gap: float = 0.0
    shortest: float = math.inf
    longest: float = 0.0
    raised: float = 0.0
    lowered: float = math.inf
    wrong_axes: dict[int, bool] = field(default_factory=dict)
    tolerance: float = 0.0
    width: int = 1
    samples: list[Tensor] = field(default_factory=list, repr=False)
    _kept: list[tuple[float, Tensor]] = field(default_factory=list, repr=False)

    def add(self, logits: Tensor, *, scattered: float | None = None) -> None:
        """Add scores (N, K, ...) or (N,). Rows that are not finite are left out.

        Those of a setting, whose parameters are ``scattered`` so much, are kept as one sample. Scattered more than
        mildly they may be so large that a softmax written by hand rounds its sums to a hundredth: exp(z - logsumexp(z))
        is off by |z| units in the last place.
        """
        rows = self._rows_of(logits, scattered)
        if rows.numel():
            self._measure(rows, coarse=scattered is not None and scattered > MILD)

    def add_settings(self, settings: Iterable[tuple[float, Tensor]]) -> None:
        """The same of several settings, each scattered so much. Few scores are measured at once, which is faster."""
        mild, coarse = list[Tensor](), list[Tensor]()
        for scattered, logits in settings:
            (coarse if scattered > MILD else mild).append(self._rows_of(logits, scattered))
        self._measure_all(mild, coarse=False)
        self._measure_all(coarse, coarse=True)

    def add_all(self, several: Iterable[Tensor]) -> None:
        """The same of several scores, none of which is kept."""
        self._measure_all([self._rows_of(logits, None) for logits in several], coarse=False)

    def _measure_all(self, parts: Iterable[Tensor], *, coarse: bool) -> None:
        parts = [rows for rows in parts if rows.numel()]
        few = sum(rows.numel() for rows in parts) <= FEW_SCORES
        alike = len({rows.shape[1] for rows in parts}) == 1
        for rows in [torch.cat(parts)] if few and alike else parts:
            self._measure(rows, coarse=coarse)

    def _rows_of(self, logits: Tensor, scattered: float | None) -> Tensor:
        """The finite rows (N, K); kept where they are those of a setting."""
        keep = scattered is not None
        dtype, scores = logits.dtype, logits.detach().double()
        # A sum is finite only where all it is of is, and takes half the time.
        whole = math.isfinite(float(scores.sum())) or bool(scores.isfinite().all())
        if whole:
            self._sum_other_axes(scores, dtype)
        scores = scores.unsqueeze(1) if scores.ndim < 2 else scores.movedim(1, -1).flatten(0, -2)
        self.width = scores.shape[1]
        self.tolerance = row_sum_tolerance(dtype, self.width)
        rows = scores if whole else self._finite_rows(scores, keep=keep)
        if scattered is not None and rows.numel():
            self._kept.append((scattered, rows))
            if whole:
                self.samples.append(rows.flatten())
        return rows

    def settings(self, most: float) -> list[Tensor]:
        """The finite rows (N, K) of each setting that is scattered by ``most`` or less."""
        return [rows for amount, rows in self._kept if amount <= most]

    def _finite_rows(self, scores: Tensor, *, keep: bool) -> Tensor:
        """Those without NaN or an infinity. Of the others too the finite values count, and plus infinity is an end."""
        finite = scores.isfinite()
        values, rows = scores[finite], finite.all(dim=1)
        if values.numel():
            self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
            if keep:
                self.samples.append(values)
        self.high = math.inf if bool((scores == math.inf).any()) else self.high
        self.dropped += int((~rows).sum())
        return scores[rows]

    def _measure(self, rows: Tensor, *, coarse: bool) -> None:
        """Note the ends of what is asked of each finite row, (N, K)."""
        sums = rows.sum(dim=1)
        facts = torch.stack([*rows.aminmax(dim=1), vector_norm(rows, dim=1), sums, rows.logsumexp(dim=1)])
        least, most = facts.amin(dim=1).tolist(), facts.amax(dim=1).tolist()
        self.rows += len(rows)
        self.low, self.raised = min(self.low, least[0]), max(self.raised, most[0])
        self.lowered, self.high = min(self.lowered, least[1]), max(self.high, most[1])
        self.shortest, self.longest = min(self.shortest, least[2]), max(self.longest, most[2])
        if coarse:
            # A softmax by hand without care underflows to rows of less than 1, which say nothing.
            sums = sums[(sums - 1 > COARSE) | ((1 - sums > COARSE) & (self.low < 0))]
            least[3], most[3] = (float(sums.min()), float(sums.max())) if len(sums) else (math.inf, -math.inf)
        if len(sums):
            self.sum_gap = max(self.sum_gap, abs(least[3] - 1), abs(most[3] - 1))
            self.least_sum, self.largest_sum = min(self.least_sum, least[3]), max(self.largest_sum, most[3])
        log_gap = max(abs(least[4]), abs(most[4]))
        if not coarse or log_gap > COARSE:
            self.log_gap = max(self.log_gap, log_gap)

    def _sum_other_axes(self, scores: Tensor, dtype: torch.dtype) -> None:
        """Note the axes other than that of the classes along which everything so far, or its exponential, sums to 1."""
        for axis, size in enumerate(scores.shape):
            # Along an axis that was not normalised once, nothing has to be added up again.
            if axis != 1 and size > 1 and self.wrong_axes.get(axis, True):
                bound = row_sum_tolerance(dtype, size)
                gap = float((scores.sum(dim=axis) - 1).abs().max())
                log_gap = float(scores.logsumexp(dim=axis).abs().max())
                self.wrong_axes[axis] = gap <= bound or log_gap <= _log_tolerance(bound)

    def holds(self, region: Region) -> bool:
        """Whether every output so far lies in the region."""
        if region == "simplex":
            alike = self.largest_sum - self.least_sum <= max(self.tolerance, SUM_SLACK)
            inside = self.rows > 0 and self.low >= 0 and self.high <= 1 + NEAR_ONE
            return self.width > 1 and inside and alike and self.sum_gap <= NEAR_ONE
        if region == "wrong_simplex":
            return self.wrong_axis is not None
        if region == "log_simplex":
            return self.width > 1 and self.high <= self.tolerance and self.log_gap <= _log_tolerance(self.tolerance)
        if region == "sphere":
            # A mask of -1e9 gives every row one norm too; rows that long leave a loss all its room.
            alike = 0 < self.longest <= (1 + SPHERE) * self.shortest
            return self.width > 1 and self.rows > 1 and alike and self.longest <= ROOM
        if region == "stretched":
            # Every row has a least score of exactly 0 and a greatest of 1, but for an epsilon in the denominator. A
            # sigmoid's rows as initialised have neither; with two classes such rows are one-hot.
            both = self.raised == 0 and self.lowered >= 1 - NEAR_ONE
            return self.width > 2 and self.rows > 1 and both and self.holds("unit")
        if region == "unit":
            return self.low >= 0 and self.high <= 1
        if region == "symmetric":
            # A cosine may be a few units in the last place above 1.
            return self.bound <= 1 + self.tolerance
        if region == "nonnegative":
            return self.low >= 0
        return True

    @property
    def wrong_axis(self) -> int | None:
        """The first axis other than that of the classes along which the outputs are normalised; None if none is."""
        return next((axis for axis, always in self.wrong_axes.items() if always), None)

    @property
    def is_nearly_log_normalised(self) -> bool:
        """Whether the rows may be log-probabilities, exactly or but for an epsilon."""
        return self.rows > 0 and self.high < LOG_GAP and self.log_gap < LOG_GAP

    @property
    def bound(self) -> float:
        """The largest absolute score."""
        return max(abs(self.low), abs(self.high))

    def piles_at(self, *points: float, width: float, last: int = PILE_SCALES) -> bool:
        """Whether each of the last samples has a pile within ``width`` of the points."""
        samples = self.samples[-last:]
        if len(samples) < last:
            return False
        return all(_share_near(values, points, width) >= PILE_SHARE for values in samples)

    def piles_up(self, last: int = PILE_SCALES) -> bool:
        """Whether each of the last samples piles up at the bound, as an activation that is flat there makes it do."""
        return self.piles_at(-self.bound, self.bound, width=PILE_WIDTH * self.bound, last=last)


def _share_near(values: Tensor, points: tuple[float, ...], width: float) -> float:
    near = torch.zeros_like(values, dtype=torch.bool)
    for point in points:
        near |= (values - point).abs() <= width
    return float(near.double().mean())


def confirmed_region(extent: Extent) -> Region:
    """The narrowest region that all of these outputs lie in and that they cannot lie in by chance.

    Row sums of 1 do not happen by chance. A range does: it is confirmed by the piles of values at its ends.
    """
    if extent.rows == 0:
        return "free"
    if extent.holds("simplex"):
        return "simplex"
    if extent.holds("wrong_simplex"):
        return "wrong_simplex"
    if extent.holds("log_simplex"):
        return "log_simplex"
    if extent.holds("sphere"):
        return "sphere"
    if extent.holds("stretched"):
        return "stretched"
    fills_unit = extent.low <= PILE_WIDTH and extent.high >= 1 - PILE_WIDTH
    if extent.holds("unit") and fills_unit and extent.piles_at(0.0, 1.0, width=PILE_WIDTH):
        return "unit"
    # Scores that overflow are not confined, and every number is within a share of infinity of it.
    if math.isfinite(extent.bound) and extent.low < 0 and extent.piles_up():
        return "symmetric" if extent.holds("symmetric") else "bounded"
    return "nonnegative" if _is_clipped(extent) else "free"


def _is_clipped(extent: Extent) -> bool:
    mild = extent.settings(MILD)
    if not extent.holds("nonnegative") or extent.high <= 0 or len(mild) < CLIPPED_SETTINGS:
        return False
    zeros = torch.cat(mild) == 0
    return float(zeros.double().mean()) >= CLIPPED_SHARE and bool((zeros.sum(dim=1) != 1).any())


def confine(region: Region, bound: float = 1.0) -> Callable[[Tensor], Tensor]:
    """The map that takes free scores into the region."""
    if region == "simplex":
        return lambda z: F.softmax(z, dim=1)
    if region == "unit":
        return torch.sigmoid
    if region in ("symmetric", "bounded"):
        return lambda z: bound * torch.tanh(z)
    if region == "sphere":
        return lambda z: bound * F.normalize(z, dim=1)
    if region == "stretched":
        return _stretch
    if region == "nonnegative":
        return torch.relu
    return lambda z: z


def _stretch(scores: Tensor) -> Tensor:
    low, high = scores.amin(dim=1, keepdim=True), scores.amax(dim=1, keepdim=True)
    return (scores - low) / (high - low).clamp_min(torch.finfo(scores.dtype).tiny)


UNDONE = {
    "simplex": "loss on log(output): the scores before the softmax, up to a constant per row",
    "unit": "loss on log(output / (1 - output)): the scores before the sigmoid",
    "symmetric": "loss on 16 * output: the same outputs with room to be confident",
    "sphere": "loss on 16 * output: the same outputs with room to be confident",
    "stretched": "loss on 16 * output: the same outputs with room to be confident",
    "bounded": "loss on 16 * output: the same outputs with room to be confident",
    "nonnegative": "loss on the tensor that goes into the activation",
}


def undo(region: Region) -> Callable[[Tensor], Tensor]:
    """The map that gives the loss the scores back. A clipped half-line cannot be undone from outside the model."""
    if region == "simplex":
        return lambda p: p.clamp_min(torch.finfo(p.dtype).tiny).log()
    if region == "unit":
        return lambda p: torch.logit(p, eps=torch.finfo(p.dtype).eps)
    if region in ("sphere", "stretched", "symmetric", "bounded"):
        return lambda z: 16 * z
    raise ValueError(f"a {region} output cannot be undone from outside the model")


def is_material(floor: float, least: float, at_zero: float) -> bool:
    """Whether a floor hides a share of the loss that is worth a failure; see ``MATERIAL``."""
    return floor - least > MATERIAL * (at_zero - least)
