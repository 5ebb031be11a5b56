"""segmentation_models_pytorch: dense logits, (N, K, H, W)."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from torch import nn

from tests.zoo.real.entry import Real, images

NEEDS = ("segmentation_models_pytorch", "timm", "torchvision")


def build(model: str, **options: Any) -> nn.Module:
    """The model from segmentation_models_pytorch, imported when it is built."""
    import segmentation_models_pytorch

    made: nn.Module = getattr(segmentation_models_pytorch, model)(encoder_weights=None, **options)
    return made


def entries() -> Iterator[Real]:
    def real(name: str, model: str, *, classes: int, heads: int | None = None, size: int = 32, **options: Any) -> Real:
        task = "binary" if heads == 1 else "multiclass"
        return Real(
            name=f"smp-{name}",
            family=model,
            package="segmentation_models_pytorch",
            factory=functools.partial(build, model, classes=heads or classes, **options),
            arguments=images(size, num_classes=classes, task=task),
        )

    narrow = {"encoder_name": "mobilenet_v2"}
    shallow = {"encoder_depth": 3, "encoder_name": "resnet18"}
    yield real("unet", "Unet", classes=3, **shallow, decoder_channels=(16, 8, 8))
    yield real("unet-binary", "Unet", classes=2, heads=1, **narrow, encoder_depth=3, decoder_channels=(16, 8, 8))
    yield real("unetplusplus", "UnetPlusPlus", classes=3, **shallow, decoder_channels=(16, 8, 8))
    yield real("manet", "MAnet", classes=3, **shallow, decoder_channels=(16, 8, 8), decoder_pab_channels=8)
    yield real("linknet", "Linknet", classes=3, **shallow)
    yield real("fpn", "FPN", classes=3, **narrow, decoder_pyramid_channels=64, decoder_segmentation_channels=64)
    yield real("pspnet", "PSPNet", classes=3, **shallow, psp_out_channels=32)
    yield real("deeplabv3", "DeepLabV3", classes=3, **narrow, decoder_channels=16)
    yield real("deeplabv3plus", "DeepLabV3Plus", classes=3, **narrow, decoder_channels=16)
    yield real("segformer", "Segformer", classes=3, **narrow, decoder_segmentation_channels=16)
