"""Outputs that depend on what they should not: on other examples, on chance, or not on the input."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo import sound
from tests.zoo.entry import Fault
from tests.zoo.sound import FLAT, TOKENS, Applied, Plain

LEAK = "examples_leak_across_batch"
RANDOM = "evaluation_is_random"
IGNORED = "output_ignores_input"
NOT_FINITE = "non_finite_values"
FLAT3 = {**FLAT, "num_classes": 3}
FLAT5 = {**FLAT, "num_classes": 5}
SEQUENCE = {"input_shape": (6, 10), "num_classes": 3}


# Functions of the scores, or of the features.


def centred_over_batch(z: Tensor) -> Tensor:
    return z - z.mean(dim=0)  # FAULT


def over_largest_of_batch(z: Tensor) -> Tensor:
    return 5 * z / z.abs().max()  # FAULT


def accumulated(z: Tensor) -> Tensor:
    return z.cumsum(dim=0)  # FAULT


def transposed_view(z: Tensor) -> Tensor:
    return z.t().reshape(len(z), -1)  # FAULT


def attention_over_batch(z: Tensor) -> Tensor:
    weights = torch.softmax(z @ z.t(), dim=1)  # FAULT
    return z + weights @ z


def always_batch_norm(z: Tensor) -> Tensor:
    return F.batch_norm(z, None, None, training=True)  # FAULT


class MixesRows(sound.MLP):
    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__(classes)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        if self.faulty:
            x = x.t().reshape(len(x), -1)  # FAULT
        return self.net(x)


class AttentionOverBatch(nn.Module):
    """Multi-head attention without ``batch_first`` attends over the batch."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(10, 2, batch_first=not faulty)
        self.head = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x, x, x, need_weights=False)[0]  # FAULT
        return self.head(x.mean(dim=1))


class PermutedView(nn.Module):
    """(N, T, C) to (T, N, C), and back by a view instead of a transpose."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(10, 4), nn.Linear(24, 3)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        steps = self.layer(x.transpose(0, 1))
        rows = steps.reshape(len(x), -1) if self.faulty else steps.transpose(0, 1).flatten(1)  # FAULT
        return self.head(rows)


class StepsFirst(nn.Module):
    """A GRU that takes the steps first is given the batch first."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(10, 8, batch_first=not faulty), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.rnn(x)  # FAULT
        return self.head(out[:, -1])


class Normed(nn.Module):
    """A network with BatchNorm, for what goes wrong with it in eval mode."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(10, 8), nn.Linear(8, 3)
        self.norm = nn.BatchNorm1d(8)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.layer(x))))  # FAULT


class NoRunningStatistics(Normed):
    def __init__(self, *, faulty: bool) -> None:
        super().__init__(faulty=faulty)
        self.norm = nn.BatchNorm1d(8, track_running_stats=not faulty)


class NormKeptInTrainMode(Normed):
    def train(self, mode: bool = True) -> nn.Module:
        super().train(mode)
        if self.faulty:
            self.norm.train()
        return self


class EvalDoesNothing(Normed):
    def eval(self) -> nn.Module:
        return self if self.faulty else super().eval()


class TrainInForward(Normed):
    def forward(self, x: Tensor) -> Tensor:
        if self.faulty:
            self.train()
        return super().forward(x)


def _leaks() -> Iterator[Fault]:
    for function, words in (
        (centred_over_batch, "less the mean over the batch"),
        (over_largest_of_batch, "over the largest of the batch"),
        (accumulated, "cumsum over the batch"),
        (transposed_view, "transposed and reshaped scores"),
        (attention_over_batch, "attention to the other examples"),
        (always_batch_norm, "F.batch_norm(training=True)"),
    ):
        yield Fault(
            name=function.__name__,
            words=words,
            cause=LEAK,
            factory=lambda function=function: Applied(5, function),
            twin=Plain(5),
            arguments=FLAT5,
        )
    rows: list[tuple[Callable[..., nn.Module], str, dict[str, Any]]] = [
        (AttentionOverBatch, "attention without batch_first", SEQUENCE),
        (PermutedView, "a view instead of a transpose", SEQUENCE),
        (StepsFirst, "a GRU without batch_first", SEQUENCE),
        (NoRunningStatistics, "BatchNorm without running statistics", FLAT3),
        (NormKeptInTrainMode, "train() keeps BatchNorm in train mode", FLAT3),
        (EvalDoesNothing, "eval() overridden to do nothing", FLAT3),
        (TrainInForward, "self.train() in forward", FLAT3),
    ]
    yield Fault(
        name="MixesRows",
        words="transposed and reshaped inputs",
        cause=LEAK,
        factory=lambda: MixesRows(3, faulty=True),
        twin=lambda: MixesRows(3, faulty=False),
        arguments=FLAT3,
    )
    for kind, words, arguments in rows:
        yield Fault(
            name=kind.__name__,
            words=words,
            cause=LEAK,
            factory=lambda kind=kind: kind(faulty=True),
            twin=lambda kind=kind: kind(faulty=False),
            arguments=arguments,
        )


# Chance.


def always_dropped(z: Tensor) -> Tensor:
    return F.dropout(z)  # FAULT


def alpha_dropped(z: Tensor) -> Tensor:
    return z * F.alpha_dropout(torch.ones_like(z), 0.3, True)  # FAULT


def fresh_dropout_module(z: Tensor) -> Tensor:
    return nn.Dropout(0.3)(z)  # FAULT


def noisy(z: Tensor) -> Tensor:
    return z + 0.1 * torch.randn_like(z)  # FAULT


def masked_at_random(z: Tensor) -> Tensor:
    return z * torch.bernoulli(torch.full_like(z, 0.8))  # FAULT


def flipped_at_random(z: Tensor) -> Tensor:
    return -z if random.random() < 0.5 else z


class Dropped(sound.MLP):
    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__(classes)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        if self.faulty:
            return self.net(F.dropout(x, p=0.3))  # FAULT
        return self.net(F.dropout(x, p=0.3, training=self.training))


class Sampled(nn.Module):
    """A variational layer that samples in eval mode as well."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.mean, self.scale, self.head = nn.Linear(10, 8), nn.Linear(10, 8), nn.Linear(8, 3)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.mean(x)
        if self.training or self.faulty:
            hidden = hidden + self.scale(x).exp() * torch.randn_like(hidden)  # FAULT
        return self.head(hidden)


class DropPath(sound.MLP):
    """Stochastic depth that stays on: the hidden layer is skipped one time in five."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__(3)
        self.skip, self.faulty = nn.Linear(10, 3), faulty

    def forward(self, x: Tensor) -> Tensor:
        if (self.training or self.faulty) and torch.rand(()) < 0.2:  # FAULT
            return self.skip(x)
        return self.skip(x) + self.net(x)


class KeptOnByEval(nn.Module):
    """``eval`` overridden to do nothing; dropout stays on."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
        self.faulty = faulty

    def eval(self) -> nn.Module:
        return self if self.faulty else super().eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)  # FAULT


class KeptOnByForward(KeptOnByEval):
    def eval(self) -> nn.Module:
        return nn.Module.eval(self)

    def forward(self, x: Tensor) -> Tensor:
        if self.faulty:
            self.train()
        return self.net(x)  # FAULT


class DropoutNet(sound.MLP):
    """Noise that stays on, in a class whose name says Dropout; ``train`` is overridden to keep train mode."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__(3)
        self.faulty = faulty

    def train(self, mode: bool = True) -> nn.Module:
        return super().train(mode or self.faulty)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x + torch.randn_like(x)) if self.training else self.net(x)  # FAULT


def _random() -> Iterator[Fault]:
    for function, words in (
        (always_dropped, "F.dropout on the scores"),
        (alpha_dropped, "F.alpha_dropout, True given by position"),
        (fresh_dropout_module, "nn.Dropout made in forward"),
        (noisy, "noise added"),
        (masked_at_random, "a mask drawn by bernoulli"),
        (flipped_at_random, "random.random()"),
    ):
        yield Fault(
            name=function.__name__,
            words=words,
            cause=RANDOM,
            factory=lambda function=function: Applied(5, function),
            twin=Plain(5),
            arguments=FLAT5,
            # Python's own random numbers leave no trace in torch.
            located=function is not flipped_at_random,
        )
    for kind, words in (
        (Sampled, "a sample of a variational layer"),
        (DropPath, "stochastic depth that stays on"),
        (KeptOnByEval, "nn.Dropout, eval() overridden to do nothing"),
        (KeptOnByForward, "nn.Dropout, self.train() in forward"),
        (DropoutNet, "noise, train(False) overridden to train"),
    ):
        yield Fault(
            name=kind.__name__,
            words=words,
            cause=RANDOM,
            factory=lambda kind=kind: kind(faulty=True),
            twin=lambda kind=kind: kind(faulty=False),
            arguments=FLAT3,
        )
    yield Fault(
        name="Dropped",
        words="F.dropout without training=",
        cause=RANDOM,
        factory=lambda: Dropped(3, faulty=True),
        twin=lambda: Dropped(3, faulty=False),
        arguments=FLAT3,
    )


# The global seed.


class Reseeded(sound.MLP):
    """Dropout from a seed that forward sets."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__(3)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        if self.faulty:
            torch.manual_seed(0)  # FAULT
        return self.net(F.dropout(x, 0.3, training=self.training))


class ReseededNoise(Reseeded):
    """Noise that is the same for each batch, in eval mode as well."""

    def forward(self, x: Tensor) -> Tensor:
        if self.faulty:
            torch.manual_seed(0)  # FAULT
        rng = None if self.faulty else torch.Generator().manual_seed(0)
        return self.net(x + 0.1 * torch.randn(x.shape, generator=rng))


class ReseededPython(Reseeded):
    def forward(self, x: Tensor) -> Tensor:
        if self.faulty:
            random.seed(0)  # FAULT
        return self.net(x)


class ReseededDropoutAlways(Reseeded):
    """The seed makes dropout that stays on look deterministic."""

    def forward(self, x: Tensor) -> Tensor:
        if self.faulty:
            torch.manual_seed(0)  # FAULT
            return self.net(F.dropout(x, 0.3))
        return self.net(x)


def _reseeded() -> Iterator[Fault]:
    for kind, words in (
        (Reseeded, "torch.manual_seed before dropout"),
        (ReseededNoise, "torch.manual_seed before noise, in eval mode as well"),
        (ReseededPython, "random.seed"),
        (ReseededDropoutAlways, "torch.manual_seed before dropout that stays on"),
    ):
        yield Fault(
            name=kind.__name__,
            words=words,
            cause="random_state_reset",
            factory=lambda kind=kind: kind(faulty=True),
            twin=lambda kind=kind: kind(faulty=False),
            arguments=FLAT3,
        )


# Inputs that go unused.


class Zeroed(sound.MLP):
    def __init__(self, classes: int, *, faulty: bool) -> None:
        super().__init__(classes)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        return self.net(torch.zeros_like(x) if self.faulty else x)


class MaskedOut(Zeroed):
    """A mask that keeps nothing."""

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.ones_like(x)
        return self.net(x * (mask - 1 if self.faulty else mask))


class WrongName(Zeroed):
    """The features are computed, and the bias is what the head is given."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.net[0](x)
        if self.faulty:
            hidden = self.net[0].bias.expand(len(x), -1)
        return self.net[2](torch.relu(hidden))


class PositionsOnly(nn.Module):
    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.tokens, self.positions, self.head = nn.Embedding(200, 8), nn.Embedding(12, 8), nn.Linear(8, 3)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        positions = torch.arange(x.shape[1]).expand(len(x), -1)
        embedded = self.positions(positions)
        if not self.faulty:
            embedded = embedded + self.tokens(x)
        return self.head(embedded.mean(dim=1))


class SoftmaxOfOne(Zeroed):
    """Attention over a single position is 1, and the value is a parameter."""

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.net[0](x)
        weight = hidden.mean(dim=1, keepdim=True).softmax(dim=1) if self.faulty else hidden.mean(dim=1, keepdim=True)
        return self.net[2](weight * self.net[0].bias)


def _ignored() -> Iterator[Fault]:
    for kind, words in (
        (Zeroed, "zeros_like"),
        (MaskedOut, "a mask of zeros"),
        (WrongName, "the bias instead of the features"),
        (SoftmaxOfOne, "softmax over a single position"),
    ):
        yield Fault(
            name=kind.__name__,
            words=words,
            cause=IGNORED,
            factory=lambda kind=kind: kind(3, faulty=True),
            twin=lambda kind=kind: kind(3, faulty=False),
            arguments=FLAT3,
            located=False,
        )
    yield Fault(
        name="PositionsOnly",
        words="positions without tokens",
        cause=IGNORED,
        factory=lambda: PositionsOnly(faulty=True),
        twin=lambda: PositionsOnly(faulty=False),
        arguments={**TOKENS, "num_classes": 3},
        located=False,
    )


# NaN and infinity.


def log_of_negative(z: Tensor) -> Tensor:
    return (z - z.amax(dim=1, keepdim=True)).log()  # FAULT


def root_of_negative(z: Tensor) -> Tensor:
    return z.sqrt()  # FAULT


def zero_over_zero(z: Tensor) -> Tensor:
    return z * (z - z).div(z - z)  # FAULT


def exp_of_exp(z: Tensor) -> Tensor:
    return (40 * z).exp().exp()  # FAULT


def log_of_clipped(z: Tensor) -> Tensor:
    return torch.log(torch.relu(z))  # FAULT


def all_masked(z: Tensor) -> Tensor:
    return z.masked_fill(z < z.amax(dim=1, keepdim=True) + 1, -torch.inf).log_softmax(dim=1)  # FAULT


def _not_finite() -> Iterator[Fault]:
    for function, words in (
        (log_of_negative, "the log of a negative number"),
        (root_of_negative, "the root of a negative number"),
        (zero_over_zero, "0 / 0"),
        (exp_of_exp, "exp of exp"),
        (log_of_clipped, "the log of a ReLU"),
        (all_masked, "log_softmax of rows that are masked altogether"),
    ):
        yield Fault(
            name=function.__name__,
            words=words,
            cause=NOT_FINITE,
            factory=lambda function=function: Applied(5, function),
            twin=Plain(5),
            arguments=FLAT5,
        )


FAULTS = (*_leaks(), *_random(), *_reseeded(), *_ignored(), *_not_finite())
