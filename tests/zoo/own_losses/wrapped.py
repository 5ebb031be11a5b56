"""Losses as people wrap them: modules with a loss inside, partial, lambda, autocast."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.own_losses.entry import FaultyLoss, Loss, SoundLoss
from tests.zoo.own_losses.focal import BINARY
from tests.zoo.own_losses.plain import ANY, THREE


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ce = nn.CrossEntropyLoss(label_smoothing=0.1)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.ce(logits, targets)


class WrappedSoftmax(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ce = nn.CrossEntropyLoss(label_smoothing=0.1)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.ce(logits.softmax(dim=-1), targets)  # FAULT


class WrappedPrediction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ce = nn.CrossEntropyLoss(label_smoothing=0.1)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.ce(logits, logits.argmax(dim=1))  # FAULT


class WithBuffer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor([1.0, 2.0, 4.0]))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, weight=self.weight)


class WithBufferOfZero(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor([0.0, 2.0, 4.0]))  # FAULT

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, weight=self.weight)


class InFullPrecision(nn.Module):
    """Leaves autocast, and takes half-precision scores to float32."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast(logits.device.type, enabled=False):
            scores = logits if logits.dtype == torch.float64 else logits.float()
            return F.cross_entropy(scores, targets)


class InFullPrecisionByHand(nn.Module):
    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        with torch.autocast(logits.device.type, enabled=False):
            scores = logits if logits.dtype == torch.float64 else logits.float()
            return F.nll_loss(torch.log(torch.softmax(scores, dim=1)), targets)  # FAULT


class BinaryWrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bce = nn.BCEWithLogitsLoss()

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.bce(logits, targets.to(logits))


class BinaryWrappedSigmoid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bce = nn.BCEWithLogitsLoss()

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.bce(logits.sigmoid(), targets.to(logits))  # FAULT


class BinaryWrappedSwap(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bce = nn.BCEWithLogitsLoss()

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.bce(logits, 1 - targets.to(logits))  # FAULT


def focal(logits: Tensor, targets: Tensor, gamma: float) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    return ((1 - torch.exp(-ce)) ** gamma * ce).mean()


def _torch_weighted(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, weight=torch.tensor([1.0, 2.0, 4.0]).to(logits))


def _torch_smoothed(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets, label_smoothing=0.1)


def _sound(
    name: str, words: str, loss: Loss, torch_loss: Loss | None = None, arguments: dict[str, Any] = ANY
) -> SoundLoss:
    return SoundLoss(name=name, words=words, loss=loss, arguments=arguments, torch=torch_loss)


WRAPPED = _sound("Wrapped", "a module with CrossEntropyLoss inside", Wrapped(), _torch_smoothed)
BUFFERED = _sound("WithBuffer", "weights in a buffer", WithBuffer(), _torch_weighted, THREE)
CASTING = _sound("InFullPrecision", "leaves autocast itself", InFullPrecision(), F.cross_entropy)
BINARY_WRAPPED = _sound(
    "BinaryWrapped", "BCEWithLogitsLoss inside", BinaryWrapped(), F.binary_cross_entropy_with_logits, BINARY
)
PARTIAL = _sound("PartialFocal", "functools.partial, gamma 1.5", partial(focal, gamma=1.5))
SMOOTH_PARTIAL = _sound(
    "PartialSmoothed", "partial of torch's own", partial(F.cross_entropy, label_smoothing=0.1), _torch_smoothed
)
LAMBDA = _sound("Lambda", "a lambda", lambda z, y: F.cross_entropy(z, y.long()), F.cross_entropy)

SOUND = (WRAPPED, BUFFERED, CASTING, BINARY_WRAPPED, PARTIAL, SMOOTH_PARTIAL, LAMBDA)


def _rows() -> Iterator[tuple[SoundLoss, str, str, str, Loss]]:
    yield WRAPPED, "WrappedSoftmax", "softmax in the wrapper", "softmax_before_cross_entropy", WrappedSoftmax()
    yield WRAPPED, "WrappedPrediction", "the prediction as the label", "labels_have_no_effect", WrappedPrediction()
    yield BUFFERED, "WithBufferOfZero", "a weight of 0: advice", "wrong_loss_weights", WithBufferOfZero()
    yield CASTING, "InFullPrecisionByHand", "log(softmax) in float32", "unstable_loss", InFullPrecisionByHand()
    yield (
        BINARY_WRAPPED,
        "BinaryWrappedSigmoid",
        "sigmoid in the wrapper",
        "sigmoid_before_bce_with_logits",
        BinaryWrappedSigmoid(),
    )
    yield BINARY_WRAPPED, "BinaryWrappedSwap", "1 - targets", "labels_out_of_range", BinaryWrappedSwap()
    yield LAMBDA, "LambdaMinus", "a minus too many", "loss_is_maximised", lambda z, y: -F.cross_entropy(z, y.long())
    yield LAMBDA, "LambdaShift", "labels plus one", "labels_out_of_range", lambda z, y: F.cross_entropy(z, y.long() + 1)


def _by_arguments() -> Iterator[FaultyLoss]:
    """Losses that are right, registered with targets that they do not take."""
    yield FaultyLoss(
        name="FloatIndices",
        words="indices as floats",
        cause="wrong_target_dtype",
        loss=WRAPPED.loss,
        twin=WRAPPED,
        arguments={"targets": "float_index"},
    )
    yield FaultyLoss(
        name="SignedLabels",
        words="labels of -1 and 1 into BCE",
        cause="signed_targets",
        loss=BINARY_WRAPPED.loss,
        twin=BINARY_WRAPPED,
        arguments={"targets": "signed"},
    )
    yield FaultyLoss(
        name="LabelsFromOne",
        words="labels from 1",
        cause="labels_out_of_range",
        loss=WRAPPED.loss,
        twin=WRAPPED,
        arguments={"targets": lambda labels: labels + 1},
    )


FAULTS = (
    *(
        FaultyLoss(name=name, words=words, cause=cause, loss=loss, twin=twin)
        for twin, name, words, cause, loss in _rows()
    ),
    *_by_arguments(),
)
