"""Losses of the user's own that have the fault in them: the activation applied inside, and what overflows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo import sound
from tests.zoo.entry import Factory, Fault, Trap
from tests.zoo.normalised import FLAT5, MULTILABEL
from tests.zoo.sound import BINARY, FLAT, IMAGE, Plain

Loss = Callable[[Tensor, Tensor], Tensor]
TWO = {**FLAT, "num_classes": 2}
WEIGHTS = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])


def softmax_in_loss(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.cross_entropy(logits.softmax(dim=1), targets)


def log_softmax_of_softmax(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.nll_loss(F.log_softmax(F.softmax(logits, dim=-1), dim=-1), targets)


def sigmoid_in_categorical_loss(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.cross_entropy(torch.sigmoid(logits), targets)


def tanh_in_loss(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.cross_entropy(torch.tanh(logits), targets)


def sigmoid_in_loss(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.binary_cross_entropy_with_logits(logits.sigmoid(), targets)


def softmax_in_bce(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.binary_cross_entropy_with_logits(logits.softmax(dim=1), targets)


def nll_of_softmax(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.nll_loss(logits.softmax(dim=1), targets)


def softmax_in_weighted_loss(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.cross_entropy(logits.softmax(dim=1), targets, weight=WEIGHTS)


def softmax_in_smoothed_loss(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.cross_entropy(logits.softmax(dim=1), targets, label_smoothing=0.1)


def softmax_in_sum(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.cross_entropy(logits.softmax(dim=1), targets, reduction="sum")


def softmax_with_temperature_in_loss(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.cross_entropy((logits / 2).softmax(dim=1), targets)


def softmax_in_focal(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    loss = F.cross_entropy(logits.softmax(dim=1), targets, reduction="none")
    return ((1 - torch.exp(-loss)) ** 2 * loss).mean()


def relu_in_loss(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.cross_entropy(torch.relu(logits), targets)


def softmax_over_batch_in_loss(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.nll_loss(F.log_softmax(logits, dim=0), targets)


def sigmoid_in_weighted_bce(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.binary_cross_entropy_with_logits(logits.sigmoid(), targets, pos_weight=torch.tensor(3.0))


class SoftmaxInModule(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.loss = nn.CrossEntropyLoss()
        self.softmax = nn.Softmax(dim=1)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
        return self.loss(self.softmax(logits), targets)


class SoftmaxInCriterion(nn.CrossEntropyLoss):
    """A subclass of torch's own loss that softmaxes first."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # FAULT
        return super().forward(input.softmax(dim=1), target)


class OwnCrossEntropy(nn.Module):
    """Cross entropy as it should be, in a module of one's own."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets)


# Losses that overflow where cross entropy is finite.


def log_of_softmax(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return F.nll_loss(torch.log(torch.softmax(logits, dim=1)), targets)  # FAULT


def exponentials(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    picked = logits.exp().gather(1, targets.unsqueeze(1)).squeeze(1)  # FAULT
    return -(picked / logits.exp().sum(dim=1)).log().mean()


def log_of_sigmoid(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    p = torch.sigmoid(logits)
    return -(targets * p.log() + (1 - targets) * (1 - p).log()).mean()  # FAULT


def log_of_exp(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return (torch.log(1 + torch.exp(logits)) - logits * targets).mean()  # FAULT


def own_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets)


def own_bce(logits: Tensor, targets: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, targets)


def _rows() -> Iterator[tuple[str, str, str, Factory, dict[str, Any], Any, Any]]:
    dense = {**IMAGE, "num_classes": 4}
    softmax, sigmoid = "softmax_before_cross_entropy", "sigmoid_before_bce_with_logits"
    plain = own_cross_entropy
    yield "LossWithSoftmax", "softmax in the loss", softmax, Plain(5), FLAT5, softmax_in_loss, plain
    yield "LossWithSoftmax_2", "softmax in the loss, 2 classes", softmax, Plain(2), TWO, softmax_in_loss, plain
    yield "LossModuleWithSoftmax", "in a loss module", softmax, Plain(5), FLAT5, SoftmaxInModule(), OwnCrossEntropy()
    yield "LossSubclassWithSoftmax", "in a subclass of torch's", softmax, Plain(5), FLAT5, SoftmaxInCriterion(), plain
    yield "LossWithSoftmaxDense", "in the loss, (N, K, H, W)", softmax, _dense, dense, softmax_in_loss, plain
    yield "LossOfLogSoftmax", "log_softmax of softmax", softmax, Plain(5), FLAT5, log_softmax_of_softmax, plain
    yield (
        "LossWithSigmoidCE",
        "sigmoid in the loss",
        "sigmoid_before_cross_entropy",
        Plain(5),
        FLAT5,
        sigmoid_in_categorical_loss,
        plain,
    )
    yield "LossWithTanh", "tanh in the loss", "bounded_logits", Plain(5), FLAT5, tanh_in_loss, plain
    yield "LossWithSigmoid", "sigmoid in the loss", sigmoid, sound.One(), BINARY, sigmoid_in_loss, own_bce
    yield "LossWithSigmoidColumn", "sigmoid in the loss, (N, 1)", sigmoid, Plain(1), BINARY, sigmoid_in_loss, own_bce
    yield "LossWithSigmoidMultilabel", "sigmoid in the loss", sigmoid, Plain(6), MULTILABEL, sigmoid_in_loss, own_bce
    yield (
        "LossWithSoftmaxMultilabel",
        "softmax in the loss, several labels",
        "softmax_before_bce_with_logits",
        Plain(6),
        MULTILABEL,
        softmax_in_bce,
        own_bce,
    )
    yield (
        "LossWithNLLOfSoftmax",
        "nll_loss of softmax in the loss",
        "probabilities_into_nll_loss",
        Plain(5),
        FLAT5,
        nll_of_softmax,
        plain,
    )
    for name, words, wrong, right in (
        ("LossWithSoftmaxWeighted", "softmax in the loss, with weights", softmax_in_weighted_loss, plain),
        ("LossWithSoftmaxSmoothed", "softmax in the loss, with smoothing", softmax_in_smoothed_loss, plain),
        ("LossWithSoftmaxSum", "softmax in the loss, reduction='sum'", softmax_in_sum, plain),
        ("LossWithSoftmaxTemperature", "in the loss, with a temperature", softmax_with_temperature_in_loss, plain),
        ("LossWithSoftmaxFocal", "softmax in a focal loss", softmax_in_focal, sound.focal),
    ):
        yield name, words, softmax, Plain(5), FLAT5, wrong, right
    yield "LossWithReLU", "ReLU in the loss", "bounded_logits", Plain(5), FLAT5, relu_in_loss, plain
    yield "LossWithSigmoidPosWeight", "with pos_weight", sigmoid, sound.One(), BINARY, sigmoid_in_weighted_bce, own_bce
    yield (
        "LossOverBatch",
        "log_softmax over the batch in the loss",
        "softmax_over_wrong_dim",
        Plain(5),
        FLAT5,
        softmax_over_batch_in_loss,
        plain,
    )
    unstable = "unstable_loss"
    yield "LogOfSoftmax", "log(softmax)", unstable, Plain(2), TWO, log_of_softmax, plain
    yield "LogOfSoftmax_5", "log(softmax), 5 classes", unstable, Plain(5), FLAT5, log_of_softmax, plain
    yield "ExponentialsByHand", "exp over its sum, then log", unstable, Plain(2), TWO, exponentials, plain
    yield "LogOfSigmoid", "log(sigmoid)", unstable, sound.One(), BINARY, log_of_sigmoid, own_bce
    yield "LogOfExp", "log(1 + exp)", unstable, sound.One(), BINARY, log_of_exp, own_bce


def hardest(logits: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(logits, y, reduction="none").topk(max(1, len(y) // 4)).values.mean()


def trimmed(logits: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(logits, y, reduction="none").topk(max(1, 3 * len(y) // 4), largest=False).values.mean()


class WithFeatures(nn.Module):
    """Scores, and the features that they are made from."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(10, features), nn.Linear(features, 5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.body(x).relu()
        return {"logits": self.head(features), "features": features}


def centre_loss(output: dict[str, Tensor], y: Tensor) -> Tensor:
    centres = torch.linspace(0, 1, 5)[y].unsqueeze(1)
    return F.cross_entropy(output["logits"], y) + 0.01 * (output["features"] - centres).square().mean()


CENTRED = {**FLAT5, "loss": centre_loss, "loss_takes": "output"}
TRAPS = (
    Trap(name="CentreLoss", words="features pulled to a centre", factory=lambda: WithFeatures(16), arguments=CENTRED),
    Trap(
        name="CentreLossNarrow",
        words="the same with as many features as classes",
        factory=lambda: WithFeatures(5),
        arguments=CENTRED,
    ),
    Trap(name="Hardest", words="the rows of highest loss", factory=Plain(5), arguments={**FLAT5, "loss": hardest}),
    Trap(name="Trimmed", words="all but the highest losses", factory=Plain(5), arguments={**FLAT5, "loss": trimmed}),
)


def _dense() -> nn.Module:
    return nn.Conv2d(3, 4, 3, padding=1)


FAULTS = tuple(
    Fault(
        name=name,
        words=words,
        cause=cause,
        factory=factory,
        arguments={**arguments, "loss": wrong},
        twin_arguments={"loss": right},
    )
    for name, words, cause, factory, arguments, wrong, right in _rows()
)
