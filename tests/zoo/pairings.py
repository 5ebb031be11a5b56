"""Losses that take something else than scores, fed with something else than they take."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo import sound
from tests.zoo.entry import Fault
from tests.zoo.normalised import FLAT5, MULTILABEL, Net, Segmenter, SoftmaxByHand, SoftmaxFunction, Wrapper
from tests.zoo.sound import BINARY, IMAGE, Applied, Plain

NLL = {**FLAT5, "loss": "nll_loss"}


def log_softmax(z: Tensor) -> Tensor:
    return F.log_softmax(z, dim=1)


def exp_of_log_softmax(z: Tensor) -> Tensor:
    return F.log_softmax(z, dim=1).exp()  # FAULT


def sigmoid(z: Tensor) -> Tensor:
    return torch.sigmoid(z)  # FAULT


def log_sigmoid(z: Tensor) -> Tensor:
    return F.logsigmoid(z)


class LogSoftmaxAtEvaluation(sound.MLP):
    """Log-probabilities for the caller, scores while training."""

    def forward(self, x: Tensor) -> Tensor:
        scores = self.net(x)
        return scores if self.training else F.log_softmax(scores, dim=1)


def nll_by_hand(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    return -log_probabilities.gather(1, targets.unsqueeze(1)).mean()


class PickedNLL(nn.Module):
    def forward(self, log_probabilities: Tensor, targets: Tensor) -> Tensor:
        return -log_probabilities[torch.arange(len(targets)), targets].mean()


def bce_of_probabilities(p: Tensor, targets: Tensor) -> Tensor:
    p = p.clamp(1e-7, 1 - 1e-7)
    return -(targets * p.log() + (1 - targets) * (1 - p).log()).mean()


class OwnBCE(nn.Module):
    def forward(self, p: Tensor, targets: Tensor) -> Tensor:
        return -torch.where(targets > 0.5, p, 1 - p).clamp(min=1e-6).log().mean()


def _through(function: Callable[[Tensor], Tensor], k: int = 5) -> Callable[[], nn.Module]:
    return lambda: Applied(k, function)


def _probabilities_into_nll() -> Iterator[Fault]:
    logged = _through(log_softmax)
    dense = {**IMAGE, "num_classes": 4, "loss": "nll_loss"}
    rows = [
        Net("SoftmaxIntoNLL", "F.softmax", lambda: SoftmaxFunction(5), logged, NLL),
        Net("SoftmaxByHandIntoNLL", "softmax by hand", lambda: SoftmaxByHand(5), logged, NLL),
        Net("ExpIntoNLL", "exp of log_softmax", _through(exp_of_log_softmax), logged, NLL),
        Net("SigmoidIntoNLL", "sigmoid", _through(sigmoid), logged, NLL),
        Net(
            "SoftmaxIntoNLLModule",
            "nn.Softmax and nn.NLLLoss",
            lambda: Wrapper(sound.MLP(5), nn.Softmax(dim=1)),
            lambda: Wrapper(sound.MLP(5), nn.LogSoftmax(dim=1)),
            {**FLAT5, "loss": nn.NLLLoss()},
        ),
        Net(
            "SoftmaxIntoNLLByHand",
            "F.softmax and a loss by hand",
            lambda: SoftmaxFunction(5),
            logged,
            {**FLAT5, "loss": nll_by_hand},
        ),
        Net(
            "DenseSoftmaxIntoNLL",
            "(N, K, H, W)",
            lambda: Segmenter(nn.Softmax2d()),
            lambda: Segmenter(nn.LogSoftmax(dim=1)),
            dense,
        ),
    ]
    for net in rows:
        yield Fault(
            name=net.name,
            words=net.words,
            cause="probabilities_into_nll_loss",
            factory=net.faulty,
            twin=net.twin,
            arguments=net.arguments,
        )


def _logits_into_nll() -> Iterator[Fault]:
    logged = _through(log_softmax)
    rows = [
        Net("LogitsIntoNLL", "scores", Plain(5), logged, NLL),
        Net("LogitsIntoNLL_2", "scores, 2 classes", Plain(2), _through(log_softmax, 2), {**NLL, "num_classes": 2}),
        Net("LogitsIntoNLLModule", "scores and nn.NLLLoss", Plain(5), logged, {**FLAT5, "loss": nn.NLLLoss()}),
        Net("LogitsIntoNLLByHand", "scores and a loss by hand", Plain(5), logged, {**FLAT5, "loss": PickedNLL()}),
        Net("LogSoftmaxAtEvaluation", "log_softmax in eval mode only", lambda: LogSoftmaxAtEvaluation(5), logged, NLL),
        Net("LogSigmoidIntoNLL", "logsigmoid", _through(log_sigmoid), logged, NLL),
    ]
    for net in rows:
        yield Fault(
            name=net.name,
            words=net.words,
            cause="logits_into_nll_loss",
            factory=net.faulty,
            twin=net.twin,
            arguments=net.arguments,
            located=False,
        )


def _logits_into_bce() -> Iterator[Fault]:
    rows = [
        Net(
            "LogitsIntoBCEByHand",
            "scores and a loss by hand",
            Plain(1),
            _through(torch.sigmoid, 1),
            {**BINARY, "loss": bce_of_probabilities},
        ),
        Net(
            "LogitsIntoBCEByHandMultilabel",
            "scores and a loss by hand, several labels",
            Plain(6),
            _through(torch.sigmoid, 6),
            {**MULTILABEL, "loss": bce_of_probabilities},
        ),
        Net(
            "LogitsIntoBCEByHandModule",
            "scores, (N,), and a loss module by hand",
            sound.One(),
            lambda: Squashed(),
            {**BINARY, "loss": OwnBCE()},
        ),
        Net("LogitsIntoBCE", "scores, (N, 1)", Plain(1), _through(torch.sigmoid, 1), {**BINARY, "loss": "bce"}),
        Net(
            "LogitsIntoBCEModule",
            "scores, (N,), nn.BCELoss",
            sound.One(),
            lambda: Squashed(),
            {**BINARY, "loss": nn.BCELoss()},
        ),
        Net(
            "LogitsIntoBCEMultilabel",
            "scores, several labels",
            Plain(6),
            _through(torch.sigmoid, 6),
            {**MULTILABEL, "loss": "bce"},
        ),
        *(
            Net(
                f"{function.__name__.title()}IntoBCE",
                function.__name__,
                _through(function, 1),
                _through(torch.sigmoid, 1),
                {**BINARY, "loss": "bce"},
            )
            for function in (torch.tanh, torch.relu)
        ),
    ]
    for net in rows:
        yield Fault(
            name=net.name,
            words=net.words,
            cause="logits_into_bce_loss",
            factory=net.faulty,
            twin=net.twin,
            arguments=net.arguments,
            located=False,
            # 1 - 1e-7 is 1 in bfloat16.
            twin_advice=("loss_stays_finite",) if net.arguments["loss"] is bce_of_probabilities else (),
        )


class Squashed(sound.OneLogit):
    """The probability of class 1, (N,)."""

    def __init__(self) -> None:
        super().__init__(True)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(super().forward(x))


FAULTS = (*_probabilities_into_nll(), *_logits_into_nll(), *_logits_into_bce())
