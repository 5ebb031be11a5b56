"""The inputs of the user's own batches are finite and of a size that the model can learn from."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pytest_logits.check_registry import check
from pytest_logits.copies import evaluating
from pytest_logits.finding import Verdict, counted, not_applicable, passed
from pytest_logits.own_training import fed_batches
from pytest_logits.structures import mapped, tensors_in
from pytest_logits.subject import Subject

# Initialisations assume inputs of mean 0 and size 1. Raw bytes, 0 to 255, have a size of 147 where they are uniform.
LARGE = 30.0
SMALL = 1 / LARGE
# Rows of which this much of 1 is missing are normalised: to length 1, or to shares.
UNIT = 0.01
NORMALISATIONS = (
    "batch_norm",
    "layer_norm",
    "group_norm",
    "instance_norm",
    "local_response_norm",
    "rms_norm",
    "normalize",
)


@check(claim="the inputs of your batches are finite and of a size near 1", tags=("data",), needs="batches")
def inputs_are_scaled(subject: Subject) -> Verdict:
    """The floating-point inputs of the first eight batches: finite, and of root mean square between 1/30 and 30.

    NaN or infinity fails. A size out of range is advice where the first parameters meet it: not where forward divides
    by 255, or normalises first. In sparse inputs the size is that of what is not 0, and rows whose numbers or squares
    sum to 1 are of the size they are meant to have. Initial weights assume inputs near 1: raw pixels, 0 to 255, make
    the first logits a hundred times too large, and on them SGD at 0.1 gave one class in 20 of 20 runs, Adam in 6.

    Causes: non_finite_values, unscaled_inputs (advice).
    """
    sizes: list[float] = []
    odd: Any = None
    for number, (x, _) in enumerate(fed_batches(subject), 1):
        for tensor in _floats(x):
            bad = int((~tensor.isfinite()).sum())
            if bad:
                return _not_finite(subject, x, number, bad, tensor.numel())
            sizes.append(_size(tensor))
            if odd is None and _is_odd(tensor):
                odd = x
    if not sizes:
        return not_applicable("the inputs are no floats")
    told = f"the root mean square of the inputs is {min(sizes):.3g} to {max(sizes):.3g}"
    told += f" over {counted(len(sizes), 'tensor')}"
    evidence: dict[str, Any] = {"root_mean_square": sizes}
    undone = _undone(subject, odd, evidence) if odd is not None else ""
    if undone is not None:
        return passed(told + undone, evidence=evidence)
    return Verdict(
        outcome="advice",
        cause="unscaled_inputs",
        measured=told,
        expected=f"between {SMALL:.2g} and {LARGE:g}; initial weights assume inputs of mean 0 and size 1",
        evidence=evidence,
    )


def _size(tensor: Tensor) -> float:
    return float(tensor.double().square().mean().sqrt())


def _is_odd(tensor: Tensor) -> bool:
    """Whether a finite tensor is too large, or what is not 0 in it too small."""
    if _size(tensor) > LARGE:
        return True
    some = tensor[tensor != 0]
    if some.numel() == 0 or _size(some) >= SMALL:
        return False
    rows = tensor.double().flatten(1) if tensor.ndim > 1 else tensor.double().unsqueeze(1)
    rows = rows[rows.any(dim=1)]
    return not any(bool(((sums - 1).abs() < UNIT).all()) for sums in (rows.norm(dim=1), rows.sum(dim=1)))


def _undone(subject: Subject, x: Any, evidence: dict[str, Any]) -> str | None:
    """How forward takes out the size of these inputs before a parameter meets them; None where it does not.

    The inputs are put in twice, once brought to a size of 1, as what does not follow them is no input: a mask, say.
    """
    uses = []
    for scaled in (False, True):
        model = evaluating(subject.fresh())
        given = mapped(x, partial(_copied, scaled=scaled))
        with torch.no_grad(), _FirstUses(model) as seen:
            subject.forward(model, given)
        uses.append(seen)
    written, scaled_uses = uses
    alike = len(written.met) == len(scaled_uses.met)
    follows = [
        tensor
        for tensor, other in zip(written.met, scaled_uses.met if alike else written.met, strict=True)
        if not alike or not torch.equal(tensor, other)
    ]
    if any(_is_odd(tensor) for tensor in follows) or not (follows or written.normalised):
        return None
    evidence["normalised_by"] = written.normalised
    if not follows:
        return f"; {written.normalised}() comes first"
    met = [_size(tensor) for tensor in follows]
    return f"; forward makes that {min(met):.3g} to {max(met):.3g} before the first parameters meet it"


def _copied(tensor: Tensor, *, scaled: bool) -> Tensor:
    """A copy, as forward may write into its inputs; ``scaled`` to size 1 where it is odd."""
    odd = scaled and tensor.is_floating_point() and bool(tensor.isfinite().all()) and _is_odd(tensor)
    return tensor / _size(tensor) if odd else tensor.clone()


class _FirstUses(TorchFunctionMode):
    """What a forward pass has made of its inputs where parameters first meet it; copies, in order.

    What a normalisation returns counts as met, and ``normalised`` is its name.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.met: list[Tensor] = []
        self.normalised: str | None = None
        self._after: dict[int, Tensor] = {id(p): p for p in model.parameters()}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = tensors_in([*args, *(kwargs or {}).values()])
        name = getattr(func, "__name__", "")
        after = any(id(t) in self._after for t in given)
        if name in NORMALISATIONS:
            self.normalised = self.normalised or name
        elif after:
            self.met += [t.detach().clone() for t in _floats(given) if id(t) not in self._after]
        result = func(*args, **(kwargs or {}))
        if after or name in NORMALISATIONS:
            self._after |= {id(t): t for t in tensors_in(result)}
        return result


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


def _floats(x: Any) -> list[Tensor]:
    return [t for t in tensors_in(x) if t.is_floating_point() and t.numel() and t.layout == torch.strided]
