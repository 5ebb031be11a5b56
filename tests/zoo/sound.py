"""Sound networks, losses and inputs, which the twins and the traps are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FLAT = {"input_shape": (10,)}
IMAGE = {"input_shape": (3, 8, 8)}
TOKENS = {"vocab_size": 200, "input_shape": (12,)}
BINARY = {**FLAT, "num_classes": 2, "task": "binary"}


class MLP(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


@dataclass(frozen=True)
class Plain:
    """Makes an MLP: the twin of many faults, which share its run."""

    classes: int

    def __call__(self) -> nn.Module:
        return MLP(self.classes)

    @property
    def name(self) -> str:
        return f"Plain_{self.classes}"


class CNN(nn.Module):
    """BatchNorm and dropout."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
        )
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.drop(self.body(x)))


class NetworkInNetwork(nn.Module):
    """Ends in ReLU and global pooling, as SqueezeNet does: class scores are means over positions."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Sequential(nn.Conv2d(16, classes, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class LSTM(nn.Module):
    """Gates: sigmoid and tanh inside."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(200, 24)
        self.lstm = nn.LSTM(24, 32, batch_first=True)
        self.head = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.lstm(self.embed(x))
        return self.head(out[:, -1])


class Transformer(nn.Module):
    """Attention: softmax inside."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(200, 32)
        self.position = nn.Parameter(torch.randn(12, 32) * 0.1)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x) + self.position).mean(dim=1))


class LogSoftmax(MLP):
    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.net(x), dim=1)


class Softmax(MLP):
    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.net(x), dim=1)


class Cosine(nn.Module):
    def __init__(self, classes: int, scale: float) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(10, 32), nn.ReLU())
        self.weight = nn.Parameter(torch.randn(classes, 32))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * F.linear(F.normalize(self.trunk(x), dim=1), F.normalize(self.weight, dim=1))


class Distance(nn.Module):
    """Logits are minus squared distances to class centres: none is ever positive."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.trunk = nn.Linear(10, 8)
        self.centres = nn.Parameter(torch.randn(classes, 8))

    def forward(self, x: Tensor) -> Tensor:
        return -torch.cdist(self.trunk(x), self.centres).square()


def deep(depth: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(10, 10), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(10, classes))


class SoftmaxAtEvaluation(MLP):
    """Logits while training, probabilities for the caller otherwise."""

    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        return scores if self.training else torch.softmax(scores, dim=1)


class Scores(NamedTuple):
    logits: Tensor
    probabilities: Tensor


class ReturnsBoth(MLP):
    def forward(self, x: Tensor) -> Scores:
        scores = self.net(x)
        return Scores(scores, torch.softmax(scores, dim=1))


class ReturnsDict(MLP):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"loss": torch.zeros(()), "logits": self.net(x)}


class ReturnsTuple(MLP):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.net(x)
        return scores, scores.mean(dim=0)


@dataclass
class Output:
    scores: Tensor


class ReturnsDataclass(MLP):
    def forward(self, x: Tensor) -> Output:
        return Output(self.net(x))


class Gated(nn.Module):
    """Mixture of experts: softmax weights inside, logits out."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.gate = nn.Linear(10, 3)
        self.experts = nn.ModuleList(nn.Linear(10, classes) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.gate(x), dim=1)
        return sum(weights[:, i : i + 1] * expert(x) for i, expert in enumerate(self.experts))


class ZeroHead(MLP):
    """A last layer of zeros: all logits are equal at the start."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        nn.init.zeros_(self.net[2].weight)
        nn.init.zeros_(self.net[2].bias)


class UnitLogits(MLP):
    """Logits that lie in [0, 1] at the start, as it happens."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        with torch.no_grad():
            self.net[2].weight.mul_(0.01)
            self.net[2].bias.fill_(0.5)


class SoftCapped(MLP):
    """30 tanh(z / 30): bounded, where it costs nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return 30 * torch.tanh(self.net(x) / 30)


class OneLogit(nn.Module):
    def __init__(self, squeeze: bool) -> None:
        super().__init__()
        self.head = nn.Linear(10, 1)
        self.squeeze = squeeze

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x).squeeze(1) if self.squeeze else self.head(x)


@dataclass(frozen=True)
class One:
    """Makes a model of one logit, (N,) or (N, 1)."""

    squeeze: bool = True

    def __call__(self) -> nn.Module:
        return OneLogit(self.squeeze)

    @property
    def name(self) -> str:
        return f"One_{'N' if self.squeeze else 'N1'}"


class Conv1dHead(nn.Module):
    """Dense outputs (N, K, L)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.net = nn.Conv1d(4, classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = attention_mask.unsqueeze(-1).to(torch.float32)
        return self.head((self.embed(input_ids) * mask).sum(dim=1) / mask.sum(dim=1))


def ids_and_mask(batch_size: int, generator: torch.Generator) -> dict[str, Tensor]:
    ids = torch.randint(1, 50, (batch_size, 9), generator=generator)
    mask = torch.ones_like(ids)
    mask[:, 7:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def wants_probabilities(probabilities: Tensor, targets: Tensor) -> Tensor:
    """As skorch's NeuralNetClassifier does it: the loss takes the logarithm itself."""
    return F.nll_loss(torch.log(probabilities), targets)


def focal(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    return ((1 - torch.exp(-ce)) ** 2 * ce).mean()


def bce_by_hand(logits: Tensor, targets: Tensor) -> Tensor:
    return (F.softplus(logits) - logits * targets).mean()


def identity(scores: Tensor) -> Tensor:
    return scores


class Applied(MLP):
    """The scores of an MLP put through a function."""

    def __init__(self, classes: int, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__(classes)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.net(x))


class MonteCarlo(MLP):
    """Dropout that is meant to stay on."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(F.dropout(x, 0.2, training=True))


class Tagger(nn.Module):
    """Sequence labelling, (N, T, K)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(200, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))


class OwnTrainMode(MLP):
    """``train`` overridden to keep a frozen part in eval mode."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.norm = nn.BatchNorm1d(10)

    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.norm(x))
