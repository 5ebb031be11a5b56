"""Predictions that are not the decisions that the loss trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo import sound
from tests.zoo.entry import Factory, Fault
from tests.zoo.normalised import MULTILABEL
from tests.zoo.pairings import Squashed
from tests.zoo.sound import BINARY, FLAT, Plain

Predict = Callable[[nn.Module, Tensor], Tensor]
FLAT3 = {**FLAT, "num_classes": 3}
DISAGREES = "prediction_disagrees_with_logits"


def above_zero(model: nn.Module, x: Tensor) -> Tensor:
    return (model(x) > 0).long()


def best(model: nn.Module, x: Tensor) -> Tensor:
    return model(x).argmax(dim=1)


def half_on_logits(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return (model(x) > 0.5).long()


def rounded(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return model(x).round().clamp(0, 1).long()


def half_on_a_column(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return (model(x) >= 0.5).squeeze(1).long()


def sigmoid_twice(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return (torch.sigmoid(torch.sigmoid(model(x))) > 0.5).long()


def sigmoid_of_probabilities(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return (torch.sigmoid(model(x)) > 0.5).long()


def half(model: nn.Module, x: Tensor) -> Tensor:
    return (model(x) > 0.5).long()


def below(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return (torch.sigmoid(model(x)) < 0.5).long()


def over_the_batch(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return model(x).argmax(dim=0)


def without_dim(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return model(x).argmax()


def over_one_column(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return model(x).argmax(dim=1)


def least(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return model(x).argmin(dim=1)


def of_absolute_scores(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return model(x).abs().argmax(dim=1)


def labels_from_one(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return model(x).argmax(dim=1) + 1


def without_the_last_class(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return model(x)[:, :-1].argmax(dim=1)


def values_for_indices(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return model(x).max(dim=1)[0].long()


def first_column(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return (torch.softmax(model(x), dim=1)[:, 0] > 0.5).long()


def second_column(model: nn.Module, x: Tensor) -> Tensor:
    return (torch.softmax(model(x), dim=1)[:, 1] > 0.5).long()


def softmax_for_labels(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return (torch.softmax(model(x), dim=1) > 0.5).long()


def sigmoid_for_labels(model: nn.Module, x: Tensor) -> Tensor:
    return (torch.sigmoid(model(x)) > 0.5).long()


def best_label_only(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    scores = model(x)
    return F.one_hot(scores.argmax(dim=1), scores.shape[1])


def one_hot(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    scores = model(x)
    return F.one_hot(scores.argmax(dim=1), scores.shape[1])


def dense_over_rows(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return model(x).argmax(dim=2)


def leaves_train_mode(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return model.train()(x).argmax(dim=1)


def back_to_train_mode(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    model.eval()
    scores = model(x)
    model.train()
    return scores.argmax(dim=1)


def head_in_train_mode(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    list(model.children())[-1].train()
    return model(x).argmax(dim=1)


def keeps_mode(model: nn.Module, x: Tensor) -> Tensor:
    before = model.training
    model.eval()
    scores = model(x)
    model.train(before)
    return scores.argmax(dim=1)


class Predictor:
    """A prediction that is an object with a threshold."""

    def __init__(self, threshold: float, *, on_logits: bool) -> None:
        self.threshold, self.on_logits = threshold, on_logits

    def __call__(self, model: nn.Module, x: Tensor) -> Tensor:  # FAULT
        scores = model(x)
        return ((scores if self.on_logits else scores.sigmoid()) > self.threshold).long()


def half_for_labels(model: nn.Module, x: Tensor) -> Tensor:  # FAULT
    return (model(x) > 0.5).long()


def over(model: nn.Module, x: Tensor, *, threshold: float) -> Tensor:  # FAULT
    return (model(x) > threshold).long()


def _disagreements() -> Iterator[Fault]:
    column: dict[str, Any] = {**BINARY}
    two = {**FLAT, "num_classes": 2}
    dense = {"input_shape": (4, 12), "num_classes": 3}
    rows: list[tuple[str, str, Factory, dict[str, Any], Predict, Predict]] = [
        ("HalfOnLogits", "logit > 0.5", sound.One(), BINARY, half_on_logits, above_zero),
        ("RoundedLogits", "round() of a logit", sound.One(), BINARY, rounded, above_zero),
        (
            "HalfOnColumn",
            "logit >= 0.5, (N, 1)",
            sound.One(False),
            column,
            half_on_a_column,
            lambda model, x: above_zero(model, x).squeeze(1),
        ),
        ("SigmoidTwice", "sigmoid twice", sound.One(), BINARY, sigmoid_twice, sigmoid_for_labels),
        (
            "SigmoidOfProbabilities",
            "sigmoid of what the model has put through sigmoid",
            lambda: Squashed(),
            {**BINARY, "loss": "bce"},
            sigmoid_of_probabilities,
            half,
        ),
        ("BelowHalf", "probability < 0.5", sound.One(), BINARY, below, sigmoid_for_labels),
        (
            "ArgmaxOverColumn",
            "argmax over one column",
            sound.One(False),
            BINARY,
            over_one_column,
            lambda m, x: above_zero(m, x)[:, 0],
        ),
        ("ArgmaxOverBatch", "argmax over the batch", Plain(3), FLAT3, over_the_batch, best),
        ("ArgmaxWithoutDim", "argmax without dim", Plain(3), FLAT3, without_dim, best),
        ("Argmin", "argmin", Plain(3), FLAT3, least, best),
        ("ArgmaxOfAbsolute", "argmax of absolute scores", Plain(3), FLAT3, of_absolute_scores, best),
        ("PredictsFromOne", "classes from 1", Plain(3), FLAT3, labels_from_one, best),
        ("LastClassDropped", "the last column is left out", Plain(3), FLAT3, without_the_last_class, best),
        ("MaxValues", "the values of max instead of its indices", Plain(3), FLAT3, values_for_indices, best),
        ("WrongColumn", "the probability of class 0 for that of 1", Plain(2), two, first_column, second_column),
        ("OneHotForIndices", "one-hot rows where indices are wanted", Plain(3), FLAT3, one_hot, best),
        (
            "SoftmaxForLabels",
            "softmax > 0.5, several labels",
            Plain(6),
            MULTILABEL,
            softmax_for_labels,
            sigmoid_for_labels,
        ),
        (
            "HalfOnLogitsPartial",
            "logit > 0.5, functools.partial",
            sound.One(),
            BINARY,
            partial(over, threshold=0.5),
            above_zero,
        ),
        (
            "HalfOnLogitsObject",
            "logit > 0.5, an object",
            sound.One(),
            BINARY,
            Predictor(0.5, on_logits=True),
            Predictor(0.5, on_logits=False),
        ),
        ("HalfForLabels", "logits > 0.5, several labels", Plain(6), MULTILABEL, half_for_labels, sigmoid_for_labels),
        ("BestLabelOnly", "argmax, several labels", Plain(6), MULTILABEL, best_label_only, sigmoid_for_labels),
        (
            "DenseOverPositions",
            "(N, K, L), argmax over positions",
            lambda: sound.Conv1dHead(3),
            dense,
            dense_over_rows,
            best,
        ),
    ]
    for name, words, factory, arguments, wrong, right in rows:
        yield Fault(
            name=name,
            words=words,
            cause=DISAGREES,
            factory=factory,
            arguments={**arguments, "predict": wrong},
            twin_arguments={"predict": right},
        )


def _modes() -> Iterator[Fault]:
    images = {**sound.IMAGE, "num_classes": 3}
    rows: list[tuple[str, str, Factory, dict[str, Any], Predict]] = [
        ("LeavesTrainMode", "model.train() in predict", Plain(3), FLAT3, leaves_train_mode),
        ("BackToTrainMode", "model.train() after the pass", lambda: sound.CNN(3), images, back_to_train_mode),
        ("HeadInTrainMode", "one part in train mode", lambda: sound.CNN(3), images, head_in_train_mode),
    ]
    for name, words, factory, arguments, predict in rows:
        yield Fault(
            name=name,
            words=words,
            cause="model_left_in_wrong_mode",
            factory=factory,
            arguments={**arguments, "predict": predict},
            twin_arguments={"predict": keeps_mode},
        )


FAULTS = (*_disagreements(), *_modes())
