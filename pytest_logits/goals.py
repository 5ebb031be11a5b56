"""How low the loss must get in training before that says something, given where the outputs lie."""

from __future__ import annotations

from pytest_logits.regions import MATERIAL, Extent, Region
from pytest_logits.stakes import Stakes
from pytest_logits.subject import Subject
from pytest_logits.trace import Trace

# Below this share of a floor, outputs behind it are excluded: nothing confined gets below the floor itself.
GOAL = 0.8
# A tenth of the way from the first loss to the least possible one is a fall that no rounding makes.
FALL = 0.1
# A loss below the least possible one by this share of what there is to learn is no rounding.
BELOW = 0.01
# A run that has learnt everything and is this near its floor, as a share of what there is to learn, has arrived.
ARRIVED = 0.02


class Goals:
    """What is asked of the losses of a run, in the units of the user's own loss."""

    def __init__(self, subject: Subject, stakes: Stakes) -> None:
        self.subject = subject
        self.stakes = stakes
        self.floors = self._floors()

    def fallen(self, first: float) -> float:
        """What a loss that starts at ``first`` must get below to have fallen."""
        return first - FALL * max(first - self.within_reach, 0.0)

    @property
    def within_reach(self) -> float:
        """The least loss that the outputs leave it: the floor of their activation where that is known and costs much.

        A loss behind an activation falls all the same, and by how much is not to be held against what it cannot reach.
        """
        floor = self.floors.get(self.subject.region) if self.subject.nature.takes == "logits" else None
        return floor if floor is not None and self.stakes.is_material(floor) else self.stakes.least

    @property
    def impossible(self) -> float:
        """A loss that what the loss takes cannot give."""
        return self.stakes.least - BELOW * max(self.stakes.at_zero - self.stakes.least, 1.0)

    def _floors(self) -> dict[Region, float]:
        regions: list[Region] = ["unit", "symmetric", "nonnegative"]
        if self.stakes.width > 1:
            regions.insert(0, "simplex")
        floors = {region: self.stakes.floor(region) for region in regions}
        if self.subject.region == "bounded":
            floors["bounded"] = self.stakes.floor("bounded", self.subject.scan.bound)
        if self.subject.region == "stretched":
            floors["stretched"] = self.stakes.floor("stretched")
        if self.subject.region == "sphere":
            floors["sphere"] = self.stakes.floor("sphere", self.subject.scan.longest)
        return floors

    def given(self, extent: Extent) -> float:
        """How low the loss must get before no activation that may confine these outputs can be what it gets.

        Where the confining region is known, its floor; else the lowest floor of those that the outputs have not left.
        A floor that costs nothing, as behind a loss that scales its logits itself, asks for no more than that.
        """
        least = self.stakes.least
        if self.subject.nature.takes == "log_probabilities" and not self.subject.scan.is_nearly_log_normalised:
            return self.impossible
        floors = [self.floors["simplex" if self.stakes.width > 1 else "unit"]]
        known = "simplex" if extent.holds("simplex") else self.subject.region
        if self.subject.nature.takes == "logits":
            possible = [known] if known in self.floors else [region for region in self.floors if extent.holds(region)]
            floors += [self.floors[region] for region in possible if self.stakes.is_material(self.floors[region])]
        room = self.stakes.at_zero - least
        return least + GOAL * max(min(floors) - least, MATERIAL * room)

    def sits_on_floor(self, trace: Trace) -> bool:
        """Everything is learnt, the outputs are confined by construction, and the loss is down to what that leaves."""
        floor = self.floors.get(self.subject.region)
        if floor is None or trace.accuracy < 1 or self.subject.nature.takes != "logits":
            return False
        room = ARRIVED * (self.stakes.at_zero - self.stakes.least)
        return self.stakes.is_material(floor) and trace.losses[-1] < floor + room
