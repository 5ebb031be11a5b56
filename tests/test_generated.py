from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from pytest_logits.check_registry import Check, all_checks
from pytest_logits.finding import Verdict, inconclusive, not_applicable, passed
from pytest_logits.generated import GeneratedSubjects
from pytest_logits.guard import preserved_state
from pytest_logits.runner import decide as decide_subject
from pytest_logits.settings import PROFILES, Settings
from pytest_logits.strategies import GeneratedClassifier
from pytest_logits.subject import Subject

CHECKS = {check.name: check for check in all_checks()}
# Generated classifiers come without a predict=, a training step, data and a loss of their own.
NOT_APPLICABLE = {
    "predictions_match_logits",
    "own_loss_is_the_registered_one",
    "models_are_equivalent",
    "training_step_trains",
    "inputs_are_scaled",
    "labels_fit_classes",
}


@pytest.fixture(autouse=True)
def state_kept():
    with preserved_state():
        yield


def subjects(seed: int = 0, profile: str = "quick") -> GeneratedSubjects:
    return GeneratedSubjects(Settings(seed=seed, profile=PROFILES[profile]))


def check_of(function: Any) -> Check:
    return Check(name="a_check", claim="claim", tags=("outputs",), function=function, doc="Doc.")


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", sorted(CHECKS.keys() - NOT_APPLICABLE))
def test_sound_classifiers_pass_every_check(name: str, seed: int):
    verdict = subjects(seed, "standard").decide(CHECKS[name])
    assert verdict.outcome == "passed", verdict
    assert verdict.evidence["classifiers"] > 0


@pytest.mark.parametrize("name", sorted(NOT_APPLICABLE))
def test_what_needs_more_than_a_model_does_not_apply(name: str):
    assert subjects().decide(CHECKS[name]).outcome == "not_applicable"


def test_passes_are_counted_over_all_classifiers():
    made = subjects()
    made.decide(CHECKS["output_shape_is_stable"])
    assert made.passes.forward > 0
    assert made.passes.backward == 0


def test_a_verdict_is_repeatable():
    # Which classifiers are drawn depends on the seed and the check, and on nothing that ran before.
    def drawn(seed: int) -> list[tuple[Any, ...]]:
        seen: list[tuple[Any, ...]] = []

        def look(subject: Subject) -> Verdict:
            seen.append((subject.spec.input_shape, subject.spec.vocab_size, subject.num_classes))
            return passed("m")

        subjects(seed, "standard").decide(check_of(look))
        return seen

    first = drawn(0)
    torch.rand(3)
    assert drawn(0) == first
    assert drawn(1) != first


def test_two_classes_are_drawn_often_and_more_classes_too():
    seen: list[int] = []

    def look(subject: Subject) -> Verdict:
        seen.append(subject.num_classes)
        return passed("m")

    for seed in range(6):
        subjects(seed, "thorough").decide(check_of(look))
    # At least half are expected, with a deviation of sqrt(n) / 2 were they independent; five of these are allowed.
    assert len(seen) / 2 - 2.5 * len(seen) ** 0.5 <= seen.count(2) < len(seen)
    assert len(set(seen)) == 9


@pytest.fixture
def double_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    original = GeneratedClassifier.build

    def build(self: GeneratedClassifier, outputs: int | None = None) -> Any:
        model = original(self, outputs)
        model.head = nn.Sequential(model.head, nn.Softmax(dim=1))
        return model

    monkeypatch.setattr(GeneratedClassifier, "build", build)


@pytest.mark.parametrize("name", ["outputs_are_logits", "loss_reaches_its_minimum"])
@pytest.mark.usefixtures("double_softmax")
def test_a_planted_fault_fails_with_a_counterexample_that_can_be_run(name: str):
    verdict = subjects().decide(CHECKS[name])
    assert (verdict.outcome, verdict.cause) == ("failed", "softmax_before_cross_entropy")
    assert verdict.counterexample is not None
    text = verdict.counterexample["classifier"]
    classifier = eval(text, {"GeneratedClassifier": GeneratedClassifier, "torch": torch})
    assert repr(classifier) == text
    inputs = torch.randint(0, classifier.vocab_size or 2, (2, *classifier.input_shape))
    scores = classifier.build()(inputs if classifier.vocab_size else inputs.to(classifier.dtype))
    assert torch.allclose(scores.sum(dim=1), torch.ones(2))


@pytest.mark.usefixtures("double_softmax")
def test_the_counterexample_is_the_smallest_classifier():
    verdict = subjects(profile="standard").decide(CHECKS["outputs_are_logits"])
    assert verdict.counterexample is not None
    classifier = eval(
        verdict.counterexample["classifier"], {"GeneratedClassifier": GeneratedClassifier, "torch": torch}
    )
    assert (classifier.family, classifier.num_classes, classifier.seed) == ("linear", 2, 0)
    # The check's own counterexample stands beside the classifier.
    assert set(verdict.counterexample) > {"classifier"}


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (passed("m"), "passed"),
        (inconclusive("m"), "inconclusive"),
        (Verdict(outcome="advice", measured="m"), "inconclusive"),
        (not_applicable("r"), "not_applicable"),
    ],
)
def test_what_is_said_of_all_of_them_is_said_once(verdict: Verdict, outcome: str):
    told = subjects().decide(check_of(lambda subject: verdict))
    assert told.outcome == outcome
    assert "generated classifiers" in told.measured


def test_one_that_passes_is_enough_where_none_fails_and_the_numbers_add_up():
    def by_classes(subject: Subject) -> Verdict:
        return passed("m") if subject.num_classes == 2 else not_applicable("r")

    told = subjects(profile="thorough").decide(check_of(by_classes))
    assert told.outcome == "passed"
    assert set(told.evidence["outcomes"]) == {"passed", "not_applicable"}
    assert sum(told.evidence["outcomes"].values()) == told.evidence["classifiers"]


def test_an_exception_in_a_check_passes_through():
    def raises(subject: Subject) -> Verdict:
        raise ZeroDivisionError("the check's own")

    with pytest.raises(ZeroDivisionError, match="the check's own"):
        subjects().decide(check_of(raises))


def test_a_generated_subject_knows_how_to_build_another_head():
    def look(subject: Subject) -> Verdict:
        assert subject.build_generated is not None
        assert [subject.build_generated(n).head.out_features for n in (1, 2)] == [1, 2]
        return passed("m")

    assert subjects().decide(check_of(look)).outcome == "passed"


def test_a_decided_check_is_the_one_that_users_models_get():
    # The same function decides on a generated classifier as on a registered model.
    seen: list[Subject] = []
    subjects().decide(check_of(lambda subject: seen.append(subject) or passed("m")))
    verdict = decide_subject(CHECKS["output_shape_is_stable"], seen[0])
    assert verdict.outcome == "passed"
