"""rtdl: models for tables of numbers and categories."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tests.zoo.real.entry import Adapted, Real

NEEDS = ("rtdl_revisiting_models", "rtdl_num_embeddings")
NUMBERS = {"input_shape": (8,)}


def mlp(classes: int) -> nn.Module:
    from rtdl_revisiting_models import MLP

    return MLP(d_in=8, d_out=classes, n_blocks=2, d_block=32, dropout=0.1)


def resnet(classes: int) -> nn.Module:
    from rtdl_revisiting_models import ResNet

    return ResNet(
        d_in=8,
        d_out=classes,
        n_blocks=2,
        d_block=32,
        d_hidden=None,
        d_hidden_multiplier=2.0,
        dropout1=0.3,
        dropout2=0.0,
    )


def ft_transformer(classes: int, cardinalities: list[int], **options: Any) -> nn.Module:
    from rtdl_revisiting_models import FTTransformer

    return FTTransformer(
        n_cont_features=8,
        cat_cardinalities=cardinalities,
        d_out=classes,
        n_blocks=2,
        d_block=32,
        attention_n_heads=4,
        attention_dropout=0.2,
        ffn_d_hidden=None,
        ffn_d_hidden_multiplier=4 / 3,
        ffn_dropout=0.1,
        residual_dropout=0.0,
        **options,
    )


def embedded(kind: str, classes: int) -> nn.Module:
    """Embeddings of numbers before a plain perceptron."""
    import rtdl_num_embeddings as rtdl

    bins = [torch.linspace(-2, 2, 6) for _ in range(8)]
    embeddings = {
        "linear": lambda: rtdl.LinearReLUEmbeddings(8, 6),
        "periodic": lambda: rtdl.PeriodicEmbeddings(8, 6, lite=False),
        "piecewise": lambda: rtdl.PiecewiseLinearEmbeddings(bins, 6, activation=True),
    }[kind]()
    return nn.Sequential(embeddings, nn.Flatten(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, classes))


def rows(batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return torch.randn(batch_size, 8, generator=generator), torch.randint(0, 4, (batch_size, 3), generator=generator)


def entries() -> Iterator[Real]:
    def revisited(name: str, family: str, factory: Any, **arguments: Any) -> Real:
        return Real(
            name=f"rtdl-{name}", family=family, package="rtdl_revisiting_models", factory=factory, arguments=arguments
        )

    yield revisited("mlp", "MLP", lambda: mlp(10), **NUMBERS, num_classes=10)
    yield revisited("resnet", "tabular ResNet", lambda: resnet(3), **NUMBERS, num_classes=3)
    yield revisited("resnet-binary", "tabular ResNet", lambda: resnet(1), **NUMBERS, num_classes=2, task="binary")
    yield revisited(
        "ft-transformer", "FT-Transformer", lambda: ft_transformer(5, [4, 4, 4]), inputs=rows, num_classes=5
    )
    yield revisited(
        "ft-transformer-numbers",
        "FT-Transformer",
        lambda: Adapted(ft_transformer(2, []), lambda model, x: model(x, None)),
        **NUMBERS,
        num_classes=2,
    )
    yield revisited(
        "ft-transformer-linformer",
        "FT-Transformer",
        lambda: ft_transformer(
            3, [4, 4, 4], linformer_kv_compression_ratio=0.5, linformer_kv_compression_sharing="headwise"
        ),
        inputs=rows,
        num_classes=3,
    )
    for kind in ("linear", "periodic", "piecewise"):
        yield Real(
            name=f"rtdl-{kind}-embeddings",
            family=f"{kind} embeddings",
            package="rtdl_num_embeddings",
            factory=lambda kind=kind: embedded(kind, 5),
            arguments={**NUMBERS, "num_classes": 5},
        )
