"""One short training run per model, shared by every check that reads it.

The model learns a separable batch by heart with Adam. "Can it" is asked of the best of a few step sizes, so that a
sound model is not failed for the suite's choice of step; training stops as soon as the evidence decides.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from pytest_logits.behind import clear_rows, winning_rows
from pytest_logits.copies import DoesNotApply, evaluating
from pytest_logits.descent import plain
from pytest_logits.finding import Proof
from pytest_logits.goals import Goals
from pytest_logits.guard import seed_everything
from pytest_logits.locate import producer, record
from pytest_logits.not_finite import not_finite
from pytest_logits.regions import ROOM, UNDONE, Region, undo
from pytest_logits.scanning import BENT
from pytest_logits.stakes import Stakes
from pytest_logits.subject import Subject
from pytest_logits.target_faults import out_of_range
from pytest_logits.trace import Trace, curve

# A proof goes on until it is this share of the way to the goal, so that it does not rest on a hair's breadth.
PROOF = 0.5
# What falls steadily is not helped by smaller steps: it goes on with steps so much larger, half of a power of ten, or
# a whole one where it has hardly moved.
FASTER, MUCH_FASTER = 3.0, 10.0
# What a run tells whose scores hang on the last digits of what comes in.
FAINT = (
    "as initialised, different inputs give scores that agree to five digits, as in deep models without normalisation, "
    "so when training gets going is a matter of the draw"
)
# What is expected of the first step, where anything is to be said of the rest.
FINITE = "a finite loss and finite logits"
# Steps with no gradient anywhere before a run gives up; dropout may silence one.
SILENT_STEPS = 3

# A run is cut here, whatever its steps cost, so that the checks of a slow model end; what is undecided is inconclusive.
SECONDS = 40.0

Step = Callable[[nn.Module], tuple[Tensor, Tensor]]
Prepare = Callable[[nn.Module], tuple[nn.Module, list[Tensor]]]


class LearningRun:
    """The traces, with the stakes they are judged by."""

    def __init__(self, subject: Subject) -> None:
        subject.require_range()
        self.subject = subject
        self.batch = subject.separable_batch()
        self.stakes = Stakes.of(subject, self.batch.labels)
        self._require_minimum()
        self.labels = self.stakes.labels
        self.goals = Goals(subject, self.stakes)
        self.traces: list[Trace] = []
        self.least_of_proof = math.inf
        self.losses_of_proof: list[float] = []
        self._deadline = time.monotonic() + SECONDS
        for trace in self._each_step_size(self.as_written):
            self.traces.append(trace)
            self._keep_one_model()
            if trace.reached or trace.cut or not trace.gradient or self.goals.sits_on_floor(trace):
                break

    def _require_minimum(self) -> None:
        """Say that nothing is learnt where targets out of range leave the loss no minimum."""
        with torch.no_grad():
            targets = self.subject.targets(self.stakes.labels, self.stakes.like)
            found = out_of_range(self.subject, self.stakes.like, targets)
        if found is not None:
            raise DoesNotApply(f"{found.measured}, so it has no minimum; see targets_fit_loss")

    # What the checks read

    @property
    def best(self) -> Trace:
        """The trace with the lowest loss."""
        return min(self.traces, key=lambda t: t.least if math.isfinite(t.least) else math.inf)

    @property
    def lowest(self) -> float:
        """The lowest loss of all steps."""
        return min((t.lowest for t in self.traces if math.isfinite(t.lowest)), default=math.nan)

    @property
    def broken_start(self) -> str:
        """In words, that the loss or a logit is not finite before the first step; empty where they are.

        A loss may be finite all the same, where a logit of minus infinity is not that of an example's own class, and
        whether it is, is a matter of the draw.
        """
        first, broken = self.traces[0].losses[0], self.traces[0].broken
        if not math.isfinite(first):
            return f"the loss is {first} before the first step"
        if not broken:
            return ""
        are = "logit is" if broken == 1 else "logits are"
        return f"{broken} {are} NaN or infinite before the first step, see outputs_stay_finite"

    @property
    def faint(self) -> bool:
        """Whether inputs that differ do not reach the scores beyond rounding as training starts; its course is luck."""
        return self.batch.distinct and not self.traces[0].reached_by_input

    @property
    def steps(self) -> int:
        """Steps taken over all traces."""
        return sum(len(trace.losses) for trace in self.traces)

    @property
    def goal(self) -> float:
        """The loss to get below, given where the outputs of all traces lie."""
        return self.goals.given(self.best.extent)

    @property
    def won(self) -> list[Tensor]:
        """Scores in which classes win that have been trained to, of each trace."""
        return [trace.won for trace in self.traces if trace.won is not None]

    def holds(self, region: Region) -> bool:
        """Whether all outputs of all traces lie in the region."""
        return all(trace.extent.holds(region) for trace in self.traces)

    @cached_property
    def ignores_input(self) -> bool:
        """Whether inputs that differ got equal logits at every step, and get them from scattered parameters too."""
        if not self.batch.distinct or any(trace.rows_differ for trace in self.traces):
            return False
        logits = self.subject.scores(evaluating(self.subject.scattered(BENT)), self.batch.inputs, purpose="alike")
        return not bool((logits != logits[:1]).any())

    def evidence(self) -> dict[str, Any]:
        """The numbers of the run, for the report of each check that reads it."""
        return dict(self._numbers)

    @cached_property
    def _numbers(self) -> dict[str, Any]:
        return {
            "step_sizes": [t.step_size for t in self.traces],
            "steps": [len(t.losses) for t in self.traces],
            "cut_after_seconds": SECONDS if self.traces[-1].cut else None,
            "lowest_loss": [t.lowest for t in self.traces],
            "first_loss": self.traces[0].losses[0],
            "accuracy": self.best.accuracy,
            "classes_predicted": max(t.most_predicted for t in self.traces),
            "examples": len(self.labels),
            "least_possible": self.stakes.least,
            "goal": self.goal,
            "floors": {name: floor for name, floor in self.goals.floors.items() if self.stakes.is_material(floor)},
            "loss_curve": curve(self.best.losses),
        }

    def prove(self, region: Region) -> Proof | None:
        """The same training with the activation undone. None where it does not get below the goal either."""
        if region == "nonnegative" or (region == "simplex" and self.subject.nature.form == "bernoulli"):
            how = UNDONE["nonnegative"]
            scores = self._scores_before_activation
        else:
            undone, how = undo(region), UNDONE[region]

            def scores(model: nn.Module) -> Tensor:
                return undone(self.scores(model))

        def step(model: nn.Module) -> tuple[Tensor, Tensor]:
            made = scores(model)
            return made, self.subject.loss(made, self.labels)

        return self.proof_of(how, step=step)

    def proof_of(self, how: str, *, step: Step | None = None, prepare: Prepare | None = None) -> Proof | None:
        """The same training with one thing changed, as ``how`` says. None where it does not get below the goal."""
        if self.traces[-1].cut:
            # As slow as the run itself, and that was too slow.
            return None
        beyond = self.stakes.least + PROOF * (self.goal - self.stakes.least)
        self._deadline = time.monotonic() + SECONDS
        self.least_of_proof = math.inf
        for trace in self._each_step_size(step or self.as_written, goal=beyond, confined=False, prepare=prepare):
            self.least_of_proof = min(self.least_of_proof, trace.least)
            if trace.least < self.goal:
                self.losses_of_proof = trace.losses
                return Proof(
                    undone=how,
                    as_written=self.best.least,
                    with_fix=trace.least,
                    goal=self.goal,
                    steps=len(trace.losses),
                )
        return None

    # Training

    def _each_step_size(self, step_of: Step, **how: Any) -> Iterator[Trace]:
        """A trace for each step size of the profile, in turn; one that goes on has the next one's steps too."""
        sizes, steps = map(list, zip(*self.subject.settings.profile.learning, strict=True))
        while steps:
            own, further = steps.pop(0), steps[0] if steps else 0
            trace = self.train(step_of, step_size=sizes.pop(0), steps=own, further=further, **how)
            if trace.went_on:
                steps.pop(0)
            yield trace

    def train(
        self,
        step_of: Step,
        *,
        step_size: float,
        steps: int,
        further: int = 0,
        goal: float = math.inf,
        confined: bool = True,
        prepare: Prepare | None = None,
    ) -> Trace:
        """Train a fresh copy until its loss is below the goal, silent, not finite, or out of steps or time.

        ``step_of(model)`` gives the scores and the loss. The goal is what the place of the outputs asks for, or
        ``goal`` where that is lower. ``confined`` scores are the model's own, which stop when they sit on their floor.
        ``prepare`` changes the fresh copy and says what trains; by default the parameters that require a gradient and
        are not declared frozen. A loss that will be there at its pace has ``further`` steps after ``steps``,
        and so has one that falls steadily, in larger steps.
        """
        subject = self.subject
        trace = Trace(step_size)
        model = subject.to_train()
        parameters: list[Tensor] = list(subject.trainable(model).values())
        if prepare is not None:
            model, parameters = prepare(model)
        names = {id(p): name for name, p in model.named_parameters()}
        optimizer = plain(torch.optim.Adam)(parameters, lr=step_size) if parameters else None
        seed_everything(subject.seed("training"))
        for step in range(steps + further + 1):
            made, loss = step_of(model)
            self._note(trace, made.detach(), float(loss.detach()), goal)
            if step == steps and further and optimizer is not None:
                steadily = trace.falls_steadily
                if steadily or self._will_arrive(trace, goal, further):
                    trace.went_on, steps, further = True, steps + further, 0
                    optimizer.param_groups[0]["lr"] = step_size * (self._faster(trace) if steadily else 1)
            subject.tell(f"training, step {step} of {steps}, loss {trace.losses[-1]:.4g}")
            if (
                trace.reached
                or not math.isfinite(trace.losses[-1])
                or step == steps
                or (confined and self.goals.sits_on_floor(trace))
            ):
                break
            if optimizer is None or not loss.requires_grad:
                break
            # What has not been given its first steps has not been seen to have no gradient.
            if (trace.gradient or step >= SILENT_STEPS) and time.monotonic() > self._deadline:
                trace.cut = True
                break
            for p in parameters:
                # What zero_grad does, which notes for a profiler that it does so.
                p.grad = None
            subject.backward(loss)
            trace.note_gradients(parameters, names)
            if not trace.gradient and step + 1 >= SILENT_STEPS:
                break
            optimizer.step()
        trace.model = model if subject.spec.predict is not None else None
        if made.ndim > 1 and made.shape[1] > 1 and not subject.multilabel:
            rows = clear_rows(made.detach()).double()
            # Adam may take scores as far as it takes, and a class that is kept down by thousands wins there as well.
            trace.won = winning_rows(rows[rows.abs().amax(dim=1) <= ROOM])
        return trace

    def _faster(self, trace: Trace) -> float:
        return FASTER if trace.lowest < self.goals.fallen(trace.losses[0]) else MUCH_FASTER

    def _will_arrive(self, trace: Trace, goal: float, further: int) -> bool:
        """Whether the loss is below its goal after so many steps more, at the pace of its last quarter."""
        quarter = max(1, len(trace.losses) // 4)
        pace = (trace.losses[-1 - quarter] - trace.losses[-1]) / quarter
        return pace > 0 and trace.losses[-1] - pace * further < min(goal, self.goals.given(trace.extent))

    def _keep_one_model(self) -> None:
        """Only the best trace's model is looked at, and not its gradients: each may be as large as all the rest."""
        for trace in self.traces:
            trace.model = trace.model if trace is self.best else None
        for p in self.best.model.parameters() if self.best.model is not None else ():
            p.grad = None

    def _note(self, trace: Trace, scores: Tensor, loss: float, goal: float) -> None:
        decided = self.subject.decide(scores)
        if not trace.losses:
            trace.broken = int(not_finite(scores).sum())
        trace.note_spread(scores)
        trace.losses.append(loss)
        trace.right = decided == self.labels
        if decided.ndim > 1 or trace.most_predicted < max(scores[0].numel(), 2):
            trace.most_predicted = max(trace.most_predicted, _distinct(decided))
        trace.note_scores(scores)
        trace.rows_differ = trace.rows_differ or bool((scores != scores[:1]).any())
        wanted = min(goal, self.goals.fallen(trace.losses[0]))
        # What it got down to is a mean perhaps, and that is not below the lowest loss.
        if trace.most_predicted > 1 and min(trace.losses) < wanted:
            trace.reached |= trace.least < min(wanted, self.goals.given(trace.extent))

    def as_written(self, model: nn.Module) -> tuple[Tensor, Tensor]:
        """The model's logits on the separable batch, and the user's loss of what it returned."""
        output = self.subject.forward(model, self.batch.inputs)
        made = self.subject.extract(output)
        return made, self.subject.loss_of(output, made, self.labels)

    def scores(self, model: nn.Module) -> Tensor:
        """The model's logits on the separable batch."""
        return self.subject.logits_of(model, self.batch.inputs)

    def _scores_before_activation(self, model: nn.Module) -> Tensor:
        size = self.subject.sample_logits[0].numel() * len(self.labels)
        made, operations = record(lambda: self.scores(model), size=size)
        found = producer(operations, made)
        source = found.source if found is not None else None
        return source if source is not None and source.shape == made.shape else made


def _distinct(decided: Tensor) -> int:
    # Sorted as numbers, where rows are numbers, which takes a quarter of the time.
    return len(decided.unique() if decided.ndim == 1 else decided.unique(dim=0))


def learning_run(subject: Subject) -> LearningRun:
    """The run of this subject; trained once, read by every learning check."""
    return subject.remember("learning run", lambda: LearningRun(subject))
