"""What the zoo knows of one real classifier."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Real:
    """A classifier with random weights, as its package builds it; ``arguments`` are those of ``register``.

    ``mistakes`` are the package's own: the cause by the check that finds it. A sound model has none.
    """

    name: str
    family: str
    package: str
    factory: Callable[[], nn.Module]
    arguments: dict[str, Any] = field(default_factory=dict)
    mistakes: dict[str, str] = field(default_factory=dict)


class Adapted(nn.Module):
    """A model that a user has to feed or read in a way of its own: ``call(model, *inputs)`` gives the scores."""

    def __init__(self, model: nn.Module, call: Callable[..., Tensor]) -> None:
        super().__init__()
        self.model = model
        self.call = call

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.call(self.model, *inputs)


def images(size: int = 32, channels: int = 3, **more: Any) -> dict[str, Any]:
    """Arguments for images of ``size`` x ``size``."""
    return {"input_shape": (channels, size, size), **more}


def ids_and_mask(
    vocab_size: int = 100, length: int = 12, first: int = 3
) -> Callable[[int, torch.Generator], dict[str, Tensor]]:
    """``inputs=`` of a tokenizer's batch: rows of unequal length, padded with 0, and the attention mask."""

    def inputs(batch_size: int, generator: torch.Generator) -> dict[str, Tensor]:
        ids = torch.randint(first, vocab_size, (batch_size, length), generator=generator)
        lengths = torch.randint(length // 2, length + 1, (batch_size, 1), generator=generator)
        mask = (torch.arange(length) < lengths).long()
        return {"input_ids": ids * mask, "attention_mask": mask}

    return inputs
