"""timm: image classifiers, made narrow where their builder takes a width."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from tests.zoo.real.entry import Real, images

NEEDS = ("timm", "torchvision")
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}
STAGES = {"depths": (1, 1, 1, 1), "dims": (8, 16, 16, 32)}


def build(model: str, **options: Any) -> nn.Module:
    """``timm.create_model``; timm is imported when it is called."""
    import timm

    made: nn.Module = timm.create_model(model, pretrained=False, **options)
    return made


def mlp_mixer(classes: int, *, block: str = "MixerBlock", layer: str = "Mlp", mlp_ratio: Any = (0.5, 4.0)) -> nn.Module:
    from timm.models import mlp_mixer as module

    return module.MlpMixer(
        num_classes=classes,
        img_size=32,
        patch_size=8,
        num_blocks=2,
        embed_dim=32,
        mlp_ratio=mlp_ratio,
        block_layer=getattr(module, block),
        mlp_layer=getattr(module, layer),
    )


def convmixer(classes: int) -> nn.Module:
    from timm.models.convmixer import ConvMixer

    return ConvMixer(32, 2, kernel_size=3, patch_size=4, num_classes=classes)


def poolformer(classes: int) -> nn.Module:
    from timm.models.metaformer import MetaFormer

    return MetaFormer(depths=(1, 1, 1, 1), dims=(8, 16, 16, 32), num_classes=classes)


def entries() -> Iterator[Real]:
    def real(
        name: str,
        family: str,
        model: str,
        *,
        classes: int,
        heads: int | None = None,
        size: int = 32,
        task: str = "multiclass",
        **options: Any,
    ) -> Real:
        return Real(
            name=f"timm-{name}",
            family=family,
            package="timm",
            factory=functools.partial(build, model, num_classes=heads or classes, **options),
            arguments=images(size, num_classes=classes, task=task),
        )

    def own(name: str, family: str, factory: Callable[[int], nn.Module]) -> Real:
        return Real(
            name=f"timm-{name}",
            family=family,
            package="timm",
            factory=lambda: factory(5),
            arguments=images(32, num_classes=5),
        )

    yield real("resnet10t", "ResNet", "resnet10t", classes=10)
    yield real("resnet18-binary", "ResNet", "resnet18", classes=2, heads=1, task="binary")
    yield real("vit-tiny", "ViT", "vit_tiny_patch16_224", classes=5, **VIT)
    yield real("deit-distilled", "DeiT", "deit_tiny_distilled_patch16_224", classes=5, **VIT)
    yield own("mixer", "MLP-Mixer", mlp_mixer)
    yield own("gmlp", "gMLP", functools.partial(mlp_mixer, block="SpatialGatingBlock", layer="GatedMlp", mlp_ratio=4))
    yield own("resmlp", "ResMLP", functools.partial(mlp_mixer, block="ResBlock", mlp_ratio=4))
    yield own("convmixer", "ConvMixer", convmixer)
    yield own("poolformer", "PoolFormer", poolformer)
    yield real("convnext", "ConvNeXt", "convnext_atto", classes=100, **STAGES)
    yield real("mobilenetv3", "MobileNetV3", "mobilenetv3_small_050", classes=5, size=64)
    yield real("mobilenetv4", "MobileNetV4", "mobilenetv4_conv_small_050", classes=5, size=64)
    yield real("efficientnet-lite", "EfficientNet", "efficientnet_lite0", classes=5)
    yield real("lcnet", "LCNet", "lcnet_035", classes=5, size=64)
    yield real("tinynet", "TinyNet", "tinynet_e", classes=5, size=64)
    yield real("repghost", "RepGhostNet", "repghostnet_050", classes=3, size=64)
    yield real("edgenext", "EdgeNeXt", "edgenext_xx_small", classes=3, size=64)
    yield real("fastvit", "FastViT", "fastvit_t8", classes=3, size=64, embed_dims=(16, 16, 32, 32), layers=(1, 1, 1, 1))
    yield real("regnetx", "RegNet", "regnetx_002", classes=3)
    yield real(
        "swin",
        "Swin",
        "swin_tiny_patch4_window7_224",
        classes=5,
        img_size=32,
        patch_size=4,
        window_size=4,
        embed_dim=16,
        depths=(1, 1),
        num_heads=(1, 2),
    )
    yield real("ghostnetv2", "GhostNet", "ghostnetv2_100", classes=3, size=64)
    yield real("dla46", "DLA", "dla46_c", classes=3, size=64)
    yield real("hardcorenas", "HardCoRe-NAS", "hardcorenas_a", classes=3, size=64)
