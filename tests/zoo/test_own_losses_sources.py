"""The zoo of losses is what it says: sound losses equal torch's, faulty ones differ from their twins in one line."""

from __future__ import annotations

import difflib
import inspect
import math
from collections import Counter
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.zoo.own_losses.entry import FaultyLoss, Loss, SoundLoss
from tests.zoo.own_losses.families import FAULTS, SOUND, TRAPS
from tests.zoo.own_losses.masked import BY_ROWS, DENSE, TOKENS

ROWS, POSITIONS = 7, 5
POSITIONAL = {*(loss.name for loss in (TOKENS, BY_ROWS, DENSE)), "MeanOfMeans"}
FEWEST_SOUND, FEWEST_FAULTS, FEWEST_TRAPS = 24, 50, 15


def drawn(loss: SoundLoss, arguments: Any, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    """Scores and targets as the loss takes them; the last row is left out where the loss leaves -100 out."""
    rng = torch.Generator().manual_seed(0)
    classes, task = arguments.get("num_classes", 3), arguments["task"]
    dense = (POSITIONS,) if loss.name in POSITIONAL else ()
    scores = scale * torch.randn((ROWS, classes, *dense), generator=rng)
    if task != "multiclass":
        labels = (torch.arange(ROWS * classes) % 3 % 2).reshape(ROWS, classes)
        return scores, (2 * labels - 1 if arguments.get("targets") == "signed" else labels).to(scores)
    labels = torch.randint(2 if loss.name == "WithoutAClass" else classes, (ROWS, *dense), generator=rng)
    encoding = arguments["targets"]
    if callable(encoding):
        return scores, encoding(labels)
    targets = {"index": labels, "float_index": labels.to(scores)}.get(encoding)
    return scores, F.one_hot(labels, classes).to(scores) if targets is None else targets


def value_and_gradient(loss: Loss, scores: Tensor, targets: Tensor) -> tuple[float, Tensor]:
    leaf = scores.clone().requires_grad_()
    value = loss(leaf, targets)
    if not value.requires_grad:
        return float(value), torch.zeros_like(leaf)
    (gradient,) = torch.autograd.grad(value, leaf, allow_unused=True)
    return float(value.detach()), torch.zeros_like(leaf) if gradient is None else gradient


def source(loss: Loss) -> list[str]:
    """The lines of a loss without its name, its docstring and what the comment says."""
    function = loss.func if isinstance(loss, partial) else loss
    if isinstance(function, torch.nn.Module):
        function = type(function)
    lines = [line.split("  # FAULT")[0].rstrip() for line in inspect.getsource(function).splitlines()]
    opened = next(i for i, line in enumerate(lines) if line.endswith(":"))
    return [line for line in lines[opened + 1 :] if line.strip() and '"""' not in line]


@pytest.mark.parametrize("loss", [loss for loss in SOUND if loss.torch], ids=lambda loss: loss.name)
def test_sound_loss_equals_the_one_of_torch(loss: SoundLoss):
    scores, targets = drawn(loss, loss.arguments)
    ours, theirs = (value_and_gradient(f, scores, targets) for f in (loss.loss, loss.torch))
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)
    torch.testing.assert_close(ours[1], theirs[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", [*SOUND, *TRAPS], ids=lambda loss: loss.name)
def test_sound_loss_prefers_the_true_class(loss: SoundLoss):
    """The least that is asked of a loss: scores that are right cost less than scores that are wrong."""
    scores, targets = drawn(loss, loss.arguments)
    if loss.arguments["task"] == "multiclass":
        labels = targets if targets.ndim < scores.ndim else targets.argmax(dim=1)
        step = F.one_hot(labels, scores.shape[1]).movedim(-1, 1)
    else:
        step = 2 * targets - 1
    wrong, right = (float(loss.loss(sign * step.to(scores), targets)) for sign in (-1.0, 1.0))
    assert right < wrong


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_faulty_loss_differs_from_its_twin(fault: FaultyLoss):
    """In its value or its gradient, at scores of a common size, at large ones or at batch 1; or it refuses them."""
    if fault.loss is fault.twin.loss:
        assert fault.all_arguments != fault.twin.arguments
        return
    differences = []
    for scale, rows in ((2.0, ROWS), (2000.0, ROWS), (2.0, 1)):
        scores, targets = drawn(fault.twin, fault.all_arguments, scale)
        if fault.twin.name in ("MaskedCE", "SelectedCE", "MaskedTokens"):
            targets[-1] = -100
        theirs = value_and_gradient(fault.twin.loss, scores[:rows], targets[:rows])
        try:
            ours = value_and_gradient(fault.loss, scores[:rows], targets[:rows])
        except (IndexError, RuntimeError):
            return
        differences.append(abs(ours[0] - theirs[0]) > 1e-3 * (1 + abs(theirs[0])) or math.isnan(ours[0]))
        differences.append(not torch.allclose(ours[1], theirs[1], rtol=1e-3, atol=1e-6))
    assert any(differences)


@pytest.mark.parametrize(
    "fault",
    [f for f in FAULTS if f.loss is not f.twin.loss and f.twin.name != "Lambda"],
    ids=lambda fault: fault.name,
)
def test_faulty_loss_differs_from_its_twin_in_one_line(fault: FaultyLoss):
    lines = [
        line
        for line in difflib.ndiff(source(fault.twin.loss), source(fault.loss))
        if line[0] in "+-" and "super().__init__" not in line
    ]
    assert [line[0] for line in sorted(lines)] == ["+", "-"], lines


def test_there_are_enough():
    assert len(SOUND) >= FEWEST_SOUND
    assert len(FAULTS) >= FEWEST_FAULTS
    assert len(TRAPS) >= FEWEST_TRAPS


def test_names_are_unique():
    counts = Counter(loss.name for loss in (*FAULTS, *SOUND, *TRAPS))
    assert [name for name, n in counts.items() if n > 1] == []
