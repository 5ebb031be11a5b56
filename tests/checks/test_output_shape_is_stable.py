from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.checks.planted import result_of
from tests.zoo.shapes import SqueezeAll, SqueezeInside
from tests.zoo.sound import MLP, Conv1dHead, OneLogit

CHECK = "output_shape_is_stable"


def test_squeeze_is_found_with_a_batch_of_one():
    result = result_of(CHECK, SqueezeAll, task="binary")
    assert (result.outcome, result.verdict.cause) == ("failed", "output_shape_depends_on_batch")
    assert result.verdict.counterexample == {"batch_size": 1, "logits_shape": []}


def test_a_model_that_raises_for_one_size_only_is_found():
    class NeedsFour(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(10, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x.view(4, -1, 10)).flatten(0, 1)

    result = result_of(CHECK, NeedsFour)
    assert (result.outcome, result.verdict.cause) == ("failed", "output_shape_depends_on_batch")
    assert "batch of 1 raised RuntimeError" in result.verdict.measured


def test_a_squeeze_inside_is_located():
    result = result_of(CHECK, SqueezeInside, input_shape=(3, 8, 8), num_classes=4)
    assert result.verdict.location is not None
    assert result.verdict.location.code.endswith("# FAULT")


def test_a_model_that_always_raises_is_an_error_not_a_finding():
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("no such layer")

    assert result_of(CHECK, Broken).outcome == "error"


def test_batch_axis_that_is_not_first_is_found():
    class Transposed(MLP):
        def forward(self, x: Tensor) -> Tensor:
            return self.net(x).T

    result = result_of(CHECK, lambda: Transposed(3), num_classes=3)
    assert result.verdict.cause == "output_shape_depends_on_batch"


@pytest.mark.parametrize("width", [3, 1000])
def test_another_number_of_outputs_is_found(width: int):
    result = result_of(CHECK, lambda: MLP(width), num_classes=10)
    assert (result.outcome, result.verdict.cause) == ("failed", "wrong_number_of_outputs")


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        (lambda: MLP(2), {}),
        (lambda: OneLogit(True), {"task": "binary"}),
        (lambda: OneLogit(False), {"task": "binary"}),
        (lambda: OneLogit(False), {"task": "binary", "num_classes": 1}),
        (lambda: Conv1dHead(4), {"input_shape": (4, 12), "num_classes": 4}),
        (lambda: nn.Sequential(nn.Linear(10, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)), {}),
    ],
    ids=["columns", "flat", "column", "one class", "dense", "batch norm at batch 1"],
)
def test_sound_twins_pass(model, arguments):
    assert result_of(CHECK, model, **arguments).outcome == "passed"


def test_squeezed_dimension_named_passes():
    class Squeezed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(10, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.squeeze(self.head(x), 1)

    assert result_of(CHECK, Squeezed, task="binary").outcome == "passed"
