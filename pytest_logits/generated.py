"""The suite on generated classifiers: with no model registered it checks the installed torch itself."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from pytest_logits.check_registry import Check
from pytest_logits.finding import Passes, Verdict, inconclusive, not_applicable, passed
from pytest_logits.model import ModelSpec
from pytest_logits.runner import decide
from pytest_logits.search import smallest
from pytest_logits.settings import Settings, derive_seed
from pytest_logits.strategies.classifiers import GeneratedClassifier, classifiers
from pytest_logits.subject import Subject

NAME = "generated"
# What learns within the checks' budget.
QUICK: dict[str, Any] = {
    "min_width": 8,
    "activations": ("relu", "tanh", "gelu"),
    "normalisations": ("none", "layer", "batch", "rms", "group"),
    "dropouts": (0.0,),
}


class GeneratedSubjects:
    """Sound classifiers drawn by Hypothesis, each put through a check; the smallest that fails is reported."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.passes = Passes()

    def decide(self, check: Check) -> Verdict:
        """The verdict over all drawn classifiers. Two classes are drawn more often: some properties need them."""
        verdicts: dict[GeneratedClassifier, Verdict] = {}

        def fails(classifier: GeneratedClassifier) -> bool:
            if classifier not in verdicts:
                verdicts[classifier] = self._verdict(check, classifier)
            return verdicts[classifier].outcome == "failed"

        found = smallest(
            lambda: st.one_of(*(classifiers(max_classes=most, **QUICK) for most in (2, 10))),
            fails,
            seed=derive_seed(self.settings.seed, NAME, check.name),
            examples=self.settings.profile.classifiers,
        )
        outcomes = Counter(verdict.outcome for verdict in verdicts.values())
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        if found is not None:
            verdict = verdicts[found]
            counterexample = {"classifier": repr(found), **(verdict.counterexample or {})}
            return Verdict(**{**vars(verdict), "counterexample": counterexample})
        evidence = {"classifiers": len(verdicts), "outcomes": dict(sorted(outcomes.items()))}
        if outcomes["passed"]:
            return passed(f"{len(verdicts)} generated classifiers: {told}", evidence=evidence)
        if outcomes["inconclusive"] or outcomes["advice"]:
            return inconclusive(f"{len(verdicts)} generated classifiers: {told}", evidence=evidence)
        return not_applicable(f"the property applies to none of {len(verdicts)} generated classifiers")

    def _verdict(self, check: Check, classifier: GeneratedClassifier) -> Verdict:
        spec = ModelSpec(
            factory=classifier.build,
            name=NAME,
            file=Path(__file__),
            line=1,
            num_classes=classifier.num_classes,
            input_shape=classifier.input_shape,
            vocab_size=classifier.vocab_size,
        )
        subject = Subject(spec, self.settings, build_generated=lambda outputs: classifier.build(outputs=outputs))
        verdict = decide(check, subject)
        self.passes = Passes(
            forward=self.passes.forward + subject.passes.forward,
            backward=self.passes.backward + subject.passes.backward,
        )
        return verdict
