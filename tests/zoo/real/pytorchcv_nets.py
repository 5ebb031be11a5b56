"""pytorchcv: convolutional networks, mostly the variants for 32x32 images, and the narrowest for larger ones."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from torch import nn

from tests.zoo.real.entry import Real, images

NEEDS = ("pytorchcv", "torchvision", "requests")


def build(model: str, **options: Any) -> nn.Module:
    """``get_model(model, **options)``; pytorchcv is imported when it is called."""
    from pytorchcv.model_provider import get_model

    module: nn.Module = get_model(model, **options)
    for part in module.modules():
        if isinstance(getattr(part, "final_pool", None), nn.AvgPool2d):
            # Its window is the whole map of a 224x224 image.
            part.final_pool = nn.AdaptiveAvgPool2d(1)
    return module


def entries() -> Iterator[Real]:
    def real(name: str, family: str, model: str, *, classes: int, size: int = 32, task: str = "multiclass") -> Real:
        made = functools.partial(build, model, num_classes=classes, in_size=(size, size))
        return Real(
            name=f"cv-{name}",
            family=family,
            package="pytorchcv",
            factory=made,
            arguments=images(size, num_classes=classes, task=task),
        )

    yield real("resnet20", "ResNet", "resnet20_cifar10", classes=10)
    yield real("preresnet20", "PreResNet", "preresnet20_cifar10", classes=10)
    yield real("seresnet20", "SE-ResNet", "seresnet20_cifar100", classes=100)
    yield real("densenet40", "DenseNet", "densenet40_k12_cifar10", classes=10)
    yield real("diaresnet20", "DIA-ResNet", "diaresnet20_cifar10", classes=10)
    yield real("nin", "NIN", "nin_cifar10", classes=10)
    yield real("ror3-56", "RoR", "ror3_56_cifar10", classes=10)
    yield real("shakeshake20", "Shake-Shake", "shakeshakeresnet20_2x16d_cifar10", classes=10)
    yield real("xdensenet40", "X-DenseNet", "xdensenet40_2_k24_bc_cifar10", classes=10)
    yield real("mobilenet-wd4", "MobileNet", "mobilenet_wd4", classes=5, size=64)
    yield real("fdmobilenet-wd4", "FD-MobileNet", "fdmobilenet_wd4", classes=5, size=64)
    yield real("mobilenetv2-wd4", "MobileNetV2", "mobilenetv2_wd4", classes=3, size=64)
    yield real("mobilenetv3-small", "MobileNetV3", "mobilenetv3_small_w7d20", classes=5, size=64)
    yield real("shufflenet-g1", "ShuffleNet", "shufflenet_g1_wd4", classes=5, size=64)
    yield real("shufflenetv2-wd2", "ShuffleNetV2", "shufflenetv2_wd2", classes=5, size=64)
    yield real("squeezenet", "SqueezeNet", "squeezenet_v1_1", classes=5, size=64)
    yield real("squeezenext", "SqueezeNext", "sqnxt23_w1", classes=5, size=64)
    yield real("sqnet", "SqueezeNet", "squeezeresnet_v1_1", classes=3, size=64)
    yield real("igcv3-wd4", "IGCV3", "igcv3_wd4", classes=3, size=64)
    yield real("menet", "MENet", "menet108_8x1_g3", classes=3, size=64)
    yield real("ghostnet", "GhostNet", "ghostnet", classes=3, size=64)
    yield real("mnasnet", "MnasNet", "mnasnet_small", classes=3, size=64)
    yield real("peleenet", "PeleeNet", "peleenet", classes=3, size=64)
    yield real("hardnet39", "HarDNet", "hardnet39ds", classes=3, size=64)
    yield real("regnetx002", "RegNet", "regnetx002", classes=5, size=64)
    yield real("dla34", "DLA", "dla46c", classes=3, size=64)
    yield real("vovnet", "VoVNet", "vovnet27s", classes=3, size=64)
    yield real("darknet-tiny", "DarkNet", "darknet_tiny", classes=3, size=64)
    yield real("resnet10", "ResNet", "resnet10", classes=2, size=64, task="multilabel")
    yield real("sepreresnet10", "SE-PreResNet", "sepreresnet10", classes=3, size=64)
    yield real("resneta10", "ResNet", "resneta10", classes=3, size=64)
    yield real("proxylessnas", "ProxylessNAS", "proxylessnas_mobile", classes=3, size=64)
    yield real("dicenet-wd5", "DiCENet", "dicenet_wd5", classes=3, size=224)
    yield real("mixnet-s", "MixNet", "mixnet_s", classes=3, size=64)
    yield real("fbnet", "FBNet", "fbnet_cb", classes=3, size=64)
    yield real("spnasnet", "SPNASNet", "spnasnet", classes=3, size=64)
    yield real("cbamresnet", "CBAM-ResNet", "bam_resnet18", classes=3, size=64)
