"""The part below the last layer of a generated classifier: a module that turns inputs into features (N, width)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

# The default dtype is the user's to set: naming one here makes the weights of a seed the same whatever it is.
DTYPE = torch.float32

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}
NORMALISATIONS = ("none", "layer", "batch")


class LastHidden(nn.Module):
    """An LSTM over (N, T, F) that gives the hidden state after the last step, (N, width)."""

    def __init__(self, features: int, width: int, depth: int) -> None:
        """``depth`` is the number of stacked layers."""
        super().__init__()
        self.lstm = nn.LSTM(features, width, num_layers=depth, batch_first=True, dtype=DTYPE)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, F) to (N, width)."""
        hidden: Tensor = self.lstm(x)[0]
        return hidden[:, -1]


class MeanEmbedding(nn.Module):
    """The mean of the embeddings of a sequence of tokens, (N, T) to (N, width)."""

    def __init__(self, vocab_size: int, width: int) -> None:
        """One vector of ``width`` for each token."""
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width, dtype=DTYPE)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T) to (N, width)."""
        vectors: Tensor = self.embedding(tokens)
        return vectors.mean(dim=1)


def linear_trunk() -> nn.Module:
    """No layer at all: the flattened inputs are the features."""
    return nn.Flatten()


def mlp_trunk(
    input_shape: tuple[int, ...], *, width: int, depth: int, activation: str, normalisation: str
) -> nn.Module:
    """``depth`` hidden layers on the flattened inputs."""
    return nn.Sequential(nn.Flatten(), *_hidden_layers(math.prod(input_shape), width, depth, activation, normalisation))


def cnn_trunk(
    input_shape: tuple[int, ...], *, width: int, depth: int, activation: str, normalisation: str
) -> nn.Module:
    """``depth`` convolutions of ``width`` channels on images (C, H, W), then the mean over all positions."""
    layers: list[nn.Module] = []
    channels = input_shape[0]
    for _ in range(depth):
        layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=_needs_bias(normalisation), dtype=DTYPE))
        if normalisation == "layer":
            layers.append(nn.GroupNorm(1, width, dtype=DTYPE))
        elif normalisation == "batch":
            layers.append(nn.BatchNorm2d(width, dtype=DTYPE))
        layers.append(ACTIVATIONS[activation]())
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def lstm_trunk(input_shape: tuple[int, ...], *, width: int, depth: int, normalisation: str) -> nn.Module:
    """An LSTM of ``depth`` layers over sequences (T, F), then the normalisation."""
    return nn.Sequential(LastHidden(input_shape[-1], width, depth), *_normalisation(normalisation, width))


def embedding_trunk(vocab_size: int, *, width: int, depth: int, activation: str, normalisation: str) -> nn.Module:
    """Embeddings of ``width``, their mean over the sequence, then ``depth`` hidden layers."""
    return nn.Sequential(
        MeanEmbedding(vocab_size, width), *_hidden_layers(width, width, depth, activation, normalisation)
    )


def _hidden_layers(features: int, width: int, depth: int, activation: str, normalisation: str) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers.append(nn.Linear(features, width, bias=_needs_bias(normalisation), dtype=DTYPE))
        layers.extend(_normalisation(normalisation, width))
        layers.append(ACTIVATIONS[activation]())
        features = width
    return layers


def _normalisation(name: str, width: int) -> list[nn.Module]:
    if name == "layer":
        return [nn.LayerNorm(width, dtype=DTYPE)]
    if name == "batch":
        return [nn.BatchNorm1d(width, dtype=DTYPE)]
    return []


def _needs_bias(normalisation: str) -> bool:
    # Batch normalisation takes any bias away again, and a parameter that cannot learn would not be sound.
    return normalisation != "batch"
