"""The layers that generated classifiers are put together from: activations, normalisations, dropout."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# The default dtype is the user's to set: naming one here makes the weights of a seed the same whatever it is.
DTYPE = torch.float32

# The first three learn the fastest and come first.
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "celu": nn.CELU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "relu6": nn.ReLU6,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "sigmoid": nn.Sigmoid,
    "logsigmoid": nn.LogSigmoid,
    "hardtanh": nn.Hardtanh,
    "hardswish": nn.Hardswish,
    "hardsigmoid": nn.Hardsigmoid,
}
NORMALISATIONS = ("none", "layer", "batch", "rms", "group", "instance")
# Over two features a normalisation gives -1 and 1 with hardly a gradient, over one a constant.
LEAST_NORMALISED = 4


class RMSNorm(nn.Module):
    """Division by the root mean square of the last axis, and a gain. torch has one from 2.4 on."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width, dtype=DTYPE))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to (..., width)."""
        return self.gain * x * (x.square().mean(dim=-1, keepdim=True) + 1e-5).rsqrt()


def normalisation(name: str, width: int, *, positions: int = 0) -> list[nn.Module]:
    """The normalisation of features (N, width), or with ``positions`` axes behind them; no module for "none"."""
    if name == "batch":
        return [(nn.BatchNorm2d if positions == 2 else nn.BatchNorm1d)(width, dtype=DTYPE)]
    if name == "instance":
        return [(nn.InstanceNorm2d if positions == 2 else nn.InstanceNorm1d)(width, affine=True, dtype=DTYPE)]
    if name == "rms":
        return [RMSNorm(width)]
    if name == "group" or (name == "layer" and positions):
        groups = 2 if name == "group" and width % 2 == 0 and width >= 2 * LEAST_NORMALISED else 1
        return [nn.GroupNorm(groups, width, dtype=DTYPE)]
    return [nn.LayerNorm(width, dtype=DTYPE)] if name == "layer" else []


def after(layer: nn.Module, normalisations: list[nn.Module], activation: str, dropout: float) -> list[nn.Module]:
    """A layer with all that follows it."""
    return [layer, *normalisations, ACTIVATIONS[activation](), *([nn.Dropout(dropout)] if dropout else [])]


def needs_bias(name: str) -> bool:
    """Whether a bias before this normalisation can learn: the mean that is taken off takes it off again."""
    return name not in ("batch", "instance")
