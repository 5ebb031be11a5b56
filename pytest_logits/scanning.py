"""The scores of a model with its parameters as initialised and scattered ever further: where they lie."""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter

from torch import Tensor

from pytest_logits.regions import CLIPPED_SETTINGS, PILE_SCALES, Extent, confirmed_region

# How much the parameters are scattered, relative to their size, when outputs are looked at: none, mildly, and so
# strongly that whatever can saturate does.
SCATTER = (0.0, 1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0)
# Scattered this much, an activation that bends only large scores has bent some.
BENT = 16.0
MOST = SCATTER[-1]
# Scores that are not confined have left [-1, 1] and have both signs after so many settings, in nearly every model.
FIRST = 3


def scan_of(scores: Callable[[float, int, bool], Tensor]) -> Extent:
    """Where the scores lie, which ``scores(amount, variant, head_only)`` gives for a setting of the parameters.

    Where none of them is negative, or none beyond 1, more copies are looked at: a clipped range, and scores that
    cannot grow, show in many settings only. Where half of them overflow, as in deep models without normalisation,
    and the others stay in [0, 1], copies are looked at whose last layer alone is scattered.
    """
    extent = Extent()

    def look(amount: float, variant: int = 0, *, head_only: bool = False) -> None:
        extent.add(scores(amount, variant, head_only), scattered=amount)

    for amount in SCATTER:
        look(amount)
    if extent.rows <= extent.dropped and extent.holds("unit"):
        for amount in SCATTER[-PILE_SCALES:]:
            look(amount, head_only=True)
    if extent.low >= 0 and confirmed_region(extent) == "free":
        for variant in range(CLIPPED_SETTINGS):
            look(1.0, variant + 1)
    elif extent.holds("symmetric") and confirmed_region(extent) == "free":
        for variant in range(CLIPPED_SETTINGS):
            look(MOST, variant + 1)
    return extent


def free_scan_of(scores: Callable[[float], Tensor]) -> Extent | None:
    """Where they lie if they are not confined, which a copy that is used again shows too; None where they may be.

    Five settings show it where the scores of the most scattered one are finite and do not pile up: those of a bounded
    model do there too. It is asked for before ``BENT``, which others ask for again.
    """
    looked = {amount: scores(amount) for amount in SCATTER[:FIRST]}
    extent = _extent_of(looked)
    if extent.low >= 0 or extent.high <= 0 or extent.holds("symmetric"):
        return None
    looked |= {amount: scores(amount) for amount in (MOST, BENT)}
    extent = _extent_of(looked)
    if bool(looked[MOST].isfinite().all()) and _is_free(extent) and not extent.piles_up(last=1):
        return extent
    looked |= {amount: scores(amount) for amount in SCATTER if amount not in looked}
    extent = _extent_of(looked)
    return extent if _is_free(extent) else None


def _is_free(extent: Extent) -> bool:
    return extent.rows > extent.dropped and confirmed_region(extent) == "free"


def _extent_of(looked: dict[float, Tensor]) -> Extent:
    extent = Extent()
    extent.add_settings(sorted(looked.items(), key=itemgetter(0)))
    return extent
