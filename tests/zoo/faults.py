"""Faulty models in many styles. Each entry says which cause is planted, and marks its line with ``# FAULT``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo import sound


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A registered model with one planted cause; ``located`` where the cause is a line of the model."""

    name: str
    cause: str
    factory: Callable[[], nn.Module]
    arguments: dict[str, Any] = field(default_factory=dict)
    located: bool = True


class SoftmaxModule(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, classes), nn.Softmax(dim=1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # FAULT


class SoftmaxFunction(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(self.net(x), dim=1)  # FAULT


class SoftmaxMethod(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        return scores.softmax(-1)  # FAULT


def by_hand(scores: Tensor) -> Tensor:
    exponentials = torch.exp(scores - scores.max(dim=1, keepdim=True).values)
    return exponentials / exponentials.sum(dim=1, keepdim=True)  # FAULT


class SoftmaxByHand(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return by_hand(self.net(x))


class SoftmaxCNN(sound.CNN):
    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(super().forward(x), dim=1)  # FAULT


class SoftmaxLSTM(sound.LSTM):
    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(super().forward(x), dim=1)  # FAULT


class SoftmaxTransformer(sound.Transformer):
    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(super().forward(x), dim=1)  # FAULT


class SigmoidMLP(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.net(x))  # FAULT


class SigmoidByHand(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return 1 / (1 + torch.exp(-self.net(x)))  # FAULT


class SigmoidCNN(sound.CNN):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sigmoid()  # FAULT


class SigmoidOneLogit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(10, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.head(x)).squeeze(1)  # FAULT


class TanhMLP(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.net(x))  # FAULT


class ReLUMLP(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.net(x))  # FAULT


class ReLUModule(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, classes), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # FAULT


class TanhTransformer(sound.Transformer):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).tanh()  # FAULT


class SqueezeAll(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(10, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x).squeeze()  # FAULT


class SqueezeInside(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        features = self.pool(x).squeeze()  # FAULT
        return self.head(features)


def _mlp(kind: type[sound.MLP], classes: int) -> Callable[[], nn.Module]:
    return lambda: kind(classes)


FLAT = {"input_shape": (10,)}
SOFTMAX = "softmax_before_cross_entropy"

FAULTS: tuple[Fault, ...] = (
    *(
        Fault(
            name=f"{kind.__name__}_{k}",
            cause=SOFTMAX,
            factory=lambda kind=kind, k=k: kind(k),
            arguments={**FLAT, "num_classes": k},
        )
        for kind in (SoftmaxModule, SoftmaxFunction, SoftmaxMethod, SoftmaxByHand)
        for k in (2, 10, 100)
    ),
    *(
        Fault(
            name=f"SoftmaxCNN_{k}",
            cause=SOFTMAX,
            factory=lambda k=k: SoftmaxCNN(k),
            arguments={**sound.IMAGE, "num_classes": k},
        )
        for k in (2, 100)
    ),
    *(
        Fault(
            name=f"SoftmaxLSTM_{k}",
            cause=SOFTMAX,
            factory=lambda k=k: SoftmaxLSTM(k),
            arguments={**sound.TOKENS, "num_classes": k},
        )
        for k in (2, 100)
    ),
    *(
        Fault(
            name=f"SoftmaxTransformer_{k}",
            cause=SOFTMAX,
            factory=lambda k=k: SoftmaxTransformer(k),
            arguments={**sound.TOKENS, "num_classes": k},
        )
        for k in (2, 100)
    ),
    *(
        Fault(
            name=f"{kind.__name__}_{k}",
            cause="sigmoid_before_cross_entropy",
            factory=lambda kind=kind, k=k: kind(k),
            arguments={**FLAT, "num_classes": k},
        )
        for kind in (SigmoidMLP, SigmoidByHand)
        for k in (2, 10, 100)
    ),
    Fault(
        name="SigmoidCNN",
        cause="sigmoid_before_cross_entropy",
        factory=lambda: SigmoidCNN(10),
        arguments={**sound.IMAGE, "num_classes": 10},
    ),
    Fault(
        name="SigmoidOneLogit",
        cause="sigmoid_before_bce_with_logits",
        factory=SigmoidOneLogit,
        arguments={**FLAT, "num_classes": 2, "task": "binary"},
    ),
    Fault(
        name="SigmoidMultilabel",
        cause="sigmoid_before_bce_with_logits",
        factory=lambda: SigmoidMLP(6),
        arguments={**FLAT, "num_classes": 6, "task": "multilabel"},
    ),
    Fault(
        name="SoftmaxMultilabel",
        cause="softmax_before_bce_with_logits",
        factory=lambda: SoftmaxFunction(6),
        arguments={**FLAT, "num_classes": 6, "task": "multilabel"},
    ),
    *(
        Fault(
            name=f"{kind.__name__}_{k}",
            cause="bounded_logits",
            factory=lambda kind=kind, k=k: kind(k),
            arguments={**FLAT, "num_classes": k},
        )
        for kind in (TanhMLP, ReLUMLP, ReLUModule)
        for k in (2, 10, 100)
    ),
    Fault(
        name="TanhTransformer",
        cause="bounded_logits",
        factory=lambda: TanhTransformer(5),
        arguments={**sound.TOKENS, "num_classes": 5},
    ),
    Fault(
        name="OneColumn",
        cause="single_column_cross_entropy",
        factory=lambda: nn.Linear(10, 1),
        arguments={**FLAT, "num_classes": 2},
        located=False,
    ),
    Fault(
        name="OneColumnFloatTargets",
        cause="single_column_cross_entropy",
        factory=lambda: nn.Linear(10, 1),
        arguments={**FLAT, "num_classes": 2, "targets": "column"},
        located=False,
    ),
    Fault(
        name="SqueezeAll",
        cause="output_shape_depends_on_batch",
        factory=SqueezeAll,
        arguments={**FLAT, "num_classes": 2, "task": "binary"},
    ),
    Fault(
        name="SqueezeInside",
        cause="output_shape_depends_on_batch",
        factory=SqueezeInside,
        arguments={"input_shape": (3, 8, 8), "num_classes": 4},
    ),
    Fault(
        name="SoftmaxIntoNLL",
        cause="probabilities_into_nll_loss",
        factory=lambda: SoftmaxFunction(4),
        arguments={**FLAT, "num_classes": 4, "loss": "nll_loss"},
    ),
    Fault(
        name="LogitsIntoNLL",
        cause="logits_into_nll_loss",
        factory=lambda: sound.MLP(4),
        arguments={**FLAT, "num_classes": 4, "loss": "nll_loss"},
        located=False,
    ),
)
