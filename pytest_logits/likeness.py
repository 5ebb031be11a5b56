"""Whether two models are alike in all that can be seen of them: a fault that changes nothing is none."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from pytest_logits.copies import evaluating
from pytest_logits.feeding import SCAN_ROWS
from pytest_logits.guard import seed_everything
from pytest_logits.subject import BENT, SCATTER, Subject

# As initialised, scattered mildly, until an activation bends, and until whatever can saturate or overflow does.
SETTINGS = (0.0, 1.0, BENT, SCATTER[-1])
# Of the largest number in a tensor: rounding along another path, such as NLL of log-probabilities for cross entropy.
ROUNDING = 1e-4

Seen = dict[str, Tensor | None]


def are_alike(first: Subject, second: Subject) -> bool:
    """Whether scores, losses, gradients and what becomes of the random state are the same, up to rounding.

    In train mode and in eval mode, in batches of 16 and of 1, with parameters as initialised and scattered. The two
    must have the same name, from which their seeds are.
    """
    seen_scores = False
    for amount, training, count in product(SETTINGS, (True, False), (SCAN_ROWS, 1)):
        one, other = (_seen(subject, amount, training, count) for subject in (first, second))
        if one.keys() != other.keys() or not all(_close(one[name], other[name]) for name in one):
            return False
        seen_scores |= "scores" in one
    # Of two that only raise nothing is known.
    return seen_scores


def _seen(subject: Subject, amount: float, training: bool, count: int) -> Seen:
    """What a pass forward and back shows, by name, up to where something raises."""
    seen: Seen = {}
    try:
        model = subject.scattered(amount)
        if not training:
            evaluating(model)
        inputs = subject.inputs(count, "alike")
        seed_everything(subject.seed("alike"))
        output = subject.forward(model, inputs)
        logits = subject.extract(output)
        seen |= {"scores": logits.detach(), "random state": torch.random.get_rng_state()}
        loss = subject.loss_of(output, logits, subject.sample_labels[:count])
        seen["loss"] = loss.detach()
        if loss.requires_grad:
            subject.backward(loss)
        seen |= {f"gradient of {name}": p.grad for name, p in model.named_parameters()}
    except Exception as error:
        seen[f"raised {type(error).__name__}"] = None
    return seen


def _close(first: Tensor | None, second: Tensor | None) -> bool:
    if first is None or second is None:
        return first is second
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    one, other = (t.to_dense().double() for t in (first, second))
    finite = one[one.isfinite()]
    size = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.allclose(one, other, rtol=0.0, atol=ROUNDING * size, equal_nan=True)
