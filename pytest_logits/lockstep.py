"""Training two models that should be one, side by side in float64.

The rule for a linear head. Let a head with the rows w0, w1 give (z0, z1), and a head with the single row v give z, on
the same trunk, with v = w1 - w0. Both losses are f(m) of the margin m = z1 - z0 = z. With g = f'(m) the gradients are
g h for w1 and -g h for w0, against g h for v; the trunk gets g v in both.

- SGD at step s moves w1 - w0 by -2 s g h: the single row takes **twice** the step, the trunk the same step. Momentum,
  dampening and Nesterov's form are linear in the gradients, so the factor carries through.
- Adam, AdamW, RMSprop and Adagrad take the step s u, where u is an odd function of each element's own gradients. So w0
  and w1 move by opposite steps, and the single row takes twice the step again. It is the difference of two rows that
  move; the scale of the gradient has nothing to do with it.
- Weight decay d adds d w to each row's gradient, or takes s d w off: the difference shrinks by s d (w1 - w0). At step
  2 s that is **half** the decay, for SGD and AdamW. Adam puts d w through u, where the sum of both rows takes part:
  equal only where w0 = -w1.
- Clipping by the norm of the whole gradient sees 2 |g h|**2 for the two rows and |g h|**2 for the one.

How far two such runs may be apart. Both compute in float64, and differ in roundings of 2**-53, which training makes
larger by a factor that nobody knows beforehand. It is measured: a shadow of the first run has each parameter moved by
2**-23 of its size at each step. What is farther from the first run than FACTOR times its shadow is not rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW

from pytest_logits.descent import plain
from pytest_logits.guard import seed_everything

HEAD_STEP = 2.0
HEAD_DECAY = 0.5
# The shadow's noise, against roundings of 2**-53.
NOISE = 2.0**-23
# The shadow is one draw of its noise: it may come out a few times smaller than another.
FACTOR = 4.0
# Where the shadow stays put, gaps below this share of the values are rounding.
LEAST_BOUND = 1e-12
# Linear and shallow models: 1e-15 over 500 steps, and a wrong factor shows at 1e-3.
TRAINING_BOUND = 1e-9
TRAINING_STEPS = 20

Look = Callable[[nn.Module], tuple[Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A model in training. ``look`` gives the scores to compare and the loss, ``view`` the parameters to compare."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    look: Look
    view: Callable[[nn.Module], dict[str, Tensor]] = lambda model: {}

    def step(self, seed: int) -> tuple[Tensor, float]:
        """One step from the given random state; the scores and the loss before it."""
        seed_everything(seed)
        scores, loss = self.look(self.model)
        if loss.requires_grad and bool(loss.isfinite()):
            self.optimizer.zero_grad()
            loss.backward()
            for group in self.optimizer.param_groups:
                for p in group["params"]:
                    if p.grad is not None and p.grad.is_sparse:
                        p.grad = p.grad.to_dense()
            self.optimizer.step()
        return scores.detach(), float(loss.detach())


@dataclass(frozen=True, kw_only=True)
class Parting:
    """Where two runs part: before or after which step, in what, the two values there, their gap and its bound."""

    step: int
    where: str
    left: float
    right: float
    gap: float
    bound: float


@dataclass(frozen=True, kw_only=True)
class Course:
    """What was seen of two runs: the steps taken, the largest gap of the scores, and where they part, if they do."""

    steps: int
    gap: float
    parting: Parting | None


def together(left: Run, right: Run, shadow: Run, *, steps: int, seed: int, enough: Callable[[], bool]) -> Course:
    """Train both for some steps, or until ``enough()``, and hold them against each other at each.

    Args:
        left: the first run.
        right: the second; its ``view`` has the names of the first's.
        shadow: a second copy of the first, which is disturbed.
        steps: how many to take.
        seed: of the random state that each step of all three starts from.
        enough: asked before each step but the first.
    """
    rng = torch.Generator().manual_seed(seed % 2**63)
    largest = 0.0
    for i in range(steps):
        if i and enough():
            return Course(steps=i, gap=largest, parting=None)
        _disturb(shadow.model, rng)
        (a, loss), (b, _), (c, _) = (run.step(seed + i) for run in (left, right, shadow))
        found = _parting(i, "the scores", a, b, c)
        if found is not None:
            return Course(steps=i, gap=found.gap, parting=found)
        largest = max(largest, float((a - b).abs().max()))
        if not math.isfinite(loss):
            return Course(steps=i, gap=largest, parting=None)
        with torch.no_grad():
            views = [run.view(run.model) for run in (left, right, shadow)]
        for name, value in views[0].items():
            found = _parting(i + 1, name, value, views[1][name], views[2][name])
            if found is not None:
                return Course(steps=i + 1, gap=largest, parting=found)
    return Course(steps=steps, gap=largest, parting=None)


def allowed(left: Tensor, shadow: Tensor) -> float:
    """How far from ``left`` anything may be that is equal to it but for rounding."""
    spread = float((left - shadow).abs().max()) if left.numel() else 0.0
    return FACTOR * spread + LEAST_BOUND * (1 + float(left.abs().max()) if left.numel() else 0.0)


def disturbed(model: nn.Module, seed: int) -> nn.Module:
    """The same model with noise on each parameter, once."""
    _disturb(model, torch.Generator().manual_seed(seed % 2**63))
    return model


def _disturb(model: nn.Module, rng: torch.Generator) -> None:
    with torch.no_grad():
        for p in model.parameters():
            if p.is_floating_point() and p.numel():
                size = p.abs() + (p.square().mean().sqrt() or 1.0)
                p.add_((NOISE * torch.randn(p.shape, generator=rng)).to(p) * size)


def _parting(step: int, where: str, left: Tensor, right: Tensor, shadow: Tensor) -> Parting | None:
    bound = allowed(left, shadow)
    # Where one run leaves the numbers and its shadow too, nothing can be told.
    if not left.numel() or not math.isfinite(bound):
        return None
    gaps = (left - right).abs().nan_to_num(nan=math.inf).reshape(-1)
    at = int(gaps.argmax())
    if float(gaps[at]) <= bound:
        return None
    values = (float(tensor.reshape(-1)[at]) for tensor in (left, right))
    return Parting(step=step, where=where, left=next(values), right=next(values), gap=float(gaps[at]), bound=bound)


# Two parameterisations of one generated classifier.

Groups = list[dict[str, Any]]
# The weight of class 1, the smoothing and the decay of the runs below: any would do.
WEIGHT, SMOOTHING, DECAY = 3.0, 0.2, 0.1
IGNORED = -100


def _rows_kept(y: Tensor) -> Tensor:
    return torch.arange(len(y)) % 3 != 1


def _soft(y: Tensor) -> Tensor:
    return 0.2 + 0.6 * y.double()


def _class_weights(z: Tensor) -> Tensor:
    return z.new_tensor([1.0, WEIGHT])


bce = F.binary_cross_entropy_with_logits
Loss = Callable[[Tensor, Tensor], Tensor]
# Cross entropy of (N, 2), and BCE of the margins (N,), by class labels (N,); torch's own functions on both sides.
LOSSES: dict[str, tuple[Loss, Loss]] = {
    "plain": (F.cross_entropy, lambda m, y: bce(m, y.double())),
    "weights, summed": (
        lambda z, y: F.cross_entropy(z, y, weight=_class_weights(z), reduction="sum") / len(y),
        lambda m, y: bce(m, y.double(), pos_weight=m.new_tensor(WEIGHT), reduction="sum") / len(y),
    ),
    "weights, averaged": (
        lambda z, y: F.cross_entropy(z, y, weight=_class_weights(z)),
        lambda m, y: (
            bce(m, y.double(), pos_weight=m.new_tensor(WEIGHT)) * len(y) / float(torch.where(y == 1, WEIGHT, 1.0).sum())
        ),
    ),
    "smoothing": (
        lambda z, y: F.cross_entropy(z, y, label_smoothing=SMOOTHING),
        lambda m, y: bce(m, (1 - SMOOTHING) * y.double() + SMOOTHING / 2),
    ),
    "soft targets": (
        lambda z, y: F.cross_entropy(z, torch.stack([1 - _soft(y), _soft(y)], dim=1)),
        lambda m, y: bce(m, _soft(y)),
    ),
    "ignored rows": (
        lambda z, y: F.cross_entropy(z, torch.where(_rows_kept(y), y, IGNORED)),
        lambda m, y: bce(m[_rows_kept(y)], y[_rows_kept(y)].double()),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """An optimizer of parameter groups, its step, its weight decay, and the loss it is tried with."""

    make: Callable[[Groups], torch.optim.Optimizer]
    step: float
    decay: float = 0.0
    loss: str = "plain"

    def optimizer(self, trunk: list[Tensor], head: list[Tensor], *, single: bool) -> torch.optim.Optimizer:
        """For a head of one row where ``single``, else of two."""
        step, decay = (HEAD_STEP, HEAD_DECAY) if single else (1.0, 1.0)
        rest = {"params": trunk, "lr": self.step, "weight_decay": self.decay}
        last = {"params": head, "lr": step * self.step, "weight_decay": decay * self.decay}
        return self.make([group for group in (rest, last) if group["params"]])


KINDS: dict[str, Kind] = {
    "sgd": Kind(make=lambda groups: plain(SGD)(groups), step=1e-2),
    "momentum": Kind(make=lambda groups: plain(SGD)(groups, momentum=0.9), step=1e-2, loss="weights, summed"),
    "nesterov": Kind(
        make=lambda groups: plain(SGD)(groups, momentum=0.9, nesterov=True), step=1e-2, loss="ignored rows"
    ),
    "weight decay": Kind(make=lambda groups: plain(SGD)(groups), step=1e-2, decay=DECAY, loss="weights, averaged"),
    "adam": Kind(make=lambda groups: plain(Adam)(groups), step=1e-3, loss="smoothing"),
    "adamw": Kind(make=lambda groups: plain(AdamW)(groups), step=1e-3, decay=DECAY, loss="soft targets"),
}


def training_gaps(two: Callable[[], Any], one: Callable[[], Any], inputs: Tensor, *, seed: int) -> dict[str, float]:
    """How far the scores of equivalent two-logit and one-logit models part when trained, per optimizer, in float64.

    The models have a ``trunk`` and a linear ``head``. The one-logit head starts as the difference of the two-logit
    head's rows, and takes twice its step and half its decay; the trunks start alike and take the same step.
    """
    labels = torch.arange(len(inputs)) % 2
    x = inputs.double() if inputs.is_floating_point() else inputs

    def run(model: Any, kind: Kind, *, single: bool) -> Run:
        side = LOSSES[kind.loss][1 if single else 0]

        def look(model: nn.Module) -> tuple[Tensor, Tensor]:
            z = model(x)
            m = z[:, 0] if single else z[:, 1] - z[:, 0]
            return m, side(m if single else z, labels)

        optimizer = kind.optimizer(list(model.trunk.parameters()), list(model.head.parameters()), single=single)
        return Run(model=model, optimizer=optimizer, look=look)

    gaps: dict[str, float] = {}
    for name, kind in KINDS.items():
        a, b = two().double().train(), one().double().train()
        b.trunk.load_state_dict(a.trunk.state_dict())
        with torch.no_grad():
            for ours, theirs in zip(b.head.parameters(), a.head.parameters(), strict=True):
                ours.copy_(theirs[1:] - theirs[:1])
        left, right = run(a, kind, single=False), run(b, kind, single=True)
        gaps[name] = 0.0
        for i in range(TRAINING_STEPS):
            (m, _), (other, _) = (side.step(seed + i) for side in (left, right))
            gaps[name] = max(gaps[name], float((m - other).abs().nan_to_num(nan=math.inf).max()))
    return gaps
