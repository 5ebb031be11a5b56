"""Data of the user's own, as ``batches=`` gives it: labels that do not fit, inputs of the wrong size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo import sound, targets
from tests.zoo.entry import Factory, Fault, Trap
from tests.zoo.normalised import MULTILABEL
from tests.zoo.sound import BINARY, FLAT, TOKENS, Plain

FLAT4 = {**FLAT, "num_classes": 4}


@dataclass(frozen=True)
class Batches:
    """Two batches of eight: inputs through one function, class labels through another."""

    labels: Callable[[Tensor], Tensor]
    inputs: Callable[[Tensor], Tensor] = sound.identity
    classes: int = 4

    def __call__(self) -> list[tuple[Tensor, Tensor]]:
        rng = torch.Generator().manual_seed(0)
        x, y = torch.randn(16, 10, generator=rng), torch.arange(16) % self.classes
        return [(self.inputs(x[rows]), self.labels(y[rows])) for rows in (slice(0, 8), slice(8, 16))]


def floats(y: Tensor) -> Tensor:
    return y.float()


def indices(y: Tensor) -> Tensor:
    return y


def multihot(y: Tensor) -> Tensor:
    return F.one_hot(y, 6).float() + F.one_hot(y + 1, 6)


def onehot(y: Tensor) -> Tensor:
    return targets.onehot4(y).float()


def some(y: Tensor) -> Tensor:
    """Three rows of class 1, the rest of class 0."""
    return (torch.arange(len(y)) < 3).float()


def some_column(y: Tensor) -> Tensor:
    return some(y).unsqueeze(1)


def _labels() -> Iterator[Fault]:
    outside, dtype, signed, shares = (
        "labels_out_of_range",
        "wrong_target_dtype",
        "signed_targets",
        "unnormalised_targets",
    )
    four, one, six = (Plain(4), FLAT4, 4), (sound.One(), BINARY, 2), (Plain(6), MULTILABEL, 5)
    rows: list[tuple[str, str, str, tuple[Factory, dict[str, Any], int], Any, Any]] = [
        (outside, "BatchesFromOne", "classes from 1", four, lambda y: y + 1, indices),
        (outside, "BatchesMinusOne", "-1 for unknown", four, lambda y: y.masked_fill(y == 2, -1), indices),
        (outside, "BatchesOfTen", "ten classes for four", four, lambda y: 3 * y, indices),
        (outside, "BatchesPixels", "0 and 255 into BCE with logits", one, lambda y: 255.0 * y, floats),
        (dtype, "BatchesFloat", "float indices", four, floats, indices),
        (dtype, "BatchesInt32", "int32 indices", four, lambda y: y.int(), indices),
        (dtype, "BatchesColumn", "indices (N, 1)", four, lambda y: y.unsqueeze(1), indices),
        (dtype, "BatchesInt64", "int64 into BCE with logits", one, indices, floats),
        (signed, "BatchesSigned", "-1 and 1", one, lambda y: 2.0 * y - 1, floats),
        (signed, "BatchesSignedLabels", "-1 and 1, several labels", six, lambda y: 2 * multihot(y) - 1, multihot),
        (shares, "BatchesVotes", "votes", four, lambda y: 3 * onehot(y) + 1, onehot),
        (shares, "BatchesSmoothed", "smoothing that takes nothing off", four, lambda y: onehot(y) + 0.1, onehot),
    ]
    for cause, name, words, (factory, arguments, classes), wrong, right in rows:
        yield Fault(
            name=name,
            words=f"batches=: {words}",
            cause=cause,
            factory=factory,
            arguments={**arguments, "batches": Batches(wrong, classes=classes)},
            twin_arguments={"batches": Batches(right, classes=classes)},
            located=False,
        )
    for name, words, factory, wrong, right in (
        ("BatchesFlat", "(N,) against logits (N, 1)", sound.One(False), some, some_column),
        ("BatchesColumnByHand", "(N, 1) against logits (N,)", sound.One(), some_column, some),
    ):
        yield Fault(
            name=name,
            words=f"batches=, BCE by hand: {words}",
            cause="broadcast_targets",
            factory=factory,
            # The suite's own targets have the shape of the logits.
            arguments={
                **BINARY,
                "loss": targets.bce_by_hand,
                "targets": "column" if right is some_column else "float_index",
                "batches": Batches(wrong, classes=2),
            },
            twin_arguments={"batches": Batches(right, classes=2)},
        )


def pixels(x: Tensor) -> Tensor:
    return (64 * x + 128).clamp(0, 255).round()


def times(x: Tensor) -> Tensor:
    """Seconds since 1970."""
    return 1.7e9 + 1e4 * x


def shares(x: Tensor) -> Tensor:
    return 1e-4 * x


def with_nan(x: Tensor) -> Tensor:
    return x.masked_fill(x > 1.5, torch.nan)


def over_zero(x: Tensor) -> Tensor:
    return x / x.round()


def logarithms(x: Tensor) -> Tensor:
    return x.relu().log()


def _inputs() -> Iterator[Fault]:
    unscaled, not_finite = "unscaled_inputs", "non_finite_values"
    for cause, name, words, inputs in (
        (unscaled, "Pixels", "raw pixels, 0 to 255: advice", pixels),
        (unscaled, "Times", "seconds since 1970: advice", times),
        (unscaled, "SmallShares", "shares of a ten-thousandth: advice", shares),
        (not_finite, "MissingValues", "NaN for what is missing", with_nan),
        (not_finite, "OverZero", "divided by 0", over_zero),
        (not_finite, "LogarithmsOfZero", "the logarithm of 0", logarithms),
    ):
        yield Fault(
            name=name,
            words=f"batches=: {words}",
            cause=cause,
            factory=Plain(4),
            arguments={**FLAT4, "batches": Batches(indices, inputs)},
            twin_arguments={"batches": Batches(indices)},
            located=False,
            harmless=cause == unscaled,
        )


FAULTS = (*_labels(), *_inputs())


class Normalised(nn.Module):
    """A normalisation as the first layer."""

    def __init__(self, first: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(first, nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Rescales(sound.MLP):
    """Pixels are brought to [0, 1] by the model."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x / 255)


def one_hot_words() -> list[tuple[Tensor, Tensor]]:
    return [(F.one_hot(torch.arange(8) * 300, 3000).float(), torch.arange(8) % 4)]


def rare_class() -> list[tuple[Tensor, Tensor]]:
    """A short stream in which one class is rare and two are missing."""
    rng = torch.Generator().manual_seed(0)
    return [(torch.randn(4, 10, generator=rng), torch.full((4,), int(batch == 7))) for batch in range(8)]


def some_ignored(y: Tensor) -> Tensor:
    return y.masked_fill(y == 1, -100)


def padded(y: Tensor) -> Tensor:
    return torch.where(torch.arange(len(y)) % 3 == 2, 0, y)


def token_batches() -> list[tuple[Tensor, Tensor]]:
    rng = torch.Generator().manual_seed(0)
    return [(torch.randint(0, 200, (8, 12), generator=rng), torch.arange(8) % 4)]


def one_row() -> list[tuple[Tensor, Tensor]]:
    """Batches of one."""
    return [(torch.randn(1, 10, generator=torch.Generator().manual_seed(c)), torch.tensor([c])) for c in range(4)]


def _traps() -> Iterator[Trap]:
    padding = {"loss": nn.CrossEntropyLoss(ignore_index=0)}
    rows: list[tuple[str, str, Factory, dict[str, Any]]] = [
        ("IgnoredLabels", "labels of -100, which the loss ignores", Plain(4), {"batches": Batches(some_ignored)}),
        ("SoftLabels", "soft targets", Plain(4), {"batches": Batches(lambda y: 0.9 * onehot(y) + 0.025)}),
        ("PixelsNormed", "pixels, BatchNorm first", lambda: Normalised(nn.BatchNorm1d(10)), _of(pixels)),
        ("TimesNormed", "pixels, LayerNorm first", lambda: Normalised(nn.LayerNorm(10)), _of(pixels)),
        ("PixelsRescaled", "pixels, divided by 255 in forward", lambda: Rescales(4), _of(pixels)),
        (
            "OneHotWords",
            "one-hot inputs",
            lambda: nn.Linear(3000, 4),
            {"input_shape": (3000,), "batches": one_hot_words},
        ),
        ("RareClass", "batches of one class where another is rare", Plain(4), {"batches": rare_class}),
        ("Percents", "inputs of size 20", Plain(4), _of(lambda x: 20 * x)),
        ("TokenBatches", "token ids", lambda: sound.LSTM(4), {**TOKENS, "batches": token_batches}),
        ("BatchesOfOne", "batches of one row", Plain(4), {"batches": one_row}),
        ("ByteLabels", "uint8 labels, which torch takes", Plain(4), {"batches": Batches(lambda y: y.byte())}),
        ("SmoothBinary", "labels of 0.1 and 0.9", sound.One(), {**BINARY, "batches": Batches(_smooth, classes=2)}),
    ]
    for name, words, factory, more in rows:
        yield Trap(name=name, words=words, factory=factory, arguments={**FLAT4, **more})
    yield Trap(
        name="PaddingClass",
        words="class 0 is padding, which the loss ignores: advice",
        factory=Plain(4),
        arguments={**FLAT4, **padding, "batches": Batches(padded)},
        advice=("no_class_is_privileged",),
    )


def _of(inputs: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    return {"batches": Batches(indices, inputs)}


def _smooth(y: Tensor) -> Tensor:
    return 0.8 * y + 0.1


TRAPS = tuple(_traps())
