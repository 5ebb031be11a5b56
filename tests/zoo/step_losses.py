"""Training steps whose loss is not what it seems, and steps that rightly train another loss than the registered one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from tests.zoo import sound
from tests.zoo.entry import Fault, Trap
from tests.zoo.sound import BINARY, FLAT, Plain
from tests.zoo.steps import FLAT3, Regularised, Step, step, step_binary


def _trained(loss: Tensor, optimizer: Optimizer) -> Tensor:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


# An activation between the logits and the loss.


def softmax_in_step(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:
    scores = F.softmax(model(x), dim=1)  # FAULT
    return _trained(F.cross_entropy(scores, y), optimizer)


def softmax_by_hand(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    e = model(x).exp()
    _trained(F.cross_entropy(e / e.sum(dim=1, keepdim=True), y), optimizer)  # FAULT


def weighted_softmax(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    scores = model(x).softmax(dim=1)  # FAULT
    _trained(F.cross_entropy(scores, y, weight=torch.tensor([1.0, 2.0, 3.0]), reduction="sum"), optimizer)


def sigmoid_in_step(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    scores = torch.sigmoid(model(x))  # FAULT
    _trained(F.cross_entropy(scores, y), optimizer)


def sigmoid_in_step_binary(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    scores = model(x).sigmoid()  # FAULT
    _trained(F.binary_cross_entropy_with_logits(scores, y), optimizer)


def relu_in_step(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    scores = F.relu(model(x))  # FAULT
    _trained(F.cross_entropy(scores, y), optimizer)


def tanh_in_step(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    scores = torch.tanh(model(x))  # FAULT
    _trained(F.cross_entropy(scores, y), optimizer)


# Other labels.


def labels_moved(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    _trained(F.cross_entropy(model(x), (y + 1) % 3), optimizer)


def labels_moved_back(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    _trained(F.cross_entropy(model(x), (y - 1).remainder(3)), optimizer)


def labels_swapped(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    _trained(F.cross_entropy(model(x), 1 - y), optimizer)


# Gradients that are cleared in part, or too early.


def partly_cleared(model: Any, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    model.net[0].zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def cleared_before_step(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    F.cross_entropy(model(x), y).backward()
    optimizer.zero_grad()
    optimizer.step()


def zeroed_before_step(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:  # FAULT
    F.cross_entropy(model(x), y).backward()
    optimizer.zero_grad(set_to_none=False)
    optimizer.step()


def too_small(model: nn.Module) -> Optimizer:  # FAULT
    return SGD(model.parameters(), lr=1e-6)


def _faults() -> Iterator[Fault]:
    softmax, bounded = "softmax_before_cross_entropy", "bounded_logits"
    moved, kept, early = "labels_out_of_range", "gradients_not_cleared", "step_without_update"
    rows: list[tuple[str, str, str, Step, int]] = [
        (softmax, "SoftmaxInStep", "F.softmax in the training step", softmax_in_step, 3),
        (softmax, "SoftmaxByHandInStep", "exp over sum in the training step", softmax_by_hand, 3),
        (softmax, "WeightedSoftmaxInStep", "softmax in the step, class weights", weighted_softmax, 3),
        (softmax, "SoftmaxInStepOfTwo", "F.softmax in the training step, two classes", softmax_in_step, 2),
        ("sigmoid_before_cross_entropy", "SigmoidInStep", "sigmoid in the training step", sigmoid_in_step, 3),
        (bounded, "ReluInStep", "ReLU in the training step", relu_in_step, 3),
        (bounded, "TanhInStep", "tanh in the training step", tanh_in_step, 3),
        (moved, "LabelsMovedInStep", "the next label in the training step", labels_moved, 3),
        (moved, "LabelsMovedBackInStep", "the label before in the training step", labels_moved_back, 3),
        (moved, "LabelsSwappedInStep", "labels swapped in the training step", labels_swapped, 2),
        (kept, "PartlyCleared", "zero_grad() of the first layer only", partly_cleared, 3),
        (early, "ClearedBeforeStep", "zero_grad() between backward() and step()", cleared_before_step, 3),
        (early, "ZeroedBeforeStep", "zero_grad(set_to_none=False) before step()", zeroed_before_step, 3),
    ]
    for cause, name, words, wrong, classes in rows:
        yield Fault(
            name=name,
            words=words,
            cause=cause,
            factory=Plain(classes),
            arguments={**FLAT, "num_classes": classes, "train_step": wrong},
            twin_arguments={"train_step": step},
        )
    yield Fault(
        name="SigmoidInStepOfOne",
        words="sigmoid in the training step, one logit",
        cause="sigmoid_before_bce_with_logits",
        factory=sound.One(),
        arguments={**BINARY, "train_step": sigmoid_in_step_binary},
        twin_arguments={"train_step": step_binary},
    )
    yield Fault(
        name="TooSmallAStep",
        words="SGD at 1e-6: advice",
        cause="learning_rate_too_low",
        factory=Plain(3),
        arguments={**FLAT3, "optimizer": too_small},
        twin_arguments={"optimizer": lambda m: SGD(m.parameters(), lr=0.1)},
        harmless=True,
    )


FAULTS = tuple(_faults())


# Sound steps with a loss of their own.


def focal(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    each = F.cross_entropy(model(x), y, reduction="none")
    _trained(((1 - torch.exp(-each)).square() * each).mean(), optimizer)


def smoothed(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:
    return _trained(F.cross_entropy(model(x), y, label_smoothing=0.1), optimizer)


def weighted(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    _trained(F.cross_entropy(model(x), y, weight=torch.tensor([0.05, 1.0, 1.0])), optimizer)


def mixed_up(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    share, order = 0.7, torch.randperm(len(x))
    scores = model(share * x + (1 - share) * x[order])
    _trained(share * F.cross_entropy(scores, y) + (1 - share) * F.cross_entropy(scores, y[order]), optimizer)


def hinged(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    _trained(F.multi_margin_loss(model(x), y), optimizer)


def brier(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    _trained((model(x).softmax(dim=1) - F.one_hot(y, 3)).square().sum(dim=1).mean(), optimizer)


def autocast(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = F.cross_entropy(model(x), y)
    return _trained(loss, optimizer)


def converting(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:
    return _trained(F.cross_entropy(model(x.float() / 255), y), optimizer)


def in_place(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:
    x -= x.mean(dim=0)
    return _trained(F.cross_entropy(model(x.mul_(2.0)), y), optimizer)


def of_log_probabilities(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:
    return _trained(F.nll_loss(F.log_softmax(model(x), dim=1), y), optimizer)


def reported(model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> Tensor:
    """Probabilities are made for a metric only."""
    scores = model(x)
    assert scores.softmax(dim=1).isfinite().all()
    return _trained(F.cross_entropy(scores, y), optimizer)


def imbalanced() -> list[tuple[Tensor, Tensor]]:
    """Nine rows in ten of class 0, with features that say little."""
    rng = torch.Generator().manual_seed(0)
    y = (torch.arange(80) % 10 == 0).long() + (torch.arange(80) % 20 == 0).long()
    return [
        (1 + 0.1 * torch.randn(40, 10, generator=rng), y[:40]),
        (1 + 0.1 * torch.randn(40, 10, generator=rng), y[40:]),
    ]


def bytes_of_images() -> list[tuple[Tensor, Tensor]]:
    """Unsigned bytes, as images are kept."""
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(24) % 3
    x = torch.randint(0, 200, (3, 10), generator=rng)[y] + torch.randint(0, 50, (24, 10), generator=rng)
    return [(x[:12].to(torch.uint8), y[:12]), (x[12:].to(torch.uint8), y[12:])]


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        # Deprecated, and still about.
        warnings.simplefilter("ignore")
        return torch.jit.script(sound.MLP(3))


def _traps() -> Iterator[Trap]:
    rows: list[tuple[str, str, Any, dict[str, Any]]] = [
        ("FocalInStep", "the step trains focal loss", Plain(3), {"train_step": focal}),
        ("SmoothedInStep", "the step smooths the labels", Plain(3), {"train_step": smoothed}),
        ("WeightedInStep", "class weights in the step", Plain(3), {"train_step": weighted}),
        (
            "WeightedImbalanced",
            "class weights in the step, imbalanced data: the plain loss rises",
            Plain(3),
            {"train_step": weighted, "batches": imbalanced, "optimizer": lambda m: SGD(m.parameters(), lr=0.1)},
        ),
        ("MixedUp", "mixup in the step", Plain(3), {"train_step": mixed_up}),
        ("HingedInStep", "the step trains a hinge loss", Plain(3), {"train_step": hinged}),
        ("BrierInStep", "the step trains the Brier score of softmax", Plain(3), {"train_step": brier}),
        ("AutocastInStep", "bfloat16 autocast in the step", Plain(3), {"train_step": autocast}),
        (
            "LogProbabilitiesInStep",
            "log_softmax and nll_loss in the step",
            Plain(3),
            {"train_step": of_log_probabilities},
        ),
        ("ReportedInStep", "softmax for a metric in the step", Plain(3), {"train_step": reported}),
        (
            "Converting",
            "the step makes floats of bytes",
            Plain(3),
            {"train_step": converting, "batches": bytes_of_images},
        ),
        ("InPlaceStep", "the step changes its batch in place", Regularised, {"train_step": in_place}),
        ("ScriptedStep", "a scripted module with a step", scripted, {"train_step": step}),
    ]
    for name, words, factory, more in rows:
        yield Trap(name=name, words=words, factory=factory, arguments={**FLAT3, **more})


TRAPS = tuple(_traps())
