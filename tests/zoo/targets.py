"""Targets that are not what the loss takes: their dtype, shape, range and encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo import sound
from tests.zoo.entry import Factory, Fault
from tests.zoo.normalised import MULTILABEL
from tests.zoo.sound import BINARY, FLAT, Applied, Plain

Targets = str | Callable[[Tensor], Tensor]
FLAT4 = {**FLAT, "num_classes": 4}
FLAT5 = {**FLAT, "num_classes": 5}
FLAT2 = {**FLAT, "num_classes": 2}
NLL5 = {**FLAT5, "loss": "nll_loss"}


def _log_probabilities() -> nn.Module:
    return Applied(5, lambda z: F.log_softmax(z, dim=1))


def _rows(cause: str, rows: list[tuple[str, str, Factory, dict[str, Any], Targets, Targets | None]]) -> Iterator[Fault]:
    for name, words, factory, arguments, wrong, right in rows:
        yield Fault(
            name=name,
            words=words,
            cause=cause,
            factory=factory,
            arguments={**arguments, "targets": wrong},
            twin_arguments={"targets": right},
            located=False,
        )


def onehot4(y: Tensor) -> Tensor:
    return F.one_hot(y, 4)


def dtypes() -> Iterator[Fault]:
    return _rows(
        "wrong_target_dtype",
        [
            ("FloatTargets", "float indices", Plain(4), FLAT4, "float_index", "index"),
            ("Int32Targets", "int32 indices", Plain(4), FLAT4, lambda y: y.int(), lambda y: y.long()),
            ("BoolTargets", "bool indices", Plain(2), {**FLAT, "num_classes": 2}, lambda y: y.bool(), None),
            ("OnehotInt64", "one-hot rows of int64", Plain(4), FLAT4, onehot4, lambda y: onehot4(y).float()),
            ("OnehotIntoNLL", "one-hot rows into nll_loss", _log_probabilities, NLL5, "onehot", "index"),
            (
                "FloatTargetsModule",
                "float indices, nn.CrossEntropyLoss",
                Plain(4),
                {**FLAT4, "loss": nn.CrossEntropyLoss(weight=torch.ones(4))},
                "float_index",
                "index",
            ),
            ("ColumnIndices", "indices of shape (N, 1)", Plain(4), FLAT4, lambda y: y.unsqueeze(1), None),
            ("Int64IntoBCE", "int64 into BCE with logits", sound.One(), BINARY, lambda y: y, lambda y: y.float()),
            ("MultihotInt64", "int64 multi-hot rows", Plain(6), MULTILABEL, lambda y: y, lambda y: y.float()),
            (
                "FlatAgainstColumn",
                "(N,) against logits (N, 1)",
                sound.One(False),
                BINARY,
                lambda y: y.float(),
                "column",
            ),
        ],
    )


def ranges() -> Iterator[Fault]:
    return _rows(
        "labels_out_of_range",
        [
            ("LabelsFromOne", "classes from 1", Plain(4), FLAT4, lambda y: y + 1, lambda y: y),
            ("LabelMinusOne", "-1 for the first class", Plain(4), FLAT4, lambda y: y - 1, lambda y: y),
            ("LabelK", "the last class is K", Plain(4), FLAT4, lambda y: torch.where(y == 3, 4, y), lambda y: y),
            ("NextClass", "each label is another class", Plain(4), FLAT4, lambda y: (y + 1) % 4, lambda y: y),
            (
                "LabelsFromOneNLL",
                "classes from 1 into nll_loss",
                _log_probabilities,
                NLL5,
                lambda y: y + 1,
                lambda y: y,
            ),
            (
                "BinaryFromOne",
                "1 and 2 into BCE with logits",
                sound.One(),
                BINARY,
                lambda y: y.float() + 1,
                "float_index",
            ),
            ("PixelTargets", "0 and 255, BCE with logits", sound.One(), BINARY, lambda y: 255.0 * y, "float_index"),
            ("SwappedClasses", "0 and 1 swapped, 2 classes", Plain(2), FLAT2, lambda y: 1 - y, "index"),
            ("SwappedBinary", "0 and 1 swapped, one logit", sound.One(), BINARY, lambda y: 1.0 - y, "float_index"),
        ],
    )


def signs() -> Iterator[Fault]:
    return _rows(
        "signed_targets",
        [
            ("SignedTargets", "-1 and 1, (N,)", sound.One(), BINARY, "signed", "float_index"),
            ("SignedColumn", "-1 and 1, (N, 1)", sound.One(False), BINARY, "signed", "column"),
            (
                "SignedModule",
                "-1 and 1, nn.BCEWithLogitsLoss",
                sound.One(),
                {**BINARY, "loss": nn.BCEWithLogitsLoss()},
                lambda y: 2.0 * y - 1,
                "float_index",
            ),
            ("SignedMultilabel", "-1 and 1, several labels", Plain(6), MULTILABEL, lambda y: 2.0 * y - 1, "multihot"),
        ],
    )


def unnormalised() -> Iterator[Fault]:
    return _rows(
        "unnormalised_targets",
        [
            (
                "SmoothedByHand",
                "label smoothing that adds and does not take off",
                Plain(4),
                FLAT4,
                lambda y: onehot4(y) + 0.1,
                lambda y: 0.9 * onehot4(y) + 0.025,
            ),
            ("CountsForShares", "votes instead of shares", Plain(4), FLAT4, lambda y: 3.0 * onehot4(y) + 1, "onehot"),
            (
                "CountsModule",
                "votes, nn.CrossEntropyLoss",
                Plain(4),
                {**FLAT4, "loss": nn.CrossEntropyLoss()},
                lambda y: 3.0 * onehot4(y) + 1,
                "onehot",
            ),
            (
                "SharesOverBatch",
                "shares along the batch",
                Plain(4),
                FLAT4,
                lambda y: onehot4(y).float().softmax(dim=0),
                lambda y: onehot4(y).float().softmax(dim=1),
            ),
        ],
    )


# Losses written by hand, which check no shapes.


def bce_by_hand(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return (F.softplus(logits) - logits * targets).mean()


def squared_error(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return ((logits.sigmoid() - targets) ** 2).mean()


def log_sigmoid_by_hand(logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return -(targets * F.logsigmoid(logits) + (1 - targets) * F.logsigmoid(-logits)).mean()


def mse_of_probabilities(p: Tensor, targets: Tensor) -> Tensor:  # FAULT
    return (p - targets).square().mean()


class OwnBCE(nn.Module):
    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:  # FAULT
        return (logits.clamp(min=0) - logits * targets + torch.log1p(torch.exp(-logits.abs()))).mean()


def broadcasts() -> Iterator[Fault]:
    rows: list[tuple[str, str, Any, bool, Targets, Targets]] = [
        ("ColumnAgainstFlat", "BCE by hand, (N, 1) against (N,)", bce_by_hand, False, "float_index", "column"),
        ("FlatAgainstColumnByHand", "BCE by hand, (N,) against (N, 1)", bce_by_hand, True, "column", "float_index"),
        ("SquaredErrorBroadcast", "squared error, (N, 1) against (N,)", squared_error, False, "float_index", "column"),
        ("LogSigmoidBroadcast", "logsigmoid by hand", log_sigmoid_by_hand, False, "float_index", "column"),
        ("OwnModuleBroadcast", "a loss module by hand", OwnBCE(), False, lambda y: y.float(), "column"),
    ]
    for name, words, loss, squeeze, wrong, right in rows:
        yield Fault(
            name=name,
            words=words,
            cause="broadcast_targets",
            factory=sound.One(squeeze),
            arguments={**BINARY, "loss": loss, "targets": wrong},
            twin_arguments={"targets": right},
        )


FAULTS = (*dtypes(), *ranges(), *signs(), *unnormalised(), *broadcasts())
