from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.pooled import LUCK
from tests.checks.planted import result_of
from tests.checks.test_outputs_are_logits import Squashed, softmax
from tests.zoo import sound

CHECK = "loss_reaches_its_minimum"


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize(
    ("activation", "cause"),
    [
        (softmax, "softmax_before_cross_entropy"),
        (torch.sigmoid, "sigmoid_before_cross_entropy"),
        (torch.tanh, "bounded_logits"),
    ],
    ids=["softmax", "sigmoid", "tanh"],
)
def test_floor_is_named_and_proved(activation, cause: str, classes: int):
    result = result_of(CHECK, lambda: Squashed(classes, activation), num_classes=classes)
    assert (result.outcome, result.verdict.cause) == ("failed", cause)
    proof = result.verdict.proof
    assert proof is not None
    assert proof.with_fix < proof.goal <= proof.as_written


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_softmax_floor_is_the_derived_one(classes: int):
    verdict = result_of(CHECK, lambda: Squashed(classes, softmax), num_classes=classes).verdict
    assert verdict.counterexample is not None
    assert verdict.counterexample["floor"] == pytest.approx(math.log(1 + (classes - 1) / math.e), rel=1e-3)
    assert verdict.counterexample["lowest_loss"] >= verdict.counterexample["floor"] * (1 - 1e-3)


def test_sigmoid_before_bce_with_logits_is_kept_above_its_floor():
    verdict = result_of(CHECK, lambda: Squashed(1, torch.sigmoid), task="binary").verdict
    assert verdict.cause == "sigmoid_before_bce_with_logits"
    assert verdict.counterexample is not None
    assert verdict.counterexample["floor"] == pytest.approx(0.5032, abs=1e-3)


@pytest.mark.parametrize("activation", [softmax, lambda z: z], ids=["probabilities", "logits"])
def test_a_loss_below_its_minimum_is_found(activation):
    result = result_of(CHECK, lambda: Squashed(4, activation), num_classes=4, loss="nll_loss")
    assert result.outcome == "failed"
    assert result.verdict.cause in ("probabilities_into_nll_loss", "logits_into_nll_loss")


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        (lambda: sound.MLP(5), {}),
        (lambda: Squashed(5, lambda z: F.log_softmax(z, dim=1)), {"loss": "nll_loss"}),
        (lambda: Squashed(5, softmax), {"loss": sound.wants_probabilities}),
        (lambda: sound.Cosine(5, 16.0), {}),
        (lambda: sound.Distance(5), {}),
        (lambda: sound.SoftCapped(5), {}),
        (lambda: sound.MLP(5), {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)}),
        (lambda: sound.MLP(5), {"loss": nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2, 3, 4, 50]))}),
    ],
    ids=[
        "mlp",
        "log_softmax-nll",
        "skorch",
        "cosine 16",
        "distance",
        "soft cap",
        "smoothed",
        "weighted",
    ],
)
def test_sound_twins_pass(model, arguments):
    assert result_of(CHECK, model, num_classes=5, **arguments).outcome == "passed"


def test_a_softmax_that_leaves_the_loss_its_minimum_is_no_fault():
    # The multi-class hinge of probabilities is 0 where the true class has all of it.
    result = result_of(CHECK, lambda: Squashed(5, softmax), num_classes=5, loss=nn.MultiMarginLoss())
    assert result.outcome == "passed"


def test_a_slow_model_is_inconclusive():
    assert result_of(CHECK, lambda: sound.deep(20, 2)).outcome == "inconclusive"


def test_one_column_is_not_judged_here():
    assert result_of(CHECK, lambda: nn.Linear(10, 1)).outcome == "not_applicable"


def test_an_unknown_loss_is_not_judged():
    def odd(scores: Tensor, targets: Tensor) -> Tensor:
        return scores.pow(2).mean()

    assert result_of(CHECK, lambda: sound.MLP(2), loss=odd).outcome == "not_applicable"


@pytest.mark.parametrize("classes", [2, 5, 20])
def test_cosines_without_a_scale_are_found_and_proved(classes: int):
    verdict = result_of(CHECK, lambda: sound.Cosine(classes, 1.0), num_classes=classes).verdict
    assert (verdict.outcome, verdict.cause) == ("failed", "bounded_logits")
    assert verdict.proof is not None
    assert verdict.proof.with_fix < verdict.proof.goal <= verdict.proof.as_written


@pytest.mark.parametrize("classes", [2, 5, 20])
def test_the_floor_of_normalised_rows_is_the_derived_one(classes: int):
    # The best margin on a sphere of radius 1 is sqrt(K / (K - 1)): all of it in the direction of one class.
    verdict = result_of(CHECK, lambda: Squashed(classes, lambda z: F.normalize(z, dim=1)), num_classes=classes).verdict
    assert verdict.counterexample is not None
    margin = math.sqrt(classes / (classes - 1))
    expected = math.log(1 + (classes - 1) * math.exp(-margin))
    assert verdict.counterexample["floor"] == pytest.approx(expected, rel=1e-4)


def test_cosines_into_a_loss_that_scales_them_are_sound():
    def scaled(cosines: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(cosines / 0.07, targets)

    assert result_of(CHECK, lambda: sound.Cosine(5, 1.0), num_classes=5, loss=scaled).outcome == "passed"


def test_nothing_is_said_of_what_does_not_train():
    class InList(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1)]

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x)
            return x

    # From this seed the untrained outputs happen to separate the classes, within [-1, 1].
    result = result_of(CHECK, InList, task="binary", seed=3, name="InListOneLogit")
    assert result.outcome == "not_applicable"
    assert "nothing trains" in result.verdict.measured


def test_behind_a_relu_on_the_logits_the_draw_decides():
    result = result_of(CHECK, lambda: nn.Sequential(nn.Linear(10, 3), nn.ReLU()), num_classes=3)
    assert (result.outcome, result.verdict.cause) == ("inconclusive", None)
    assert LUCK in result.verdict.measured


def test_targets_out_of_range_have_no_minimum():
    result = result_of(CHECK, lambda: nn.Linear(10, 1), task="binary", targets="signed")
    assert result.outcome == "not_applicable"
    assert "see targets_fit_loss" in result.verdict.measured
