"""Inputs and labels drawn from a generator: random ones, and ones that any working classifier can separate.

Separable data is built from prototypes. Each class in use has one input pattern; an example is its class's pattern
with a little noise. The number of prototypes is at most the number of input features plus one, so that the
prototypes are affinely independent and a linear model can separate them.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Generator, Tensor

MOST_PROTOTYPES = 16
NOISE = 0.1
RESAMPLED = 0.2
# The squared distance of two draws of so many numbers has a deviation of a 23rd of its mean: sqrt(2 / 1024).
MANY_NUMBERS = 1024


def generator(seed: int) -> Generator:
    """A CPU generator with this seed."""
    return torch.Generator().manual_seed(seed)


def _normal(shape: tuple[int, ...], rng: Generator) -> Tensor:
    """Standard normal numbers in float32, whatever the default dtype: one seed gives one batch."""
    return torch.randn(shape, generator=rng, dtype=torch.float32, device="cpu")


def random_floats(count: int, shape: tuple[int, ...], rng: Generator, *, dtype: torch.dtype) -> Tensor:
    """Standard normal inputs, (count, *shape)."""
    return _normal((count, *shape), rng).to(dtype)


def random_tokens(count: int, shape: tuple[int, ...], vocab_size: int, rng: Generator) -> Tensor:
    """Uniform tokens in [0, vocab_size), int64, (count, *shape)."""
    return torch.randint(0, vocab_size, (count, *shape), generator=rng)


def random_labels(count: int, num_classes: int, rng: Generator, *, multilabel: bool = False) -> Tensor:
    """Uniform class indices, int64 (count,); or independent fair bits, int64 (count, num_classes)."""
    if multilabel:
        return torch.randint(0, 2, (count, num_classes), generator=rng)
    return torch.randint(0, num_classes, (count,), generator=rng)


def prototype_count(num_classes: int, features: int | None) -> int:
    """How many classes separable data uses: all of them where the inputs have room, else fewer, at least 2.

    ``features`` is the number of numbers in one example, or of tokens less one; None for the user's own inputs, of
    which nothing is known.
    """
    room = MOST_PROTOTYPES if features is None else features + 1
    return max(2, min(num_classes, MOST_PROTOTYPES, room))


def balanced_assignment(count: int, prototypes: int, rng: Generator) -> Tensor:
    """Which prototype each example shows, int64 (count,): every one equally often, up to one, in random order."""
    return (torch.arange(count) % prototypes)[torch.randperm(count, generator=rng)]


def prototype_labels(prototypes: int, num_classes: int, rng: Generator, *, multilabel: bool = False) -> Tensor:
    """The label of each prototype: distinct classes, int64 (prototypes,), or multi-hot rows (prototypes, num_classes).

    Multi-hot rows come as a row and its complement, so that each label is on for half of the prototypes.
    """
    if not multilabel:
        return torch.randperm(max(num_classes, prototypes), generator=rng)[:prototypes].sort().values
    half = torch.randint(0, 2, ((prototypes + 1) // 2, num_classes), generator=rng)
    return torch.stack([half, 1 - half], dim=1).flatten(0, 1)[:prototypes]


def float_prototypes(prototypes: int, shape: tuple[int, ...], rng: Generator) -> Tensor:
    """Patterns of unit variance that are far apart, float32 (prototypes, *shape).

    Each is white noise plus, along every axis, a profile that is constant along the others: a flattening model sees
    the noise, a model that pools over positions the profile of the channels, a recurrent one that of the features.
    Far apart: chosen one by one, each the farthest from those before it among eight times as many candidates. In many
    numbers the noise of any two is about equally far apart, so there the profiles decide, and only the noise of the
    chosen is drawn.
    """
    count, features = 8 * prototypes, math.prod(shape)
    sizes = shape if len(shape) > 1 else ()
    by_profiles = bool(sizes) and features > MANY_NUMBERS
    noise = None if by_profiles else _normal((count, *shape), rng)
    profiles = [_normal((count, size), rng) for size in sizes]
    if noise is None:
        # What a profile's distance is in whole patterns, in which it is repeated.
        chosen = _far_apart(torch.cat([p * math.sqrt(features / p.shape[1]) for p in profiles], dim=1), prototypes)
        noise, profiles = _normal((prototypes, *shape), rng), [profile[chosen] for profile in profiles]
    for axis, profile in enumerate(profiles):
        noise += profile.view(-1, *(size if a == axis else 1 for a, size in enumerate(shape)))
    noise /= math.sqrt(1 + len(sizes))
    return noise if by_profiles else noise[_far_apart(noise.flatten(1), prototypes)]


def _far_apart(rows: Tensor, count: int) -> list[int]:
    """So many rows (N, F), each the farthest from those before it."""
    squares, chosen = rows.square().sum(dim=1), [0]
    distance = torch.full_like(squares, math.inf)
    while len(chosen) < count:
        # Of squares, for a difference of all rows is as much memory again.
        distance = torch.minimum(distance, squares + squares[chosen[-1]] - 2 * rows.mv(rows[chosen[-1]]))
        chosen.append(int(distance.argmax()))
    return chosen


def separable_floats(assignment: Tensor, patterns: Tensor, rng: Generator, *, dtype: torch.dtype) -> Tensor:
    """One noisy copy of a pattern for each example, (count, *shape)."""
    rows = patterns[assignment]
    return (rows + NOISE * _normal(rows.shape, rng)).to(dtype)


def separable_tokens(assignment: Tensor, shape: tuple[int, ...], vocab_size: int, rng: Generator) -> Tensor:
    """Tokens from a vocabulary of each prototype's own, int64 (count, *shape).

    Token 0, often padding, is left out where the vocabulary has room. There are at most ``vocab_size`` prototypes.
    """
    prototypes = int(assignment.max()) + 1
    first = 1 if vocab_size > 2 * prototypes else 0
    each = (vocab_size - first) // prototypes

    def draw(owners: Tensor) -> Tensor:
        offsets = torch.randint(0, each, (len(owners), *shape), generator=rng)
        return first + owners.view(-1, *(1 for _ in shape)) * each + offsets

    rows = draw(torch.arange(prototypes))[assignment]
    resample = torch.rand(rows.shape, generator=rng, dtype=torch.float32) < RESAMPLED
    return torch.where(resample, draw(assignment), rows)


def plain_tokens(vocab_size: int, special: Collection[int]) -> Tensor:
    """The token ids in [0, vocab_size) that are not special, int64, in order."""
    return torch.tensor([token for token in range(vocab_size) if token not in special], dtype=torch.long)


def padded(tokens: Tensor, padding_token: int, rng: Generator) -> tuple[Tensor, Tensor]:
    """Sequences (N, T) cut to a random length of at least 1 and padded at the end, with the mask, int64 (N, T).

    The mask is 1 on the tokens that count, as an ``attention_mask`` is.
    """
    length = tokens.shape[-1]
    lengths = torch.randint(1, length + 1, (len(tokens), 1), generator=rng)
    mask = (torch.arange(length) < lengths).long()
    return torch.where(mask.bool(), tokens, torch.full_like(tokens, padding_token)), mask
