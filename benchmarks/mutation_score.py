"""The share of planted faults that the checks catch, with the right cause, on generated sound classifiers.

Run ``python benchmarks/mutation_score.py [classifiers] [seed]``. Classifiers of every family and of the heads
"classes", "column" and "flat" are drawn; one in four with several classes is registered for several labels. Each is
checked as it is: no failure may be found. Then every fault that applies is planted, one at a time, and the checks that
it names are run: it is caught where one of them names its cause, as a failure, or as advice where the fault is harmless
as such. A fault that is only advised of is counted by itself.
"""

from __future__ import annotations

import collections
import sys
import time
from typing import Any

import hypothesis
import torch

import pytest_logits
from pytest_logits import strategies as st
from pytest_logits.planting import plants


def main(count: int, seed: int) -> None:
    torch.set_num_threads(1)
    started = time.perf_counter()
    caught: collections.Counter[str] = collections.Counter()
    advised: collections.Counter[str] = collections.Counter()
    planted: collections.Counter[str] = collections.Counter()
    flagged: list[str] = []
    for position, classifier in enumerate(subjects(count, seed)):
        before = sum(caught.values()), sum(planted.values())
        arguments = classifier.arguments
        if classifier.head == "classes" and position % 4 == 3:
            arguments["task"] = "multilabel"
        sound = pytest_logits.check_classifier(classifier.build, name="sound", seed=seed, **arguments)
        wrong = [f"{r.check}: {r.verdict.cause}" for r in sound if r.outcome in ("failed", "error")]
        flagged += wrong
        print(*(f"without a fault: {told}" for told in wrong), sep="\n", end="\n" if wrong else "")
        for cause, plant in plants().items():
            found = plant(classifier.build, arguments)
            if found is None:
                continue
            planted[cause] += 1
            told = outcomes(found.factory, found.arguments, plant.checks, cause, seed)
            if "failed" in told or (plant.advice and "advice" in told):
                caught[cause] += 1
            else:
                advised[cause] += "advice" in told
                print(f"{'advised of' if 'advice' in told else 'missed'} {cause}:")
        here = sum(caught.values()) - before[0], sum(planted.values()) - before[1]
        print(f"{here[0]} of {here[1]} on {classifier!r}", flush=True)
    total, right = sum(planted.values()), sum(caught.values())
    print(f"{'cause':40}{'planted':>9}{'caught':>9}{'advised':>9}")
    for cause in planted:
        print(f"{cause:40}{planted[cause]:>9}{caught[cause]:>9}{advised[cause]:>9}")
    print(f"{right} of {total} planted faults are caught with their cause, {100 * right / total:.2f} %;")
    print(f"{sum(advised.values())} more are advised of with it")
    print(f"{len(flagged)} checks fail on {count} classifiers without a fault", *flagged, sep="\n  ")
    print(f"{time.perf_counter() - started:.0f} s, seed {seed}, torch {torch.__version__}")


def subjects(count: int, seed: int) -> list[st.GeneratedClassifier]:
    """So many different classifiers, none of them so narrow that a layer may be dead."""
    drawn: dict[st.GeneratedClassifier, None] = {}

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=20 * count,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate,),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(st.classifiers(min_width=8, heads=("classes", "column", "flat")))
    def draw(classifier: st.GeneratedClassifier) -> None:
        drawn[classifier] = None

    draw()
    # Each family in turn, as Hypothesis repeats what it has drawn with changes.
    by_family: dict[str, list[st.GeneratedClassifier]] = {}
    for classifier in drawn:
        by_family.setdefault(classifier.family, []).append(classifier)
    found: list[st.GeneratedClassifier] = []
    while len(found) < count:
        found += [family.pop() for family in by_family.values() if family]
    return found[:count]


def outcomes(factory: Any, arguments: dict[str, Any], checks: tuple[str, ...], cause: str, seed: int) -> set[str]:
    """How the checks that name this cause end."""
    report = pytest_logits.check_classifier(factory, name="planted", seed=seed, select=checks, **arguments)
    return {result.outcome for result in report if result.verdict.cause == cause}


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40, int(sys.argv[2]) if len(sys.argv) > 2 else 0)
