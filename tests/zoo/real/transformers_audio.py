"""Hugging Face transformers for sound and time series: classification heads, built from small configurations."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from tests.zoo.real.entry import Real
from tests.zoo.real.transformers_text import build

NEEDS = ("transformers",)
WAVE = {"input_shape": (400,)}
# Two strided convolutions instead of seven, so that 400 samples are 40 frames and not one.
SPEECH = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": [16, 16],
    "conv_stride": [5, 2],
    "conv_kernel": [10, 3],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 16,
    "mask_time_prob": 0.0,
}
WHISPER = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "num_mel_bins": 16,
    "max_source_positions": 16,
    "classifier_proj_size": 16,
    "vocab_size": 100,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
PATCHES = {"num_input_channels": 3, "context_length": 32, "patch_length": 8, "patch_stride": 8, "d_model": 32}


def padded_waves(batch_size: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Waves of unequal length, padded with 0, and the attention mask."""
    lengths = torch.randint(200, 401, (batch_size, 1), generator=generator)
    mask = (torch.arange(400) < lengths).long()
    return {"input_values": torch.randn(batch_size, 400, generator=generator) * mask, "attention_mask": mask}


def entries() -> Iterator[Real]:
    def real(name: str, stem: str, head: str, arguments: dict[str, Any], configuration: dict[str, Any]) -> Real:
        return Real(
            name=f"hf-{name}",
            family=stem,
            package="transformers",
            factory=functools.partial(build, stem + head, f"{stem}Config", **configuration),
            arguments=arguments,
        )

    def speech(name: str, stem: str, *, classes: int, arguments: dict[str, Any] | None = None, **more: Any) -> Real:
        return real(
            name,
            stem,
            "ForSequenceClassification",
            {**(arguments or WAVE), "num_classes": classes},
            {**SPEECH, "num_labels": classes, **more},
        )

    yield speech("wav2vec2", "Wav2Vec2", classes=5)
    yield speech(
        "wav2vec2-masked", "Wav2Vec2", classes=3, arguments={"inputs": padded_waves}, feat_extract_norm="layer"
    )
    yield speech("wav2vec2-stable", "Wav2Vec2", classes=3, do_stable_layer_norm=True, feat_extract_norm="layer")
    yield speech("hubert", "Hubert", classes=10)
    yield speech("wavlm", "WavLM", classes=3)
    yield speech("unispeech", "UniSpeech", classes=2)
    yield speech("unispeech-sat", "UniSpeechSat", classes=3)
    yield speech("data2vec-audio", "Data2VecAudio", classes=3)
    yield speech("sew", "SEW", classes=3, squeeze_factor=2)
    yield speech("wav2vec2-conformer", "Wav2Vec2Conformer", classes=3, position_embeddings_type="relative")
    yield real(
        "ast",
        "AST",
        "ForAudioClassification",
        {"input_shape": (32, 16), "num_classes": 5},
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "patch_size": 8,
            "frequency_stride": 8,
            "time_stride": 8,
            "max_length": 32,
            "num_mel_bins": 16,
            "num_labels": 5,
        },
    )
    yield real(
        "whisper",
        "Whisper",
        "ForAudioClassification",
        {"input_shape": (16, 32), "num_classes": 4},
        {**WHISPER, "num_labels": 4},
    )
    yield real(
        "patchtst",
        "PatchTST",
        "ForClassification",
        {"input_shape": (32, 3), "num_classes": 4, "logits": lambda out: out.prediction_logits},
        {**PATCHES, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 64, "num_targets": 4},
    )
    yield real(
        "patchtsmixer",
        "PatchTSMixer",
        "ForTimeSeriesClassification",
        {"input_shape": (32, 3), "num_classes": 4, "logits": lambda out: out.prediction_outputs},
        {**PATCHES, "num_layers": 2, "num_targets": 4},
    )
