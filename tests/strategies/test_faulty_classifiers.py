from __future__ import annotations

from typing import Any

import hypothesis
import pytest
import torch
from hypothesis import HealthCheck, Phase, given

import pytest_logits
from pytest_logits.planting import plants
from pytest_logits.strategies import FaultyClassifier, GeneratedClassifier, faults, faulty_classifiers

FEW = hypothesis.settings(
    max_examples=2,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


def test_every_plant_can_be_drawn_but_those_that_need_data() -> None:
    assert set(plants()) - set(faults()) == {"unscaled_inputs"}


# The named checks find the fault, and do not find it in the same classifier without it.
@pytest.mark.parametrize("cause", faults())
def test_the_cause_is_found_and_without_it_is_not(cause: str) -> None:
    plant = plants()[cause]

    @FEW
    @given(faulty=faulty_classifiers(cause=cause, min_width=8))
    def test(faulty: FaultyClassifier) -> None:
        def causes(factory: Any, arguments: dict[str, Any]) -> set[str | None]:
            report = pytest_logits.check_classifier(factory, name="drawn", select=plant.checks, **arguments)
            return {result.verdict.cause for result in report if result.outcome in ("failed", "advice")}

        assert cause in causes(faulty.build, faulty.arguments)
        assert cause not in causes(faulty.classifier.build, faulty.sound_arguments)

    test()


def test_its_repr_builds_the_same_fault() -> None:
    classifier = GeneratedClassifier(
        family="linear",
        input_shape=(1,),
        vocab_size=None,
        num_classes=2,
        width=1,
        depth=0,
        activation="none",
        normalisation="none",
        dtype=torch.float32,
        seed=0,
    )
    faulty = FaultyClassifier(cause="softmax_before_cross_entropy", classifier=classifier)
    again = eval(repr(faulty))
    assert again == faulty
    x = classifier.batch(3).x
    assert torch.equal(again.build()(x), faulty.build()(x))
    assert torch.allclose(again.build()(x), classifier.build()(x).softmax(dim=1))
