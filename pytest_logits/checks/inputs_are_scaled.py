"""The inputs of the user's own batches are finite and of a size that the model can learn from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pytest_logits.check_registry import check
from pytest_logits.copies import evaluating
from pytest_logits.finding import Verdict, counted, not_applicable, passed
from pytest_logits.own_training import users_batches
from pytest_logits.structures import tensors_in
from pytest_logits.subject import Subject

# Initialisations assume inputs of mean 0 and size 1. Raw bytes, 0 to 255, have a size of 147 where they are uniform.
LARGE = 30.0
SMALL = 1 / LARGE


@check(claim="the inputs of your batches are finite and of a size near 1", tags=("data",))
def inputs_are_scaled(subject: Subject) -> Verdict:
    """The floating-point inputs of the first eight batches: finite, and of root mean square between 1/30 and 30.

    NaN or infinity fails. A size out of range is advice, and none where the first layer with parameters is a
    normalisation, which takes it out. Initial weights assume inputs near 1: raw pixels, 0 to 255, make the first logits
    a hundred times too large, and on them SGD at 0.1 gave one class in 20 of 20 runs, Adam in 6.

    Causes: non_finite_values, unscaled_inputs (advice).
    """
    if subject.spec.batches is None:
        return not_applicable("no batches= is registered")
    sizes: list[float] = []
    for number, (x, _) in enumerate(users_batches(subject), 1):
        for tensor in _floats(x):
            bad = int((~tensor.isfinite()).sum())
            if bad:
                return _not_finite(subject, x, number, bad, tensor.numel())
            sizes.append(float(tensor.double().square().mean().sqrt()))
    if not sizes:
        return not_applicable("the inputs are no floats")
    told = f"the root mean square of the inputs is {min(sizes):.3g} to {max(sizes):.3g}"
    told += f" over {counted(len(sizes), 'tensor')}"
    evidence: dict[str, Any] = {"root_mean_square": sizes}
    normalised = _first_layer(subject)
    if normalised or (max(sizes) <= LARGE and (min(sizes) >= SMALL or max(sizes) == 0)):
        return passed(told + (f"; {normalised} comes first" if normalised else ""), evidence=evidence)
    return Verdict(
        outcome="advice",
        cause="unscaled_inputs",
        measured=told,
        expected=f"between {SMALL:.2g} and {LARGE:g}; initial weights assume inputs of mean 0 and size 1",
        evidence=evidence,
    )


def _not_finite(subject: Subject, x: Any, number: int, bad: int, count: int) -> Verdict:
    """NaN may stand for what is missing, and minus infinity for a mask: it matters where it reaches the logits."""
    told = f"{bad} of {count} numbers in the inputs of batch {number} are NaN or infinite"
    try:
        logits = subject.scores(evaluating(subject.fresh()), x, purpose="inputs")
        reached = bool((logits.isnan() | (logits == torch.inf)).any())
    except Exception:
        # A model that refuses its own data is for the training step to show; the numbers are bad either way.
        reached = True
    if not reached:
        return passed(f"{told}; none of them reaches the logits", evidence={"batch": number, "bad": bad})
    return Verdict(
        outcome="failed",
        cause="non_finite_values",
        measured=told,
        expected="finite inputs",
        counterexample={"batch": number, "bad": bad},
        evidence={"batch": number, "bad": bad},
    )


_NORMALISATIONS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.LocalResponseNorm,
)


def _first_layer(subject: Subject) -> str | None:
    """The name of the normalisation that the inputs meet first, if it is one."""
    model = evaluating(subject.fresh())
    met: list[nn.Module] = []
    handles = [
        module.register_forward_pre_hook(lambda module, inputs: met.append(module))
        for module in model.modules()
        if not list(module.children()) and (list(module.parameters()) or isinstance(module, _NORMALISATIONS))
    ]
    try:
        x, _ = users_batches(subject)[0]
        with torch.no_grad():
            subject.forward(model, x)
    finally:
        for handle in handles:
            handle.remove()
    return type(met[0]).__name__ if met and isinstance(met[0], _NORMALISATIONS) else None


def _floats(x: Any) -> list[Tensor]:
    return [t for t in tensors_in(x) if t.is_floating_point() and t.numel() and t.layout == torch.strided]
