"""Outputs of the wrong shape: a batch axis that goes missing, too many or too few scores, one column for a softmax."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo import sound
from tests.zoo.entry import Factory, Fault
from tests.zoo.sound import BINARY, FLAT, IMAGE, TOKENS, Plain

SHAPE = "output_shape_depends_on_batch"


class SqueezeAll(nn.Module):
    def __init__(self, *, faulty: bool = True) -> None:
        super().__init__()
        self.head = nn.Linear(10, 1)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x).squeeze() if self.faulty else self.head(x).squeeze(1)  # FAULT


class SqueezeFunction(SqueezeAll):
    def forward(self, x: Tensor) -> Tensor:
        scores = self.head(x)
        return torch.squeeze(scores) if self.faulty else torch.squeeze(scores, dim=-1)  # FAULT


class SqueezeInside(nn.Module):
    def __init__(self, *, faulty: bool = True) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(3, 4)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        features = self.pool(x)
        features = features.squeeze() if self.faulty else features.flatten(1)  # FAULT
        return self.head(features)


class SqueezedState(nn.Module):
    """The last state of a recurrent net is (1, N, H)."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.embed, self.rnn, self.head = nn.Embedding(200, 8), nn.GRU(8, 8, batch_first=True), nn.Linear(8, 3)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        _, state = self.rnn(self.embed(x))
        state = state.squeeze() if self.faulty else state.squeeze(0)  # FAULT
        return self.head(state)


class Unbatched(nn.Module):
    """A batch of one is taken for a single example."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.head = nn.Linear(10, 3)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        scores = self.head(x)
        if self.faulty and len(x) == 1:
            scores = scores[0]  # FAULT
        return scores


class LastOfBatch(nn.Module):
    """``out[-1]`` is the last step where the batch comes second; here it comes first."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.embed, self.rnn, self.head = nn.Embedding(200, 8), nn.GRU(8, 8, batch_first=True), nn.Linear(8, 3)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.rnn(self.embed(x))
        last = out[-1] if self.faulty else out[:, -1]  # FAULT
        return self.head(last)


class FixedView(nn.Module):
    """Features are viewed by a number that fits another image size: positions become rows."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(64 if faulty else 256, 4)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(x)
        features = features.view(-1, 64) if self.faulty else features.view(len(features), -1)  # FAULT
        return self.head(features)


class FirstOnly(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)[0]  # FAULT


class Flattened(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).flatten()  # FAULT


class MeanOverBatch(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).mean(dim=0)  # FAULT


def _shapes() -> Iterator[Fault]:
    images, tokens = {**IMAGE, "num_classes": 4}, {**TOKENS, "num_classes": 3}
    three = {**FLAT, "num_classes": 3}
    rows: list[tuple[Callable[..., nn.Module], str, dict[str, Any]]] = [
        (SqueezeAll, "squeeze() of (N, 1)", BINARY),
        (SqueezeFunction, "torch.squeeze of (N, 1)", BINARY),
        (SqueezeInside, "squeeze() of pooled features", images),
        (SqueezedState, "squeeze() of the state of a GRU", tokens),
        (Unbatched, "a batch of one loses its axis", three),
        (LastOfBatch, "out[-1] of a GRU with batch_first", tokens),
        (FixedView, "view(-1, 64) of larger features", images),
    ]
    for kind, words, arguments in rows:
        yield Fault(
            name=kind.__name__,
            words=words,
            cause=SHAPE,
            factory=lambda kind=kind: kind(faulty=True),
            twin=lambda kind=kind: kind(faulty=False),
            arguments=arguments,
        )
    for plain, words in (
        (FirstOnly, "the first row only"),
        (Flattened, "flatten()"),
        (MeanOverBatch, "the mean of all rows"),
    ):
        yield Fault(
            name=plain.__name__,
            words=words,
            cause=SHAPE,
            factory=lambda plain=plain: plain(3),
            twin=Plain(3),
            arguments=three,
        )


def _numbers() -> Iterator[Fault]:
    rows: list[tuple[str, str, Factory, Factory, dict[str, Any]]] = [
        (
            "PretrainedHead",
            "1000 scores, 10 classes",
            Plain(1000),
            Plain(10),
            {"num_classes": 10},
        ),
        (
            "OneTooMany",
            "a score for a background class",
            Plain(4),
            Plain(3),
            {"num_classes": 3},
        ),
        ("OneTooFew", "3 scores, 4 classes", Plain(3), Plain(4), {"num_classes": 4}),
        (
            "TwoForBCE",
            "2 scores and BCE with logits",
            Plain(2),
            Plain(1),
            {"num_classes": 2, "task": "binary"},
        ),
        (
            "TooManyLabels",
            "6 labels, 8 scores",
            Plain(8),
            Plain(6),
            {"num_classes": 6, "task": "multilabel"},
        ),
    ]
    for name, words, factory, twin, arguments in rows:
        yield Fault(
            name=name,
            words=words,
            cause="wrong_number_of_outputs",
            factory=factory,
            twin=twin,
            arguments={**FLAT, **arguments},
            located=False,
        )


def _single_columns() -> Iterator[Fault]:
    two = {**FLAT, "num_classes": 2}
    twin: dict[str, Any] = {"loss": "bce_with_logits", "task": "binary", "targets": None}
    rows: list[tuple[str, str, Factory, dict[str, Any], dict[str, Any]]] = [
        ("OneColumn", "(N, 1)", lambda: nn.Linear(10, 1), two, twin),
        (
            "OneColumnFloatTargets",
            "(N, 1), float targets (N, 1)",
            lambda: nn.Linear(10, 1),
            {**two, "targets": "column"},
            twin,
        ),
        (
            "OneColumnBinary",
            "(N, 1), nn.CrossEntropyLoss",
            Plain(1),
            {**BINARY, "loss": nn.CrossEntropyLoss()},
            twin,
        ),
        (
            "FlatFloatTargets",
            "(N,) and float targets (N,): one sample of N classes",
            sound.One(),
            {**BINARY, "loss": "cross_entropy", "targets": "float_index"},
            twin,
        ),
        (
            "OneColumnByHand",
            "(N, 1), log_softmax and nll_loss in a loss by hand",
            Plain(1),
            {**two, "loss": cross_entropy_by_hand},
            twin,
        ),
    ]
    for name, words, factory, arguments, twin_arguments in rows:
        yield Fault(
            name=name,
            words=words,
            cause="single_column_cross_entropy",
            factory=factory,
            arguments=arguments,
            twin_arguments=twin_arguments,
            located=False,
        )


def cross_entropy_by_hand(logits: Tensor, targets: Tensor) -> Tensor:
    targets = targets.clamp(max=logits.shape[1] - 1)
    return F.nll_loss(F.log_softmax(logits, dim=1), targets)


FAULTS = (*_shapes(), *_numbers(), *_single_columns())
