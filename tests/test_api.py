from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pytest_logits
from pytest_logits import RegistrationError, check_classifier
from pytest_logits.api import ChecksFailed, Report
from pytest_logits.check_registry import all_checks
from pytest_logits.report import failure_text
from tests.zoo import normalised, sound

FLAT: dict[str, Any] = {"input_shape": (10,), "num_classes": 3}


@pytest.fixture(scope="module")
def passing() -> Report:
    return check_classifier(lambda: sound.MLP(3), name="net", **FLAT)


@pytest.fixture(scope="module")
def failing() -> Report:
    return check_classifier(lambda: normalised.SoftmaxFunction(3), name="net", **FLAT)


def test_every_check_has_a_result_in_order(passing: Report):
    assert [r.check for r in passing] == [c.name for c in all_checks()]
    assert len(passing) == len(all_checks())
    assert {r.model for r in passing} == {"net"}


def test_a_report_prints_one_line_for_each_check(passing: Report):
    lines = str(passing).splitlines()
    assert len(lines) == len(passing)
    for line, result in zip(lines, passing, strict=True):
        assert line.split()[:2] == [result.outcome, result.check]


def test_a_report_prints_its_failures_in_full(failing: Report):
    text = " ".join(str(failing).split())
    failed = [r for r in failing if r.outcome == "failed"]
    assert failed
    for result in failed:
        assert " ".join(failure_text(result).split()) in text


def test_a_sound_model_raises_nothing(passing: Report):
    passing.raise_for_failures()


def test_a_faulty_model_raises_with_every_finding(failing: Report):
    failed = [r for r in failing if r.outcome == "failed"]
    assert failed
    with pytest.raises(ChecksFailed) as raised:
        failing.raise_for_failures()
    assert isinstance(raised.value, AssertionError)
    assert str(raised.value).count("fix       ") == len(failed)


def test_advice_and_skips_are_no_failures():
    report = check_classifier(lambda: sound.LogSoftmax(3), name="net", **FLAT)
    assert {r.outcome for r in report} >= {"advice", "not_applicable"}
    report.raise_for_failures()


class Raises(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("the model's own")


def test_a_model_that_raises_is_an_error_and_raises_at_the_end():
    report = check_classifier(lambda: Raises(3), name="net", select=["output_shape_is_stable"], **FLAT)
    assert {r.outcome for r in report} == {"error"}
    with pytest.raises(ChecksFailed, match="the model's own"):
        report.raise_for_failures()


RANGE = "outputs_are_logits"


@pytest.mark.parametrize(
    ("factory", "check", "outcome"),
    [
        (normalised.SoftmaxFunction, RANGE, "xfailed"),
        (sound.MLP, RANGE, "xpassed"),
        (sound.LogSoftmax, RANGE, "advice"),
        (Raises, RANGE, "error"),
        (sound.MLP, "predictions_match_logits", "not_applicable"),
    ],
)
def test_an_expected_failure_is_strict_on_decisive_verdicts_only(factory: Any, check: str, outcome: str):
    expected = {check: "known"}
    (result,) = check_classifier(lambda: factory(3), name="net", select=[check], expected_failures=expected, **FLAT)
    assert result.outcome == outcome


def test_an_expected_failure_raises_nothing():
    expected = {RANGE: "known", "loss_reaches_its_minimum": "known"}
    report = check_classifier(
        lambda: normalised.SoftmaxFunction(3), name="net", select=[*expected], expected_failures=expected, **FLAT
    )
    report.raise_for_failures()


def test_an_expected_failure_that_passes_raises():
    report = check_classifier(lambda: sound.MLP(3), name="net", select=[RANGE], expected_failures={RANGE: "x"}, **FLAT)
    with pytest.raises(ChecksFailed, match="outputs_are_logits holds, and expected_failures= says that it does not"):
        report.raise_for_failures()


def test_an_expected_failure_that_no_check_has_is_told():
    with pytest.raises(RegistrationError, match="expected_failures names 'output', which is no check"):
        check_classifier(lambda: sound.MLP(3), name="net", expected_failures={"output": "known"}, **FLAT)


def test_what_is_printed_to_run_a_check_again_runs_it_again():
    # There is no pytest item here: an id that was never collected cannot be pasted back to pytest.
    report = check_classifier(lambda: normalised.SoftmaxFunction(3), name="net", select=["outputs_are_logits"], **FLAT)
    (result,) = report
    assert "pytest --logit-checks" not in result.reproduce
    assert "check_classifier" in result.reproduce
    assert "outputs_are_logits" in result.reproduce


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"select": ["outputs_are_logits"]}, ["outputs_are_logits"]),
        ({"select": ["outputs"]}, [c.name for c in all_checks() if "outputs" in c.tags]),
        ({"ignore": ["learning"]}, [c.name for c in all_checks() if "learning" not in c.tags]),
        (
            {"select": ["learning"], "ignore": ["loss_reaches_its_minimum"]},
            [c.name for c in all_checks() if "learning" in c.tags and c.name != "loss_reaches_its_minimum"],
        ),
        ({"select": ("exact",)}, [c.name for c in all_checks() if "exact" in c.tags]),
    ],
    ids=str,
)
def test_checks_are_chosen_by_name_or_tag(arguments: dict[str, Any], expected: list[str]):
    assert [r.check for r in check_classifier(lambda: sound.MLP(3), name="net", **FLAT, **arguments)] == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"profile": "quik"}, r"profile='quik' is not known; did you mean 'quick'\?"),
        ({"profile": "zzz"}, r"profile='zzz' is not known; it is one of: quick, standard, thorough"),
        ({"select": ["output_are_logits"]}, r"'output_are_logits' is neither .*did you mean 'outputs_are_logits'\?"),
        ({"ignore": ["lerning"]}, r"'lerning' is neither a check nor a tag; did you mean 'learning'\?"),
        ({"select": "outputs"}, "select='outputs'"),
        ({"ignore": "outputs"}, "ignore='outputs'"),
    ],
)
def test_a_wrong_choice_is_an_error_that_names_the_nearest(arguments: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        check_classifier(lambda: sound.MLP(3), name="net", **FLAT, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 3}, "argument 'input_shape' is required"),
        ({"input_shape": (10,)}, "argument 'num_classes' is required"),
        ({**FLAT, "optimiser": None, "taks": "binary"}, r"unknown argument 'taks'; did you mean 'task'\?"),
        ({**FLAT, "loss": "crossentropy"}, r"loss='crossentropy' is not known; did you mean 'cross_entropy'\?"),
    ],
)
def test_a_wrong_argument_is_told_with_the_line_of_the_call(arguments: dict[str, Any], message: str):
    with pytest.raises(RegistrationError, match=message) as raised:
        check_classifier(lambda: sound.MLP(3), name="net", **arguments)
    assert f"{__file__}:" in str(raised.value)


def test_a_lambda_needs_no_name():
    # Outside pytest nothing selects a model by its name.
    (result,) = check_classifier(lambda: sound.MLP(3), select=["output_shape_is_stable"], **FLAT)
    assert result.outcome == "passed"


@pytest.mark.parametrize(("model", "name"), [(sound.MLP(3), "MLP"), (nn.Linear(10, 3), "Linear")])
def test_a_module_is_named_by_its_class(model: nn.Module, name: str):
    (result,) = check_classifier(model, select=["output_shape_is_stable"], **FLAT)
    assert result.model == name


def test_a_module_is_not_modified():
    model = nn.Sequential(nn.Linear(10, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3)).eval()
    model[0].bias.requires_grad_(False)
    before = copy.deepcopy(model)
    check_classifier(model, **FLAT)
    assert not any(m.training for m in model.modules())
    state, expected = model.state_dict(), before.state_dict()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in before.parameters()]
    assert all(p.grad is None for p in model.parameters())
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def test_the_process_is_left_as_it_was():
    before = torch.random.get_rng_state(), random.getstate(), torch.get_num_threads(), nn.Module.__init__
    check_classifier(lambda: normalised.SoftmaxFunction(3), name="net", **FLAT)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (random.getstate(), torch.get_num_threads(), nn.Module.__init__) == before[1:]
    assert torch.is_grad_enabled()


def numbers(report: Report) -> list[dict[str, Any]]:
    return [{**r.to_json(), "seconds": 0} for r in report]


def test_the_same_seed_gives_the_same_report():
    first, second = (check_classifier(lambda: sound.MLP(3), name="net", seed=3, **FLAT) for _ in range(2))
    assert numbers(first) == numbers(second)


def test_one_check_alone_measures_what_it_measures_among_all(failing: Report):
    for result in failing:
        (alone,) = check_classifier(lambda: normalised.SoftmaxFunction(3), name="net", select=[result.check], **FLAT)
        assert alone.verdict == result.verdict


def test_another_seed_measures_something_else():
    first, second = (
        check_classifier(lambda: sound.MLP(3), name="net", seed=s, select=["learning"], **FLAT) for s in (0, 1)
    )
    assert numbers(first) != numbers(second)


def test_the_seed_and_the_profile_reach_the_checks():
    (result,) = check_classifier(
        lambda: sound.MLP(2),
        name="net",
        profile="quick",
        select=["loss_prefers_the_true_class"],
        input_shape=(10,),
        num_classes=2,
        # Of torch's own, fewer are drawn.
        loss=lambda logits, targets: F.cross_entropy(logits, targets),
    )
    assert result.verdict.evidence["examples"] == 20


def test_it_is_offered_at_the_top():
    assert pytest_logits.check_classifier is check_classifier
