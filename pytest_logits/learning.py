"""One short training run per model, shared by every check that reads it.

The model learns a separable batch by heart with Adam. "Can it" is asked of the best of a few step sizes, so that a
sound model is not failed for the suite's choice of step; training stops as soon as the evidence decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pytest_logits.finding import Proof
from pytest_logits.guard import seed_everything
from pytest_logits.locate import producer, record
from pytest_logits.regions import MATERIAL, UNDONE, Extent, Region, undo
from pytest_logits.stakes import Stakes
from pytest_logits.subject import Subject

# Below this share of a floor, outputs behind it are excluded: nothing confined gets below the floor itself.
GOAL = 0.8
# A tenth of the way from the first loss to the least possible one is a fall that no rounding makes.
FALL = 0.1
# A loss below the least possible one by this share of what there is to learn is no rounding.
BELOW = 0.01
# A run that has learnt everything and is this near its floor, as a share of what there is to learn, has arrived.
ARRIVED = 0.02
# A proof goes on until it is this share of the way to the goal, so that it does not rest on a hair's breadth.
PROOF = 0.5
# Steps with no gradient anywhere before a run gives up; dropout may silence one.
SILENT_STEPS = 3

Scores = Callable[[nn.Module], Tensor]


@dataclass
class Trace:
    """One training run: step size, losses before each step, and what the outputs were like."""

    step_size: float
    losses: list[float] = field(default_factory=list)
    accuracy: float = 0.0
    most_predicted: int = 0
    extent: Extent = field(default_factory=Extent)
    rows_differ: bool = False
    reached: bool = False
    gradient: bool = False
    model: nn.Module | None = None

    @property
    def least(self) -> float:
        """The lowest finite loss."""
        return min((value for value in self.losses if math.isfinite(value)), default=math.nan)


class LearningRun:
    """The traces, with the stakes they are judged by."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.batch = subject.separable_batch()
        self.stakes = Stakes.of(subject, self.batch.labels)
        self.labels = self.stakes.labels
        self.floors = self._floors()
        self.traces: list[Trace] = []
        for step_size, steps in subject.settings.profile.learning:
            trace = self.train(self.scores, step_size=step_size, steps=steps)
            self.traces.append(trace)
            if trace.reached or not trace.gradient or self._sits_on_floor(trace):
                break

    # What the checks read

    @property
    def best(self) -> Trace:
        """The trace with the lowest loss."""
        return min(self.traces, key=lambda t: t.least if math.isfinite(t.least) else math.inf)

    @property
    def steps(self) -> int:
        """Steps taken over all traces."""
        return sum(len(trace.losses) for trace in self.traces)

    @property
    def goal(self) -> float:
        """The loss to get below, given where the outputs of all traces lie."""
        return self._goal(self.best.extent)

    def fallen(self, first: float) -> float:
        """What a loss that starts at ``first`` must get below to have fallen."""
        return first - FALL * max(first - self.stakes.least, 0.0)

    @property
    def impossible(self) -> float:
        """A loss that what the loss takes cannot give."""
        return self.stakes.least - BELOW * max(self.stakes.at_zero - self.stakes.least, 1.0)

    def holds(self, region: Region) -> bool:
        """Whether all outputs of all traces lie in the region."""
        return all(trace.extent.holds(region) for trace in self.traces)

    def evidence(self) -> dict[str, Any]:
        """The numbers of the run, for the report."""
        return {
            "step_sizes": [t.step_size for t in self.traces],
            "steps": [len(t.losses) for t in self.traces],
            "lowest_loss": [t.least for t in self.traces],
            "first_loss": self.traces[0].losses[0],
            "accuracy": self.best.accuracy,
            "classes_predicted": max(t.most_predicted for t in self.traces),
            "examples": len(self.labels),
            "least_possible": self.stakes.least,
            "goal": self.goal,
            "floors": {name: floor for name, floor in self.floors.items() if self.stakes.is_material(floor)},
            "loss_curve": [round(value, 6) for value in self.best.losses],
        }

    def prove(self, region: Region) -> Proof | None:
        """The same training with the activation undone. None where it does not get below the goal either."""
        if region == "nonnegative" or (region == "simplex" and self.subject.nature.form == "bernoulli"):
            how = UNDONE["nonnegative"]
            scores: Scores = self._scores_before_activation
        else:
            undone, how = undo(region), UNDONE[region]

            def scores(model: nn.Module) -> Tensor:
                return undone(self.scores(model))

        beyond = self.stakes.least + PROOF * (self.goal - self.stakes.least)
        for step_size, steps in self.subject.settings.profile.learning:
            trace = self.train(scores, step_size=step_size, steps=steps, goal=beyond, confined=False)
            if trace.least < self.goal:
                return Proof(
                    undone=how,
                    as_written=self.best.least,
                    with_fix=trace.least,
                    goal=self.goal,
                    steps=len(trace.losses),
                )
        return None

    # Training

    def train(
        self, scores: Scores, *, step_size: float, steps: int, goal: float = math.inf, confined: bool = True
    ) -> Trace:
        """Train a fresh copy on ``scores(model)`` until it is below the goal, silent, not finite, or out of steps.

        The goal is what the place of the outputs asks for, or ``goal`` where that is lower. ``confined`` scores are the
        model's own, which stop when they sit on their floor.
        """
        subject, labels = self.subject, self.labels
        trace = Trace(step_size)
        model = subject.fresh()
        parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=step_size) if parameters else None
        seed_everything(subject.seed("training"))
        for step in range(steps + 1):
            made = scores(model)
            loss = subject.loss(made, labels)
            self._note(trace, made.detach(), float(loss.detach()), goal)
            if (
                trace.reached
                or not math.isfinite(trace.losses[-1])
                or step == steps
                or (confined and self._sits_on_floor(trace))
            ):
                break
            if optimizer is None or not loss.requires_grad:
                break
            optimizer.zero_grad()
            subject.backward(loss)
            trace.gradient |= _densify(parameters)
            if not trace.gradient and step + 1 >= SILENT_STEPS:
                break
            optimizer.step()
        trace.model = model if subject.spec.predict is not None else None
        return trace

    def _note(self, trace: Trace, scores: Tensor, loss: float, goal: float) -> None:
        decided = self.subject.decide(scores)
        trace.losses.append(loss)
        trace.accuracy = float((decided == self.labels).double().mean())
        trace.most_predicted = max(trace.most_predicted, len(decided.unique(dim=0)))
        trace.extent.add(scores)
        trace.rows_differ |= bool((scores != scores[:1]).any())
        low = loss < min(goal, self._goal(trace.extent))
        trace.reached |= low and trace.most_predicted > 1 and loss < self.fallen(trace.losses[0])

    def scores(self, model: nn.Module) -> Tensor:
        """The model's logits on the separable batch."""
        return self.subject.logits_of(model, self.batch.inputs)

    def _scores_before_activation(self, model: nn.Module) -> Tensor:
        size = self.subject.sample_logits[0].numel() * len(self.labels)
        made, operations = record(lambda: self.scores(model), size=size)
        found = producer(operations, made)
        source = found.source if found is not None else None
        return source if source is not None and source.shape == made.shape else made

    # Goals and floors

    def _floors(self) -> dict[Region, float]:
        regions: list[Region] = ["unit", "symmetric", "nonnegative"]
        if self.stakes.width > 1:
            regions.insert(0, "simplex")
        floors = {region: self.stakes.floor(region) for region in regions}
        if self.subject.region == "bounded":
            floors["bounded"] = self.stakes.floor("bounded", self.subject.scan.bound)
        if self.subject.region == "sphere":
            floors["sphere"] = self.stakes.floor("sphere", self.subject.scan.longest)
        return floors

    def _goal(self, extent: Extent) -> float:
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

    def _sits_on_floor(self, trace: Trace) -> bool:
        """Everything is learnt, the outputs are confined by construction, and the loss is down to what that leaves."""
        floor = self.floors.get(self.subject.region)
        if floor is None or trace.accuracy < 1 or self.subject.nature.takes != "logits":
            return False
        room = ARRIVED * (self.stakes.at_zero - self.stakes.least)
        return self.stakes.is_material(floor) and trace.losses[-1] < floor + room


def learning_run(subject: Subject) -> LearningRun:
    """The run of this subject; trained once, read by every learning check."""
    return subject.remember("learning run", lambda: LearningRun(subject))


def _densify(parameters: list[nn.Parameter]) -> bool:
    """Make sparse gradients dense, which Adam needs; return whether any parameter has a gradient that is not zero."""
    any_gradient = False
    for p in parameters:
        if p.grad is not None:
            p.grad = p.grad.to_dense() if p.grad.is_sparse else p.grad
            any_gradient |= bool(p.grad.count_nonzero())
    return any_gradient
