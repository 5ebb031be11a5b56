"""Focal loss in the four forms in which it is usually written, and asymmetric loss."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.own_losses.entry import FaultyLoss, Loss, SoundLoss
from tests.zoo.own_losses.plain import ANY, THREE

BINARY = {"task": "binary", "num_classes": 1, "reduction": "mean"}
TAGS = {"task": "multilabel", "num_classes": 4, "targets": "multihot", "reduction": "mean"}
ALPHA = torch.tensor([0.5, 1.0, 2.0])


def from_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    pt = torch.exp(-ce)
    return ((1 - pt) ** 2 * ce).mean()


def of_the_mean(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets)  # FAULT
    pt = torch.exp(-ce)
    return ((1 - pt) ** 2 * ce).mean()


def of_clamped_scores(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits.clamp(-1, 1), targets, reduction="none")  # FAULT
    pt = torch.exp(-ce)
    return ((1 - pt) ** 2 * ce).mean()


def weighted_by_p(logits: Tensor, targets: Tensor) -> Tensor:
    ce = F.cross_entropy(logits, targets, reduction="none")
    pt = torch.exp(-ce)
    return (pt**2 * ce).mean()  # FAULT


class FocalWithAlpha(nn.Module):
    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("alpha", ALPHA)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = F.log_softmax(logits, dim=1)
        log_pt = log_p.gather(1, targets.unsqueeze(1)).squeeze(1)
        alpha = self.alpha[targets]
        weight = (1 - log_pt.exp()) ** self.gamma
        return -(alpha * weight * log_pt).mean()


class FocalAlphaOfPrediction(nn.Module):
    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("alpha", ALPHA)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = F.log_softmax(logits, dim=1)
        log_pt = log_p.gather(1, targets.unsqueeze(1)).squeeze(1)
        alpha = self.alpha[logits.argmax(dim=1)]  # FAULT
        weight = (1 - log_pt.exp()) ** self.gamma
        return -(alpha * weight * log_pt).mean()


class FocalAlphaColumn(nn.Module):
    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("alpha", ALPHA)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = F.log_softmax(logits, dim=1)
        log_pt = log_p.gather(1, targets.unsqueeze(1)).squeeze(1)
        alpha = self.alpha[targets].unsqueeze(1)  # FAULT
        weight = (1 - log_pt.exp()) ** self.gamma
        return -(alpha * weight * log_pt).mean()


class FocalOfFirstClass(nn.Module):
    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("alpha", ALPHA)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = F.log_softmax(logits, dim=1)
        log_pt = log_p[:, 0]  # FAULT
        alpha = self.alpha[targets]
        weight = (1 - log_pt.exp()) ** self.gamma
        return -(alpha * weight * log_pt).mean()


def sigmoid_focal(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    p = torch.sigmoid(logits)
    ce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p_t = p * targets + (1 - p) * (1 - targets)
    alpha_t = alpha * targets + (1 - alpha) * (1 - targets)
    return (alpha_t * (1 - p_t) ** gamma * ce).mean()


def sigmoid_focal_of_other_class(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    p = torch.sigmoid(logits)
    ce = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p_t = p * (1 - targets) + (1 - p) * targets  # FAULT
    alpha_t = alpha * targets + (1 - alpha) * (1 - targets)
    return (alpha_t * (1 - p_t) ** gamma * ce).mean()


def sigmoid_focal_of_sigmoid(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    p = torch.sigmoid(logits)
    ce = F.binary_cross_entropy_with_logits(p, targets, reduction="none")  # FAULT
    p_t = p * targets + (1 - p) * (1 - targets)
    alpha_t = alpha * targets + (1 - alpha) * (1 - targets)
    return (alpha_t * (1 - p_t) ** gamma * ce).mean()


def sigmoid_focal_of_mean(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    p = torch.sigmoid(logits)
    ce = F.binary_cross_entropy_with_logits(logits, targets)  # FAULT
    p_t = p * targets + (1 - p) * (1 - targets)
    alpha_t = alpha * targets + (1 - alpha) * (1 - targets)
    return (alpha_t * (1 - p_t) ** gamma * ce).mean()


def one_hot_focal(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    y = F.one_hot(targets, logits.shape[1])
    terms = -y * (1 - log_p.exp()) ** 2 * log_p
    return terms.sum(dim=1).mean()


def one_hot_focal_mean_over_classes(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=1)
    y = F.one_hot(targets, logits.shape[1])
    terms = -y * (1 - log_p.exp()) ** 2 * log_p
    return terms.mean()  # FAULT


def one_hot_focal_over_the_batch(logits: Tensor, targets: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, dim=0)  # FAULT
    y = F.one_hot(targets, logits.shape[1])
    terms = -y * (1 - log_p.exp()) ** 2 * log_p
    return terms.sum(dim=1).mean()


def asymmetric(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    p_negative = (1 - p + 0.05).clamp(max=1)
    positive = targets * (1 - p) * torch.log(p.clamp(min=1e-8))
    negative = (1 - targets) * (1 - p_negative) ** 4 * torch.log(p_negative.clamp(min=1e-8))
    return -(positive + negative).mean()


def asymmetric_wrong_focus(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    p_negative = (1 - p + 0.05).clamp(max=1)
    positive = targets * (1 - p) * torch.log(p.clamp(min=1e-8))
    negative = (1 - targets) * p_negative**4 * torch.log(p_negative.clamp(min=1e-8))  # FAULT
    return -(positive + negative).mean()


def asymmetric_without_minus(logits: Tensor, targets: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    p_negative = (1 - p + 0.05).clamp(max=1)
    positive = targets * (1 - p) * torch.log(p.clamp(min=1e-8))
    negative = (1 - targets) * (1 - p_negative) ** 4 * torch.log(p_negative.clamp(min=1e-8))
    return (positive + negative).mean()  # FAULT


FROM_CE = SoundLoss(name="FocalFromCE", words="focal, pt = exp(-ce)", loss=from_cross_entropy, arguments=ANY)
WITH_ALPHA = SoundLoss(name="FocalAlpha", words="focal, alpha by class", loss=FocalWithAlpha(), arguments=THREE)
SIGMOID = SoundLoss(name="SigmoidFocal", words="focal on sigmoid, alpha .25", loss=sigmoid_focal, arguments=BINARY)
ONE_HOT = SoundLoss(name="FocalOneHot", words="focal, one-hot", loss=one_hot_focal, arguments=ANY)
ASYMMETRIC = SoundLoss(name="Asymmetric", words="asymmetric loss, shifted", loss=asymmetric, arguments=TAGS)

SOUND = (FROM_CE, WITH_ALPHA, SIGMOID, ONE_HOT, ASYMMETRIC)


def _rows() -> Iterator[tuple[SoundLoss, str, str, str, Loss]]:
    reduction, backwards = "wrong_reduction", "loss_rewards_mistakes"
    yield FROM_CE, "FocalOfTheMean", "cross entropy already averaged", reduction, of_the_mean
    yield FROM_CE, "FocalOfClampedScores", "scores clamped to [-1, 1]", "bounded_logits", of_clamped_scores
    yield FROM_CE, "FocalWeightedByP", "pt for 1 - pt", backwards, weighted_by_p
    yield (
        WITH_ALPHA,
        "FocalAlphaOfPrediction",
        "alpha of the predicted class",
        "wrong_loss_weights",
        FocalAlphaOfPrediction(),
    )
    yield WITH_ALPHA, "FocalAlphaColumn", "alpha (N, 1) against (N,)", "wrong_loss_weights", FocalAlphaColumn()
    yield WITH_ALPHA, "FocalOfFirstClass", "class 0 for the true class", "labels_out_of_range", FocalOfFirstClass()
    yield SIGMOID, "SigmoidFocalOfOtherClass", "pt of the other class", backwards, sigmoid_focal_of_other_class
    yield (
        SIGMOID,
        "SigmoidFocalOfSigmoid",
        "sigmoid before BCE with logits",
        "sigmoid_before_bce_with_logits",
        sigmoid_focal_of_sigmoid,
    )
    yield SIGMOID, "SigmoidFocalOfMean", "BCE already averaged", reduction, sigmoid_focal_of_mean
    yield ONE_HOT, "FocalMeanOverClasses", "mean over N * K", reduction, one_hot_focal_mean_over_classes
    yield ONE_HOT, "FocalOverTheBatch", "log_softmax with dim=0", "softmax_over_wrong_dim", one_hot_focal_over_the_batch
    yield ASYMMETRIC, "AsymmetricWrongFocus", "easy negatives weigh most", backwards, asymmetric_wrong_focus
    yield ASYMMETRIC, "AsymmetricWithoutMinus", "the minus is missing", "loss_is_maximised", asymmetric_without_minus


# What a loss that is pulled to another class, or to none, shows besides.
ALSO = {
    "FocalOfFirstClass": ("loss_rewards_mistakes",),
}

FAULTS = tuple(
    FaultyLoss(name=name, words=words, cause=cause, loss=loss, twin=twin, also=ALSO.get(name, ()))
    for twin, name, words, cause, loss in _rows()
)
