"""One copy of a model that is scattered again and again, which costs less than making as many."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import nn

from pytest_logits.copies import Copies

# (amount, variant) -> a copy in train mode, with so much noise on its parameters: Copies.scattered, Reused.scattered.
Scattered: TypeAlias = Callable[[float, int], nn.Module]
# An amount and a variant.
Noise: TypeAlias = tuple[float, int]


class Reused:
    """A copy whose parameters and buffers are put back as they were made before it is scattered anew.

    What a model keeps elsewhere from one call to the next stays. So it is good for seeing that nothing is wrong: what
    seems wrong with it is to be looked at in fresh copies.
    """

    def __init__(self, copies: Copies) -> None:
        self._copies = copies
        self._model = copies.fresh()
        self._parameters = [(p, p.detach().clone()) for p in self._model.parameters()]
        self._buffers = [(b, b.detach().clone()) for b in self._model.buffers()]
        self._made = {id(p): made for p, made in self._parameters}
        # By the parameters' ids, the noise that is on them, None where they are as made, and their version then.
        self._held: dict[int, tuple[Noise | None, int]] = {id(p): (None, p._version) for p, _ in self._parameters}

    def scattered(self, amount: float, variant: int = 0) -> nn.Module:
        """The copy with the noise that a fresh one gets from ``Copies.scattered``, in train mode.

        Parameters that have it already, and that nobody has written into, are left as they are.
        """
        noise = (amount, variant) if amount else None
        wanted = [(p, made, noise if p.is_floating_point() else None) for p, made in self._parameters]
        changed = [(p, made, own) for p, made, own in wanted if self._held[id(p)] != (own, p._version)]
        with torch.no_grad():
            # Not every operation of torch's that writes into a buffer says so.
            for buffer, made in self._buffers:
                buffer.copy_(made)
            for p, made, own in changed:
                if own is None:
                    p.copy_(made)
        if any(own is not None for *_, own in changed):
            self._copies.scatter(self._model, amount, variant, made=self._made)
        if changed:
            self._held = {id(p): (own, p._version) for p, _, own in wanted}
        self._model.train()
        return self._model
