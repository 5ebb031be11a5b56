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
        tensors = (*self._model.parameters(), *self._model.buffers())
        self._made = [(tensor, tensor.detach().clone()) for tensor in tensors]
        self._values = {id(tensor): made for tensor, made in self._made}

    def scattered(self, amount: float, variant: int = 0) -> nn.Module:
        """The copy with the noise that a fresh one gets from ``Copies.scattered``, in train mode."""
        noisy = {id(p) for p in self._model.parameters() if amount and p.is_floating_point()}
        with torch.no_grad():
            for tensor, made in self._made:
                if id(tensor) not in noisy:
                    tensor.copy_(made)
        self._model.train()
        self._copies.scatter(self._model, amount, variant, made=self._values)
        return self._model
