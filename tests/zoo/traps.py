"""Sound models that naive checks fail. None of them may fail anything."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo import independence, predictions, sound
from tests.zoo.entry import Factory, Trap
from tests.zoo.normalised import FLAT5, MULTILABEL, TAGS
from tests.zoo.sound import BINARY, FLAT, IMAGE, TOKENS, Applied, Plain

FLAT2, FLAT3 = {**FLAT, "num_classes": 2}, {**FLAT, "num_classes": 3}
DETERMINISTIC, LOGITS = "evaluation_is_deterministic", "outputs_are_logits"


def _networks() -> Iterator[Trap]:
    for k in (2, 10, 100):
        for kind, words, inputs in (
            (sound.MLP, "a network of one hidden layer", FLAT),
            (sound.CNN, "BatchNorm and dropout", IMAGE),
            (sound.NetworkInNetwork, "ReLU, then global pooling", {"input_shape": (3, 4, 4)}),
            (sound.LSTM, "gates: sigmoid and tanh inside", TOKENS),
            (sound.Transformer, "attention: softmax inside", TOKENS),
            (partial(sound.Cosine, scale=16.0), "scaled cosine logits", FLAT),
        ):
            name = "Cosine16" if isinstance(kind, partial) else kind.__name__
            yield Trap(
                name=f"{name}_{k}",
                words=words,
                factory=lambda kind=kind, k=k: kind(k),
                arguments={**inputs, "num_classes": k},
            )
    for depth in (6, 20):
        yield Trap(
            name=f"Deep_{depth}",
            words="one class for every row as initialised",
            factory=lambda depth=depth: sound.deep(depth, 2),
            arguments=FLAT2,
        )
    rows: list[tuple[str, str, Factory, dict[str, Any]]] = [
        ("MLP_1000", "1000 classes", Plain(1000), {**FLAT, "num_classes": 1000}),
        ("OneClassBinary", "one logit, one class", Plain(1), {**BINARY, "num_classes": 1}),
        ("Cosine4", "cosine logits of scale 4", lambda: sound.Cosine(3, 4.0), FLAT3),
        ("Distance", "minus squared distances: no score is positive", lambda: sound.Distance(5), FLAT5),
        ("SoftmaxAtEvaluation", "probabilities in eval mode", lambda: sound.SoftmaxAtEvaluation(5), FLAT5),
        ("ReturnsBoth", "scores and probabilities", lambda: sound.ReturnsBoth(5), FLAT5),
        ("ReturnsDict", "a dict", lambda: sound.ReturnsDict(5), FLAT5),
        ("ReturnsTuple", "a tuple with another tensor", lambda: sound.ReturnsTuple(5), FLAT5),
        ("ReturnsDataclass", "a dataclass", lambda: sound.ReturnsDataclass(5), FLAT5),
        ("Gated", "a mixture of experts", lambda: sound.Gated(5), FLAT5),
        ("ZeroHead", "a last layer of zeros", lambda: sound.ZeroHead(5), FLAT5),
        ("UnitLogits", "scores in [0, 1] as initialised", lambda: sound.UnitLogits(5), FLAT5),
        ("SoftCapped", "30 tanh(z / 30)", lambda: sound.SoftCapped(5), FLAT5),
        ("OneLogit_False", "(N, 1)", lambda: sound.OneLogit(False), BINARY),
        ("OneLogit_True", "(N,)", lambda: sound.OneLogit(True), BINARY),
        ("Dense", "(N, K, L)", lambda: sound.Conv1dHead(4), {"input_shape": (4, 12), "num_classes": 4}),
        ("TwoInputs", "a dict of inputs", sound.TwoInputs, {"inputs": sound.ids_and_mask, "num_classes": 3}),
        ("SoundTagger", "(N, T, K)", sound.Tagger, TAGS),
        ("OwnTrainMode", "train() overridden for a frozen part", lambda: sound.OwnTrainMode(5), FLAT5),
        ("Lazy", "lazy modules", lambda: nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3)), FLAT3),
        ("Double", "float64", lambda: sound.MLP(3).double(), FLAT3),
        ("SharedInstance", "a module instead of a factory", sound.MLP(3), FLAT3),
        ("OneFeature", "one input", lambda: nn.Linear(1, 2), {"input_shape": (1,), "num_classes": 2}),
        ("Multilabel", "several labels", Plain(6), MULTILABEL),
        ("Signature", "forward(x, return_features=False)", Signature, FLAT3),
        ("Scripted", "a scripted module", scripted, FLAT3),
        ("LayerNormed", "LayerNorm inside", lambda: nn.Sequential(nn.LayerNorm(10), nn.Linear(10, 3)), FLAT3),
        ("GroupNormed", "GroupNorm inside", GroupNormed, {**IMAGE, "num_classes": 3}),
        ("LearnedScale", "cosine logits with a learned scale", LearnedScale, FLAT5),
        ("LearnedTemperature", "the same, capped at 100", LearnedTemperature, FLAT5),
        ("LayerNormHead", "LayerNorm with a gain on the scores", LayerNormHead, FLAT5),
        (
            "OwnGenerator",
            "noise from a generator, in eval mode too",
            lambda: independence.ReseededNoise(faulty=False),
            FLAT3,
        ),
        ("Seeded", "a generator of its own, in train mode", Seeded, FLAT3),
        ("OwnEval", "eval() overridden to return nothing", OwnEval, FLAT3),
        ("OwnTrain", "train() overridden to take no mode", OwnTrain, FLAT3),
    ]
    for name, words, factory, arguments in rows:
        yield Trap(name=name, words=words, factory=factory, arguments=arguments)
    yield Trap(
        name="MonteCarlo",
        words="dropout that is meant to stay on",
        factory=lambda: sound.MonteCarlo(5),
        arguments=FLAT5,
        advice=(DETERMINISTIC,),
    )


class Signature(sound.MLP):
    def __init__(self) -> None:
        super().__init__(3)

    def forward(self, x: Tensor, return_features: bool = False) -> Any:
        scores = self.net(x)
        return (scores, x) if return_features else scores


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        # Deprecated, and still about.
        warnings.simplefilter("ignore")
        return torch.jit.script(nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3)))


class OwnEval(nn.Module):
    """``eval`` that does what it should and forgets to return the model."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 16), nn.BatchNorm1d(16), nn.Dropout(0.2), nn.Linear(16, 3))

    def eval(self) -> Any:
        super().eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class OwnTrain(OwnEval):
    """``train`` takes no argument, as nobody passes one."""

    def eval(self) -> Any:
        for module in self.modules():
            module.training = False
        return self

    def train(self) -> Any:  # type: ignore[override]
        for module in self.modules():
            module.training = True
        return self


class GroupNormed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.net(x))


class Seeded(sound.MLP):
    """Noise while training, from a generator of its own."""

    def __init__(self) -> None:
        super().__init__(3)
        self.rng = torch.Generator().manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x + 0.01 * torch.randn(x.shape, generator=self.rng)
        return self.net(x)


class LearnedScale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.weight = nn.Linear(10, 16), nn.Parameter(torch.randn(5, 16))
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale.exp() * F.linear(F.normalize(self.trunk(x), dim=1), F.normalize(self.weight, dim=1))


class LearnedTemperature(LearnedScale):
    """CLIP: the scale is exp of a parameter, capped at 100."""

    def forward(self, x: Tensor) -> Tensor:
        cosine = F.linear(F.normalize(self.trunk(x), dim=1), F.normalize(self.weight, dim=1))
        return self.scale.exp().clamp(max=100) * cosine


class LayerNormHead(nn.Module):
    """LayerNorm with weights on the scores: the gain is learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 5), nn.LayerNorm(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def _functions() -> Iterator[Trap]:
    for name, words, function in (
        ("MaskedClass", "a class masked by minus infinity", lambda z: z.masked_fill(torch.arange(5) == 4, -torch.inf)),
        ("NegativeLogits", "no score is positive", lambda z: -F.softplus(z)),
        ("Softplus", "no score is negative", F.softplus),
        ("Scaled", "scores near 0", lambda z: 0.01 * z),
        ("CentredOverClasses", "less the mean over the classes", lambda z: z - z.mean(dim=1, keepdim=True)),
        ("LogSigmoid", "logsigmoid", F.logsigmoid),
        ("LeakyReLU", "leaky ReLU on the scores", F.leaky_relu),
        ("WideClamp", "clamped where it costs nothing", lambda z: z.clamp(-50, 50)),
        ("ScaledUnit", "unit length times 20", lambda z: 20 * F.normalize(z, dim=1)),
        ("Squared", "minus squares", lambda z: -z.square()),
        ("Shifted", "a constant added", lambda z: z + 100),
        (
            "LargeMask",
            "a class masked by -1e9: every row has one norm",
            lambda z: z.masked_fill(torch.arange(5) == 4, -1e9),
        ),
        ("PositiveSquare", "squares: no score is negative, hardly one 0", torch.square),
        ("Gelu", "GELU on the scores", F.gelu),
        ("Elu", "ELU on the scores", F.elu),
        ("PlusSoftmax", "their softmax added to the scores", lambda z: z + z.softmax(dim=1)),
        ("HalfLogProbabilities", "half the log-probabilities", lambda z: 0.5 * F.log_softmax(z, dim=1)),
    ):
        yield Trap(
            name=name,
            words=words,
            factory=lambda function=function: Applied(5, function),
            arguments=FLAT5,
            advice=("no_class_is_privileged",) if name in ("MaskedClass", "LargeMask") else (),
        )
    for eps in (1e-8, 1e-6):
        yield Trap(
            name=f"LogOfSoftmaxWithEpsilon_{eps:g}",
            words="log(softmax + epsilon) and cross entropy: harmless",
            factory=lambda eps=eps: Applied(5, lambda z: torch.log(torch.softmax(z, dim=1) + eps)),
            arguments=FLAT5,
            advice=(LOGITS,) if eps < 1e-7 else (),
        )
        yield Trap(
            name=f"LogOfSoftmaxWithEpsilonNLL_{eps:g}",
            words="log(softmax + epsilon) and NLLLoss",
            factory=lambda eps=eps: Applied(5, lambda z: torch.log(torch.softmax(z, dim=1) + eps)),
            arguments={**FLAT5, "loss": "nll_loss"},
        )


def weighted_sum_of_losses(logits: Tensor, targets: Tensor) -> Tensor:
    return 0.5 * F.cross_entropy(logits, targets) + 0.5 * F.cross_entropy(2 * logits, targets)


def with_penalty(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets) + 1e-4 * logits.square().mean()


def with_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    p = logits.softmax(dim=1)
    return F.cross_entropy(logits, targets) - 0.01 * -(p * p.clamp_min(1e-9).log()).sum(dim=1).mean()


def dice(logits: Tensor, targets: Tensor) -> Tensor:
    p, y = logits.softmax(dim=1), F.one_hot(targets, logits.shape[1])
    return 1 - 2 * (p * y).sum() / (p + y).sum()


def brier(logits: Tensor, targets: Tensor) -> Tensor:
    return (logits.softmax(dim=1) - F.one_hot(targets, logits.shape[1])).square().sum(dim=1).mean()


def _losses() -> Iterator[Trap]:
    weights = torch.tensor([1.0, 5.0])
    rows: list[tuple[str, str, Factory, dict[str, Any]]] = [
        ("LogSoftmaxNLL", "log_softmax and NLLLoss", lambda: sound.LogSoftmax(5), {**FLAT5, "loss": "nll_loss"}),
        (
            "SkorchNLL",
            "a loss that takes probabilities",
            lambda: sound.Softmax(5),
            {**FLAT5, "loss": sound.wants_probabilities},
        ),
        (
            "OneLogitByHand",
            "BCE by hand",
            lambda: sound.OneLogit(False),
            {**BINARY, "loss": sound.bce_by_hand},
        ),
        ("Focal", "focal loss", Plain(5), {**FLAT5, "loss": sound.focal}),
        ("Smoothed", "label smoothing", Plain(5), {**FLAT5, "loss": nn.CrossEntropyLoss(label_smoothing=0.1)}),
        ("Weighted", "class weights", Plain(2), {**FLAT2, "loss": nn.CrossEntropyLoss(weight=weights)}),
        (
            "PosWeight",
            "pos_weight",
            lambda: sound.OneLogit(True),
            {**BINARY, "loss": nn.BCEWithLogitsLoss(pos_weight=torch.tensor(9.0))},
        ),
        ("Hinge", "nn.MultiMarginLoss", Plain(5), {**FLAT5, "loss": nn.MultiMarginLoss()}),
        ("SumOfLosses", "a sum of two cross entropies", Plain(5), {**FLAT5, "loss": weighted_sum_of_losses}),
        ("Penalty", "cross entropy and a penalty of the scores", Plain(5), {**FLAT5, "loss": with_penalty}),
        ("EntropyBonus", "cross entropy and a bonus for entropy", Plain(5), {**FLAT5, "loss": with_entropy}),
        ("Dice", "Dice loss, which takes softmax itself", Plain(5), {**FLAT5, "loss": dice}),
        ("Brier", "Brier loss, which takes softmax itself", Plain(5), {**FLAT5, "loss": brier}),
        (
            "SoftTargets",
            "soft targets by a function",
            Plain(5),
            {**FLAT5, "targets": lambda y: 0.9 * F.one_hot(y, 5).float() + 0.02},
        ),
        ("Onehot", "one-hot targets and cross entropy", Plain(5), {**FLAT5, "targets": "onehot"}),
        (
            "ByteTargets",
            "uint8 indices, which torch takes",
            Plain(5),
            {**FLAT5, "targets": lambda y: y.to(torch.uint8)},
        ),
    ]
    for name, words, factory, arguments in rows:
        yield Trap(name=name, words=words, factory=factory, arguments=arguments)


def _predictions() -> Iterator[Trap]:
    for threshold in (0.2, 0.5, 0.6, 0.9):
        yield Trap(
            name=f"Threshold_{threshold}",
            words="a threshold of one's own on the probability",
            factory=lambda: sound.OneLogit(True),
            arguments={**BINARY, "predict": predictions.Predictor(threshold, on_logits=False)},
        )
    rows: list[tuple[str, str, Factory, dict[str, Any]]] = [
        (
            "ArgmaxOfSoftmax",
            "argmax of probabilities",
            Plain(5),
            {**FLAT5, "predict": lambda model, x: torch.softmax(model(x), dim=1).argmax(dim=1)},
        ),
        (
            "LabelThresholds",
            "a threshold for each of several labels",
            Plain(6),
            {**MULTILABEL, "predict": lambda model, x: (model(x).sigmoid() > torch.linspace(0.2, 0.8, 6)).long()},
        ),
        (
            "PositiveAtThird",
            "class 1 where its probability is above 0.3",
            Plain(2),
            {**FLAT2, "predict": lambda model, x: (model(x).softmax(dim=1)[:, 1] > 0.3).long()},
        ),
        ("KeepsMode", "eval for the pass, then as before", Plain(3), {**FLAT3, "predict": predictions.keeps_mode}),
        (
            "DensePredictions",
            "(N, K, L)",
            lambda: sound.Conv1dHead(3),
            {"input_shape": (4, 12), "num_classes": 3, "predict": predictions.best},
        ),
    ]
    for name, words, factory, arguments in rows:
        yield Trap(name=name, words=words, factory=factory, arguments=arguments)


TRAPS = (*_networks(), *_functions(), *_losses(), *_predictions())
