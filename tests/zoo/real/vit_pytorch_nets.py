"""vit-pytorch: vision transformers."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from typing import Any

from torch import nn

from tests.zoo.real.entry import Real, images

NEEDS = ("vit_pytorch", "torchvision")
SIMPLE = {"image_size": 32, "patch_size": 8, "dim": 32, "depth": 2, "heads": 2, "mlp_dim": 64}
USUAL = {**SIMPLE, "dropout": 0.1, "emb_dropout": 0.1}


def build(module: str, model: str, options: dict[str, Any]) -> nn.Module:
    """The model from its module of vit_pytorch, imported when it is built."""
    made: nn.Module = getattr(importlib.import_module(f"vit_pytorch.{module}"), model)(**options)
    return made


def entries() -> Iterator[Real]:
    def real(
        name: str,
        module: str,
        model: str,
        options: dict[str, Any],
        *,
        classes: int,
        mistakes: dict[str, str] | None = None,
        **arguments: Any,
    ) -> Real:
        heads = options.get("num_classes", classes)
        return Real(
            name=f"vitpt-{name}",
            family=model,
            package="vit-pytorch",
            factory=functools.partial(build, module, model, {**options, "num_classes": heads}),
            arguments={**(arguments or images(32)), "num_classes": classes},
            mistakes=mistakes or {},
        )

    yield real("vit", "vit", "ViT", USUAL, classes=10)
    yield real(
        "vit-mean-binary",
        "vit",
        "ViT",
        {**USUAL, "pool": "mean", "num_classes": 1},
        classes=2,
        **images(32, task="binary"),
    )
    yield real("simple-vit", "simple_vit", "SimpleViT", SIMPLE, classes=100)
    yield real("simple-vit-registers", "simple_vit_with_register_tokens", "SimpleViT", SIMPLE, classes=5)
    # Its head is a LayerNorm of dim features.
    yield real(
        "simple-vit-qk-norm",
        "simple_vit_with_qk_norm",
        "SimpleViT",
        SIMPLE,
        classes=5,
        mistakes={"output_shape_is_stable": "wrong_number_of_outputs"},
    )
    yield real("deepvit", "deepvit", "DeepViT", USUAL, classes=5)
    cait = {**USUAL, "cls_depth": 1}
    yield real("cait", "cait", "CaiT", cait, classes=5)
    # Layers are dropped in eval mode too.
    yield real(
        "cait-layer-dropout",
        "cait",
        "CaiT",
        {**cait, "depth": 8, "layer_dropout": 0.3},
        classes=5,
        mistakes={"evaluation_is_deterministic": "evaluation_is_random"},
    )
    yield real(
        "t2t",
        "t2t",
        "T2TViT",
        {"image_size": 32, "dim": 32, "depth": 2, "heads": 2, "mlp_dim": 64, "t2t_layers": ((3, 2), (3, 2))},
        classes=3,
    )
    yield real(
        "cct",
        "cct",
        "CCT",
        {
            "img_size": 32,
            "embedding_dim": 32,
            "n_conv_layers": 1,
            "kernel_size": 3,
            "stride": 2,
            "padding": 1,
            "pooling_kernel_size": 3,
            "pooling_stride": 2,
            "pooling_padding": 1,
            "num_layers": 2,
            "num_heads": 2,
            "mlp_ratio": 2.0,
            "positional_embedding": "learnable",
        },
        classes=5,
    )
    yield real(
        "pit",
        "pit",
        "PiT",
        {"image_size": 32, "patch_size": 8, "dim": 32, "depth": (1, 1), "heads": 2, "mlp_dim": 64},
        classes=3,
    )
    yield real(
        "levit",
        "levit",
        "LeViT",
        {"image_size": 32, "stages": 2, "dim": (16, 32), "depth": 1, "heads": (1, 2), "mlp_mult": 2},
        classes=3,
    )
    yield real(
        "cvt",
        "cvt",
        "CvT",
        {
            "s1_emb_dim": 8,
            "s1_depth": 1,
            "s2_emb_dim": 16,
            "s2_heads": 1,
            "s2_depth": 1,
            "s3_emb_dim": 32,
            "s3_heads": 2,
            "s3_depth": 1,
        },
        classes=3,
    )
    twins = {
        f"s{i}_{key}": value
        for i in (1, 2, 3, 4)
        for key, value in (
            ("emb_dim", 16),
            ("depth", 1),
            ("patch_size", (4, 2, 2, 1)[i - 1]),
            ("local_patch_size", 2),
            ("global_k", 2),
        )
    }
    yield real("twins-svt", "twins_svt", "TwinsSVT", twins, classes=3)
    yield real(
        "crossformer",
        "crossformer",
        "CrossFormer",
        {
            "dim": (32, 32, 32, 64),
            "depth": (1, 1, 1, 1),
            "global_window_size": (4, 2, 2, 1),
            "local_window_size": (4, 2, 2, 1),
        },
        classes=3,
    )
    yield real(
        "scalable-vit",
        "scalable_vit",
        "ScalableViT",
        {
            "dim": 16,
            "heads": (1, 2),
            "depth": (1, 1),
            "ssa_dim_key": 8,
            "ssa_dim_value": 8,
            "reduction_factor": (2, 1),
            "window_size": (4, None),
        },
        classes=3,
    )
    yield real(
        "sep-vit",
        "sep_vit",
        "SepViT",
        {"dim": 16, "dim_head": 8, "heads": (1, 2), "depth": (1, 1)},
        classes=3,
        **images(56),
    )
    yield real(
        "nest",
        "nest",
        "NesT",
        {"image_size": 32, "patch_size": 4, "dim": 16, "heads": 2, "num_hierarchies": 2, "block_repeats": (1, 1)},
        classes=3,
    )
    yield real(
        "mobile-vit",
        "mobile_vit",
        "MobileViT",
        {"image_size": (64, 64), "dims": [16, 24, 32], "channels": [8, 8, 12, 12, 16, 16, 24, 24, 32, 32, 64]},
        classes=3,
        **images(64),
    )
    xcit = {"image_size": 32, "patch_size": 8, "dim": 32, "depth": 2, "cls_depth": 1, "heads": 2, "mlp_dim": 64}
    yield real("xcit", "xcit", "XCiT", xcit, classes=3)
    yield real(
        "xcit-layer-dropout",
        "xcit",
        "XCiT",
        {**xcit, "depth": 8, "layer_dropout": 0.3},
        classes=3,
        mistakes={"evaluation_is_deterministic": "evaluation_is_random"},
    )
    yield real("vit-small-data", "vit_for_small_dataset", "ViT", USUAL, classes=3)
    yield real("parallel-vit", "parallel_vit", "ViT", {**USUAL, "num_parallel_branches": 2}, classes=3)
    yield real(
        "patch-merger",
        "vit_with_patch_merger",
        "ViT",
        {**USUAL, "depth": 4, "patch_merge_layer": 2, "patch_merge_num_tokens": 4},
        classes=3,
    )
    yield real(
        "max-vit",
        "max_vit",
        "MaxViT",
        {"dim": 16, "depth": (1, 1), "dim_conv_stem": 8, "dim_head": 8, "window_size": 4},
        classes=3,
    )
    yield real(
        "regionvit",
        "regionvit",
        "RegionViT",
        {
            "dim": (8, 16, 16, 32),
            "depth": (1, 1, 1, 1),
            "window_size": 2,
            "tokenize_local_3_conv": False,
            "use_peg": False,
        },
        classes=3,
        **images(64),
    )
    yield real(
        "normalized-vit",
        "normalized_vit",
        "nViT",
        {"image_size": 32, "patch_size": 8, "dim": 32, "depth": 2, "heads": 2, "mlp_dim": 64, "dim_head": 16},
        classes=3,
    )
    yield real(
        "vit-1d",
        "vit_1d",
        "ViT",
        {"seq_len": 32, "patch_size": 8, "dim": 32, "depth": 2, "heads": 2, "mlp_dim": 64},
        classes=3,
        input_shape=(3, 32),
    )
    yield real(
        "vit-3d",
        "vit_3d",
        "ViT",
        {
            "image_size": 16,
            "image_patch_size": 8,
            "frames": 4,
            "frame_patch_size": 2,
            "dim": 32,
            "depth": 2,
            "heads": 2,
            "mlp_dim": 64,
        },
        classes=3,
        input_shape=(3, 4, 16, 16),
    )
    video = {
        "image_size": 16,
        "image_patch_size": 8,
        "frames": 4,
        "frame_patch_size": 2,
        "dim": 32,
        "heads": 2,
        "mlp_dim": 64,
    }
    yield real(
        "vivit",
        "vivit",
        "ViViT",
        {**video, "spatial_depth": 1, "temporal_depth": 1},
        classes=5,
        input_shape=(3, 4, 16, 16),
    )
    yield real(
        "simple-vit-3d", "simple_vit_3d", "SimpleViT", {**video, "depth": 2}, classes=5, input_shape=(3, 4, 16, 16)
    )
    yield real(
        "cross-vit",
        "cross_vit",
        "CrossViT",
        {
            "image_size": 32,
            "sm_dim": 16,
            "lg_dim": 32,
            "sm_patch_size": 8,
            "lg_patch_size": 16,
            "sm_enc_depth": 1,
            "lg_enc_depth": 1,
            "depth": 1,
            "sm_enc_mlp_dim": 32,
            "lg_enc_mlp_dim": 64,
        },
        classes=3,
    )
    yield real("rvt", "rvt", "RvT", USUAL, classes=3)
    yield real("jumbo-vit", "jumbo_vit", "JumboViT", {**SIMPLE, "jumbo_cls_k": 2}, classes=3)
    yield real(
        "look-vit",
        "look_vit",
        "LookViT",
        {
            "image_size": 32,
            "dim": 32,
            "depth": 1,
            "patch_size": 8,
            "heads": 2,
            "highres_patch_size": 4,
            "cross_attn_heads": 2,
        },
        classes=3,
    )
    # Tokens are sampled with Gumbel noise in eval mode too.
    yield real(
        "ats-vit",
        "ats_vit",
        "ViT",
        {**USUAL, "max_tokens_per_depth": (12, 8)},
        classes=3,
        mistakes={"evaluation_is_deterministic": "evaluation_is_random"},
    )
    yield real("detpool-vit", "vit_detpool", "ViTDetPool", USUAL, classes=3)
    yield real("decorr-vit", "vit_with_decorr", "ViT", USUAL, classes=3)
    yield real("vit-5", "vit_5", "ViT", USUAL, classes=3)
    yield real("simple-vit-fft", "simple_vit_with_fft", "SimpleViT", {**SIMPLE, "freq_patch_size": 8}, classes=3)
    yield real(
        "hyper-connections",
        "simple_vit_with_hyper_connections",
        "SimpleViT",
        {**SIMPLE, "num_residual_streams": 2},
        classes=3,
    )
    yield real("simple-uvit", "simple_uvit", "SimpleUViT", SIMPLE, classes=3)
    yield real("memory-vit", "learnable_memory_vit", "ViT", USUAL, classes=3)
    yield real("specialized-cls", "simple_vit_with_specialized_cls", "SimpleViT", SIMPLE, classes=3)
    yield real("relative-bias", "simple_vit_with_relative_proj_pos_bias", "SimpleViT", SIMPLE, classes=3)
    yield real("value-residual", "simple_vit_with_value_residual", "SimpleViT", SIMPLE, classes=3)
    yield real("keel-vit", "vit_with_keel_post_ln", "ViT", USUAL, classes=3)
    yield real("patch-dropout", "vit_with_patch_dropout", "ViT", USUAL, classes=3)
