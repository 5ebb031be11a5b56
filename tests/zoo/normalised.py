"""Softmax in all its disguises before a loss that takes scores, and log-probabilities where they do not belong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo import sound
from tests.zoo.entry import Fault
from tests.zoo.sound import FLAT, IMAGE, TOKENS, Applied, Plain, identity

SOFTMAX = "softmax_before_cross_entropy"
SOFTMAX_BCE = "softmax_before_bce_with_logits"
WRONG_DIM = "softmax_over_wrong_dim"
FLAT5 = {**FLAT, "num_classes": 5}
MULTILABEL = {**FLAT, "num_classes": 6, "task": "multilabel"}
TAGS = {**TOKENS, "num_classes": 5, "logits": lambda out: out.transpose(1, 2)}


class SoftmaxModule(nn.Module):
    def __init__(self, classes: int, *, faulty: bool = True) -> None:
        super().__init__()
        layers = [nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, classes)]
        self.net = nn.Sequential(*layers, nn.Softmax(dim=1)) if faulty else nn.Sequential(*layers)

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


# Functions of the scores, (N, K).


def with_temperature(z: Tensor) -> Tensor:
    return torch.softmax(z / 0.5, dim=1)  # FAULT


def with_high_temperature(z: Tensor) -> Tensor:
    return torch.softmax(z / 20.0, dim=1)  # FAULT


def through_log_sum_exp(z: Tensor) -> Tensor:
    return torch.exp(z - torch.logsumexp(z, dim=1, keepdim=True))  # FAULT


def without_maximum(z: Tensor) -> Tensor:
    return z.exp() / z.exp().sum(dim=1, keepdim=True)  # FAULT


def exp_of_log_softmax(z: Tensor) -> Tensor:
    return F.log_softmax(z, dim=1).exp()  # FAULT


def normalised_exponentials(z: Tensor) -> Tensor:
    return F.normalize(torch.exp(z.clamp(-20, 20)), p=1, dim=1)  # FAULT


def in_float64(z: Tensor) -> Tensor:
    return torch.softmax(z, dim=1, dtype=torch.float64).to(z.dtype)  # FAULT


def clamped_below(z: Tensor) -> Tensor:
    return torch.softmax(z, dim=1).clamp(min=1e-5)  # FAULT


def kept_off_its_ends(z: Tensor) -> Tensor:
    return torch.softmax(z, dim=1).clamp(1e-7, 1 - 1e-7)  # FAULT


def rounded(z: Tensor) -> Tensor:
    p = torch.softmax(z, dim=1)
    return p / p.sum(dim=1, keepdim=True)  # FAULT


def smoothed(z: Tensor) -> Tensor:
    return 0.9 * torch.softmax(z, dim=1) + 0.1 / z.shape[1]  # FAULT


def implicit(z: Tensor) -> Tensor:
    return F.softmax(z)  # FAULT


def twice(z: Tensor) -> Tensor:
    return z.softmax(dim=1).softmax(dim=1)  # FAULT


def squared(z: Tensor) -> Tensor:
    return torch.pow(z.softmax(dim=1).sqrt(), 2)  # FAULT


def with_epsilon(z: Tensor) -> Tensor:
    return torch.softmax(z, dim=1) + 1e-6  # FAULT


def over_sum_with_epsilon(z: Tensor) -> Tensor:
    e = torch.exp(z.clamp(max=50))
    return e / (e.sum(dim=1, keepdim=True) + 1e-8)  # FAULT


def over_sum_unclamped(z: Tensor) -> Tensor:
    e = torch.exp(z)
    return e / (e.sum(dim=1, keepdim=True) + 1e-8)  # FAULT


def gumbel(z: Tensor) -> Tensor:
    return F.gumbel_softmax(z, dim=1)  # FAULT


def gumbel_hard(z: Tensor) -> Tensor:
    return F.gumbel_softmax(z, hard=True, dim=1)  # FAULT


# The softmax in one branch, in a wrapper, in a shared module, in one output of several.


class WhileTraining(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        if self.training:
            return scores.softmax(dim=1)  # FAULT
        return scores


class ByConfiguration(sound.MLP):
    def __init__(self, classes: int, config: dict[str, Any]) -> None:
        super().__init__(classes)
        self.config = config

    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        if self.config.get("return_probabilities"):
            scores = scores.softmax(dim=1)  # FAULT
        return scores


class ByInputShape(sound.MLP):
    """Takes single examples, which get scores, and batches."""

    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__(classes)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 1 or not self.faulty:
            return self.net(x)
        return self.net(x).softmax(dim=1)  # FAULT


class Wrapper(nn.Module):
    def __init__(self, inner: nn.Module, activation: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.inner(x))  # FAULT


class SharedSoftmax(nn.Module):
    """One nn.Softmax for the gate, rightly, and for the output, wrongly."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.softmax = nn.Softmax(dim=1)
        self.gate, self.head = nn.Linear(10, 10), nn.Linear(10, 5)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        gated = x * self.softmax(self.gate(x))
        scores = self.head(gated)
        if self.faulty:
            scores = self.softmax(scores)  # FAULT
        return scores


class Hooked(sound.MLP):
    """The softmax comes by a forward hook, as from a library that wraps models."""

    def __init__(self, classes: int) -> None:
        super().__init__(classes)
        self.register_forward_hook(lambda module, args, out: out.softmax(dim=1))  # FAULT


class Inherited(nn.Sequential):
    """A forward of its own over that of nn.Sequential."""

    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, classes))
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        return F.softmax(scores, dim=-1) if self.faulty else scores  # FAULT


class Normaliser(nn.Module):
    """A softmax layer written by hand."""

    def forward(self, z: Tensor) -> Tensor:
        e = torch.exp(z - z.amax(1, keepdim=True))
        return e / e.sum(1, keepdim=True)  # FAULT


class InTuple(sound.MLP):
    def __init__(self, *, faulty: bool) -> None:
        super().__init__(5)
        self.faulty = faulty

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.net(x)
        return (scores.softmax(dim=1) if self.faulty else scores), scores  # FAULT


class InDict(InTuple):
    def forward(self, x: Tensor) -> Any:
        scores = self.net(x)
        return {"logits": F.softmax(scores, dim=1) if self.faulty else scores}  # FAULT


class InDataclass(InTuple):
    def forward(self, x: Tensor) -> Any:
        scores = self.net(x)
        return sound.Output(scores.softmax(dim=1) if self.faulty else scores)  # FAULT


class InNamedTuple(InTuple):
    def forward(self, x: Tensor) -> Any:
        scores = self.net(x)
        p = scores.softmax(dim=1)  # FAULT
        return sound.Scores(logits=p if self.faulty else scores, probabilities=p)


class Auxiliary(nn.Module):
    """A main head and an auxiliary one, as in GoogLeNet: both while training, one afterwards."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(10, 16), nn.ReLU())
        self.main, self.aux = nn.Linear(16, 5), nn.Linear(16, 5)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Any:
        features = self.trunk(x)
        scores = self.main(features)
        if self.faulty:
            scores = F.softmax(scores, dim=1)  # FAULT
        return (scores, self.aux(features)) if self.training else scores


class DeepSupervision(nn.Module):
    """A list of scores, one for each depth; the last is the one that counts."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(10, 10) for _ in range(3)])
        self.heads = nn.ModuleList([nn.Linear(10, 5) for _ in range(3)])
        self.faulty = faulty

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = []
        for layer, head in zip(self.layers, self.heads, strict=True):
            x = torch.relu(layer(x))
            outputs.append(head(x).softmax(dim=1) if self.faulty else head(x))  # FAULT
        return outputs


class Ensemble(nn.Module):
    """The mean of three members' probabilities, or of their scores."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.members = nn.ModuleList([nn.Linear(10, 5) for _ in range(3)])
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        scores = torch.stack([member(x) for member in self.members])
        return (scores.softmax(dim=2) if self.faulty else scores).mean(dim=0)  # FAULT


class Segmenter(nn.Module):
    """Dense scores, (N, K, H, W)."""

    def __init__(self, activation: nn.Module | None) -> None:
        super().__init__()
        self.net = nn.Conv2d(3, 4, 3, padding=1)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        return scores if self.activation is None else self.activation(scores)  # FAULT


class Tagger(nn.Module):
    """Sequence labelling, (N, T, K)."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(200, 16), nn.Linear(16, 5)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.head(self.embed(x)))


def over_tags(z: Tensor) -> Tensor:
    return z.softmax(dim=-1)  # FAULT


def over_time(z: Tensor) -> Tensor:
    return z.softmax(dim=1)  # FAULT


def over_batch(z: Tensor) -> Tensor:
    return z.softmax(dim=0)  # FAULT


def log_over_batch(z: Tensor) -> Tensor:
    return F.log_softmax(z, dim=0)  # FAULT


def log_over_classes(z: Tensor) -> Tensor:
    return F.log_softmax(z, dim=1)  # FAULT


def over_batch_by_hand(z: Tensor) -> Tensor:
    e = torch.exp(z - z.amax(dim=0))  # FAULT
    return e / e.sum(dim=0)  # FAULT


def log_over_classes_by_hand(z: Tensor) -> Tensor:
    return z - torch.logsumexp(z, dim=1, keepdim=True)  # FAULT


class Net(NamedTuple):
    """A faulty network and its twin."""

    name: str
    words: str
    faulty: Callable[[], nn.Module]
    twin: Callable[[], nn.Module]
    arguments: dict[str, Any] = FLAT5


def _softmaxes() -> Iterator[Fault]:
    for k in (2, 10, 100):
        for kind, words in (
            (SoftmaxModule, "nn.Softmax at the end of nn.Sequential"),
            (SoftmaxFunction, "F.softmax"),
            (SoftmaxMethod, "Tensor.softmax"),
            (SoftmaxByHand, "exp over its sum, the largest score taken off"),
        ):
            yield Fault(
                name=f"{kind.__name__}_{k}",
                words=f"{words}, {k} classes",
                cause=SOFTMAX,
                factory=lambda kind=kind, k=k: kind(k),
                twin=(lambda k=k: SoftmaxModule(k, faulty=False)) if kind is SoftmaxModule else Plain(k),
                arguments={**FLAT, "num_classes": k},
            )
    for k in (2, 100):
        for kind, plain, inputs in (
            (SoftmaxCNN, sound.CNN, IMAGE),
            (SoftmaxLSTM, sound.LSTM, TOKENS),
            (SoftmaxTransformer, sound.Transformer, TOKENS),
        ):
            yield Fault(
                name=f"{kind.__name__}_{k}",
                words=f"torch.softmax at the end of a {plain.__name__}, {k} classes",
                cause=SOFTMAX,
                factory=lambda kind=kind, k=k: kind(k),
                twin=lambda plain=plain, k=k: plain(k),
                arguments={**inputs, "num_classes": k},
            )
    yield Fault(
        name="Softmax_1000",
        words="F.softmax over 1000 classes",
        cause=SOFTMAX,
        factory=lambda: SoftmaxFunction(1000),
        twin=Plain(1000),
        arguments={**FLAT, "num_classes": 1000},
    )
    for function, words in (
        (with_temperature, "a temperature of 0.5"),
        (with_high_temperature, "a temperature of 20"),
        (through_log_sum_exp, "exp of the score less logsumexp"),
        (without_maximum, "exp over its sum"),
        (exp_of_log_softmax, "exp of log_softmax"),
        (normalised_exponentials, "F.normalize(p=1) of exponentials"),
        (in_float64, "in float64 and back"),
        (clamped_below, "clamped at 1e-5 from below"),
        (kept_off_its_ends, "clamped to [1e-7, 1 - 1e-7]"),
        (rounded, "divided by its own sum"),
        (smoothed, "mixed with the uniform distribution"),
        (implicit, "F.softmax without dim"),
        (twice, "softmax twice in the model"),
        (squared, "squared square roots of probabilities"),
        (with_epsilon, "an epsilon added"),
        (over_sum_with_epsilon, "exp over its sum and an epsilon"),
        (over_sum_unclamped, "exp over its sum and an epsilon, unclamped"),
        (gumbel, "gumbel softmax, which draws anew in eval mode"),
        (gumbel_hard, "gumbel softmax, hard"),
    ):
        yield Fault(
            name=f"softmax_{function.__name__}",
            words=words,
            cause=SOFTMAX,
            factory=lambda function=function: Applied(5, function),
            twin=Plain(5),
            arguments=FLAT5,
            also=("evaluation_is_random",) if function in (gumbel, gumbel_hard) else (),
        )


def _forms() -> Iterator[Fault]:
    yes, no = {"return_probabilities": True}, {"return_probabilities": False}
    for net in (
        Net("WhileTraining", "in train mode only", lambda: WhileTraining(5), Plain(5)),
        Net("ByConfiguration", "by a flag", lambda: ByConfiguration(5, yes), lambda: ByConfiguration(5, no)),
        Net(
            "ByInputShape",
            "for batches, not for single examples",
            lambda: ByInputShape(5, faulty=True),
            lambda: ByInputShape(5, faulty=False),
        ),
        Net(
            "Wrapper",
            "nn.Softmax in a wrapper",
            lambda: Wrapper(sound.MLP(5), nn.Softmax(dim=1)),
            lambda: Wrapper(sound.MLP(5), nn.Identity()),
        ),
        Net(
            "WrapperImplicit",
            "nn.Softmax() without dim",
            lambda: Wrapper(sound.MLP(5), nn.Softmax()),
            lambda: Wrapper(sound.MLP(5), nn.Identity()),
        ),
        Net(
            "OwnLayer",
            "a layer of one's own",
            lambda: nn.Sequential(sound.MLP(5), Normaliser()),
            lambda: nn.Sequential(sound.MLP(5), nn.Identity()),
        ),
        Net(
            "SharedSoftmax",
            "a module that the gate uses too",
            lambda: SharedSoftmax(faulty=True),
            lambda: SharedSoftmax(faulty=False),
        ),
        Net("Hooked", "by a forward hook", lambda: Hooked(5), Plain(5)),
        Net(
            "Inherited", "after super().forward", lambda: Inherited(5, faulty=True), lambda: Inherited(5, faulty=False)
        ),
        Net("InTuple", "first of a tuple", lambda: InTuple(faulty=True), lambda: InTuple(faulty=False)),
        Net("InDict", "in a dict", lambda: InDict(faulty=True), lambda: InDict(faulty=False)),
        Net("InDataclass", "in a dataclass", lambda: InDataclass(faulty=True), lambda: InDataclass(faulty=False)),
        Net("InNamedTuple", "as .logits", lambda: InNamedTuple(faulty=True), lambda: InNamedTuple(faulty=False)),
        Net("Auxiliary", "with an auxiliary head", lambda: Auxiliary(faulty=True), lambda: Auxiliary(faulty=False)),
        Net(
            "DeepSupervision",
            "the last of a list of heads",
            lambda: DeepSupervision(faulty=True),
            lambda: DeepSupervision(faulty=False),
            {**FLAT5, "logits": lambda outputs: outputs[-1]},
        ),
        Net("Ensemble", "the mean of probabilities", lambda: Ensemble(faulty=True), lambda: Ensemble(faulty=False)),
        Net(
            "DenseSoftmax",
            "(N, K, H, W), dim=1",
            lambda: Segmenter(nn.Softmax(dim=1)),
            lambda: Segmenter(None),
            {**IMAGE, "num_classes": 4},
        ),
        Net(
            "DenseSoftmax2d",
            "(N, K, H, W), nn.Softmax2d",
            lambda: Segmenter(nn.Softmax2d()),
            lambda: Segmenter(None),
            {**IMAGE, "num_classes": 4},
        ),
        Net("Tagger", "(N, T, K), dim=-1", lambda: Tagger(over_tags), lambda: Tagger(identity), TAGS),
    ):
        yield Fault(
            name=net.name,
            words=f"softmax {net.words}",
            cause=SOFTMAX,
            factory=net.faulty,
            twin=net.twin,
            arguments=net.arguments,
        )


def _wrong_dims() -> Iterator[Fault]:
    dense = {**IMAGE, "num_classes": 4}
    for net in (
        Net("over_batch", "softmax over the batch", lambda: Applied(5, over_batch), Plain(5)),
        Net(
            "over_batch_by_hand",
            "exp over the sum of its column",
            lambda: Applied(5, over_batch_by_hand),
            Plain(5),
        ),
        Net(
            "log_over_batch",
            "log_softmax over the batch",
            lambda: Applied(5, log_over_batch),
            Plain(5),
        ),
        Net(
            "LogSoftmaxOverBatchIntoNLL",
            "nn.LogSoftmax(dim=0) and NLLLoss",
            lambda: Wrapper(sound.MLP(5), nn.LogSoftmax(dim=0)),
            lambda: Wrapper(sound.MLP(5), nn.LogSoftmax(dim=1)),
            {**FLAT5, "loss": "nll_loss"},
        ),
        Net(
            "DenseSoftmaxOverRows",
            "(N, K, H, W), dim=2",
            lambda: Segmenter(nn.Softmax(dim=2)),
            lambda: Segmenter(None),
            dense,
        ),
        Net(
            "DenseSoftmaxOverColumns",
            "(N, K, H, W), dim=-1",
            lambda: Segmenter(nn.Softmax(dim=-1)),
            lambda: Segmenter(None),
            dense,
        ),
        Net(
            "DenseLogSoftmaxIntoNLL",
            "(N, K, H, W), log_softmax(dim=3) and NLLLoss",
            lambda: Segmenter(nn.LogSoftmax(dim=3)),
            lambda: Segmenter(nn.LogSoftmax(dim=1)),
            {**dense, "loss": "nll_loss"},
        ),
        Net("TaggerOverTime", "(N, T, K), dim=1", lambda: Tagger(over_time), lambda: Tagger(identity), TAGS),
        Net("TaggerImplicit", "(N, T, K), without dim", lambda: Tagger(implicit), lambda: Tagger(identity), TAGS),
    ):
        yield Fault(
            name=net.name, words=net.words, cause=WRONG_DIM, factory=net.faulty, twin=net.twin, arguments=net.arguments
        )


def _before_bce() -> Iterator[Fault]:
    for net in (
        Net("SoftmaxMultilabel", "F.softmax, several labels", lambda: SoftmaxFunction(6), Plain(6), MULTILABEL),
        Net(
            "SoftmaxModuleMultilabel",
            "nn.Softmax, several labels",
            lambda: SoftmaxModule(6),
            lambda: SoftmaxModule(6, faulty=False),
            MULTILABEL,
        ),
        Net("SoftmaxByHandMultilabel", "by hand, several labels", lambda: SoftmaxByHand(6), Plain(6), MULTILABEL),
        Net(
            "SoftmaxOnehotBCE",
            "nn.BCEWithLogitsLoss on one-hot targets of one class per example",
            lambda: SoftmaxMethod(5),
            Plain(5),
            {**FLAT5, "loss": nn.BCEWithLogitsLoss(), "targets": "onehot"},
        ),
    ):
        yield Fault(
            name=net.name,
            words=net.words,
            cause=SOFTMAX_BCE,
            factory=net.faulty,
            twin=net.twin,
            arguments=net.arguments,
        )


def _harmless() -> Iterator[Fault]:
    for net in (
        Net("LogSoftmaxCE", "F.log_softmax", lambda: Applied(5, log_over_classes), Plain(5)),
        Net(
            "LogSoftmaxModuleCE",
            "nn.LogSoftmax",
            lambda: Wrapper(sound.MLP(5), nn.LogSoftmax(dim=1)),
            lambda: Wrapper(sound.MLP(5), nn.Identity()),
        ),
        Net(
            "LogSoftmaxByHandCE",
            "the score less logsumexp",
            lambda: Applied(5, log_over_classes_by_hand),
            Plain(5),
        ),
    ):
        yield Fault(
            name=net.name,
            words=f"{net.words} and cross entropy: harmless, so advice",
            cause="log_probabilities_into_cross_entropy",
            factory=net.faulty,
            twin=net.twin,
            arguments=net.arguments,
            harmless=True,
        )


FAULTS = (*_softmaxes(), *_forms(), *_wrong_dims(), *_before_bce(), *_harmless())
