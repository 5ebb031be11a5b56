"""Activations that confine the scores: sigmoids in all their disguises, and whatever else has an end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo import predictions, sound
from tests.zoo.entry import Fault
from tests.zoo.normalised import FLAT5, MULTILABEL, TAGS, Net, Segmenter, Tagger, Wrapper
from tests.zoo.sound import BINARY, FLAT, IMAGE, TOKENS, Applied, Plain, identity

SIGMOID = "sigmoid_before_cross_entropy"
SIGMOID_BCE = "sigmoid_before_bce_with_logits"
BOUNDED = "bounded_logits"


class SigmoidMLP(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.net(x))  # FAULT


class SigmoidByHand(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return 1 / (1 + torch.exp(-self.net(x)))  # FAULT


class SigmoidCNN(sound.CNN):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sigmoid()  # FAULT


class SigmoidModule(nn.Module):
    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, classes))
        self.out = nn.Sigmoid() if faulty else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.net(x))  # FAULT


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


# Functions of the scores.


def expit(z: Tensor) -> Tensor:
    return torch.special.expit(z)  # FAULT


def half_of_tanh(z: Tensor) -> Tensor:
    return 0.5 * (torch.tanh(z / 2) + 1)  # FAULT


def hard_sigmoid(z: Tensor) -> Tensor:
    return F.hardsigmoid(z)  # FAULT


def exp_of_log_sigmoid(z: Tensor) -> Tensor:
    return F.logsigmoid(z).exp()  # FAULT


def clamped_sigmoid(z: Tensor) -> Tensor:
    return z.sigmoid().clamp(1e-6, 1 - 1e-6)  # FAULT


def logistic(z: Tensor) -> Tensor:
    return torch.exp(z) / (1 + torch.exp(z))  # FAULT


def in_place(z: Tensor) -> Tensor:
    return z.sigmoid_()  # FAULT


def tanh(z: Tensor) -> Tensor:
    return torch.tanh(z)  # FAULT


def relu6(z: Tensor) -> Tensor:
    return F.relu6(z)  # FAULT


def clamped(z: Tensor) -> Tensor:
    return z.clamp(-1, 1)  # FAULT


def clamped_at_zero(z: Tensor) -> Tensor:
    return z.clamp(min=0)  # FAULT


def maximum_of_zero(z: Tensor) -> Tensor:
    return torch.maximum(z, torch.zeros_like(z))  # FAULT


def hard_tanh(z: Tensor) -> Tensor:
    return F.hardtanh(z)  # FAULT


def soft_sign(z: Tensor) -> Tensor:
    return F.softsign(z)  # FAULT


def soft_sign_by_hand(z: Tensor) -> Tensor:
    return z / (1 + z.abs())  # FAULT


def scaled_tanh(z: Tensor) -> Tensor:
    return 2 * torch.tanh(z)  # FAULT


def arctangent(z: Tensor) -> Tensor:
    return torch.atan(z)  # FAULT


def error_function(z: Tensor) -> Tensor:
    return torch.erf(z)  # FAULT


def centred_sigmoid(z: Tensor) -> Tensor:
    return 2 * torch.sigmoid(z) - 1  # FAULT


def unit_length(z: Tensor) -> Tensor:
    return F.normalize(z, dim=1)  # FAULT


def over_its_norm(z: Tensor) -> Tensor:
    return z / z.norm(dim=1, keepdim=True)  # FAULT


def standardised(z: Tensor) -> Tensor:
    return F.layer_norm(z, z.shape[1:])  # FAULT


def over_largest(z: Tensor) -> Tensor:
    return z / z.abs().amax(dim=1, keepdim=True)  # FAULT


def between_its_ends(z: Tensor) -> Tensor:
    low, high = z.amin(dim=1, keepdim=True), z.amax(dim=1, keepdim=True)
    return (z - low) / (high - low + 1e-8)  # FAULT


def sine(z: Tensor) -> Tensor:
    return torch.sin(z)  # FAULT


class Cosine(nn.Module):
    """Cosine similarity to class vectors; with a scale it is sound."""

    def __init__(self, classes: int, *, scale: float) -> None:
        super().__init__()
        self.trunk = nn.Linear(10, 16)
        self.weight = nn.Parameter(torch.randn(classes, 16))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        cosine = F.linear(F.normalize(self.trunk(x), dim=1), F.normalize(self.weight, dim=1))  # FAULT
        return cosine if self.scale == 1 else self.scale * cosine


class CosineFunction(nn.Module):
    def __init__(self, *, scale: float) -> None:
        super().__init__()
        self.trunk = nn.Linear(10, 16)
        self.centres = nn.Parameter(torch.randn(5, 16))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        cosine = F.cosine_similarity(self.trunk(x).unsqueeze(1), self.centres, dim=2)  # FAULT
        return cosine if self.scale == 1 else self.scale * cosine


def _applied(function: Callable[[Tensor], Tensor], k: int) -> Callable[[], nn.Module]:
    return lambda: Applied(k, function)


def _sigmoids() -> Iterator[Fault]:
    for k in (2, 10, 100):
        for kind, words in ((SigmoidMLP, "torch.sigmoid"), (SigmoidByHand, "1 / (1 + exp(-z))")):
            yield Fault(
                name=f"{kind.__name__}_{k}",
                words=f"{words}, {k} classes",
                cause=SIGMOID,
                factory=lambda kind=kind, k=k: kind(k),
                twin=Plain(k),
                arguments={**FLAT, "num_classes": k},
            )
    for net in (
        Net("SigmoidCNN", "after a CNN", lambda: SigmoidCNN(10), lambda: sound.CNN(10), {**IMAGE, "num_classes": 10}),
        Net(
            "SigmoidModule",
            "nn.Sigmoid",
            lambda: SigmoidModule(5, faulty=True),
            lambda: SigmoidModule(5, faulty=False),
        ),
        Net(
            "DenseSigmoid",
            "(N, K, H, W)",
            lambda: Segmenter(nn.Sigmoid()),
            lambda: Segmenter(None),
            {**IMAGE, "num_classes": 4},
        ),
        Net("TaggerSigmoid", "(N, T, K)", lambda: Tagger(expit), lambda: Tagger(identity), TAGS),
        *(
            Net(f"sigmoid_{f.__name__}", words, _applied(f, 5), Plain(5))
            for f, words in (
                (expit, "torch.special.expit"),
                (half_of_tanh, "by tanh"),
                (hard_sigmoid, "F.hardsigmoid"),
                (exp_of_log_sigmoid, "exp of logsigmoid"),
                (clamped_sigmoid, "clamped to [1e-6, 1 - 1e-6]"),
                (in_place, "in place"),
                (logistic, "exp(z) / (1 + exp(z))"),
            )
        ),
    ):
        yield Fault(
            name=net.name,
            words=f"sigmoid {net.words}",
            cause=SIGMOID,
            factory=net.faulty,
            twin=net.twin,
            arguments=net.arguments,
        )


def _sigmoids_before_bce() -> Iterator[Fault]:
    column = {**FLAT, "num_classes": 1, "task": "binary"}
    for net in (
        Net("SigmoidOneLogit", "one logit, (N,)", SigmoidOneLogit, sound.One(), BINARY),
        Net("SigmoidMultilabel", "several labels", lambda: SigmoidMLP(6), Plain(6), MULTILABEL),
        Net(
            "SigmoidModuleColumn",
            "nn.Sigmoid, (N, 1), one class",
            lambda: SigmoidModule(1, faulty=True),
            lambda: SigmoidModule(1, faulty=False),
            column,
        ),
        Net("SigmoidByHandColumn", "by hand, (N, 1)", lambda: SigmoidByHand(1), Plain(1), BINARY),
        Net("HardSigmoidColumn", "F.hardsigmoid, (N, 1)", _applied(hard_sigmoid, 1), Plain(1), BINARY),
        Net(
            "SigmoidPosWeight",
            "nn.BCEWithLogitsLoss(pos_weight=3)",
            _applied(expit, 1),
            Plain(1),
            {**BINARY, "loss": nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0))},
        ),
        Net(
            "SigmoidInModelAndPredict",
            "sigmoid in predict as well",
            SigmoidOneLogit,
            sound.One(),
            {**BINARY, "predict": predictions.sigmoid_for_labels},
        ),
        Net(
            "SigmoidOnehotBCE",
            "one-hot targets of one class per example",
            lambda: SigmoidMLP(5),
            Plain(5),
            {**FLAT5, "loss": "bce_with_logits", "targets": "onehot"},
        ),
    ):
        yield Fault(
            name=net.name,
            words=f"sigmoid and BCE with logits: {net.words}",
            cause=SIGMOID_BCE,
            factory=net.faulty,
            twin=net.twin,
            arguments=net.arguments,
        )


def _bounded() -> Iterator[Fault]:
    for k in (2, 10, 100):
        for kind, words in ((TanhMLP, "torch.tanh"), (ReLUMLP, "F.relu"), (ReLUModule, "nn.ReLU(inplace=True)")):
            yield Fault(
                name=f"{kind.__name__}_{k}",
                words=f"{words}, {k} classes",
                cause=BOUNDED,
                factory=lambda kind=kind, k=k: kind(k),
                twin=Plain(k),
                arguments={**FLAT, "num_classes": k},
            )
    tokens = {**TOKENS, "num_classes": 5}
    for net in (
        Net(
            "TanhTransformer",
            "tanh after a transformer",
            lambda: TanhTransformer(5),
            lambda: sound.Transformer(5),
            tokens,
        ),
        Net(
            "TanhModule",
            "nn.Tanh in a wrapper",
            lambda: Wrapper(sound.MLP(5), nn.Tanh()),
            lambda: Wrapper(sound.MLP(5), nn.Identity()),
        ),
        Net(
            "DenseReLU",
            "ReLU, (N, K, H, W)",
            lambda: Segmenter(nn.ReLU()),
            lambda: Segmenter(None),
            {**IMAGE, "num_classes": 4},
        ),
        Net("ReLUOneLogit", "ReLU and BCE with logits", _applied(clamped_at_zero, 1), Plain(1), BINARY),
        Net("TanhOneLogit", "tanh and BCE with logits", _applied(tanh, 1), Plain(1), BINARY),
        Net("ReLUMultilabel", "ReLU, several labels", _applied(maximum_of_zero, 6), Plain(6), MULTILABEL),
        *(
            Net(f.__name__, words, _applied(f, k), Plain(k), {**FLAT, "num_classes": k})
            for f, k, words in (
                (relu6, 5, "F.relu6"),
                (clamped, 5, "clamp(-1, 1)"),
                (clamped_at_zero, 5, "clamp(min=0)"),
                (maximum_of_zero, 5, "torch.maximum with 0"),
                (hard_tanh, 5, "F.hardtanh"),
                (soft_sign, 5, "F.softsign"),
                (soft_sign_by_hand, 5, "z / (1 + abs(z))"),
                (scaled_tanh, 20, "2 tanh"),
                (arctangent, 5, "torch.atan"),
                (error_function, 5, "torch.erf"),
                (centred_sigmoid, 5, "2 sigmoid - 1"),
                (unit_length, 5, "F.normalize of the scores"),
                (over_its_norm, 3, "scores over their norm"),
                (standardised, 5, "layer_norm without weights on the scores"),
                (over_largest, 5, "scores over the largest of their row"),
                (between_its_ends, 5, "scores from 0 to 1 in each row"),
                (sine, 5, "torch.sin"),
            )
        ),
        Net("CosineSimilarity", "cosine without a scale", lambda: Cosine(5, scale=1), lambda: Cosine(5, scale=16)),
        Net(
            "CosineSimilarity_100",
            "cosine without a scale, 100 classes",
            lambda: Cosine(100, scale=1),
            lambda: Cosine(100, scale=20),
            {**FLAT, "num_classes": 100},
        ),
        Net(
            "CosineFunction",
            "F.cosine_similarity without a scale",
            lambda: CosineFunction(scale=1),
            lambda: CosineFunction(scale=20),
        ),
    ):
        yield Fault(
            name=net.name,
            words=net.words,
            cause=BOUNDED,
            factory=net.faulty,
            twin=net.twin,
            arguments=net.arguments,
        )


FAULTS = (*_sigmoids(), *_sigmoids_before_bce(), *_bounded())
