"""Models with more than one cause: each is reported, the root of the others first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo import predictions, sound, targets
from tests.zoo.entry import Fault
from tests.zoo.sound import BINARY, FLAT, IMAGE

FLAT3 = {**FLAT, "num_classes": 3}
SOFTMAX = "softmax_before_cross_entropy"
SIGMOID_BCE = "sigmoid_before_bce_with_logits"
WRONG_MODE = "model_left_in_wrong_mode"
LEAK, RANDOM = "examples_leak_across_batch", "evaluation_is_random"
SHAPE, BOUNDED, RANGE = "output_shape_depends_on_batch", "bounded_logits", "labels_out_of_range"
DISAGREES = "prediction_disagrees_with_logits"


class Faulty(nn.Module):
    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.faulty = faulty
        self.net = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))


class SoftmaxInList(nn.Module):
    """Layers that are not registered, and a softmax at the end."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        layers = [nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3)]
        self.layers = layers if faulty else nn.ModuleList(layers)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x.softmax(dim=1) if self.faulty else x  # FAULT


class FrozenSoftmax(Faulty):
    def __init__(self, *, faulty: bool) -> None:
        super().__init__(faulty=faulty)
        if faulty:
            self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        return scores.softmax(dim=1) if self.faulty else scores  # FAULT


class SigmoidOutput(nn.Module):
    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.head = nn.Linear(10, 1)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        scores = self.head(x).squeeze(1)
        return scores.sigmoid() if self.faulty else scores  # FAULT


class SoftmaxOutput(Faulty):
    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        return scores.softmax(dim=1) if self.faulty else scores  # FAULT


class DropoutOverBatch(Faulty):
    """Dropout that stays on, and a mean over the batch taken off."""

    def forward(self, x: Tensor) -> Tensor:
        if self.faulty:
            x = F.dropout(x, 0.2)  # FAULT
            x = x - x.mean(dim=0)  # FAULT
        return self.net(x)


class SoftmaxAndSqueeze(nn.Module):
    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(3, 4)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pool(x)
        pooled = pooled.squeeze() if self.faulty else pooled.flatten(1)  # FAULT
        scores = self.head(pooled)
        return torch.softmax(scores, dim=-1) if self.faulty else scores  # FAULT


class SoftmaxAndDropout(Faulty):
    def forward(self, x: Tensor) -> Tensor:
        if not self.faulty:
            return self.net(F.dropout(x, p=0.3, training=self.training))
        x = F.dropout(x, p=0.3)  # FAULT
        return F.softmax(self.net(x), dim=1)  # FAULT


class SoftmaxAndMixedRows(Faulty):
    def forward(self, x: Tensor) -> Tensor:
        x = x.t().reshape(len(x), -1) if self.faulty else x  # FAULT
        scores = self.net(x)
        return F.softmax(scores, dim=1) if self.faulty else scores  # FAULT


class ReLUAndMixedRows(Faulty):
    def forward(self, x: Tensor) -> Tensor:
        x = x.t().reshape(len(x), -1) if self.faulty else x  # FAULT
        scores = self.net(x)
        return F.relu(scores) if self.faulty else scores  # FAULT


class SigmoidAndSqueeze(nn.Module):
    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.head = nn.Linear(10, 1)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        scores = self.head(x)
        scores = scores.sigmoid() if self.faulty else scores  # FAULT
        return scores.squeeze() if self.faulty else scores.squeeze(1)  # FAULT


class SigmoidAndSampling(SigmoidAndSqueeze):
    def forward(self, x: Tensor) -> Tensor:
        x = x + torch.randn_like(x) if self.faulty else x  # FAULT
        scores = self.head(x).squeeze(1)
        return scores.sigmoid() if self.faulty else scores  # FAULT


class SoftmaxAndWideHead(nn.Module):
    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.head = nn.Linear(10, 7 if faulty else 3)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        scores = self.head(x)
        return scores.softmax(1) if self.faulty else scores  # FAULT


def _several() -> Iterator[Fault]:
    over_the_batch = {**FLAT3, "predict": predictions.over_the_batch}
    leaves_train_mode = {**FLAT3, "predict": predictions.leaves_train_mode}
    best = {"predict": predictions.best}
    signed, unsigned = {**BINARY, "targets": "signed"}, {"targets": "float_index"}
    rows: list[tuple[str, str, str, str, Callable[..., nn.Module], dict[str, Any], dict[str, Any]]] = [
        ("SoftmaxInList", SOFTMAX, "unregistered_parameters", "layers in a list", SoftmaxInList, FLAT3, {}),
        ("FrozenSoftmax", SOFTMAX, "frozen_parameters", "all parameters frozen", FrozenSoftmax, FLAT3, {}),
        ("SoftmaxOverBatch", SOFTMAX, DISAGREES, "argmax over the batch", SoftmaxOutput, over_the_batch, best),
        ("SoftmaxTrainMode", SOFTMAX, WRONG_MODE, "model.train() in predict", SoftmaxOutput, leaves_train_mode, best),
        ("SigmoidSigned", SIGMOID_BCE, "signed_targets", "targets of -1 and 1", SigmoidOutput, signed, unsigned),
        ("DropoutOverBatch", RANDOM, LEAK, "the mean over the batch taken off", DropoutOverBatch, FLAT3, {}),
        ("SoftmaxAndSqueeze", SOFTMAX, SHAPE, "squeeze()", SoftmaxAndSqueeze, {**IMAGE, "num_classes": 4}, {}),
        ("SoftmaxAndDropout", SOFTMAX, RANDOM, "F.dropout without training=", SoftmaxAndDropout, FLAT3, {}),
        ("SoftmaxAndMixedRows", SOFTMAX, LEAK, "reshape that mixes rows", SoftmaxAndMixedRows, FLAT3, {}),
        ("ReLUAndMixedRows", BOUNDED, LEAK, "reshape that mixes rows", ReLUAndMixedRows, FLAT3, {}),
        ("SigmoidAndSqueeze", SIGMOID_BCE, SHAPE, "squeeze()", SigmoidAndSqueeze, BINARY, {}),
        ("SigmoidAndSampling", SIGMOID_BCE, RANDOM, "noise", SigmoidAndSampling, BINARY, {}),
        (
            "SoftmaxAndWideHead",
            SOFTMAX,
            "wrong_number_of_outputs",
            "7 scores for 3 classes",
            SoftmaxAndWideHead,
            FLAT3,
            {},
        ),
        (
            "SoftmaxNextClass",
            SOFTMAX,
            RANGE,
            "each label another class",
            SoftmaxOutput,
            {**FLAT3, "targets": lambda y: (y + 1) % 3},
            {"targets": "index"},
        ),
        (
            "SoftmaxFromOne",
            SOFTMAX,
            RANGE,
            "classes from 1",
            SoftmaxOutput,
            {**FLAT3, "targets": lambda y: y + 1},
            {"targets": "index"},
        ),
    ]
    first = {SOFTMAX: "softmax", SIGMOID_BCE: "sigmoid", BOUNDED: "ReLU", RANDOM: "F.dropout without training="}
    for name, cause, other, words, kind, arguments, twin_arguments in rows:
        yield Fault(
            name=name,
            words=f"{first[cause]}; {words}",
            cause=cause,
            also=(other,),
            factory=lambda kind=kind: kind(faulty=True),
            twin=lambda kind=kind: kind(faulty=False),
            arguments=arguments,
            twin_arguments=twin_arguments,
        )


def above_zero(model: nn.Module, x: Tensor) -> Tensor:
    return (model(x) > 0).squeeze(1).long()


HALF_AND_BROADCAST = Fault(
    name="HalfAndBroadcast",
    words="logit > 0.5; BCE by hand that broadcasts",
    cause=DISAGREES,
    also=("broadcast_targets",),
    factory=lambda: sound.OneLogit(False),
    arguments={
        **BINARY,
        "loss": targets.bce_by_hand,
        "targets": "float_index",
        "predict": predictions.half_on_a_column,
    },
    twin_arguments={"targets": "column", "predict": above_zero},
)

FAULTS = (*_several(), HALF_AND_BROADCAST)
