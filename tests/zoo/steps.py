"""Training steps and optimizers of the user's own that do not train the model, or not as they should."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from tests.zoo import sound
from tests.zoo.entry import Fault, Trap
from tests.zoo.sound import BINARY, FLAT, TOKENS, Plain

Step = Callable[..., Any]
MakeOptimizer = Callable[[nn.Module], Optimizer]
FLAT3 = {**FLAT, "num_classes": 3}


class Regularised(nn.Module):
    """Dropout, which minds the mode."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Normed(Regularised):
    def __init__(self) -> None:
        super().__init__()
        self.net[2] = nn.BatchNorm1d(16)


def step(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:
    """As it should be."""
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


def step_binary(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    optimizer.zero_grad()
    F.binary_cross_entropy_with_logits(model(x), y).backward()
    optimizer.step()


# Gradients that are not cleared.


def never_cleared(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:  # FAULT
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


def clear_not_called(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    _ = optimizer.zero_grad
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def never_cleared_binary(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    F.binary_cross_entropy_with_logits(model(x), y).backward()
    optimizer.step()


def clears_another(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    SGD([nn.Parameter(torch.zeros(1))], lr=0.1).zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def cleared_in_one_branch(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    loss = F.cross_entropy(model(x), y)
    if not torch.isfinite(loss):
        optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def clipped_and_not_cleared(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    F.cross_entropy(model(x), y).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 100.0)
    optimizer.step()


# Steps that are not made.


def step_not_called(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:  # FAULT
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    _ = optimizer.step
    return loss


def no_step(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()


def step_on_a_condition(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    if not torch.isfinite(loss):
        optimizer.step()


def steps_on_a_copy(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    other = copy.deepcopy(model)
    F.cross_entropy(model(x), y).backward()
    SGD(other.parameters(), lr=0.1).step()


# Losses that are maximised.


def negated(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:  # FAULT
    optimizer.zero_grad()
    loss = -F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


def likelihood(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:  # FAULT
    optimizer.zero_grad()
    loss = F.log_softmax(model(x), dim=1).gather(1, y.unsqueeze(1)).mean()
    loss.backward()
    optimizer.step()
    return loss


def ascends(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * p.grad


def negated_binary(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    optimizer.zero_grad()
    F.binary_cross_entropy_with_logits(model(x), y).neg().backward()
    optimizer.step()


# Modes.


def evaluates_once(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    step(model, optimizer, x, y)
    model.eval()
    with torch.no_grad():
        model(x)


def saves_in_eval_mode(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> dict[str, Tensor]:  # FAULT
    step(model, optimizer, x, y)
    return {name: p.clone() for name, p in model.eval().state_dict().items()}


def predicts_between(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:  # FAULT
    step(model, optimizer, x, y)
    with torch.no_grad():
        return (model.eval()(x).argmax(dim=1) == y).double().mean()


def back_to_train_mode(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    model.train()
    step(model, optimizer, x, y)
    with torch.no_grad():
        model.eval()(x)


# Graphs that are cut.


def detached_scores(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    optimizer.zero_grad()
    F.cross_entropy(model(x).detach().requires_grad_(), y).backward()
    optimizer.step()


def loss_made_anew(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    torch.tensor(loss.item(), requires_grad=True).backward()
    optimizer.step()


def scores_without_graph(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    optimizer.zero_grad()
    with torch.no_grad():
        scores = model(x)
    F.cross_entropy(scores.requires_grad_(), y).backward()
    optimizer.step()


def loss_of_predictions(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    optimizer.zero_grad()
    predicted = model(x).argmax(dim=1).float().requires_grad_()
    F.mse_loss(predicted, y.float()).backward()
    optimizer.step()


def _steps() -> Iterator[Fault]:
    rows: list[tuple[str, str, str, Step]] = [
        ("gradients_not_cleared", "NeverCleared", "no zero_grad()", never_cleared),
        ("gradients_not_cleared", "ClearNotCalled", "zero_grad without brackets", clear_not_called),
        ("gradients_not_cleared", "ClearsAnother", "zero_grad() of another optimizer", clears_another),
        ("gradients_not_cleared", "ClearedInOneBranch", "zero_grad() in one of two branches", cleared_in_one_branch),
        ("gradients_not_cleared", "ClippedNotCleared", "clipped, no zero_grad()", clipped_and_not_cleared),
        ("step_without_update", "StepNotCalled", "step without brackets", step_not_called),
        ("step_without_update", "NoStep", "no step()", no_step),
        ("step_without_update", "StepOnCondition", "step() where the loss is NaN", step_on_a_condition),
        ("step_without_update", "StepsOnCopy", "step() of an optimizer of a copy", steps_on_a_copy),
        ("loss_is_maximised", "Negated", "minus the loss", negated),
        ("loss_is_maximised", "Likelihood", "the log-likelihood without a minus sign", likelihood),
        ("loss_is_maximised", "Ascends", "p += 0.1 * p.grad", ascends),
        ("detached_graph", "DetachedScores", "detach().requires_grad_() in the step", detached_scores),
        ("detached_graph", "LossMadeAnew", "torch.tensor(loss.item(), requires_grad=True)", loss_made_anew),
        ("detached_graph", "ScoresWithoutGraph", "no_grad in the step", scores_without_graph),
        ("detached_graph", "LossOfPredictions", "the loss of argmax in the step", loss_of_predictions),
    ]
    for cause, name, words, wrong in rows:
        yield Fault(
            name=name,
            words=words,
            cause=cause,
            factory=Plain(3),
            arguments={**FLAT3, "train_step": wrong},
            twin_arguments={"train_step": step},
        )
    for cause, name, words, wrong in (
        ("gradients_not_cleared", "NeverClearedBinary", "no zero_grad(), one logit", never_cleared_binary),
        ("loss_is_maximised", "NegatedBinary", "minus the loss, one logit", negated_binary),
    ):
        yield Fault(
            name=name,
            words=words,
            cause=cause,
            factory=sound.One(),
            arguments={**BINARY, "train_step": wrong},
            twin_arguments={"train_step": step_binary},
        )
    for name, words, kind, wrong in (
        ("EvaluatesOnce", "eval() after a step, dropout", Regularised, evaluates_once),
        ("SavesInEvalMode", "eval() to save, BatchNorm", Normed, saves_in_eval_mode),
        ("PredictsBetween", "eval() for the accuracy, BatchNorm", Normed, predicts_between),
    ):
        yield Fault(
            name=name,
            words=words,
            cause="model_left_in_wrong_mode",
            factory=kind,
            arguments={**FLAT3, "train_step": wrong},
            twin_arguments={"train_step": back_to_train_mode},
        )


# Optimizers.


def adam(model: nn.Module) -> Optimizer:
    return Adam(model.parameters(), lr=1e-2)


def of_the_trunk(model: Any) -> Optimizer:  # FAULT
    return Adam(model.net[0].parameters(), lr=1e-2)


def of_a_copy(model: nn.Module) -> Optimizer:  # FAULT
    return Adam(copy.deepcopy(model).parameters(), lr=1e-2)


def before_the_head(model: Any) -> Optimizer:  # FAULT
    optimizer = Adam(model.parameters(), lr=1e-2)
    model.net[2] = nn.Linear(16, 3)
    return optimizer


def of_the_head(model: Any) -> Optimizer:  # FAULT
    return Adam(model.net[2].parameters(), lr=1e-2)


def of_biases(model: nn.Module) -> Optimizer:  # FAULT
    return Adam([p for name, p in model.named_parameters() if name.endswith("bias")], lr=1e-2)


def maximising(model: nn.Module) -> Optimizer:  # FAULT
    return SGD(model.parameters(), lr=0.05, maximize=True)


def negative(model: nn.Module) -> Optimizer:  # FAULT
    optimizer = SGD(model.parameters(), lr=0.05)
    optimizer.param_groups[0]["lr"] = -0.05
    return optimizer


def rounded_away(model: nn.Module) -> Optimizer:  # FAULT
    return SGD(model.parameters(), lr=1e-12)


def adam_rounded_away(model: nn.Module) -> Optimizer:  # FAULT
    return Adam(model.parameters(), lr=1e-12)


def zero(model: nn.Module) -> Optimizer:  # FAULT
    return SGD(model.parameters(), lr=0.0)


def huge(model: nn.Module) -> Optimizer:  # FAULT
    return SGD(model.parameters(), lr=100.0)


def huge_momentum(model: nn.Module) -> Optimizer:  # FAULT
    return SGD(model.parameters(), lr=20.0, momentum=0.9)


def batches() -> list[tuple[Tensor, Tensor]]:
    """Two batches of three classes with one label in six wrong: no huge step gets their loss to 0 by chance."""
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(24) % 3
    x = torch.randn(3, 10, generator=rng)[y] + 0.3 * torch.randn(24, 10, generator=rng)
    y = torch.where(torch.arange(24) % 6 == 5, (y + 1) % 3, y)
    return [(x[:12], y[:12]), (x[12:], y[12:])]


def _optimizers() -> Iterator[Fault]:
    misses, high, low = "optimizer_misses_parameters", "learning_rate_too_high", "learning_rate_too_low"
    own = {"batches": batches}
    rows: list[tuple[str, str, str, MakeOptimizer, dict[str, Any], bool]] = [
        (misses, "OfTheTrunk", "of the first layer only", of_the_trunk, {}, False),
        (misses, "OfACopy", "of a copy of the model", of_a_copy, {}, False),
        (misses, "BeforeTheHead", "made before the head is replaced", before_the_head, {}, False),
        (misses, "OfBiases", "of biases only", of_biases, {}, False),
        (misses, "OfTheHead", "of the head, the rest not declared frozen: advice", of_the_head, {}, True),
        ("loss_is_maximised", "Maximising", "maximize=True", maximising, {}, False),
        ("loss_is_maximised", "NegativeStepSize", "a step size below 0", negative, {}, False),
        (low, "RoundedAway", "SGD at 1e-12", rounded_away, {}, False),
        (low, "AdamRoundedAway", "Adam at 1e-12", adam_rounded_away, {}, False),
        (low, "ZeroStepSize", "a step size of 0: advice, as it may be a warm-up", zero, {}, True),
        (high, "Huge", "SGD at 100, own batches", huge, own, False),
        (high, "HugeMomentum", "SGD at 20 with momentum, own batches", huge_momentum, own, False),
    ]
    for cause, name, words, wrong, more, harmless in rows:
        yield Fault(
            name=name,
            words=words,
            cause=cause,
            factory=Plain(3),
            arguments={**FLAT3, **more, "optimizer": wrong},
            twin_arguments={"optimizer": adam},
            harmless=harmless,
        )
    # Three classes a huge step may separate by chance, ten hardly.
    yield Fault(
        name="HugeOnTheSuites",
        words="SGD at 100 on the suite's data: advice",
        cause=high,
        factory=Plain(10),
        arguments={**FLAT, "num_classes": 10, "optimizer": huge},
        twin_arguments={"optimizer": adam},
        harmless=True,
    )


def too_small_for_bfloat16(model: nn.Module) -> Optimizer:  # FAULT
    return SGD(model.parameters(), lr=1e-5)


def _in_bfloat16() -> Iterator[Fault]:
    yield Fault(
        name="Bfloat16",
        words="SGD at 1e-5 on bfloat16 weights",
        cause="learning_rate_too_low",
        factory=lambda: sound.MLP(3).bfloat16(),
        twin=Plain(3),
        arguments={**FLAT3, "optimizer": too_small_for_bfloat16},
        twin_arguments={"optimizer": adam},
    )


FAULTS = (*_steps(), *_optimizers(), *_in_bfloat16())


# Sound steps that look odd.


def accumulating() -> Step:
    count = 0

    def accumulate(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
        nonlocal count
        (F.cross_entropy(model(x), y) / 4).backward()
        count += 1
        if count % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()

    return accumulate


def clipping(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    optimizer.step()


def clearing_last(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    model.zero_grad(set_to_none=False)


def closing(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Any:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    return optimizer.step(closure)


def sharpness_aware(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    """Uphill first, and a step back with the gradients from there."""
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    parameters = [p for p in model.parameters() if p.grad is not None]
    norm = torch.stack([p.grad.norm() for p in parameters]).norm()
    moves = [0.05 * p.grad / (norm + 1e-12) for p in parameters]
    with torch.no_grad():
        torch._foreach_add_(parameters, moves)
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    with torch.no_grad():
        torch._foreach_sub_(parameters, moves)
    optimizer.step()


def averaging() -> Step:
    """An exponential moving average of the weights, kept beside the model."""
    shadow: dict[str, Tensor] = {}

    def average(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
        step(model, optimizer, x, y)
        for name, p in model.state_dict().items():
            shadow[name] = 0.9 * shadow.get(name, p) + 0.1 * p

    return average


def skipping() -> Step:
    """The first two steps are skipped, as mixed precision does until its scale fits."""
    count = 0

    def skip(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
        nonlocal count
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        count += 1
        if count > 2:
            optimizer.step()

    return skip


def scheduled(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    step(model, optimizer, x, y)
    optimizer.schedule.step()  # type: ignore[attr-defined]


def warming_up(model: nn.Module) -> Optimizer:
    """A step size that starts at 0."""
    optimizer = Adam(model.parameters(), lr=0.05)
    optimizer.schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: min(n / 4, 1.0))
    return optimizer


def penalising(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y) + 1e-4 * sum(p.square().sum() for p in model.parameters())
    loss.backward()
    optimizer.step()
    return loss


def adversarial(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    """Inputs moved uphill by a gradient of their own, which leaves one on the parameters as well."""
    x = x.clone().requires_grad_()
    F.cross_entropy(model(x), y).backward()
    step(model, optimizer, (x + 0.01 * x.grad.sign()).detach(), y)


class Backbone(nn.Module):
    """A part that is to stay as it is, and a head."""

    def __init__(self, *, switched_off: bool) -> None:
        super().__init__()
        self.backbone, self.head = nn.Linear(10, 16), nn.Linear(16, 3)
        if switched_off:
            self.backbone.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.backbone(x)))


class SparseBag(nn.Module):
    """An embedding with sparse gradients, of which most rows rightly stay."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.EmbeddingBag(200, 16, sparse=True), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))


def _traps() -> Iterator[Trap]:
    frozen = ("backbone.*",)
    bce = {**BINARY, "train_step": step_binary}
    rows: list[tuple[str, str, Any, dict[str, Any]]] = [
        ("Accumulating", "gradients of four batches for each step", Plain(3), {"train_step": accumulating()}),
        ("Clipping", "gradients clipped", Plain(3), {"train_step": clipping}),
        ("ClearingLast", "gradients cleared after the step, to zeros", Plain(3), {"train_step": clearing_last}),
        ("Momentum", "momentum", Plain(3), {"optimizer": lambda m: SGD(m.parameters(), lr=0.02, momentum=0.9)}),
        ("Nesterov", "momentum, own step", Plain(3), {"optimizer": _nesterov, "train_step": step}),
        ("Decay", "weight decay", Plain(3), {"optimizer": lambda m: SGD(m.parameters(), lr=0.1, weight_decay=0.1)}),
        ("WarmUp", "a step size that starts at 0", Plain(3), {"optimizer": warming_up, "train_step": scheduled}),
        ("Lbfgs", "LBFGS with a closure", Plain(3), {"optimizer": _lbfgs, "train_step": closing}),
        ("Closure", "SGD with a closure", Plain(3), {"optimizer": _nesterov, "train_step": closing}),
        ("SharpnessAware", "two backward passes for each step", Plain(3), {"train_step": sharpness_aware}),
        ("Adversarial", "inputs moved uphill first", Plain(3), {"train_step": adversarial}),
        ("Averaging", "a moving average of the weights", Plain(3), {"train_step": averaging()}),
        ("Skipping", "the first two steps are skipped", Plain(3), {"train_step": skipping()}),
        ("Penalising", "a penalty beside the loss", Plain(3), {"train_step": penalising}),
        ("FrozenDeclared", "a frozen part, declared", lambda: Backbone(switched_off=True), {"frozen": frozen}),
        (
            "FrozenDeclaredStep",
            "a frozen part, declared, and an optimizer of what trains",
            lambda: Backbone(switched_off=True),
            {"frozen": frozen, "optimizer": lambda m: Adam([p for p in m.parameters() if p.requires_grad], lr=0.01)},
        ),
        (
            "HeadOnlyDeclared",
            "an optimizer of the head, the rest declared",
            lambda: Backbone(switched_off=False),
            {"frozen": frozen, "optimizer": lambda m: Adam(m.head.parameters(), lr=0.01)},
        ),
        ("ModeRestored", "eval() between steps and train() after it", Regularised, {"train_step": back_to_train_mode}),
        ("Sparse", "sparse gradients", SparseBag, {**TOKENS, "optimizer": lambda m: SGD(m.parameters(), lr=0.1)}),
        ("StepBinary", "one logit", sound.One(), bce),
    ]
    for name, words, factory, more in rows:
        yield Trap(name=name, words=words, factory=factory, arguments={**FLAT3, **more})


def _nesterov(model: nn.Module) -> Optimizer:
    return SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True)


def _lbfgs(model: nn.Module) -> Optimizer:
    return torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)


TRAPS = tuple(_traps())
