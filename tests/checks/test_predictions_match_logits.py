from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.checks.planted import result_of
from tests.checks.test_outputs_are_logits import Squashed
from tests.zoo import sound

CHECK = "predictions_match_logits"
DISAGREES = "prediction_disagrees_with_logits"


def one_logit(predict, **arguments):
    return result_of(CHECK, lambda: sound.OneLogit(True), task="binary", predict=predict, **arguments)


def classes(predict):
    return result_of(CHECK, lambda: sound.MLP(3), num_classes=3, predict=predict)


def test_half_on_logits_is_found_with_its_threshold():
    result = one_logit(lambda model, x: (model(x) > 0.5).long())
    assert (result.outcome, result.verdict.cause) == ("failed", DISAGREES)
    assert result.verdict.evidence["highest_predicted_0"] == pytest.approx(0.5, abs=0.005)


def test_rounding_of_logits_is_found():
    assert one_logit(lambda model, x: model(x).round().clamp(0, 1).long()).verdict.cause == DISAGREES


@pytest.mark.parametrize(
    ("predict", "words"),
    [
        (lambda model, x: (torch.sigmoid(torch.sigmoid(model(x))) > 0.5).long(), "sigmoid applied twice"),
        (lambda model, x: model(x).unsqueeze(1).argmax(dim=1), "argmax over a single column"),
        (lambda model, x: (model(x) < 0).long(), "the opposite"),
    ],
    ids=["sigmoid twice", "one column", "opposite"],
)
def test_slips_on_one_logit_are_named(predict, words: str):
    result = one_logit(predict)
    assert (result.outcome, result.verdict.cause) == ("failed", DISAGREES)
    assert words in result.verdict.measured


@pytest.mark.parametrize(
    "predict",
    [
        lambda model, x: model(x).argmax(),
        lambda model, x: model(x).argmax(dim=0),
        lambda model, x: model(x).argmin(dim=1),
    ],
    ids=["argmax without dim", "argmax over the batch", "argmin"],
)
def test_slips_over_classes_are_found(predict):
    assert classes(predict).verdict.cause == DISAGREES


def test_softmax_in_a_multilabel_head_is_found():
    def predict(model: nn.Module, x: Tensor) -> Tensor:
        return (torch.softmax(model(x), dim=1) > 0.5).long()

    result = result_of(CHECK, lambda: sound.MLP(6), num_classes=6, task="multilabel", predict=predict)
    assert result.verdict.cause == DISAGREES


def test_a_predict_that_leaves_the_model_in_train_mode_is_found():
    def predict(model: nn.Module, x: Tensor) -> Tensor:
        model.train()
        return model(x).argmax(dim=1)

    result = classes(predict)
    assert (result.outcome, result.verdict.cause) == ("failed", "model_left_in_wrong_mode")
    assert result.verdict.location is not None
    assert result.verdict.location.code.startswith("def predict")


@pytest.mark.parametrize("threshold", [0.01, 0.3, 0.5, 0.6, 0.65, 0.9, 0.999])
def test_a_threshold_of_the_users_own_passes(threshold: float):
    assert one_logit(lambda model, x: (torch.sigmoid(model(x)) > threshold).long()).outcome == "passed"


@pytest.mark.parametrize(
    "predict",
    [lambda model, x: model(x).argmax(dim=1), lambda model, x: torch.softmax(model(x), dim=-1).max(dim=-1).indices],
    ids=["argmax", "argmax of softmax"],
)
def test_sound_predictions_over_classes_pass(predict):
    assert classes(predict).outcome == "passed"


def test_half_on_probabilities_passes_where_the_loss_takes_them():
    result = result_of(
        CHECK,
        lambda: Squashed(1, torch.sigmoid),
        task="binary",
        loss="bce",
        predict=lambda model, x: (model(x) > 0.5).long().squeeze(1),
    )
    assert result.outcome == "passed"


def test_no_predict_is_not_judged():
    assert result_of(CHECK, lambda: sound.MLP(2)).outcome == "not_applicable"


def broadcast(predict):
    """BCE by hand of scores (N, 1) against targets (N,): as a whole it is no loss that is known."""
    arguments = {"task": "binary", "loss": sound.bce_by_hand, "targets": "float_index", "predict": predict}
    return result_of(CHECK, lambda: sound.OneLogit(False), **arguments)


def test_targets_that_are_broadcast_do_not_hide_a_wrong_decision():
    result = broadcast(lambda model, x: (model(x) > 0.5).long().squeeze(1))
    assert (result.outcome, result.verdict.cause) == ("failed", DISAGREES)
    assert result.passes.forward > 0
    assert broadcast(lambda model, x: (model(x) > 0).long().squeeze(1)).outcome == "passed"


@pytest.mark.parametrize("error", [ValueError, AssertionError, KeyError])
def test_a_loss_that_takes_no_row_by_itself_implies_no_decision(error):
    def loss(scores, targets):
        if len(scores) < 2:
            raise error("a batch is wanted")
        return (scores.sigmoid() - targets).square().mean()

    result = one_logit(lambda model, x: (model(x) > 0.5).long(), loss=loss)
    assert result.outcome == "not_applicable"


# At these seeds the bias of the one logit decides all rows of a batch. On lines beyond it both decisions show.
@pytest.mark.parametrize("seed", [12, 16, 18, 19])
@pytest.mark.parametrize(
    "predict",
    [lambda model, x: (model(x) > 0.5).long(), lambda model, x: (model(x).sigmoid().sigmoid() > 0.5).long()],
    ids=["half of a logit", "sigmoid twice"],
)
def test_wrong_decisions_are_found_where_a_bias_decides_whole_batches(predict, seed: int):
    result = one_logit(predict, seed=seed)
    assert (result.outcome, result.verdict.cause) == ("failed", "prediction_disagrees_with_logits")
    assert result.passes.forward <= 40


class OneRowOverflows(sound.OneLogit):
    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        return torch.where(torch.arange(len(x)).view(-1, *([1] * (scores.ndim - 1))) == 1, torch.nan, scores)


def test_a_row_that_is_nan_is_no_sign_of_randomness():
    predict = {"right": lambda model, x: (model(x) > 0).long(), "wrong": lambda model, x: (model(x) < 0).long()}
    outcomes = {
        name: result_of(CHECK, lambda: OneRowOverflows(True), task="binary", predict=decide).outcome
        for name, decide in predict.items()
    }
    assert outcomes == {"right": "passed", "wrong": "failed"}
