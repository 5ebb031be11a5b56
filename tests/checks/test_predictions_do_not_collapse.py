from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

from tests.checks.planted import result_of
from tests.checks.test_outputs_are_logits import Squashed, softmax
from tests.zoo import sound

CHECK = "predictions_do_not_collapse"


class IgnoresInput(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(torch.zeros_like(x))


def test_one_column_collapses():
    result = result_of(CHECK, lambda: nn.Linear(10, 1))
    assert (result.outcome, result.verdict.cause) == ("failed", "single_column_cross_entropy")


def test_ignored_input_is_found():
    result = result_of(CHECK, lambda: IgnoresInput(2))
    assert (result.outcome, result.verdict.cause) == ("failed", "output_ignores_input")


def test_sigmoid_before_bce_with_logits_predicts_one_class():
    result = result_of(CHECK, lambda: Squashed(1, torch.sigmoid), task="binary")
    assert (result.outcome, result.verdict.cause) == ("failed", "sigmoid_before_bce_with_logits")


def test_softmax_before_bce_with_logits_predicts_one_combination():
    result = result_of(CHECK, lambda: Squashed(4, softmax), task="multilabel", num_classes=4)
    assert (result.outcome, result.verdict.cause) == ("failed", "softmax_before_bce_with_logits")


@pytest.mark.parametrize(
    "predict",
    [
        lambda model, x: torch.sigmoid(torch.sigmoid(model(x))).gt(0.5).long(),
        lambda model, x: model(x).unsqueeze(1).argmax(dim=1),
    ],
    ids=["sigmoid twice", "argmax over one column"],
)
def test_predict_that_gives_one_class_is_found(predict):
    result = result_of(CHECK, lambda: sound.OneLogit(True), task="binary", predict=predict)
    assert (result.outcome, result.verdict.cause) == ("failed", "prediction_disagrees_with_logits")


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9, 0.99])
def test_predict_with_a_threshold_of_the_users_own_is_not_failed(threshold: float):
    def predict(model: nn.Module, x: Tensor) -> Tensor:
        return torch.sigmoid(model(x)).gt(threshold).long()

    result = result_of(CHECK, lambda: sound.OneLogit(True), task="binary", predict=predict)
    assert result.outcome in ("passed", "inconclusive")


def test_predict_of_another_shape_is_left_to_its_own_check():
    result = result_of(CHECK, lambda: sound.MLP(2), predict=lambda model, x: model(x))
    assert result.outcome == "not_applicable"
    assert "see predictions_match_logits" in result.verdict.measured


@pytest.mark.parametrize(
    "model",
    [lambda: sound.MLP(2), lambda: sound.deep(6, 2), lambda: sound.ZeroHead(2), lambda: Squashed(2, softmax)],
    ids=["mlp", "deep 6", "zero head", "double softmax classifies all the same"],
)
def test_sound_twins_pass(model):
    assert result_of(CHECK, model).outcome == "passed"


def test_a_deep_net_that_stays_on_one_class_is_inconclusive():
    assert result_of(CHECK, lambda: sound.deep(20, 2)).outcome == "inconclusive"


def test_constant_inputs_of_the_users_own_are_not_the_models_fault():
    result = result_of(CHECK, lambda: sound.MLP(2), inputs=lambda n, generator: torch.ones(n, 10))
    assert result.outcome == "inconclusive"


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        (lambda: nn.Conv2d(3, 3, 3, padding=1), {"input_shape": (3, 8, 8), "num_classes": 3}),
        (lambda: sound.MLP(4), {"task": "multilabel", "num_classes": 4}),
    ],
)
def test_rows_of_several_decisions_are_counted_as_such(model, arguments):
    measured = result_of(CHECK, model, **arguments).verdict.measured
    assert re.match(r"\d+ different predictions for \d+ patterns, accuracy", measured)


@pytest.mark.parametrize("seed", range(6))
def test_of_a_model_in_which_nothing_trains_nothing_is_said(seed: int):
    """Whether its initial weights give one class or two is chance."""

    def frozen() -> nn.Module:
        return sound.MLP(2).requires_grad_(False)

    assert result_of(CHECK, frozen, seed=seed).outcome == "not_applicable"
