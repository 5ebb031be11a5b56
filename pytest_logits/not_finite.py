"""Which logits are NaN or infinite, and no mask."""

from __future__ import annotations

import torch
from torch import Tensor


def not_finite(logits: Tensor) -> Tensor:
    """NaN, plus infinity, and minus infinity that is not a mask; a tensor of bool in the shape of the logits.

    A mask is in the same place for every row and leaves some class of the example; of dense scores a position may be
    masked as a whole.
    """
    finite = logits.isfinite()
    if bool(finite.all()):
        return ~finite
    minus = logits == -torch.inf
    masked = minus.all(dim=0, keepdim=True).expand_as(logits)
    if logits.ndim < 2:
        masked = torch.zeros_like(minus)
    elif logits.ndim == 2:
        masked = masked & ~masked.all(dim=1, keepdim=True)
    return ~finite & ~(minus & masked)
