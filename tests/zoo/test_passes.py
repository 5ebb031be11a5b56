"""The budgets of the profiles hold: what the checks of a model cost is counted in passes, as reports count them."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import pytest
from torch import nn

import pytest_logits
from pytest_logits.check_registry import all_checks
from pytest_logits.finding import Passes, Result
from pytest_logits.settings import PROFILES, Profile
from tests.zoo.entry import Fault, Trap
from tests.zoo.families import FAULTS, TRAPS, looks_at, run

# Each makes some exact check do all it can: search, scan further, follow a threshold, look for the place.
MODELS = (
    "CNN_10",
    "Transformer_2",
    "OneLogit_True",
    "Multilabel",
    "Threshold_0.6",
    "SkorchNLL",
    "SoftmaxTransformer_100",
    "ReLUMLP_10",
    "SqueezeInside",
    "MixesRows",
    "always_dropped",
    "log_of_negative",
    "HalfOnLogits",
    "SigmoidTwice",
    "ColumnAgainstFlat",
    "HalfForLabels",
)
# The whole training run is not enough for these, and most of them have a proof or steps of their own besides.
LONG = ("softmax_gumbel", "CosineFunction", "SigmoidInModelAndPredict", "StepNotCalled", "Zeroed")
# What the other profiles are held on; the second spends every step, and has a proof.
FEW = (("quick", "Multilabel"), ("quick", "SigmoidInModelAndPredict"), ("thorough", "SigmoidInModelAndPredict"))
EXACT = {check.name for check in all_checks() if "exact" in check.tags}
LEARNING = {check.name for check in all_checks() if "learning" in check.tags}
STANDARD = PROFILES["standard"].budget
PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "cost.md"


def model_of(name: str) -> Fault | Trap:
    (model,) = (m for m in (*FAULTS, *TRAPS) if m.name == name)
    return model


def results_of(name: str, profile: str = "standard") -> list[Result]:
    model = model_of(name)
    if profile == "standard":
        return run(model)
    return list(pytest_logits.check_classifier(model.factory, name=name, profile=profile, **model.arguments))


def over(results: list[Result], most: Passes) -> dict[str, Passes]:
    """The exact checks that cost more."""
    assert {r.check for r in results} >= EXACT
    costs = {r.check: r.passes for r in results if r.check in EXACT}
    return {name: p for name, p in costs.items() if p.forward > most.forward or p.backward > most.backward}


def learning(results: list[Result]) -> Passes:
    """What all learning checks of a model cost together."""
    costs = [r.passes for r in results if r.check in LEARNING]
    return Passes(forward=sum(p.forward for p in costs), backward=sum(p.backward for p in costs))


@pytest.mark.parametrize("name", [pytest.param(name, marks=looks_at(model_of(name))) for name in (*MODELS, *LONG)])
def test_no_check_exceeds_the_standard_budget(name: str):
    results = results_of(name)
    assert over(results, STANDARD.exact) == {}
    spent = learning(results)
    assert spent.forward <= STANDARD.learning.forward
    assert spent.backward <= STANDARD.learning.backward


def test_the_usual_model_costs_no_more_than_the_standard_budget_says():
    spent = [learning(results_of(name)) for name in MODELS]
    assert statistics.median(p.forward for p in spent) <= STANDARD.usual.forward
    assert statistics.median(p.backward for p in spent) <= STANDARD.usual.backward


@pytest.mark.parametrize(("profile", "name"), FEW)
def test_the_budgets_of_the_other_profiles_hold(profile: str, name: str):
    budget, results = PROFILES[profile].budget, results_of(name, profile)
    assert over(results, budget.exact) == {}
    spent = learning(results)
    assert spent.forward <= budget.learning.forward
    assert spent.backward <= budget.learning.backward


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_budget_leaves_room_for_every_step_of_the_profile(profile: Profile):
    steps = sum(count for _, count in profile.learning)
    assert profile.budget.learning.backward >= steps
    assert profile.budget.learning.forward >= steps + len(profile.learning)


def test_the_page_on_cost_has_these_budgets():
    wanted = {
        name: tuple((p.forward, p.backward) for p in (b.exact, b.usual, b.learning))
        for name, b in ((name, profile.budget) for name, profile in PROFILES.items())
    }
    rows = re.findall(r"^\| (quick|standard|thorough) \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    told = {
        name: tuple((int(a), int(b)) for a, b in re.findall(r"(\d+) forward, (\d+) backward", cells))
        for name, cells in rows
    }
    assert told == wanted


def test_the_page_tells_what_a_small_sound_model_costs():
    report = pytest_logits.check_classifier(
        lambda: nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 2)),
        name="tiny",
        input_shape=(10,),
        num_classes=2,
    )
    forward, backward = (sum(getattr(r.passes, way) for r in report) for way in ("forward", "backward"))
    said = (
        f"takes {forward} forward and {backward} backward passes in the standard profile, over all {len(report)} checks"
    )
    assert said in " ".join(PAGE.read_text(encoding="utf-8").split())
