"""What the zoo of losses is made of: sound losses, faulty twins that differ from them in one line, and traps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class SoundLoss:
    """A loss that is right, though a naive check may fail it.

    Attributes:
        name: unique among the losses.
        words: what it is, for the page.
        loss: ``(logits, targets) -> scalar``.
        arguments: for ``check_loss``.
        torch: torch's own loss on the same arguments, where it claims to be one.
        advice: checks that give advice on it.
    """

    name: str
    words: str
    loss: Loss
    arguments: Mapping[str, Any]
    torch: Loss | None = None
    advice: tuple[str, ...] = ()

    @property
    def cause(self) -> None:
        """Nothing is planted."""
        return


@dataclass(frozen=True, kw_only=True)
class FaultyLoss:
    """A loss with a planted cause.

    Attributes:
        name: unique among the losses.
        words: what is wrong, for the page.
        cause: what is planted; the first to be named.
        loss: the faulty one. The line with the fault ends in a comment that says ``FAULT``.
        twin: the sound loss that differs from it in that line, or in the arguments.
        arguments: where they differ from the twin's.
        also: further causes that are named.
    """

    name: str
    words: str
    cause: str
    loss: Loss
    twin: SoundLoss
    arguments: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[str, ...] = ()

    @property
    def all_arguments(self) -> dict[str, Any]:
        """The twin's, with those that differ."""
        return {**self.twin.arguments, **self.arguments}
