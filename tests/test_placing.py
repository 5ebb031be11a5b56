from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import pytest_logits
from pytest_logits.placing import CPU, device_of, full_precision, placed, running_on

CONFTEST = f"""
ROOT = {str(Path(__file__).parents[1])!r}
import os, sys, torch, pytest_logits
from torch import nn
from torch.nn import functional as F
sys.path.insert(0, ROOT)
import tests.toy_device

WHERE = os.environ["WHERE"]

def net():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))

def step(model, optimizer, x, y):
    assert x.device.type == y.device.type == WHERE
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss

def predict(model, x):
    assert x.device.type == WHERE
    return model(x).argmax(dim=1)

def focal(logits, targets):
    assert logits.device.type == targets.device.type == WHERE
    rows = F.cross_entropy(logits, targets, reduction="none")
    return ((1 - (-rows).exp()) ** 2 * rows).mean()

def batches():
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(12) % 3
    return [(torch.randn(3, 6, generator=rng)[y], y)]

flat = dict(input_shape=(6,), num_classes=3)
adam = lambda model: torch.optim.Adam(model.parameters(), lr=1e-2)
weighted = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))
pytest_logits.register(net, name="plain", predict=predict, loss=weighted, **flat)
pytest_logits.register(net, name="trained", train_step=step, optimizer=adam, batches=batches, **flat)
pytest_logits.register_loss(focal, name="focal_alone", num_classes=3)

@pytest_logits.register(**flat)
def squashed():
    return nn.Sequential(net(), nn.Softmax(dim=1))

@pytest_logits.register(num_classes=2, task="multilabel", vocab_size=9)
def words():
    return nn.EmbeddingBag(9, 2)

@pytest_logits.check(claim="what is asked for is on the device")
def logits_are_there(classifier):
    x = classifier.inputs(4)
    assert x.device.type == WHERE
    assert torch.equal(classifier.make()(x), classifier.logits(classifier.make(), x))
    inputs, labels = classifier.separable_batch()
    assert classifier.loss(classifier.logits(classifier.make(), inputs), labels).device.type == WHERE
"""


def results(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, device: str) -> dict[str, Any]:
    monkeypatch.setenv("WHERE", device)
    shown = pytester.runpytest_subprocess(
        f"--logit-device={device}", "--logit-report=out.json", "--logit-profile=quick"
    )
    report = json.loads((pytester.path / "out.json").read_text())
    assert report["device"] == device, shown.stdout.str()
    return {record["nodeid"]: record for record in report["results"]}


@pytest.mark.slow
def test_a_run_on_a_second_device_gives_the_verdicts_of_the_cpu(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
):
    if not hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend"):
        pytest.skip("this torch has no backends in Python")
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\nlogit_checks = true\n")
    there, here = (results(pytester, monkeypatch, device) for device in ("toy", "cpu"))
    told = ("outcome", "cause", "measured", "location", "passes", "counterexample")
    assert {i: [r[k] for k in told] for i, r in there.items()} == {i: [r[k] for k in told] for i, r in here.items()}
    assert there["conftest.py::squashed::outputs_are_logits"]["cause"] == "softmax_before_cross_entropy"
    assert there["conftest.py::squashed::outputs_are_logits"]["reproduce"].endswith("--logit-device=toy")
    assert {r["outcome"] for r in there.values()} == {"passed", "failed", "not_applicable"}
    assert {r["model"] for r in there.values() if r["outcome"] == "failed"} == {"squashed"}


@pytest.mark.parametrize(("name", "said"), [("meta", "'meta' cannot be used here"), ("nowhere", "'nowhere' cannot be")])
def test_a_device_that_is_not_here_is_refused(pytester: pytest.Pytester, name: str, said: str):
    with pytest.raises(ValueError, match=said):
        device_of(name)
    with pytest.raises(ValueError, match=f"device={said}"):
        pytest_logits.check_classifier(nn.Linear(4, 2), name="net", input_shape=(4,), num_classes=2, device=name)
    shown = pytester.runpytest("--logit-checks", f"--logit-device={name}")
    assert shown.ret == pytest.ExitCode.USAGE_ERROR
    shown.stderr.fnmatch_lines([f"ERROR: --logit-device: '{name}' cannot be used here: *"])


def test_on_the_cpu_nothing_is_moved_or_copied():
    loss = nn.CrossEntropyLoss()
    assert running_on(CPU, loss) is loss
    x = torch.ones(2)
    assert placed(x, CPU) is x


def test_tf32_is_off_on_cuda_only_inside(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    with full_precision(CPU):
        assert torch.backends.cudnn.allow_tf32
    with full_precision(torch.device("cuda")):
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32
