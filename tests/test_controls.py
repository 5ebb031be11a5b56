"""A fault in a model, and what the control says of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pytest_logits import check_registry
from pytest_logits.check_registry import Check, all_checks
from pytest_logits.controls import Control, LossControl, ModelControl
from pytest_logits.finding import Verdict, passed
from pytest_logits.model import ModelSpec, make_loss_spec, make_spec
from pytest_logits.planting import plants, plants_of_losses
from pytest_logits.settings import Settings
from pytest_logits.subjects import Subjects

SOFTMAX = "softmax_before_cross_entropy"


def spec(factory: Any = lambda: nn.Linear(4, 3), **arguments: Any) -> ModelSpec:
    given = {"name": "net", "input_shape": (4,), "num_classes": 3, **arguments}
    return make_spec(factory, file=Path(__file__), line=1, arguments=given)


def control(
    cause: str = SOFTMAX, of: ModelSpec | None = None, *, checks: tuple[Check, ...] = (), plant: Any = None
) -> Control:
    settings = Settings()
    return ModelControl(
        plant or plants()[cause],
        of or spec(),
        checks=checks or all_checks(),
        settings=settings,
        subjects=Subjects(settings),
    )


def check(name: str = "outputs_are_logits", decide: Any = None) -> Check:
    known = {c.name: c for c in all_checks()}[name]
    return dataclasses.replace(known, function=decide) if decide else known


def test_a_fault_that_is_named_is_caught():
    verdict = control().decide()
    assert (verdict.outcome, verdict.measured) == ("passed", "caught by outputs_are_logits")


def test_the_check_that_caught_it_is_evidence():
    (said,) = control().decide().evidence["said"]
    assert (said["check"], said["outcome"], said["cause"]) == ("outputs_are_logits", "failed", SOFTMAX)


def test_a_fault_that_is_found_as_advice_is_caught():
    assert control("log_probabilities_into_cross_entropy").decide().outcome == "passed"


def test_checks_that_do_not_name_the_cause_are_not_run():
    def raises(subject: Any) -> Verdict:
        raise KeyboardInterrupt

    assert control(checks=(check("output_shape_is_stable", raises), check())).decide().outcome == "passed"


def test_no_check_is_run_once_the_fault_is_named():
    def raises(subject: Any) -> Verdict:
        raise KeyboardInterrupt

    assert control(checks=(check(), check("loss_reaches_its_minimum", raises))).decide().outcome == "passed"


def test_checks_of_the_users_own_may_name_a_cause(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(check_registry, "_checks", dict(check_registry._checks))
    own = dataclasses.replace(check(), name="own", doc="Causes: unstable_loss.")
    verdict = control("unstable_loss", spec(lambda: nn.Linear(4, 2), num_classes=2), checks=(own,)).decide()
    assert [one["check"] for one in verdict.evidence["said"]] == ["own"]


def test_what_the_checks_said_of_a_missed_fault_is_evidence():
    verdict = control(checks=(check(decide=lambda subject: passed("as it is")),)).decide()
    assert (verdict.outcome, verdict.measured) == ("advice", "not caught by outputs_are_logits")
    assert verdict.evidence["said"] == [
        {"check": "outputs_are_logits", "outcome": "passed", "cause": None, "measured": "as it is"}
    ]


def test_a_fault_under_another_name_is_missed():
    other = Verdict(outcome="failed", cause="bounded_logits", measured="it is 3")
    verdict = control(checks=(check(decide=lambda subject: other),)).decide()
    assert (verdict.outcome, verdict.evidence["said"][0]["cause"]) == ("advice", "bounded_logits")


def test_a_check_that_raises_has_not_named_the_fault():
    def raises(subject: Any) -> Verdict:
        raise KeyError("my own mistake")

    verdict = control(checks=(check(decide=raises),)).decide()
    assert (verdict.outcome, verdict.evidence["said"][0]["outcome"]) == ("advice", "error")
    assert verdict.evidence["said"][0]["measured"] == "KeyError: 'my own mistake'"


def test_a_fault_that_cannot_be_had_does_not_apply():
    verdict = control("signed_targets").decide()
    assert (verdict.outcome, verdict.measured) == ("not_applicable", "the model cannot have this fault")


def test_a_fault_that_the_model_has_already_does_not_apply():
    verdict = control(of=spec(lambda: nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)))).decide()
    assert verdict.outcome == "not_applicable"
    assert verdict.measured == "the model has this fault as it is, see outputs_are_logits"


class Squares(nn.Linear):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).square()


def test_a_fault_that_changes_nothing_does_not_apply():
    verdict = control("bounded_logits", spec(lambda: Squares(4, 3))).decide()
    assert verdict.outcome == "not_applicable"
    assert verdict.measured == "planting it changes no score, loss or gradient of the model"


def test_a_missed_fault_beside_the_model_is_missed():
    blind = check("predictions_match_logits", lambda subject: passed("as it is"))
    assert control("prediction_disagrees_with_logits", checks=(blind,)).decide().outcome == "advice"


def test_a_fault_that_no_selected_check_looks_for_does_not_apply():
    verdict = control(checks=(check("output_shape_is_stable"),)).decide()
    assert (verdict.outcome, verdict.measured) == ("not_applicable", "no selected check looks for it")


def test_a_fault_that_cannot_be_planted_is_told():
    def refuses(factory: Any, arguments: Any) -> Any:
        raise RuntimeError("scripted")

    plant = dataclasses.replace(plants()[SOFTMAX], make=lambda case: refuses(None, None))
    verdict = control(plant=plant).decide()
    assert (verdict.outcome, verdict.measured) == ("not_applicable", "planting it raises RuntimeError: scripted")


def test_the_passes_of_the_checks_are_counted():
    made = control()
    made.decide()
    assert made.passes.forward > 0


def test_expected_failures_are_not_of_the_planted_fault():
    expected = {"outputs_are_logits": "known"}
    assert control(of=spec(expected_failures=expected)).decide().outcome == "passed"


def test_the_registered_module_is_not_changed():
    module = nn.Linear(4, 3)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    for cause in plants():
        control(cause, spec(module)).decide()
    assert type(module) is nn.Linear
    assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())
    assert all(p.requires_grad for p in module.parameters())


@pytest.mark.parametrize("cause", sorted(plants()))
def test_some_check_looks_for_every_plant(cause: str):
    seeing = {c.name for c in all_checks() if cause in c.causes}
    assert set(plants()[cause].checks) <= seeing


# Losses by themselves


def loss_control(cause: str, loss: Any = F.cross_entropy, **arguments: Any) -> Control:
    given = {"name": "loss", "num_classes": 3, **arguments}
    spec, settings = make_loss_spec(loss, file=Path(__file__), line=1, arguments=given), Settings()
    return LossControl(
        plants_of_losses()[cause], spec, checks=all_checks(), settings=settings, subjects=Subjects(settings)
    )


def test_a_fault_in_a_loss_is_caught():
    verdict = loss_control("loss_is_maximised").decide()
    assert (verdict.outcome, verdict.measured) == ("passed", "caught by loss_matches_reference")


def test_only_checks_of_losses_look_for_it():
    said = loss_control("bounded_logits").decide().evidence["said"]
    assert [one["check"] for one in said] == ["loss_matches_reference"]


def test_a_fault_that_a_loss_cannot_have_does_not_apply():
    verdict = loss_control("signed_targets").decide()
    assert (verdict.outcome, verdict.measured) == ("not_applicable", "the loss cannot have this fault")


def detached(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits.detach(), targets)


def test_a_fault_that_a_loss_has_already_does_not_apply():
    verdict = loss_control("detached_graph", detached).decide()
    assert verdict.outcome == "not_applicable"
    assert verdict.measured == "the loss has this fault as it is, see loss_matches_reference"


def clamped(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.multi_margin_loss(logits.clamp(-1, 1), targets)


def test_a_fault_that_changes_nothing_of_a_loss_does_not_apply(monkeypatch: pytest.MonkeyPatch):
    plant = dataclasses.replace(plants_of_losses()["bounded_logits"], fits=lambda case: True)
    made = loss_control("bounded_logits", clamped)
    monkeypatch.setattr(made, "_plant", plant)
    verdict = made.decide()
    assert (verdict.outcome, verdict.measured) == (
        "not_applicable",
        "planting it changes no value or gradient of the loss",
    )


def test_the_registered_loss_is_not_changed():
    module = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 4.0]))
    for cause in ("loss_is_maximised", "softmax_before_cross_entropy"):
        assert loss_control(cause, module).decide().outcome == "passed"
    assert type(module) is nn.CrossEntropyLoss
    assert module.weight is not None
    assert module.weight.tolist() == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("cause", sorted(plants_of_losses()))
def test_some_check_of_losses_looks_for_every_plant_of_theirs(cause: str):
    assert [c.name for c in all_checks() if cause in c.causes and "loss" in c.subjects]
