"""The suite's own training: torch's arithmetic to the bit, and no import of torch's compiler."""

from __future__ import annotations

import copy
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from pytest_logits.descent import plain

# A whole run on a small model: its training, and the steps of the user's that the suite makes for it.
RUN = """\
import sys
import pytest_logits
from torch import nn

report = pytest_logits.check_classifier(lambda: nn.Linear(4, 2), input_shape=(4,), num_classes=2)
report.raise_for_failures()
print(sum(result.passes.backward for result in report) > 0, "torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (Adam, {"lr": 1e-2}),
        (Adam, {"lr": 1e-2, "weight_decay": 0.1}),
        (AdamW, {"lr": 1e-2, "weight_decay": 0.1}),
        (SGD, {"lr": 0.1}),
        (SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
        (SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ],
    ids=str,
)
def test_training_is_torchs_to_the_bit(kind: type[Optimizer], arguments: dict[str, Any], dtype: torch.dtype):
    rng = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=rng))
    x, y = torch.randn(12, 5, generator=rng).to(dtype), torch.arange(12) % 3
    models = [net.to(dtype), copy.deepcopy(net).to(dtype)]
    optimizers = [
        make(model.parameters(), **arguments) for make, model in zip((kind, plain(kind)), models, strict=True)
    ]
    for _ in range(5):
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        for theirs, ours in zip(*(model.parameters() for model in models), strict=True):
            assert torch.equal(theirs, ours)


@pytest.mark.parametrize(("watched", "expected"), [(False, []), (True, [[1.0]])])
def test_steps_are_seen_by_hooks_where_they_are_watched(watched: bool, expected: list[Any]):
    weight, seen = torch.ones(1, requires_grad=True), []
    optimizer = plain(SGD, watched=watched)([weight], lr=0.5)
    optimizer.register_step_pre_hook(lambda optimizer, args, kwargs: seen.append(weight.tolist()))
    weight.square().sum().backward()
    optimizer.step()
    assert (seen, weight.tolist()) == (expected, [0.0])


def test_it_is_an_optimizer():
    weight = torch.ones(1, requires_grad=True)
    optimizer = plain(SGD)([weight], lr=0.5)
    assert isinstance(optimizer, SGD)
    weight.square().sum().backward()
    optimizer.zero_grad()
    assert weight.grad is None
    optimizer.add_param_group({"params": [torch.ones(2, requires_grad=True)]})
    assert len(optimizer.param_groups) == 2


def test_a_run_does_not_import_the_compiler(pytester: pytest.Pytester):
    result = pytester.run(sys.executable, "-c", RUN)
    assert result.stdout.str().strip() == "True False", result.stderr.str()
