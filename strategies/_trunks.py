"""The part below the last layer of a generated classifier: a module that turns inputs into features (N, width)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from pytest_logits.strategies._layers import DTYPE, RMSNorm, after, needs_bias, normalisation

RECURRENT: dict[str, Callable[..., nn.Module]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a trunk is made of. ``pooled`` is False where each position is to keep features of its own."""

    width: int
    depth: int
    activation: str
    normalisation: str
    dropout: float
    pooled: bool


class Recurrent(nn.Module):
    """A recurrent layer over (N, T, F): hidden states (N, T, width), or the last one, (N, width)."""

    def __init__(self, family: str, features: int, parts: Parts) -> None:
        super().__init__()
        self.layers = RECURRENT[family](features, parts.width, num_layers=parts.depth, batch_first=True, dtype=DTYPE)
        self.pooled = parts.pooled

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, F) to (N, T, width) or (N, width)."""
        hidden: Tensor = self.layers(x)[0]
        return hidden[:, -1] if self.pooled else hidden


class MeanEmbedding(nn.Module):
    """A bag of embeddings: their mean over a sequence of tokens, (N, T) to (N, width)."""

    def __init__(self, vocab_size: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width, dtype=DTYPE)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T) to (N, width)."""
        vectors: Tensor = self.embedding(tokens)
        return vectors.mean(dim=1)


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to (..., width)."""
        added: Tensor = x + self.layers(x)
        return added


class SelfAttention(nn.Module):
    """Attention of each position of (N, T, width) to all positions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2 if width % 2 == 0 else 1, batch_first=True, dtype=DTYPE)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, width) to (N, T, width)."""
        attended: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return attended


class MeanOverPositions(nn.Module):
    """(N, T, width) to (N, width)."""

    def forward(self, x: Tensor) -> Tensor:
        """The mean over T."""
        return x.mean(dim=1)


def trunk(family: str, input_shape: tuple[int, ...], vocab_size: int | None, parts: Parts) -> nn.Module:
    """The trunk of this family for inputs (N, *input_shape)."""
    if family == "linear":
        return nn.Flatten()
    if family == "mlp":
        return nn.Sequential(nn.Flatten(), *_hidden_layers(math.prod(input_shape), parts))
    if family == "residual":
        return _residual(math.prod(input_shape), parts)
    if family == "embedding_bag":
        assert vocab_size is not None
        return nn.Sequential(MeanEmbedding(vocab_size, parts.width), *_hidden_layers(parts.width, parts))
    if family in RECURRENT:
        layers = normalisation(parts.normalisation, parts.width)
        return nn.Sequential(Recurrent(family, input_shape[-1], parts), *layers, *_dropout(parts))
    if family == "attention":
        return _attention(input_shape[-1], parts)
    return _convolutions(input_shape, parts)


def _hidden_layers(features: int, parts: Parts) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for _ in range(parts.depth):
        linear = nn.Linear(features, parts.width, bias=needs_bias(parts.normalisation), dtype=DTYPE)
        layers += after(linear, normalisation(parts.normalisation, parts.width), parts.activation, parts.dropout)
        features = parts.width
    return layers


def _residual(features: int, parts: Parts) -> nn.Module:
    blocks = [
        Residual(
            *after(
                nn.Linear(parts.width, parts.width, bias=needs_bias(parts.normalisation), dtype=DTYPE),
                normalisation(parts.normalisation, parts.width),
                parts.activation,
                parts.dropout,
            )
        )
        for _ in range(parts.depth)
    ]
    return nn.Sequential(nn.Flatten(), nn.Linear(features, parts.width, dtype=DTYPE), *blocks)


def _attention(features: int, parts: Parts) -> nn.Module:
    """Blocks as of a transformer: normalise, attend, add; normalise, a hidden layer, add."""
    blocks: list[nn.Module] = []
    for _ in range(parts.depth):
        linear = nn.Linear(parts.width, parts.width, dtype=DTYPE)
        blocks += [
            Residual(*_of_last_axis(parts), SelfAttention(parts.width)),
            Residual(*_of_last_axis(parts), *after(linear, [], parts.activation, parts.dropout)),
        ]
    pooling = [MeanOverPositions()] if parts.pooled else []
    return nn.Sequential(nn.Linear(features, parts.width, dtype=DTYPE), *blocks, *pooling)


def _of_last_axis(parts: Parts) -> list[nn.Module]:
    if parts.normalisation == "rms":
        return [RMSNorm(parts.width)]
    return [nn.LayerNorm(parts.width, dtype=DTYPE)] if parts.normalisation == "layer" else []


def _convolutions(input_shape: tuple[int, ...], parts: Parts) -> nn.Module:
    """Convolutions of ``width`` channels over one or two axes of positions, then the mean over all positions."""
    positions = len(input_shape) - 1
    kind, pooling = (nn.Conv2d, nn.AdaptiveAvgPool2d) if positions == 2 else (nn.Conv1d, nn.AdaptiveAvgPool1d)
    layers: list[nn.Module] = []
    channels = input_shape[0]
    for _ in range(parts.depth):
        bias = needs_bias(parts.normalisation)
        convolution = kind(channels, parts.width, 3, padding=1, bias=bias, dtype=DTYPE)
        normalisations = normalisation(parts.normalisation, parts.width, positions=positions)
        layers += after(convolution, normalisations, parts.activation, parts.dropout)
        channels = parts.width
    return nn.Sequential(*layers, *([pooling(1), nn.Flatten()] if parts.pooled else []))


def _dropout(parts: Parts) -> list[nn.Module]:
    return [nn.Dropout(parts.dropout)] if parts.dropout else []
