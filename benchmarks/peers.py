"""The main check of other packages, each called as its own README says, on one small classifier.

They check other and fewer things: what is compared is what a user waits for. A package that is not installed is left
out; ``pip install --no-deps`` of the names below, beside tqdm and pillow, is enough for them to run.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

ROWS, FEATURES, CLASSES = 16, 10, 2


def model() -> nn.Module:
    """The classifier that everything here is timed on."""
    return nn.Sequential(nn.Linear(FEATURES, 16), nn.ReLU(), nn.Linear(16, CLASSES))


def batch(rows: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    count = rows or ROWS
    return torch.randn(count, FEATURES), torch.arange(count) % CLASSES


def _adam(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), lr=1e-2)


def plain_steps() -> None:
    """20 training steps and nothing else."""
    net, (x, y) = model(), batch()
    optimizer = _adam(net)
    for _ in range(20):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()


def _pytest_torch() -> None:
    from pytest_torch import check_inference_contract

    check_inference_contract(model().eval(), batch()[0])


def _torchtest2() -> None:
    import torchtest2

    net, (x, y) = model(), batch()
    torchtest2.check_model(net, x, y, loss_fn=F.cross_entropy, optimizer=_adam(net))


def _torchtest() -> None:
    from torchtest.torchtest import test_suite

    net = model()
    test_suite(net, F.cross_entropy, _adam(net), list(batch()), test_vars_change=True, test_nan_vals=True)


def _torcheck() -> None:
    import torcheck

    net, (x, y) = model(), batch()
    optimizer = _adam(net)
    torcheck.register(optimizer)
    torcheck.add_module(net, module_name="net", changing=True, output_range=(-10, 10), check_nan=True, check_inf=True)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()


def _neural_net_checklist() -> None:
    from neural_net_checklist import torch_diagnostics

    # It fails sound models on its initial loss and stops there, so the parts are called one by one.
    for part in (
        lambda: torch_diagnostics.assert_forward_batch_independence(model, batch),
        lambda: torch_diagnostics.assert_non_zero_gradients(model(), batch),
        lambda: torch_diagnostics.assert_backward_batch_independence(model, batch),
        lambda: torch_diagnostics.assert_input_independent_baseline_worse(model, batch),
        lambda: torch_diagnostics.assert_overfit_to_batch(model(), batch),
    ):
        with contextlib.suppress(AssertionError):
            part()


def _torchdiag() -> None:
    import torchdiag

    net, (x, y) = model(), batch()
    torchdiag.verify_step(net, _adam(net), nn.CrossEntropyLoss(), x, y)


PEERS: dict[str, Callable[[], None]] = {
    "pytest-torch": _pytest_torch,
    "torchtest2": _torchtest2,
    "torchtest": _torchtest,
    "torcheck": _torcheck,
    "neural-net-checklist": _neural_net_checklist,
    "torchdiag": _torchdiag,
}


def installed() -> dict[str, Callable[[], Any]]:
    """The main checks of those that are there, by name and version; what they print is thrown away."""
    found = {}
    for name, check in PEERS.items():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[f"{name} {importlib.metadata.version(name)}"] = _quiet(check)
    return found


def _quiet(check: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            check()

    return run
