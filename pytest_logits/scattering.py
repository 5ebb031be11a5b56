"""Noise on parameters, as large as they are: where outputs are looked at, no parameter is special.

Parameters of up to ``BLOCK`` numbers get a number drawn for each. In a larger one the noise repeats after ``BLOCK``
numbers, since to draw one takes longer than what a pass does with it. ``BLOCK`` is a prime: rows of a matrix, of any
other length, get equal noise only where they are ``BLOCK`` rows apart.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, randn
from torch.linalg import vector_norm

BLOCK = 65_537


def size_of(parameter: Tensor) -> float:
    """The root mean square of its numbers, of any shape; for a bias or a gain at least 1.

    A matrix that is all zeros takes the usual initial size, one over the square root of its fan-in. Noise of a lone
    number's own size would seldom change its sign.
    """
    values = parameter.detach()
    size = float(vector_norm(values.float())) / math.sqrt(max(values.numel(), 1))
    if parameter.ndim < 2:
        return max(size, 1.0)
    return size or 1 / math.sqrt(max(math.prod(parameter.shape[1:]), 1))


def add_noise(parameter: Tensor, deviation: float, rng: Generator, *, start: Tensor | None = None) -> None:
    """Add normal noise of this standard deviation in place, drawn on the CPU. Without a graph.

    With ``start``, which has the parameter's shape, dtype and order of memory, the parameter becomes the sum of that
    and the noise, whatever it was.
    """
    if parameter.numel() <= BLOCK or not parameter.is_contiguous() or parameter[0].numel() % BLOCK == 0:
        noise = randn(parameter.shape, generator=rng).mul_(deviation).to(parameter)
        torch.add(parameter if start is None else start, noise, out=parameter)
        return
    block = (randn(BLOCK, generator=rng) * deviation).to(parameter)
    values, before = parameter.view(-1), (parameter if start is None else start).view(-1)
    whole = len(values) // BLOCK * BLOCK
    # One walk through the memory, where a copy and a sum would take two.
    torch.add(before[:whole].view(-1, BLOCK), block, out=values[:whole].view(-1, BLOCK))
    torch.add(before[whole:], block[: len(values) - whole], out=values[whole:])
