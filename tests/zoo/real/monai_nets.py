"""MONAI: classifiers of medical images and volumes, and dense segmentation."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from torch import nn

from tests.zoo.real.entry import Real

NEEDS = ("monai",)


def build(model: str, *positional: Any, **options: Any) -> nn.Module:
    """The model from monai.networks.nets, imported when it is built."""
    from monai.networks import nets

    made: nn.Module = getattr(nets, model)(*positional, **options)
    return made


def entries() -> Iterator[Real]:
    def real(
        name: str,
        model: str,
        options: dict[str, Any],
        *,
        shape: tuple[int, ...],
        classes: int,
        mistakes: dict[str, str] | None = None,
        **more: Any,
    ) -> Real:
        return Real(
            name=f"monai-{name}",
            family=model,
            package="monai",
            factory=functools.partial(build, model, **options),
            arguments={"input_shape": shape, "num_classes": classes, **more},
            mistakes=mistakes or {},
        )

    flat, volume = (1, 32, 32), (1, 16, 16, 16)
    first = {"logits": lambda out: out[0]}
    unet = {"channels": (16, 32, 64), "strides": (2, 2), "num_res_units": 1}

    yield real(
        "densenet",
        "DenseNet",
        {
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": 5,
            "init_features": 8,
            "growth_rate": 4,
            "block_config": (2, 2),
        },
        shape=flat,
        classes=5,
    )
    yield real(
        "densenet-3d",
        "DenseNet",
        {
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 2,
            "init_features": 8,
            "growth_rate": 4,
            "block_config": (2, 2),
            "dropout_prob": 0.1,
        },
        shape=volume,
        classes=2,
    )
    yield real(
        "densenet-multilabel",
        "DenseNet",
        {
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": 6,
            "init_features": 8,
            "growth_rate": 4,
            "block_config": (2, 2),
        },
        shape=flat,
        classes=6,
        task="multilabel",
    )
    yield real(
        "efficientnet",
        "EfficientNetBN",
        {"model_name": "efficientnet-b0", "spatial_dims": 2, "in_channels": 1, "num_classes": 3, "pretrained": False},
        shape=flat,
        classes=3,
    )
    yield real(
        "resnet-3d",
        "ResNet",
        {
            "block": "basic",
            "layers": [1, 1, 1, 1],
            "block_inplanes": [8, 8, 16, 16],
            "spatial_dims": 3,
            "n_input_channels": 1,
            "num_classes": 3,
        },
        shape=volume,
        classes=3,
    )
    yield real(
        "resnet-binary",
        "ResNet",
        {
            "block": "bottleneck",
            "layers": [1, 1, 1, 1],
            "block_inplanes": [4, 4, 8, 8],
            "spatial_dims": 2,
            "n_input_channels": 1,
            "num_classes": 1,
        },
        shape=flat,
        classes=2,
        task="binary",
    )
    yield real(
        "seresnet",
        "SENet",
        {
            "spatial_dims": 2,
            "in_channels": 1,
            "block": "se_resnet_bottleneck",
            "layers": [1, 1, 1, 1],
            "groups": 1,
            "reduction": 16,
            "dropout_prob": None,
            "inplanes": 64,
            "downsample_kernel_size": 1,
            "input_3x3": False,
            "num_classes": 3,
        },
        shape=flat,
        classes=3,
    )
    yield real(
        "vit",
        "ViT",
        {
            "in_channels": 1,
            "img_size": (16, 16, 16),
            "patch_size": (8, 8, 8),
            "hidden_size": 32,
            "mlp_dim": 64,
            "num_layers": 2,
            "num_heads": 2,
            "classification": True,
            "num_classes": 4,
            "post_activation": None,
        },
        shape=volume,
        classes=4,
        **first,
    )
    yield real(
        "fully-connected",
        "FullyConnectedNet",
        {"in_channels": 20, "out_channels": 10, "hidden_channels": [32, 16], "dropout": 0.2},
        shape=(20,),
        classes=10,
    )
    yield real("unet", "UNet", {"spatial_dims": 2, "in_channels": 1, "out_channels": 3, **unet}, shape=flat, classes=3)
    yield real(
        "unet-3d", "UNet", {"spatial_dims": 3, "in_channels": 1, "out_channels": 2, **unet}, shape=volume, classes=2
    )
    yield real(
        "attention-unet",
        "AttentionUnet",
        {"spatial_dims": 2, "in_channels": 1, "out_channels": 3, "channels": (4, 8, 16), "strides": (2, 2)},
        shape=flat,
        classes=3,
    )
    yield real(
        "basic-unet",
        "BasicUNet",
        {"spatial_dims": 2, "in_channels": 1, "out_channels": 4, "features": (4, 4, 8, 8, 16, 4)},
        shape=flat,
        classes=4,
    )
    yield real(
        "segresnet",
        "SegResNet",
        {
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": 3,
            "init_filters": 8,
            "blocks_down": (1, 1),
            "blocks_up": (1,),
        },
        shape=flat,
        classes=3,
    )
    yield real(
        "segresnet-3d",
        "SegResNet",
        {
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 2,
            "init_filters": 8,
            "blocks_down": (1, 1),
            "blocks_up": (1,),
        },
        shape=volume,
        classes=2,
    )
    yield real(
        "dynunet",
        "DynUNet",
        {
            "spatial_dims": 2,
            "in_channels": 1,
            "out_channels": 3,
            "kernel_size": [3, 3, 3],
            "strides": [1, 2, 2],
            "upsample_kernel_size": [2, 2],
            "filters": [4, 8, 16],
        },
        shape=flat,
        classes=3,
    )
    yield real(
        "unetr",
        "UNETR",
        {
            "in_channels": 1,
            "out_channels": 3,
            "img_size": (32, 32),
            "feature_size": 4,
            "hidden_size": 24,
            "mlp_dim": 48,
            "num_heads": 2,
            "spatial_dims": 2,
        },
        shape=flat,
        classes=3,
    )
    yield real(
        "swin-unetr",
        "SwinUNETR",
        {
            "in_channels": 1,
            "out_channels": 3,
            "feature_size": 12,
            "spatial_dims": 2,
            "depths": (1, 1, 1, 1),
            "num_heads": (1, 2, 2, 4),
            "window_size": 4,
        },
        shape=(1, 64, 64),
        classes=3,
    )
    # Its last layer is a convolution, batch norm and ReLU.
    yield real(
        "highresnet",
        "HighResNet",
        {"spatial_dims": 2, "in_channels": 1, "out_channels": 3},
        shape=(1, 16, 16),
        classes=3,
        mistakes={"outputs_are_logits": "bounded_logits"},
    )
    yield real(
        "flexible-unet",
        "FlexibleUNet",
        {
            "in_channels": 1,
            "out_channels": 3,
            "backbone": "resnet10",
            "decoder_channels": (32, 16, 8, 8, 4),
            "spatial_dims": 2,
        },
        shape=flat,
        classes=3,
    )
    yield real(
        "mil",
        "MILModel",
        {"num_classes": 3, "mil_mode": "att", "pretrained": False, "backbone": "resnet18"},
        shape=(3, 3, 32, 32),
        classes=3,
    )
    yield real(
        "torchvision-fc",
        "TorchVisionFCModel",
        {"model_name": "resnet18", "num_classes": 3, "pool": None, "pretrained": False},
        shape=(3, 32, 32),
        classes=3,
    )
