"""Whether two models, or losses, are alike in all that can be seen of them: a fault that changes nothing is none."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from pytest_logits.copies import evaluating
from pytest_logits.feeding import SCAN_ROWS
from pytest_logits.guard import seed_everything
from pytest_logits.loss_subject import LossSubject
from pytest_logits.scanning import BENT, SCATTER
from pytest_logits.subject import Subject

# As initialised, scattered mildly, until an activation bends, and until whatever can saturate or overflow does.
SETTINGS = (0.0, 1.0, BENT, SCATTER[-1])
# Of scores from a normal distribution: beyond 89 an exponential overflows in float32, and beyond 709 in float64.
SCALES = (1.0, 10.0, 1000.0)
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


def losses_are_alike(first: LossSubject, second: LossSubject) -> bool:
    """Whether values and gradients are the same, up to rounding, on scores from moderate to far beyond the usual.

    In batches of 16 and of 1, with the labels that each of the two gets.
    """
    usual: dict[str, float] = {}
    for scale, count in product(SCALES, (SCAN_ROWS, 1)):
        scores = first.nature.link(scale * first.sample_logits[:count].to(first.wide))
        one, other = (_seen_of_loss(loss, scores, loss.sample_labels[:count]) for loss in (first, second))
        usual = usual or {name: _size(tensor) for name, tensor in one.items()}
        if one.keys() != other.keys():
            return False
        # Where a row is right its loss is 0 but for the rounding of the scores.
        if not all(_close(one[name], other[name], least=usual.get(name, 0.0)) for name in one):
            return False
    return True


def _seen_of_loss(loss: LossSubject, scores: Tensor, labels: Tensor) -> Seen:
    try:
        value, gradient = loss.gradient(scores, labels)
    except Exception as error:
        return {f"raised {type(error).__name__}": None}
    return {"loss": torch.tensor(value), "gradient": gradient}


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


def _size(tensor: Tensor | None) -> float:
    """The largest finite number."""
    if tensor is None:
        return 0.0
    finite = tensor[tensor.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0


def _close(first: Tensor | None, second: Tensor | None, least: float = 0.0) -> bool:
    if first is None or second is None:
        return first is second
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    one, other = (t.to_dense().double() for t in (first, second))
    return torch.allclose(one, other, rtol=0.0, atol=ROUNDING * max(_size(one), least), equal_nan=True)
