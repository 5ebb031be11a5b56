"""Hugging Face transformers for images and video: classification and segmentation heads, from small configurations."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from tests.zoo.real.entry import Real, images
from tests.zoo.real.transformers_text import build

NEEDS = ("transformers",)
VIT = {
    "image_size": 32,
    "patch_size": 8,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
SWIN = {"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4}
STAGES = {"hidden_sizes": [16, 32], "depths": [1, 1]}
FOUR = {"hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 1, 1]}
CLIP_VISION = {**VIT, "projection_dim": 16}


def entries() -> Iterator[Real]:
    def real(
        name: str,
        stem: str,
        configuration: dict[str, Any],
        *,
        classes: int,
        heads: int | None = None,
        head: str = "ForImageClassification",
        config: str | None = None,
        arguments: dict[str, Any] | None = None,
        **options: Any,
    ) -> Real:
        made = functools.partial(
            build, stem + head, f"{config or stem}Config", **configuration, num_labels=heads or classes, **options
        )
        return Real(
            name=f"hf-{name}",
            family=stem,
            package="transformers",
            factory=made,
            arguments={**(arguments or images(32)), "num_classes": classes},
        )

    binary, multilabel = images(32, task="binary"), images(32, task="multilabel")
    video = {"input_shape": (4, 3, 16, 16)}

    yield real("vit", "ViT", VIT, classes=10)
    yield real(
        "vit-binary", "ViT", VIT, classes=2, heads=1, arguments=binary, problem_type="multi_label_classification"
    )
    yield real("vit-multilabel", "ViT", VIT, classes=7, arguments=multilabel, problem_type="multi_label_classification")
    yield real("deit", "DeiT", VIT, classes=3)
    yield real("beit", "Beit", VIT, classes=5)
    yield real("vit-msn", "ViTMSN", VIT, classes=5)
    yield real("data2vec-vision", "Data2VecVision", VIT, classes=2)
    yield real("dinov2", "Dinov2", {**VIT, "mlp_ratio": 2}, classes=100)
    yield real("dinov2-registers", "Dinov2WithRegisters", {**VIT, "mlp_ratio": 2}, classes=3)
    yield real("ijepa", "IJepa", VIT, classes=3)
    yield real(
        "hiera",
        "Hiera",
        {
            "image_size": [32, 32],
            "embed_dim": 8,
            "depths": [1, 1, 1],
            "num_heads": [1, 2, 4],
            "masked_unit_size": [4, 4],
            "query_stride": [2, 2],
            "num_query_pool": 2,
        },
        classes=3,
    )
    yield real("convnext", "ConvNext", {**FOUR, "image_size": 32}, classes=10)
    yield real("convnextv2", "ConvNextV2", {**FOUR, "image_size": 32}, classes=5)
    yield real("resnet", "ResNet", {**FOUR, "embedding_size": 8}, classes=10)
    yield real("regnet", "RegNet", {**FOUR, "embedding_size": 8, "groups_width": 8}, classes=3)
    yield real("bit", "Bit", {**FOUR, "embedding_size": 8, "num_groups": 4}, classes=3)
    yield real("swin", "Swin", SWIN, classes=10)
    yield real("swinv2", "Swinv2", SWIN, classes=3)
    yield real(
        "focalnet",
        "FocalNet",
        {
            "image_size": 32,
            "patch_size": 4,
            "embed_dim": 16,
            "depths": [1, 1],
            "focal_levels": [2, 2],
            "focal_windows": [3, 3],
            "hidden_sizes": [16, 32],
        },
        classes=3,
    )
    # The default dropout of .999 is the share that the original keeps; with it nothing is learnt.
    yield real(
        "mobilenet-v1",
        "MobileNetV1",
        {"image_size": 32, "depth_multiplier": 0.25, "min_depth": 4, "classifier_dropout_prob": 0.1},
        classes=5,
    )
    yield real("mobilenet-v2", "MobileNetV2", {"image_size": 32, "depth_multiplier": 0.25, "min_depth": 4}, classes=5)
    yield real(
        "mobilevit",
        "MobileViT",
        {
            "image_size": 32,
            "hidden_sizes": [16, 24, 32],
            "neck_hidden_sizes": [8, 8, 16, 16, 24, 32, 64],
            "num_attention_heads": 2,
        },
        classes=3,
    )
    yield real(
        "mobilevitv2",
        "MobileViTV2",
        {"image_size": 64, "width_multiplier": 0.25, "base_attn_unit_dims": [32, 48, 64], "n_attn_blocks": [1, 1, 1]},
        classes=3,
        arguments=images(64),
    )
    yield real("poolformer", "PoolFormer", FOUR, classes=3)
    yield real(
        "pvt",
        "Pvt",
        {**FOUR, "image_size": 32, "num_attention_heads": [1, 1, 2, 2], "sequence_reduction_ratios": [4, 2, 1, 1]},
        classes=3,
    )
    yield real(
        "pvt-v2",
        "PvtV2",
        {**FOUR, "image_size": 32, "num_attention_heads": [1, 1, 2, 2], "sr_ratios": [4, 2, 1, 1]},
        classes=3,
    )
    yield real(
        "segformer", "Segformer", {**FOUR, "num_attention_heads": [1, 1, 2, 2], "decoder_hidden_size": 16}, classes=5
    )
    yield real(
        "segformer-dense",
        "Segformer",
        {**FOUR, "num_attention_heads": [1, 1, 2, 2], "decoder_hidden_size": 16},
        classes=4,
        head="ForSemanticSegmentation",
    )
    yield real(
        "mobilevit-dense",
        "MobileViT",
        {
            "image_size": 64,
            "patch_size": 1,
            "hidden_sizes": [48, 64, 80],
            "neck_hidden_sizes": [16, 16, 32, 48, 64, 80, 160],
            "num_attention_heads": 2,
            "aspp_out_channels": 64,
        },
        classes=3,
        head="ForSemanticSegmentation",
        arguments=images(64),
    )
    yield real("cvt", "Cvt", {"embed_dim": [8, 16, 32], "num_heads": [1, 2, 2], "depth": [1, 2, 3]}, classes=3)
    yield real(
        "levit",
        "Levit",
        {
            "image_size": 64,
            "hidden_sizes": [16, 24, 32],
            "num_attention_heads": [1, 1, 2],
            "depths": [1, 1, 1],
            "key_dim": [8, 8, 8],
        },
        classes=3,
        arguments=images(64),
    )
    # At its default of .02 the narrow layers give gradients that are zero, and nothing is learnt in 400 steps.
    yield real(
        "efficientnet",
        "EfficientNet",
        {
            "image_size": 32,
            "width_coefficient": 0.25,
            "depth_coefficient": 0.25,
            "hidden_dim": 320,
            "initializer_range": 0.1,
        },
        classes=3,
    )
    yield real(
        "swiftformer",
        "SwiftFormer",
        {"image_size": 32, "depths": [1, 1, 1, 1], "embed_dims": [8, 16, 16, 32]},
        classes=3,
    )
    yield real(
        "textnet",
        "TextNet",
        {
            "hidden_sizes": [8, 8, 16, 16, 32],
            "stem_out_channels": 8,
            "conv_layer_kernel_sizes": [[[3, 3]], [[3, 3]], [[3, 1]], [[1, 3]]],
            "conv_layer_strides": [[1], [2], [2], [2]],
        },
        classes=3,
    )
    yield real(
        "hgnet-v2",
        "HGNetV2",
        {
            "embedding_size": 8,
            "hidden_sizes": [16, 16, 32, 32],
            "depths": [1, 1, 1, 1],
            "stem_channels": [3, 8, 8],
            "stage_in_channels": [8, 16, 16, 32],
            "stage_mid_channels": [8, 8, 8, 8],
            "stage_out_channels": [16, 16, 32, 32],
            "stage_num_blocks": [1, 1, 1, 1],
            "stage_numb_of_layers": [2, 2, 2, 2],
        },
        classes=3,
    )
    yield real(
        "clip",
        "CLIP",
        {
            "vision_config": CLIP_VISION,
            "text_config": {
                "hidden_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "intermediate_size": 64,
                "vocab_size": 100,
            },
        },
        classes=5,
    )
    yield real(
        "siglip",
        "Siglip",
        {
            "vision_config": VIT,
            "text_config": {
                "hidden_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "intermediate_size": 64,
                "vocab_size": 100,
            },
        },
        classes=5,
    )
    yield real(
        "imagegpt",
        "ImageGPT",
        {"vocab_size": 65, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2},
        classes=5,
        arguments={"vocab_size": 64, "input_shape": (16,)},
    )
    yield real(
        "videomae",
        "VideoMAE",
        {**VIT, "image_size": 16, "num_frames": 4},
        classes=5,
        head="ForVideoClassification",
        arguments=video,
    )
    yield real(
        "timesformer",
        "Timesformer",
        {**VIT, "image_size": 16, "num_frames": 4},
        classes=3,
        head="ForVideoClassification",
        arguments=video,
    )
    yield real(
        "vivit",
        "Vivit",
        {**VIT, "image_size": 16, "num_frames": 4, "tubelet_size": [2, 8, 8]},
        classes=3,
        head="ForVideoClassification",
        arguments=video,
    )
