"""Cross entropy for one of K classes in the plain forms that people write by hand."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.own_losses.entry import FaultyLoss, Loss, SoundLoss

ANY = {"task": "multiclass", "targets": "index", "reduction": "mean"}
THREE = {**ANY, "num_classes": 3}


def by_gather(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    picked = log_p.gather(1, targets.unsqueeze(1))
    return -picked.mean()


def without_minus(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    picked = log_p.gather(1, targets.unsqueeze(1))
    return picked.mean()  # FAULT


def without_log(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.softmax(logits, dim=1)  # FAULT
    picked = log_p.gather(1, targets.unsqueeze(1))
    return -picked.mean()


def softmax_twice(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(F.softmax(logits, dim=1), dim=1)  # FAULT
    picked = log_p.gather(1, targets.unsqueeze(1))
    return -picked.mean()


def sigmoid_first(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(torch.sigmoid(logits), dim=1)  # FAULT
    picked = log_p.gather(1, targets.unsqueeze(1))
    return -picked.mean()


def clamped_scores(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits.clamp(-1, 1), dim=1)  # FAULT
    picked = log_p.gather(1, targets.unsqueeze(1))
    return -picked.mean()


def log_of_softmax(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.softmax(logits, dim=1).log()  # FAULT
    picked = log_p.gather(1, targets.unsqueeze(1))
    return -picked.mean()


def softmax_over_the_batch(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=0)  # FAULT
    picked = log_p.gather(1, targets.unsqueeze(1))
    return -picked.mean()


def scores_for_log_probabilities(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = logits  # FAULT
    picked = log_p.gather(1, targets.unsqueeze(1))
    return -picked.mean()


def gathered_over_rows(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    picked = log_p.gather(0, targets.unsqueeze(1))  # FAULT
    return -picked.mean()


def every_row_with_every_label(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    picked = log_p[:, targets]  # FAULT
    return -picked.mean()


def shifted_labels(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    picked = log_p[torch.arange(len(targets)), targets - 1]  # FAULT
    return -picked.mean()


def divided_twice(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    picked = log_p.gather(1, targets.unsqueeze(1))
    return -picked.mean() / len(targets)  # FAULT


def detached(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    picked = log_p.gather(1, targets.unsqueeze(1))
    return torch.tensor(-picked.mean().item(), requires_grad=True)  # FAULT


def frozen_scores(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits.data, dim=1)  # FAULT
    picked = log_p.gather(1, targets.unsqueeze(1))
    return -picked.mean()


def error_rate(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = (logits == logits.amax(dim=1, keepdim=True)).float()  # FAULT
    picked = log_p.gather(1, targets.unsqueeze(1))
    return -picked.mean()


def clipped(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    picked = log_p.gather(1, targets.unsqueeze(1))
    return -picked.clamp(min=0).mean()  # FAULT


def from_logsumexp(logits: Tensor, targets: Tensor) -> Tensor:
    true_score = logits.gather(1, targets.unsqueeze(1)).squeeze(1)
    log_total = torch.logsumexp(logits, dim=1)
    return (log_total - true_score).mean()


def from_exponentials(logits: Tensor, targets: Tensor) -> Tensor:
    true_score = logits.gather(1, targets.unsqueeze(1)).squeeze(1)
    log_total = torch.log(torch.exp(logits).sum(dim=1))  # FAULT
    return (log_total - true_score).mean()


def score_gathered_over_rows(logits: Tensor, targets: Tensor) -> Tensor:
    true_score = logits.gather(0, targets.unsqueeze(1)).squeeze(1)  # FAULT
    log_total = torch.logsumexp(logits, dim=1)
    return (log_total - true_score).mean()


def terms_swapped(logits: Tensor, targets: Tensor) -> Tensor:
    true_score = logits.gather(1, targets.unsqueeze(1)).squeeze(1)
    log_total = torch.logsumexp(logits, dim=1)
    return (true_score - log_total).mean()  # FAULT


def by_one_hot(logits: Tensor, targets: Tensor) -> Tensor:
    y = F.one_hot(targets, logits.shape[1])
    terms = y * F.log_softmax(logits, dim=1)
    return -terms.sum(dim=1).mean()


def mean_over_classes(logits: Tensor, targets: Tensor) -> Tensor:
    y = F.one_hot(targets, logits.shape[1])
    terms = y * F.log_softmax(logits, dim=1)
    return -terms.mean()  # FAULT


def summed_over_rows(logits: Tensor, targets: Tensor) -> Tensor:
    y = F.one_hot(targets, logits.shape[1])
    terms = y * F.log_softmax(logits, dim=1)
    return -terms.sum(dim=0).mean()  # FAULT


def complement(logits: Tensor, targets: Tensor) -> Tensor:
    y = 1 - F.one_hot(targets, logits.shape[1])  # FAULT
    terms = y * F.log_softmax(logits, dim=1)
    return -terms.sum(dim=1).mean()


class LogSoftmaxAndNLL(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.activation = nn.LogSoftmax(dim=1)
        self.nll = nn.NLLLoss()

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.nll(self.activation(logits), targets)


class SoftmaxAndNLL(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.activation = nn.Softmax(dim=1)  # FAULT
        self.nll = nn.NLLLoss()

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.nll(self.activation(logits), targets)


class NothingAndNLL(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.activation = nn.Identity()  # FAULT
        self.nll = nn.NLLLoss()

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return self.nll(self.activation(logits), targets)


def _sound(name: str, words: str, loss: Loss) -> SoundLoss:
    return SoundLoss(name=name, words=words, loss=loss, arguments=ANY, torch=F.cross_entropy)


BY_GATHER = _sound("CrossEntropyByGather", "log_softmax, gather, mean", by_gather)
FROM_LOGSUMEXP = _sound("CrossEntropyFromLogsumexp", "logsumexp less the true score", from_logsumexp)
BY_ONE_HOT = _sound("CrossEntropyByOneHot", "one-hot targets times log_softmax", by_one_hot)
NLL_MODULE = _sound("LogSoftmaxAndNLL", "a module of LogSoftmax and NLLLoss", LogSoftmaxAndNLL())

SOUND = (BY_GATHER, FROM_LOGSUMEXP, BY_ONE_HOT, NLL_MODULE)


def _rows() -> Iterator[tuple[SoundLoss, str, str, str, Loss]]:
    maximised, detached_graph, reduction = "loss_is_maximised", "detached_graph", "wrong_reduction"
    yield BY_GATHER, "WithoutMinus", "the minus is missing", maximised, without_minus
    yield BY_GATHER, "WithoutLog", "the log is missing", "probabilities_into_nll_loss", without_log
    yield BY_GATHER, "SoftmaxTwice", "softmax, then log_softmax", "softmax_before_cross_entropy", softmax_twice
    yield BY_GATHER, "SigmoidFirst", "sigmoid, then log_softmax", "sigmoid_before_cross_entropy", sigmoid_first
    yield BY_GATHER, "ClampedScores", "scores clamped to [-1, 1]", "bounded_logits", clamped_scores
    yield BY_GATHER, "LogOfSoftmaxByHand", "log(softmax)", "unstable_loss", log_of_softmax
    yield BY_GATHER, "SoftmaxOverTheBatch", "log_softmax with dim=0", "softmax_over_wrong_dim", softmax_over_the_batch
    yield (
        BY_GATHER,
        "ScoresForLogProbabilities",
        "no log_softmax at all",
        "logits_into_nll_loss",
        scores_for_log_probabilities,
    )
    yield BY_GATHER, "GatheredOverRows", "gather with dim=0", "gather_over_wrong_dim", gathered_over_rows
    yield BY_GATHER, "EveryRowWithEveryLabel", "log_p[:, targets]", "broadcast_targets", every_row_with_every_label
    yield BY_GATHER, "ShiftedLabels", "targets - 1 as the index", "labels_out_of_range", shifted_labels
    yield BY_GATHER, "DividedTwice", "the mean divided by N again", reduction, divided_twice
    yield BY_GATHER, "Item", "item() and a new tensor", detached_graph, detached
    yield BY_GATHER, "FrozenScores", ".data of the scores", detached_graph, frozen_scores
    yield BY_GATHER, "ErrorRate", "the error rate, which is a step function", detached_graph, error_rate
    yield BY_GATHER, "ClippedFromBelow", "a clamp on the wrong side of 0", detached_graph, clipped
    yield FROM_LOGSUMEXP, "FromExponentials", "log(sum(exp))", "unstable_loss", from_exponentials
    yield (
        FROM_LOGSUMEXP,
        "ScoreGatheredOverRows",
        "the true score by gather with dim=0",
        "gather_over_wrong_dim",
        score_gathered_over_rows,
    )
    yield FROM_LOGSUMEXP, "TermsSwapped", "the true score less logsumexp", maximised, terms_swapped
    yield BY_ONE_HOT, "MeanOverClasses", "mean over N * K: a factor of 1/K", reduction, mean_over_classes
    yield BY_ONE_HOT, "SummedOverRows", "the sum over N divided by K", reduction, summed_over_rows
    yield BY_ONE_HOT, "Complement", "one-hot targets turned round", "labels_out_of_range", complement
    yield NLL_MODULE, "SoftmaxAndNLL", "Softmax and NLLLoss", "probabilities_into_nll_loss", SoftmaxAndNLL()
    yield NLL_MODULE, "NothingAndNLL", "scores and NLLLoss", "logits_into_nll_loss", NothingAndNLL()


# What a loss that is pulled to another class, or to none, shows besides.
ALSO = {
    "ShiftedLabels": ("loss_rewards_mistakes",),
}

FAULTS = tuple(
    FaultyLoss(name=name, words=words, cause=cause, loss=loss, twin=twin, also=ALSO.get(name, ()))
    for twin, name, words, cause, loss in _rows()
)
