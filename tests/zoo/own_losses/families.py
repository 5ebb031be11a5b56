"""The whole zoo of losses."""

from __future__ import annotations

from tests.zoo.own_losses import binary, focal, masked, plain, robust, smoothed, traps, weighted, wrapped
from tests.zoo.own_losses.entry import FaultyLoss, SoundLoss

FAMILIES = (plain, focal, smoothed, weighted, masked, binary, robust, wrapped)
FAULTS: tuple[FaultyLoss, ...] = tuple(fault for family in FAMILIES for fault in family.FAULTS)
SOUND: tuple[SoundLoss, ...] = tuple(loss for family in FAMILIES for loss in family.SOUND)
TRAPS: tuple[SoundLoss, ...] = traps.TRAPS
