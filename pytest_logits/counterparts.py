"""Two registered models that should be one function of their parameters, with the parameters of one in the other.

Where all parameters have the same names and shapes they are copied. Where a last layer has two rows in one model and a
single row in the other, the single row becomes their difference; ``lockstep`` says how the two are then trained. Where
the names differ, parameters are matched by order, which may be the wrong way round: that can show that two models are
equal, and not that they differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.copies import evaluating
from pytest_logits.doubled import STEPS, TRIED, Doubled, deadline, obstacle
from pytest_logits.guard import seed_everything
from pytest_logits.lockstep import FACTOR, KINDS, NOISE, TRAINING_BOUND, Course, Kind, Run, allowed, disturbed, together
from pytest_logits.structures import repeats
from pytest_logits.subject import Subject


@dataclass(frozen=True, kw_only=True)
class Match:
    """A tensor of the state of both models; ``halved`` where the second has one row for two of the first's."""

    left: str
    right: str
    halved: bool = False


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Where two models give other numbers: what, on which rows, the two values, and how far apart they may be."""

    what: str
    rows: list[int]
    left: float
    right: float
    bound: float


def matches(left: nn.Module, right: nn.Module) -> list[Match] | str:
    """The tensors of the two states, paired; or why they cannot be. ``left`` is the one with two rows, if either is."""
    ours, theirs = _state(left), _state(right)
    same = ours.keys() == theirs.keys()
    if not same and len(ours) != len(theirs):
        return f"their states have {len(ours)} and {len(theirs)} tensors, of other names"
    found = []
    for name, other in zip(ours, ours if same else theirs, strict=True):
        shape, wanted = ours[name].shape, theirs[other].shape
        halved = len(shape) > 0 and shape[:1] == (2,) and wanted == (1, *shape[1:])
        if shape != wanted and not halved:
            return f"{name} has the shape {tuple(shape)}, and {other} {tuple(wanted)}"
        found.append(Match(left=name, right=other, halved=halved))
    return found


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}


def counterparts(one: Subject, other: Subject) -> Counterparts | str:
    """The two in float64 on a batch that both take; or why there is none."""
    sides = Doubled(one), Doubled(other)
    batch = next((side for side in sides if side.spec.inputs is not None), sides[0]).separable_batch()
    labels, dense = batch.labels, one.sample_logits.shape[2:]
    if dense and labels.ndim == 1:
        labels = labels.view(-1, *(1 for _ in dense)).expand(-1, *dense)
    reason = next((found for side in sides if (found := obstacle(side, batch.inputs, labels))), "")
    return reason or Counterparts(sides, batch.inputs, labels)


class Counterparts:
    """The two models in float64. ``left`` is the one with two rows where the other has one."""

    def __init__(self, sides: tuple[Doubled, Doubled], inputs: Any, labels: Tensor) -> None:
        """``inputs`` and ``labels`` are of a batch in float64 that both take."""
        self.inputs, self.labels = inputs, labels
        tried = [matches(a.fresh(), b.fresh()) for a, b in (sides, sides[::-1])]
        turned = isinstance(tried[0], str) and not isinstance(tried[1], str)
        self.left, self.right = sides[::-1] if turned else sides
        found = tried[turned]
        self.unmatched = found if isinstance(found, str) else ""
        self.matches: list[Match] = [] if isinstance(found, str) else found
        self.halved = any(match.halved for match in self.matches)
        self.by_name = all(match.left == match.right for match in self.matches)
        self.training = True
        # One of them gives two scores and the other one, whatever their parameters are like.
        self.as_margins = self.halved or self.left.nature.form != self.right.nature.form

    # Models

    def pair(self) -> tuple[nn.Module, nn.Module]:
        """Fresh copies of both, the second with the parameters and buffers of the first."""
        left, right = self.left.fresh(), self.right.fresh()
        ours, theirs = _state(left), _state(right)
        with torch.no_grad():
            for match in self.matches:
                value = ours[match.left]
                theirs[match.right].copy_(value[1:] - value[:1] if match.halved else value)
        return left, right

    def shadow(self) -> nn.Module:
        """The first model, disturbed."""
        return disturbed(self.left.fresh(), self.left.seed("shadow"))

    def odds(self, subject: Subject, scores: Tensor) -> Tensor:
        """The scores as log-probabilities, or as log-odds of class 1; what of them no loss sees is taken out."""
        nature = subject.nature
        if nature.form == "bernoulli":
            found = torch.logit(scores) if nature.takes == "probabilities" else scores
            return found.reshape(len(found), -1) if self.as_margins else found
        found = scores.log() if nature.takes == "probabilities" else scores
        if self.as_margins and found.shape[1:2] == (2,):
            return (found[:, 1] - found[:, 0]).reshape(len(found), -1)
        return found if nature.takes == "unknown" else F.log_softmax(found, dim=1)

    def outputs(self, subject: Subject, model: nn.Module, *, purpose: str = "outputs") -> Tensor:
        """Log-probabilities or log-odds on the batch, detached."""
        seed_everything(self.left.seed(purpose))
        with torch.no_grad():
            return self.odds(subject, subject.logits_of(model, self.inputs)).detach()

    # What keeps them from being compared

    def obstacle(self) -> str:
        """Why a difference would not tell that the models differ; "" where it would."""
        if self.unmatched:
            return f"the parameters of one cannot be put into the other: {self.unmatched}"
        shapes = [tuple(self.outputs(s, m).shape) for s, m in zip((self.left, self.right), self.pair(), strict=True)]
        if shapes[0] != shapes[1]:
            return f"the outputs have the shapes {shapes[0]} and {shapes[1]}"
        for subject, model in zip((self.left, self.right), self.pair(), strict=True):
            evaluating(model)
            if not repeats(*(self.outputs(subject, model, purpose=str(i)) for i in range(2))):
                return f"{subject.name} is random in eval mode"
        if self.halved and not self._heads_are_linear():
            return "the layer with two rows in one model and one in the other is no linear last layer"
        return ""

    def _heads_are_linear(self) -> bool:
        """Moving the head moves the log-odds in proportion, and what both of two rows share does not move them."""
        for index, subject in enumerate((self.left, self.right)):
            at, once, twice = (self._moved(index, amount) for amount in (0.0, 1.0, 2.0))
            size = TRAINING_BOUND * (1 + float(twice.abs().max()))
            if not float((twice - 2 * once + at).abs().max()) <= size:
                return False
            shared = self._moved(index, 1.0, shared=True)
            if subject is self.left and not float((shared - at).abs().max()) <= size:
                return False
        return True

    def _moved(self, index: int, amount: float, *, shared: bool = False) -> Tensor:
        """The outputs with noise on the last row of each halved tensor, or the same noise on both rows."""
        model, rng = evaluating(self.pair()[index]), torch.Generator().manual_seed(0)
        state = _state(model)
        with torch.no_grad():
            for match in self.matches:
                if match.halved:
                    tensor = state[match.right if index else match.left]
                    noise = amount * torch.randn(tensor[:1].shape, generator=rng).to(tensor)
                    tensor[0 if shared else -1 :] += noise
        return self.outputs((self.left, self.right)[index], model)

    # Comparisons

    def different_outputs(self) -> Difference | None:
        """The row of the batch on which the two give other outputs in eval mode."""
        left, right = (evaluating(model) for model in self.pair())
        a, b = self.outputs(self.left, left), self.outputs(self.right, right)
        bound = allowed(a, self.outputs(self.left, evaluating(self.shadow())))
        gaps = torch.where(a == b, 0.0, (a - b).abs()).nan_to_num(nan=math.inf).reshape(-1)
        at = int(gaps.argmax())
        if not math.isfinite(bound) or float(gaps[at]) <= bound:
            return None
        return Difference(
            what="the log-odds of class 1" if self.as_margins else "the output",
            rows=[at * len(a) // len(gaps)],
            left=float(a.reshape(-1)[at]),
            right=float(b.reshape(-1)[at]),
            bound=bound,
        )

    def different_losses(self) -> Difference | None:
        """The registered losses of the two, on all rows of the batch, and on the first row of each class.

        A loss of the whole output is asked for all rows only: what else it holds has those.
        """
        sides = list(zip((self.left, self.right), map(evaluating, self.pair()), strict=True))
        with torch.no_grad():
            outputs = [subject.forward(model, self.inputs) for subject, model in sides]
            scores = [subject.extract(output) for (subject, _), output in zip(sides, outputs, strict=True)]
            whole = [s.loss_of(o, z, self.labels) for (s, _), o, z in zip(sides, outputs, scores, strict=True)]
            found = self._difference(whole, [*range(len(self.labels))], scores[0])
            if found is not None or any(subject.spec.loss_takes == "output" for subject, _ in sides):
                return found
            flat = self.labels.reshape(len(self.labels), -1)[:, 0]
            for rows in ([int((flat == c).nonzero()[0])] for c in flat.unique()):
                single = [s.loss(z[rows], self.labels[rows]) for (s, _), z in zip(sides, scores, strict=True)]
                found = self._difference(single, rows, scores[0])
                if found is not None:
                    return found
        return None

    def _difference(self, losses: Sequence[Tensor], rows: list[int], scores: Tensor) -> Difference | None:
        left, right = (float(value) for value in losses)
        # A class without weight, alone, is a mean over nothing in both.
        if left == right or (math.isnan(left) and math.isnan(right)):
            return None
        # Targets and weights may be constants in float32: they err by 2**-24, and are multiplied by the scores.
        bound = FACTOR * NOISE * len(rows) * (1 + abs(left)) * (1 + float(scores[rows].abs().max()))
        if abs(left - right) <= bound:
            return None
        return Difference(what="the loss", rows=rows, left=left, right=right, bound=bound)

    def settle_mode(self) -> None:
        """Train in eval mode where the two draw other random numbers in train mode, as dropout elsewhere does."""
        left, right = self.pair()
        a, b = self.outputs(self.left, left, purpose="mode"), self.outputs(self.right, right, purpose="mode")
        again = self.outputs(self.left, self.pair()[0], purpose="another mode")
        bound = allowed(a, self.outputs(self.left, self.shadow(), purpose="mode"))
        self.training = float((a - b).abs().max()) <= bound or torch.equal(a, again)

    # Training

    def courses(self) -> dict[str, Course]:
        """Both trained with the suite's optimizers, by the registered loss of each."""
        enough, found = deadline(), dict[str, Course]()
        for name in TRIED:
            if not found or not enough():
                found[name] = self._course(name, [self._suites(KINDS[name], side) for side in (0, 1)], enough)
        return found

    def own_course(self) -> Course | None:
        """Both trained with the optimizers that are registered with them; None where one has none."""
        makers = [subject.spec.optimizer for subject in (self.left, self.right)]
        try:
            return self._course("your own optimizers", makers, deadline()) if all(makers) else None
        except TypeError:
            # A step that wants a closure. What else is wrong with an optimizer, training_step_trains reports.
            return None

    def own_groups(self) -> list[tuple[float, float]]:
        """Step and weight decay that the registered optimizers have for the last layer, in the two models."""
        found = []
        for side, model in enumerate(self.pair()):
            make = (self.left, self.right)[side].spec.optimizer
            head = {id(p) for p in self._trained(model, side, halved=True)}
            for group in make(model).param_groups if make else ():
                if head & {id(p) for p in group["params"]}:
                    found.append((float(group.get("lr", math.nan)), float(group.get("weight_decay", 0.0))))
                    break
        return found

    def _trained(self, model: nn.Module, side: int, *, halved: bool) -> list[Tensor]:
        """The parameters of a model that train in both, of the halved layer or of the rest."""
        left, right = (s.trainable(m) for s, m in zip((self.left, self.right), self.pair(), strict=True))
        named = dict(model.named_parameters())
        return [
            named[match.right if side else match.left]
            for match in self.matches
            if match.halved == halved and match.left in left and match.right in right
        ]

    def untouched(self, name: str) -> str:
        """Which of the two models gives this parameter, named as in the first, no gradient while the other does."""
        missing = []
        for side, model in enumerate(self.pair()):
            subject = (self.left, self.right)[side]
            names = [match.right if side else match.left for match in self.matches if match.left == name]
            seed_everything(self.left.seed("gradient"))
            output = subject.forward(model, self.inputs)
            loss = subject.loss_of(output, subject.extract(output), self.labels)
            found = dict(model.named_parameters()).get(names[0]) if names else None
            if found is None or not found.requires_grad or not loss.requires_grad:
                continue
            (gradient,) = torch.autograd.grad(loss, found, allow_unused=True)
            subject.count(backward=1)
            if gradient is None or not bool(gradient.count_nonzero()):
                missing.append(subject.name)
        return missing[0] if len(missing) == 1 else ""

    def _suites(self, kind: Kind, side: int) -> Callable[[nn.Module], torch.optim.Optimizer]:
        def make(model: nn.Module) -> torch.optim.Optimizer:
            trunk, head = (self._trained(model, side, halved=halved) for halved in (False, True))
            return kind.optimizer(trunk, head, single=self.halved and side == 1)

        return make

    def _course(self, name: str, makers: Sequence[Any], enough: Callable[[], bool]) -> Course:
        left, right = self.pair()
        shadow, _ = self.pair()
        runs = [self._run(model, side, makers[side]) for model, side in ((left, 0), (right, 1), (shadow, 0))]
        return together(*runs, steps=STEPS, seed=self.left.seed(f"runs {name}"), enough=enough)

    def _run(self, model: nn.Module, side: int, make: Callable[[nn.Module], torch.optim.Optimizer]) -> Run:
        subject = (self.left, self.right)[side]
        if not self.training:
            evaluating(model)

        def look(model: nn.Module) -> tuple[Tensor, Tensor]:
            output = subject.forward(model, self.inputs)
            scores = subject.extract(output)
            subject.count(backward=1)
            return self.odds(subject, scores), subject.loss_of(output, scores, self.labels)

        def view(model: nn.Module) -> dict[str, Tensor]:
            named, found = dict(model.named_parameters()), {}
            for match in self.matches:
                name = match.right if side else match.left
                if name in named and named[name].is_floating_point():
                    value = named[name].detach()
                    found[match.left] = value[1:] - value[:1] if match.halved and side == 0 else value.clone()
            return found

        return Run(model=model, optimizer=make(model), look=look, view=view)
