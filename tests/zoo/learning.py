"""Models that cannot learn, whatever the step size: nothing that trains is reached by a gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from tests.zoo import sound
from tests.zoo.entry import Fault, Trap
from tests.zoo.sound import BINARY, FLAT

FLAT3 = {**FLAT, "num_classes": 3}


class Frozen(sound.MLP):
    """All parameters frozen, or all but the head."""

    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__(classes)
        self.requires_grad_(False)
        if not faulty:
            self.net[2].requires_grad_(True)


class FrozenOneByOne(sound.MLP):
    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__(classes)
        for name, p in self.named_parameters():
            p.requires_grad = not faulty and name.startswith("net.2")


class FrozenBackbone(nn.Module):
    """A pre-trained part and a new head; freezing is done after the head was put in, or before."""

    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__()
        self.backbone = nn.Linear(10, 16)
        if faulty:
            self.head = nn.Linear(16, classes)
        for p in self.parameters():
            p.requires_grad_(False)
        if not faulty:
            self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.backbone(x)))


class InList(nn.Module):
    """Layers in a list of Python's own."""

    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__()
        layers = [nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, classes)]
        self.layers = layers if faulty else nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class InDictionary(nn.Module):
    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__()
        parts = {"trunk": nn.Linear(10, 16), "head": nn.Linear(16, classes)}
        self.parts = parts if faulty else nn.ModuleDict(parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.parts["head"](torch.relu(self.parts["trunk"](x)))


class PlainTensors(nn.Module):
    """Weights that are tensors with requires_grad, and no parameters."""

    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__()
        weight = torch.randn(10, classes) / 3
        self.weight = weight.requires_grad_() if faulty else nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class Detached(sound.MLP):
    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__(classes)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        return scores.detach() if self.faulty else scores  # FAULT


class UnderNoGrad(Detached):
    def forward(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(not self.faulty):
            return self.net(x)  # FAULT


class ThroughData(Detached):
    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        return scores.data if self.faulty else scores  # FAULT


class ThroughNumpy(Detached):
    """Scores that were lists in between."""

    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        return torch.tensor(scores.tolist()) if self.faulty else scores  # FAULT


class DetachedHead(Detached):
    """The backbone trains, and the bias; the head's weight does not."""

    def forward(self, x: Tensor) -> Tensor:
        hidden, head = torch.relu(self.net[0](x)), self.net[2]
        weight = head.weight.detach() if self.faulty else head.weight  # FAULT
        return nn.functional.linear(hidden, weight, head.bias)


class FrozenHead(sound.MLP):
    """The backbone trains, and a temperature behind the head; the head does not."""

    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__(classes)
        self.temperature = nn.Parameter(torch.ones(1))
        self.net[0 if not faulty else 2].requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) / self.temperature


class Rounded(Detached):
    """round() has a gradient of zero everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        return torch.round(scores) if self.faulty else scores


class AllZero(sound.MLP):
    """Two layers of zeros in a row, without a bias at the end."""

    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__(classes)
        self.net[2] = nn.Linear(16, classes, bias=False)
        nn.init.zeros_(self.net[2].weight)
        if faulty:
            nn.init.zeros_(self.net[0].weight)
            nn.init.zeros_(self.net[0].bias)


class ZeroTwice(nn.Module):
    """One logit from two layers of zeros."""

    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(10, 8, bias=False), nn.Linear(8, classes, bias=False)
        nn.init.zeros_(self.second.weight)
        if faulty:
            nn.init.zeros_(self.first.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


class ZeroGain(nn.Module):
    """A gain of zero before a layer of zeros."""

    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(10) if faulty else torch.ones(10))
        self.head = nn.Linear(10, classes, bias=False)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gain * x)


class DeadReLU(sound.MLP):
    """A bias so low that the ReLU is off for every input."""

    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__(classes)
        self.net[2] = nn.Linear(16, classes, bias=False)
        nn.init.constant_(self.net[0].bias, -100.0 if faulty else 0.1)


def _learning() -> Iterator[Fault]:
    rows: list[tuple[str, Callable[..., nn.Module], str]] = [
        ("frozen_parameters", Frozen, "requires_grad_(False) on the whole model"),
        ("frozen_parameters", FrozenOneByOne, "requires_grad = False in a loop"),
        ("frozen_parameters", FrozenBackbone, "frozen after the head was replaced"),
        ("frozen_parameters", FrozenHead, "the head alone, before a temperature"),
        ("unregistered_parameters", InList, "layers in a list"),
        ("unregistered_parameters", InDictionary, "layers in a dict"),
        ("unregistered_parameters", PlainTensors, "tensors that are no parameters"),
        ("detached_graph", Detached, "detach()"),
        ("detached_graph", UnderNoGrad, "no_grad in forward"),
        ("detached_graph", ThroughData, ".data"),
        ("detached_graph", DetachedHead, "the head's weight"),
        ("detached_graph", ThroughNumpy, "through a list"),
        ("degenerate_initialisation", AllZero, "two layers of zeros"),
        ("degenerate_initialisation", ZeroTwice, "two layers of zeros without a bias"),
        ("degenerate_initialisation", ZeroGain, "a gain of zero before a layer of zeros"),
        ("degenerate_initialisation", DeadReLU, "a ReLU that is off for every input"),
    ]
    for cause, kind, words in rows:
        yield Fault(
            name=kind.__name__,
            words=words,
            cause=cause,
            factory=lambda kind=kind: kind(3, faulty=True),
            twin=lambda kind=kind: kind(3, faulty=False),
            arguments=FLAT3,
            located=cause == "detached_graph" and kind is not ThroughNumpy,
            twin_advice=("every_parameter_learns",) if cause == "frozen_parameters" else (),
        )
    yield Fault(
        name="InListOneLogit",
        words="layers in a list, one logit",
        cause="unregistered_parameters",
        factory=lambda: InList(1, faulty=True),
        twin=lambda: InList(1, faulty=False),
        arguments=BINARY,
        located=False,
    )


class Experts(nn.Module):
    """Every row goes to the one of 64 experts that its gate likes best."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.head = nn.Linear(10, 64), nn.Linear(16, 3)
        self.experts = nn.ModuleList(nn.Linear(10, 16) for _ in range(64))

    def forward(self, x: Tensor) -> Tensor:
        share, chosen = self.gate(x).softmax(dim=1).max(dim=1)
        made = [self.experts[int(e)](row) * s for row, s, e in zip(x, share, chosen, strict=True)]
        return self.head(torch.stack(made).relu())


class CalibratedAtEvaluation(sound.MLP):
    """Temperature scaling: fitted after training, used in eval mode only."""

    def __init__(self) -> None:
        super().__init__(3)
        self.temperature = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) if self.training else self.net(x) / self.temperature


class DeepProbe(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers = [part for _ in range(10) for part in (nn.Linear(32, 32), nn.ReLU())]
        self.backbone = nn.Sequential(nn.Linear(10, 32), *layers).requires_grad_(False)
        self.head = nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))


def _traps() -> Iterator[Trap]:
    for kind, words, advice in (
        (Experts, "experts that no row of the batch chooses", ()),
        (CalibratedAtEvaluation, "a temperature in eval mode only", ()),
        (DeepProbe, "a frozen backbone that makes nearly one thing of all random inputs", ("every_parameter_learns",)),
    ):
        yield Trap(name=kind.__name__, words=words, factory=kind, arguments=FLAT3, advice=advice)


FAULTS, TRAPS = tuple(_learning()), tuple(_traps())
