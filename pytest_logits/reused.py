"""One copy of a model that is scattered again and again, which costs less than making as many."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import nn

from pytest_logits.copies import Copies

# (amount, variant) -> a copy in train mode, with so much noise on its parameters: Copies.scattered, Reused.scattered.
Scattered: TypeAlias = Callable[[float, int], nn.Module]


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
        # By the parameters' ids, their versions where they are as made.
        self._untouched = {id(p): p._version for p, _ in self._parameters}

    def scattered(self, amount: float, variant: int = 0) -> nn.Module:
        """The copy with the noise that a fresh one gets from ``Copies.scattered``, in train mode."""
        with torch.no_grad():
            # Not every operation of torch's that writes into a buffer says so.
            for buffer, made in self._buffers:
                buffer.copy_(made)
            for p, made in self._parameters:
                if amount and p.is_floating_point():
                    self._untouched.pop(id(p), None)
                elif self._untouched.get(id(p)) != p._version:
                    p.copy_(made)
                    self._untouched[id(p)] = p._version
        self._model.train()
        self._copies.scatter(self._model, amount, variant, made=self._made)
        return self._model
