from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.checks.planted import result_of
from tests.zoo import sound

CHECK = "outputs_are_logits"


class Squashed(sound.MLP):
    def __init__(self, classes: int, activation) -> None:
        super().__init__(classes)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.net(x))


def softmax(z: Tensor) -> Tensor:
    return torch.softmax(z, dim=1)


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize(
    ("activation", "cause"),
    [
        (softmax, "softmax_before_cross_entropy"),
        (torch.sigmoid, "sigmoid_before_cross_entropy"),
        (F.hardsigmoid, "sigmoid_before_cross_entropy"),
        (torch.tanh, "bounded_logits"),
        (F.hardtanh, "bounded_logits"),
        (F.softsign, "bounded_logits"),
        (F.relu, "bounded_logits"),
        (F.relu6, "bounded_logits"),
    ],
    ids=lambda v: getattr(v, "__name__", v),
)
def test_activation_before_cross_entropy_is_named(activation, cause: str, classes: int):
    result = result_of(CHECK, lambda: Squashed(classes, activation), num_classes=classes)
    assert (result.outcome, result.verdict.cause) == ("failed", cause)


@pytest.mark.parametrize(
    ("activation", "loss", "cause"),
    [
        (softmax, "nll_loss", "probabilities_into_nll_loss"),
        (torch.sigmoid, "nll_loss", "probabilities_into_nll_loss"),
        (lambda z: z, "nll_loss", "logits_into_nll_loss"),
        (softmax, nn.NLLLoss(), "probabilities_into_nll_loss"),
        (softmax, nn.CrossEntropyLoss(label_smoothing=0.1), "softmax_before_cross_entropy"),
        (softmax, sound.focal, "softmax_before_cross_entropy"),
        (lambda z: z, sound.wants_probabilities, "logits_into_nll_loss"),
    ],
    ids=["softmax-nll", "sigmoid-nll", "logits-nll", "nll module", "smoothed", "focal", "log of logits"],
)
def test_other_pairings_over_classes_are_named(activation, loss, cause: str):
    result = result_of(CHECK, lambda: Squashed(5, activation), num_classes=5, loss=loss)
    assert (result.outcome, result.verdict.cause) == ("failed", cause)


@pytest.mark.parametrize(
    ("activation", "loss", "cause"),
    [
        (torch.sigmoid, "bce_with_logits", "sigmoid_before_bce_with_logits"),
        (torch.sigmoid, sound.bce_by_hand, "sigmoid_before_bce_with_logits"),
        (torch.tanh, "bce_with_logits", "bounded_logits"),
        (F.relu, "bce_with_logits", "bounded_logits"),
        (lambda z: z, "bce", "logits_into_bce_loss"),
    ],
    ids=["sigmoid", "sigmoid by hand", "tanh", "relu", "logits into bce"],
)
def test_pairings_of_one_logit_are_named(activation, loss, cause: str):
    result = result_of(CHECK, lambda: Squashed(1, activation), task="binary", loss=loss)
    assert (result.outcome, result.verdict.cause) == ("failed", cause)


def test_finding_gives_the_floor_as_a_bound():
    result = result_of(CHECK, lambda: Squashed(2, softmax))
    assert result.verdict.proof is not None
    assert result.verdict.proof.as_written == pytest.approx(0.3133, abs=1e-4)
    assert result.verdict.proof.with_fix == pytest.approx(0.0, abs=1e-6)
    assert "0.3133" in result.verdict.expected


def test_counterexample_is_a_batch_of_one():
    result = result_of(CHECK, lambda: Squashed(2, softmax))
    assert result.verdict.counterexample is not None
    assert result.verdict.counterexample["batch_size"] == 1
    assert sum(result.verdict.counterexample["outputs"]) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("targets", [None, "column"])
def test_single_column_is_named_with_its_constant_loss(targets):
    result = result_of(CHECK, lambda: nn.Linear(10, 1), targets=targets)
    assert (result.outcome, result.verdict.cause) == ("failed", "single_column_cross_entropy")
    assert result.verdict.evidence["losses"] == [0.0, 0.0, 0.0]


def test_log_probabilities_into_cross_entropy_is_advice():
    result = result_of(CHECK, lambda: sound.LogSoftmax(5), num_classes=5)
    assert (result.outcome, result.verdict.cause) == ("advice", "log_probabilities_into_cross_entropy")


@pytest.mark.parametrize(
    ("activation", "arguments"),
    [
        (lambda z: z, {}),
        (lambda z: F.log_softmax(z, dim=1), {"loss": "nll_loss"}),
        (softmax, {"loss": sound.wants_probabilities}),
        (lambda z: 30 * torch.tanh(z / 30), {}),
        (lambda z: z.clamp(-50, 50), {}),
        (lambda z: z.masked_fill(torch.arange(5) == 4, -1e9), {}),
        (F.leaky_relu, {}),
        (F.logsigmoid, {}),
    ],
    ids=["logits", "log_softmax-nll", "skorch", "soft cap 30", "clamp 50", "masked class", "leaky relu", "logsigmoid"],
)
def test_sound_twins_pass(activation, arguments):
    assert result_of(CHECK, lambda: Squashed(5, activation), num_classes=5, **arguments).outcome == "passed"


def test_sigmoid_with_bce_passes():
    assert result_of(CHECK, lambda: Squashed(1, torch.sigmoid), task="binary", loss="bce").outcome == "passed"


@pytest.mark.parametrize("targets", [lambda y: y + 1, lambda y: y.float(), lambda y: y.unsqueeze(1)])
def test_targets_that_the_loss_refuses_do_not_hide_an_activation(targets: Any):
    arguments = {"num_classes": 5, "targets": targets}
    result = result_of(CHECK, lambda: Squashed(5, softmax), **arguments)
    assert (result.outcome, result.verdict.cause) == ("failed", "softmax_before_cross_entropy")
    assert result.verdict.evidence["floor"] == pytest.approx(math.log(1 + 4 / math.e), abs=1e-3)
    assert result_of(CHECK, lambda: sound.MLP(5), **arguments).outcome == "passed"


def test_the_evidence_has_histograms_of_what_the_softmax_gives():
    evidence = result_of(CHECK, lambda: Squashed(5, softmax), num_classes=5).verdict.evidence
    assert list(evidence["histograms"]) == ["least scattered", "most scattered"]
    for bins in evidence["histograms"].values():
        assert 0 <= bins["edges"][0] < bins["edges"][-1] <= 1
        assert sum(bins["counts"]) == 16 * 5


def test_a_loss_of_an_unknown_family_is_not_judged():
    def squared_error(scores: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(torch.softmax(scores, dim=1), F.one_hot(targets, 5).float()) * 0 + scores.pow(2).mean()

    assert result_of(CHECK, lambda: Squashed(5, softmax), num_classes=5, loss=squared_error).outcome == "not_applicable"


def test_passes_stay_within_the_budget_of_exact_checks():
    passes = result_of(CHECK, lambda: Squashed(2, softmax)).passes
    assert passes.forward <= 40
    assert passes.backward <= 4


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("size", [2, 4])
def test_scores_that_are_pooled_from_clipped_ones_are_not_clipped(classes: int, size: int):
    shape = (3, size, size)
    result = result_of(CHECK, lambda: sound.NetworkInNetwork(classes), num_classes=classes, input_shape=shape)
    assert result.outcome == "passed"
    assert f"pooled from {size * size} clipped ones" in result.verdict.measured


def test_pooling_over_one_position_leaves_scores_clipped():
    result = result_of(CHECK, lambda: sound.NetworkInNetwork(10), num_classes=10, input_shape=(3, 1, 1))
    assert (result.outcome, result.verdict.cause) == ("failed", "bounded_logits")


@pytest.mark.parametrize("classes", [2, 5, 20])
def test_rows_of_one_norm_are_found(classes: int):
    result = result_of(CHECK, lambda: Squashed(classes, lambda z: F.normalize(z, dim=1)), num_classes=classes)
    assert (result.outcome, result.verdict.cause) == ("failed", "bounded_logits")


def test_a_norm_that_leaves_room_passes():
    assert (
        result_of(CHECK, lambda: Squashed(5, lambda z: 30 * F.normalize(z, dim=1)), num_classes=5).outcome == "passed"
    )


def test_cosines_without_a_scale_are_left_to_training():
    assert result_of(CHECK, lambda: sound.Cosine(5, 1.0), num_classes=5).outcome == "inconclusive"


class Unnormalised(nn.Module):
    """Overflows in half of the settings, as deep models without normalisation do."""

    def __init__(self, activation: nn.Module, *, unused: bool = False) -> None:
        super().__init__()
        layers = [layer for _ in range(60) for layer in (nn.Linear(10, 10), nn.ReLU())]
        self.body, self.head, self.activation = nn.Sequential(*layers), nn.Linear(10, 3), activation
        self.unused = nn.Linear(10, 3) if unused else None

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.head(x + self.body(x)))


@pytest.mark.parametrize(
    ("activation", "cause"),
    [(nn.Softmax(dim=1), "softmax_before_cross_entropy"), (nn.Sigmoid(), "sigmoid_before_cross_entropy")],
)
def test_an_activation_is_found_where_most_settings_overflow(activation: nn.Module, cause: str):
    result = result_of("outputs_are_logits", lambda: Unnormalised(activation), num_classes=3)
    assert (result.outcome, result.verdict.cause) == ("failed", cause)


@pytest.mark.parametrize("unused", [False, True])
@pytest.mark.parametrize("raised", [0.0, 0.5])
def test_sound_models_pass_where_most_settings_overflow(unused: bool, raised: float):
    def make() -> nn.Module:
        model = Unnormalised(nn.Identity(), unused=unused)
        nn.init.normal_(model.head.weight, std=1e-3)
        nn.init.constant_(model.head.bias, raised)
        return model

    result = result_of("outputs_are_logits", make, num_classes=3)
    assert result.outcome in ("passed", "inconclusive")


class WithoutParameters(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :3]


def test_small_scores_of_a_model_without_parameters_are_no_cosines():
    def small(count: int, rng: torch.Generator) -> Tensor:
        return 0.1 * torch.randn(count, 10, generator=rng)

    result = result_of("outputs_are_logits", WithoutParameters, num_classes=3, inputs=small)
    assert result.outcome == "passed"
