"""The shapes of scores that a loss takes, which is registered with less than all of them: found by trying."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from pytest_logits.losses import NAMED, known_nature

# A loss that takes both numbers of classes takes any; one that is made for a number takes none but that or fewer.
ANY_CLASSES = (3, 40)
USUAL_CLASSES = 5
MOST_PROBED = 33
DENSE = (3,)


@dataclass(frozen=True, kw_only=True)
class LossShapes:
    """What a loss takes, by what it ``accepts``.

    Attributes:
        accepts: whether scores and labels give a number without raising.
        loss: the loss itself, for the tensors that it holds.
        task: "multiclass", "binary" or "multilabel".
        encoding: of the targets, as registered.
        classes: their number, where it is registered.
        dtype: of the scores.
    """

    accepts: Callable[[Tensor, Tensor], bool]
    loss: Any
    task: str
    encoding: str | Callable[..., Any] | None
    classes: int | None
    dtype: torch.dtype

    @cached_property
    def trailing(self) -> tuple[int, ...]:
        """The shape of the scores of one example: (K, *dense), (1,) or ()."""
        if self.task == "binary":
            return self._binary
        flat = (self.classes or self.probed_classes or USUAL_CLASSES,)
        dense = (*flat, *DENSE)
        return dense if not self.takes(flat) and self.takes(dense) else flat

    def takes(self, shape: tuple[int, ...]) -> bool:
        """Whether two examples with scores of this shape are accepted."""
        scores = torch.zeros((2, *shape), dtype=self.dtype)
        if self.task == "multilabel":
            return self.accepts(scores, torch.ones((2, *shape)).long())
        return self.accepts(scores, torch.arange(2).view(-1, *(1 for _ in shape[1:])).expand(-1, *shape[1:]))

    @cached_property
    def probed_classes(self) -> int | None:
        """The number of classes that the loss is made for; None where it takes any, if on dense scores only."""
        if all(self._takes_classes(classes) for classes in ANY_CLASSES):
            return None
        taken = [classes for classes in range(2, MOST_PROBED) if self._takes_classes(classes)]
        taken = taken or [size for size in self._sizes() if self._takes_classes(size)]
        if not taken and all(self._takes_classes(classes, DENSE) for classes in ANY_CLASSES):
            return None
        return max(taken, default=USUAL_CLASSES)

    @cached_property
    def _binary(self) -> tuple[int, ...]:
        if self.encoding == "column":
            return (1,)
        if known_nature(self.loss) == NAMED["cross_entropy"][1] or self.encoding in ("index", "onehot"):
            return (2,)
        flat = torch.zeros(3)
        return (
            () if self.accepts(flat, torch.tensor([0, 1, 1])) or not self.accepts(flat[:, None], flat.long()) else (1,)
        )

    def _takes_classes(self, classes: int, dense: tuple[int, ...] = ()) -> bool:
        rows = torch.arange(2 * classes)
        labels = (rows % classes).view(-1, *(1 for _ in dense)).expand(-1, *dense)
        if self.task == "multilabel":
            labels = (rows.unsqueeze(1) + torch.arange(classes)) % 2
        return self.accepts(torch.zeros((len(rows), classes, *dense), dtype=self.dtype), labels)

    def _sizes(self) -> list[int]:
        """The lengths of the tensors that a module holds: its weights have one per class."""
        held = [*self.loss.parameters(), *self.loss.buffers()] if isinstance(self.loss, nn.Module) else []
        return sorted({len(tensor) for tensor in held if tensor.ndim == 1 and len(tensor) > 1})
