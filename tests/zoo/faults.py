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
    """A registered model with one planted cause; ``located`` where the cause is a line of the model.

    ``also`` are causes that the fault brings with it.
    """

    name: str
    cause: str
    factory: Callable[[], nn.Module]
    arguments: dict[str, Any] = field(default_factory=dict)
    located: bool = True
    also: tuple[str, ...] = ()


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


class Applied(sound.MLP):
    """The logits of an MLP put through a function, which has the fault in it."""

    def __init__(self, classes: int, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__(classes)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.net(x))


def with_temperature(z: Tensor) -> Tensor:
    return torch.softmax(z / 0.5, dim=1)  # FAULT


def gumbel(z: Tensor) -> Tensor:
    return F.gumbel_softmax(z, dim=1)  # FAULT


def through_log_sum_exp(z: Tensor) -> Tensor:
    return torch.exp(z - torch.logsumexp(z, dim=1, keepdim=True))  # FAULT


def expit(z: Tensor) -> Tensor:
    return torch.special.expit(z)  # FAULT


def relu6(z: Tensor) -> Tensor:
    return F.relu6(z)  # FAULT


def clamped(z: Tensor) -> Tensor:
    return z.clamp(-1, 1)  # FAULT


def over_batch(z: Tensor) -> Tensor:
    return z.softmax(dim=0)  # FAULT


def log_over_batch(z: Tensor) -> Tensor:
    return F.log_softmax(z, dim=0)  # FAULT


def with_nan(z: Tensor) -> Tensor:
    return (z - z.amax(dim=1, keepdim=True)).log()  # FAULT


def centred_over_batch(z: Tensor) -> Tensor:
    return z - z.mean(dim=0)  # FAULT


def always_dropped(z: Tensor) -> Tensor:
    return F.dropout(z)  # FAULT


class WhileTraining(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        if self.training:
            return scores.softmax(dim=1)  # FAULT
        return scores


class Wrapper(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.activation = nn.Softmax(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.inner(x))  # FAULT


class SharedSoftmax(nn.Module):
    """One nn.Softmax for the gate, rightly, and for the output, wrongly."""

    def __init__(self) -> None:
        super().__init__()
        self.softmax = nn.Softmax(dim=1)
        self.gate, self.head = nn.Linear(10, 10), nn.Linear(10, 5)

    def forward(self, x: Tensor) -> Tensor:
        gated = x * self.softmax(self.gate(x))
        return self.softmax(self.head(gated))  # FAULT


class Segmenter(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.net = nn.Conv2d(3, 4, 3, padding=1)
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.net(x), dim=self.dim)  # FAULT


class Tagger(nn.Module):
    """Sequence labelling, (N, T, K)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(200, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x)).softmax(dim=-1)  # FAULT


class InTuple(sound.MLP):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.net(x)
        return scores.softmax(dim=1), scores  # FAULT


class InDataclass(sound.MLP):
    def forward(self, x: Tensor) -> sound.Output:
        return sound.Output(self.net(x).softmax(dim=1))  # FAULT


class IgnoresInput(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(torch.zeros_like(x))


class MixesRows(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        x = x.t().reshape(len(x), -1)  # FAULT
        return self.net(x)


def softmax_in_loss(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.cross_entropy(logits.softmax(dim=1), targets)


def sigmoid_in_loss(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.binary_cross_entropy_with_logits(logits.sigmoid(), targets)


def bce_by_hand(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return (F.softplus(logits) - logits * targets).mean()


def nll_of_softmax(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.nll_loss(logits.softmax(dim=1), targets)


def half_on_logits(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return (model(x) > 0.5).long()


def over_the_batch(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return model(x).argmax(dim=0)


def leaves_train_mode(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return model.train()(x).argmax(dim=1)


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
    *(
        Fault(
            name=function.__name__,
            cause=cause,
            factory=lambda function=function: Applied(5, function),
            arguments={**FLAT, "num_classes": 5},
            also=also,
        )
        for function, cause, also in (
            (with_temperature, SOFTMAX, ()),
            (gumbel, SOFTMAX, ("evaluation_is_random",)),
            (through_log_sum_exp, SOFTMAX, ()),
            (expit, "sigmoid_before_cross_entropy", ()),
            (relu6, "bounded_logits", ()),
            (clamped, "bounded_logits", ()),
            (over_batch, "softmax_over_wrong_dim", ()),
            (log_over_batch, "softmax_over_wrong_dim", ()),
            (with_nan, "non_finite_values", ()),
            (centred_over_batch, "examples_leak_across_batch", ()),
            (always_dropped, "evaluation_is_random", ()),
        )
    ),
    *(
        Fault(name=name, cause=SOFTMAX, factory=factory, arguments={**FLAT, "num_classes": 5, **more})
        for name, factory, more in (
            ("WhileTraining", lambda: WhileTraining(5), {}),
            ("Wrapper", lambda: Wrapper(sound.MLP(5)), {}),
            ("SharedSoftmax", SharedSoftmax, {}),
            ("InTuple", lambda: InTuple(5), {}),
            ("InDataclass", lambda: InDataclass(5), {}),
            ("LossWithSoftmax", lambda: sound.MLP(5), {"loss": softmax_in_loss}),
        )
    ),
    Fault(
        name="DenseSoftmax",
        cause=SOFTMAX,
        factory=lambda: Segmenter(1),
        arguments={**sound.IMAGE, "num_classes": 4},
    ),
    Fault(
        name="DenseSoftmaxOverRows",
        cause="softmax_over_wrong_dim",
        factory=lambda: Segmenter(2),
        arguments={**sound.IMAGE, "num_classes": 4},
    ),
    Fault(
        name="Tagger",
        cause=SOFTMAX,
        factory=Tagger,
        arguments={**sound.TOKENS, "num_classes": 5, "logits": lambda out: out.transpose(1, 2)},
    ),
    Fault(
        name="LossWithSigmoid",
        cause="sigmoid_before_bce_with_logits",
        factory=lambda: sound.OneLogit(True),
        arguments={**FLAT, "num_classes": 2, "task": "binary", "loss": sigmoid_in_loss},
    ),
    Fault(
        name="LossWithNLLOfSoftmax",
        cause="probabilities_into_nll_loss",
        factory=lambda: sound.MLP(5),
        arguments={**FLAT, "num_classes": 5, "loss": nll_of_softmax},
    ),
    Fault(
        name="IgnoresInput",
        cause="output_ignores_input",
        factory=lambda: IgnoresInput(3),
        arguments={**FLAT, "num_classes": 3},
        located=False,
    ),
    Fault(
        name="MixesRows",
        cause="examples_leak_across_batch",
        factory=lambda: MixesRows(3),
        arguments={**FLAT, "num_classes": 3},
    ),
    Fault(
        name="HalfOnLogits",
        cause="prediction_disagrees_with_logits",
        factory=lambda: sound.OneLogit(True),
        arguments={**FLAT, "num_classes": 2, "task": "binary", "predict": half_on_logits},
    ),
    Fault(
        name="ArgmaxOverBatch",
        cause="prediction_disagrees_with_logits",
        factory=lambda: sound.MLP(3),
        arguments={**FLAT, "num_classes": 3, "predict": over_the_batch},
    ),
    Fault(
        name="LeavesTrainMode",
        cause="model_left_in_wrong_mode",
        factory=lambda: sound.MLP(3),
        arguments={**FLAT, "num_classes": 3, "predict": leaves_train_mode},
    ),
    *(
        Fault(
            name=name,
            cause=cause,
            factory=lambda: sound.MLP(4),
            arguments={**FLAT, "num_classes": 4, "targets": targets},
            located=False,
        )
        for name, cause, targets in (
            ("FloatTargets", "wrong_target_dtype", "float_index"),
            ("LabelsFromOne", "labels_out_of_range", lambda y: y + 1),
            ("NextClass", "labels_out_of_range", lambda y: (y + 1) % 4),
        )
    ),
    Fault(
        name="SignedTargets",
        cause="signed_targets",
        factory=lambda: sound.OneLogit(True),
        arguments={**FLAT, "num_classes": 2, "task": "binary", "targets": "signed"},
        located=False,
    ),
    Fault(
        name="ColumnAgainstFlat",
        cause="broadcast_targets",
        factory=lambda: sound.OneLogit(False),
        arguments={
            **FLAT,
            "num_classes": 2,
            "task": "binary",
            "loss": bce_by_hand,
            "targets": "float_index",
        },
    ),
)
