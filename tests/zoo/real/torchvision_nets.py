"""torchvision: its image classifiers, with few classes."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from torch import nn

from tests.zoo.real.entry import Real, images

NEEDS = ("torchvision",)


def build(model: str, **options: Any) -> nn.Module:
    """The model from torchvision.models, imported when it is built."""
    from torchvision import models

    made: nn.Module = models.get_model(model, weights=None, **options)
    return made


def vision_transformer(classes: int) -> nn.Module:
    from torchvision.models import VisionTransformer

    return VisionTransformer(32, 8, 2, 2, 32, 64, num_classes=classes)


def swin_transformer(classes: int) -> nn.Module:
    from torchvision.models import SwinTransformer

    return SwinTransformer([4, 4], 16, [1, 1], [1, 2], [4, 4], num_classes=classes)


def convnext(classes: int) -> nn.Module:
    from torchvision.models.convnext import CNBlockConfig, ConvNeXt

    return ConvNeXt([CNBlockConfig(16, 32, 1), CNBlockConfig(32, None, 1)], num_classes=classes)


def densenet(classes: int) -> nn.Module:
    from torchvision.models import DenseNet

    return DenseNet(8, (2, 2, 2), 16, num_classes=classes)


def googlenet(classes: int) -> nn.Module:
    """With its auxiliary heads: it returns a named tuple in train mode, a tensor in eval mode."""
    from torchvision.models import GoogLeNet

    return GoogLeNet(num_classes=classes, aux_logits=True, init_weights=False)


def entries() -> Iterator[Real]:
    def real(name: str, family: str, factory: Any, *, classes: int, size: int = 32) -> Real:
        return Real(
            name=f"tv-{name}",
            family=family,
            package="torchvision",
            factory=factory,
            arguments=images(size, num_classes=classes),
        )

    yield real("vit", "ViT", lambda: vision_transformer(10), classes=10)
    yield real("swin", "Swin", lambda: swin_transformer(10), classes=10)
    yield real("convnext", "ConvNeXt", lambda: convnext(5), classes=5)
    yield real("densenet", "DenseNet", lambda: densenet(5), classes=5)
    yield real("googlenet", "GoogLeNet", lambda: googlenet(5), classes=5)
    for model, family, size in (
        ("resnet18", "ResNet", 32),
        ("mobilenet_v2", "MobileNetV2", 64),
        ("mobilenet_v3_small", "MobileNetV3", 64),
        ("shufflenet_v2_x0_5", "ShuffleNetV2", 64),
        ("squeezenet1_1", "SqueezeNet", 64),
        ("mnasnet0_5", "MnasNet", 64),
        ("efficientnet_b0", "EfficientNet", 64),
        ("regnet_y_400mf", "RegNet", 64),
    ):
        made = functools.partial(build, model, num_classes=5)
        yield real(model.replace("_", "-"), family, made, classes=5, size=size)
