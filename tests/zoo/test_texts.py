"""What a user reads of each cause: the text of the first failure of one model that has it."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from syrupy.assertion import SnapshotAssertion

from pytest_logits.finding import Result
from pytest_logits.report import failure_text
from tests.zoo import table
from tests.zoo.families import CAUSES, FAULTS, looks_at, run
from tests.zoo.own_losses import families as own_losses
from tests.zoo.own_losses.entry import FaultyLoss

# One model for each cause: the style in which most people meet it.
MODELS = {
    "bounded_logits": "ReLUModule_10",
    "broadcast_targets": "ColumnAgainstFlat",
    "degenerate_initialisation": "AllZero",
    "detached_graph": "Detached",
    "evaluation_is_random": "Dropped",
    "examples_leak_across_batch": "MixesRows",
    "frozen_parameters": "FrozenBackbone",
    "gradients_not_cleared": "NeverCleared",
    "input_modified_in_place": "scaled_in_place",
    "labels_out_of_range": "LabelsFromOne",
    "learning_rate_too_high": "Huge",
    "learning_rate_too_low": "RoundedAway",
    "log_probabilities_into_cross_entropy": "LogSoftmaxModuleCE",
    "logits_into_bce_loss": "LogitsIntoBCEByHand",
    "logits_into_nll_loss": "LogitsIntoNLL",
    "loss_is_maximised": "Negated",
    "model_left_in_wrong_mode": "BackToTrainMode",
    "non_finite_values": "root_of_negative",
    "optimizer_misses_parameters": "OfTheTrunk",
    "output_ignores_input": "WrongName",
    "output_shape_depends_on_batch": "SqueezeAll",
    "prediction_disagrees_with_logits": "HalfOnLogits",
    "probabilities_into_nll_loss": "SoftmaxIntoNLL",
    "random_state_reset": "Reseeded",
    "regression_head": "OneLabel",
    "sigmoid_before_bce_with_logits": "SigmoidOneLogit",
    "sigmoid_before_cross_entropy": "SigmoidModule",
    "signed_targets": "SignedTargets",
    "single_column_cross_entropy": "OneColumn",
    "softmax_before_bce_with_logits": "SoftmaxMultilabel",
    "softmax_before_cross_entropy": "SoftmaxModule_10",
    "softmax_over_wrong_dim": "over_batch",
    "step_without_update": "NoStep",
    "unnormalised_targets": "SmoothedByHand",
    "unreachable_class": "less_an_exponential",
    "unregistered_parameters": "InList",
    "unscaled_inputs": "Pixels",
    "unstable_loss": "LogOfSoftmax",
    "wrong_loss_weights": "IgnoreFirst",
    "wrong_number_of_outputs": "PretrainedHead",
    "wrong_target_dtype": "FloatTargets",
}


# Causes that only a loss can have.
OF_LOSSES = (
    "gather_over_wrong_dim",
    "ignored_rows_count",
    "labels_have_no_effect",
    "loss_rewards_mistakes",
    "scores_out_of_order",
    "unbounded_loss",
    "wrong_reduction",
)


FAULT_OF = {cause: next(fault for fault in FAULTS if fault.name == name) for cause, name in MODELS.items()}


def without_torchs_words(result: Result) -> Result:
    """What torch says of a target's dtype is said otherwise by each of its versions."""
    measured = re.sub(r"(?<=RuntimeError: ).*(?= \(targets)", "what torch says", result.verdict.measured)
    return replace(result, verdict=replace(result.verdict, measured=measured))


def without_draws(result: Result) -> Result:
    """What dropout draws, torch up to 2.6 draws otherwise; that the numbers told are the measured ones is held here."""
    verdict = result.verdict
    assert verdict.measured.endswith(f" {verdict.evidence['gap']:.4g}")
    assert f" {verdict.evidence['tolerance']:.2g}," in verdict.expected
    measured, expected = (re.sub(r"\d\.\d+(e-\d+)?", "0.5", words) for words in (verdict.measured, verdict.expected))
    example = {
        key: [0.5 for _ in value] if isinstance(value, list) else value
        for key, value in (verdict.counterexample or {}).items()
    }
    return replace(result, verdict=replace(verdict, measured=measured, expected=expected, counterexample=example))


@pytest.mark.parametrize("cause", [pytest.param(cause, marks=looks_at(f)) for cause, f in FAULT_OF.items()])
def test_the_text_of_a_finding(cause: str, snapshot: SnapshotAssertion):
    fault = FAULT_OF[cause]
    first = without_torchs_words(table.found(fault, run(fault))[0])
    assert first.verdict.cause == cause
    first = without_draws(first) if cause == "evaluation_is_random" else first
    text = re.sub(r"\d+\.\d{4,}", lambda number: f"{float(number[0]):.3g}", failure_text(first))
    assert re.sub(r"(\.py):\d+", r"\1:LINE", text) == snapshot


def first_with(cause: str) -> FaultyLoss:
    return next(loss for loss in own_losses.FAULTS if cause in (loss.cause, *loss.also))


@pytest.mark.parametrize(
    "cause", [pytest.param(cause, marks=own_losses.looks_at(first_with(cause))) for cause in OF_LOSSES]
)
def test_the_text_of_a_finding_about_a_loss(cause: str, snapshot: SnapshotAssertion):
    faults = (fault for fault in own_losses.FAULTS if cause in (fault.cause, *fault.also))
    first = next(r for fault in faults for r in own_losses.run(fault) if r.verdict.cause == cause)
    text = re.sub(r"\d+\.\d{4,}", lambda number: f"{float(number[0]):.3g}", failure_text(first))
    assert re.sub(r"(\.py):\d+", r"\1:LINE", text) == snapshot


def test_every_cause_has_its_text_held():
    assert sorted([*MODELS, *OF_LOSSES]) == sorted(CAUSES)
