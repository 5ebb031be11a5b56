"""Hugging Face transformers for text: sequence and token classification heads, built from small configurations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tests.zoo.real.entry import Real, ids_and_mask

NEEDS = ("transformers",)
VOCABULARY = 100
TOKENS = {"vocab_size": VOCABULARY, "input_shape": (10,)}
ENCODER = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
DECODER = {**ENCODER, **SPECIAL, "num_key_value_heads": 1}
EXPERTS = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
SEQ2SEQ = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
    **SPECIAL,
    "forced_eos_token_id": 2,
    "decoder_start_token_id": 2,
}
T5 = {
    "vocab_size": VOCABULARY,
    "d_model": 32,
    "d_kv": 16,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 2,
    **SPECIAL,
    "decoder_start_token_id": 0,
}


def build(architecture: str, configuration: str, **options: Any) -> nn.Module:
    """``architecture(configuration(**options))`` of transformers, imported when it is built."""
    import transformers

    module: nn.Module = getattr(transformers, architecture)(getattr(transformers, configuration)(**options))
    return module


def sentences_with_end(batch_size: int, generator: torch.Generator) -> dict[str, Tensor]:
    """What encoder-decoders read their decision at: one end token in each row, here at its end."""
    ids = torch.randint(3, VOCABULARY, (batch_size, 10), generator=generator)
    ids[:, -1] = 2
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def boxes(batch_size: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Words with their places on a page."""
    corner = torch.randint(0, 500, (batch_size, 10, 2), generator=generator)
    return {
        "input_ids": torch.randint(3, VOCABULARY, (batch_size, 10), generator=generator),
        "bbox": torch.cat([corner, corner + 100], dim=2),
    }


def entries() -> Iterator[Real]:
    def real(
        name: str,
        stem: str,
        head: str,
        configuration: dict[str, Any],
        *,
        classes: int,
        heads: int | None = None,
        arguments: dict[str, Any] | None = None,
        **options: Any,
    ) -> Real:
        made: Callable[[], nn.Module] = functools.partial(
            build, stem + head, f"{stem}Config", **{**configuration, "num_labels": heads or classes, **options}
        )
        return Real(
            name=f"hf-{name}",
            family=stem,
            package="transformers",
            factory=made,
            arguments={**(arguments or TOKENS), "num_classes": classes},
        )

    def sequence(name: str, stem: str, configuration: dict[str, Any], **options: Any) -> Real:
        return real(name, stem, "ForSequenceClassification", configuration, **options)

    def tokens(name: str, stem: str, configuration: dict[str, Any], **options: Any) -> Real:
        arguments = {**(options.pop("arguments", None) or TOKENS), "logits": lambda out: out.logits.transpose(1, 2)}
        return real(name, stem, "ForTokenClassification", configuration, arguments=arguments, **options)

    masked = {"inputs": ids_and_mask(VOCABULARY)}
    binary = {**TOKENS, "task": "binary"}
    multilabel = {**TOKENS, "task": "multilabel"}

    yield sequence("bert", "Bert", ENCODER, classes=5)
    yield sequence("bert-masked", "Bert", ENCODER, classes=3, arguments=masked)
    yield sequence(
        "bert-binary", "Bert", ENCODER, classes=2, heads=1, arguments=binary, problem_type="multi_label_classification"
    )
    yield sequence(
        "bert-multilabel", "Bert", ENCODER, classes=6, arguments=multilabel, problem_type="multi_label_classification"
    )
    yield tokens("bert-tokens", "Bert", ENCODER, classes=5)
    yield sequence("roberta", "Roberta", ENCODER, classes=10)
    yield tokens("roberta-tokens", "Roberta", ENCODER, classes=9, arguments=masked)
    yield sequence("xlm-roberta", "XLMRoberta", ENCODER, classes=3, arguments=masked)
    yield sequence("camembert", "Camembert", ENCODER, classes=2)
    yield sequence("albert", "Albert", {**ENCODER, "embedding_size": 16}, classes=3)
    yield sequence(
        "distilbert",
        "DistilBert",
        {
            "vocab_size": VOCABULARY,
            "dim": 32,
            "n_layers": 2,
            "n_heads": 2,
            "hidden_dim": 64,
            "max_position_embeddings": 64,
        },
        classes=2,
    )
    yield sequence("electra", "Electra", {**ENCODER, "embedding_size": 16}, classes=5)
    yield tokens("electra-tokens", "Electra", {**ENCODER, "embedding_size": 16}, classes=3)
    yield sequence(
        "deberta", "Deberta", {**ENCODER, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}, classes=3
    )
    yield sequence(
        "deberta-v2", "DebertaV2", {**ENCODER, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}, classes=100
    )
    yield sequence("mpnet", "MPNet", ENCODER, classes=5)
    yield sequence("convbert", "ConvBert", {**ENCODER, "embedding_size": 32}, classes=3)
    yield sequence("squeezebert", "SqueezeBert", {**ENCODER, "embedding_size": 32}, classes=3)
    yield sequence(
        "mobilebert",
        "MobileBert",
        {**ENCODER, "embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16},
        classes=4,
    )
    yield sequence("fnet", "FNet", ENCODER, classes=5)
    yield sequence("roformer", "RoFormer", {**ENCODER, "embedding_size": 32}, classes=2)
    yield sequence(
        "nystromformer", "Nystromformer", {**ENCODER, "segment_means_seq_len": 10, "num_landmarks": 5}, classes=3
    )
    yield sequence("longformer", "Longformer", {**ENCODER, "attention_window": 4}, classes=3, arguments=masked)
    yield sequence("bigbird", "BigBird", {**ENCODER, "attention_type": "original_full"}, classes=2)
    yield sequence("megatron-bert", "MegatronBert", ENCODER, classes=3)
    yield sequence(
        "rembert", "RemBert", {**ENCODER, "input_embedding_size": 16, "output_embedding_size": 16}, classes=3
    )
    yield sequence("ernie", "Ernie", ENCODER, classes=4)
    yield sequence("ibert", "IBert", ENCODER, classes=3)
    yield sequence("yoso", "Yoso", {**ENCODER, "use_expectation": True}, classes=3)
    yield sequence("esm", "Esm", {**ENCODER, "pad_token_id": 0, "mask_token_id": 3}, classes=5, arguments=masked)
    yield sequence("data2vec-text", "Data2VecText", ENCODER, classes=3)
    yield sequence(
        "canine",
        "Canine",
        {**ENCODER, "num_hash_buckets": 64, "local_transformer_stride": 8, "downsampling_rate": 2},
        classes=3,
    )
    yield sequence(
        "modernbert",
        "ModernBert",
        {**ENCODER, **SPECIAL, "cls_token_id": 1, "sep_token_id": 2},
        classes=5,
        arguments=masked,
    )
    yield sequence("layoutlm", "LayoutLM", ENCODER, classes=3, arguments={"inputs": boxes})
    yield sequence(
        "funnel",
        "Funnel",
        {"vocab_size": VOCABULARY, "d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 64, "block_sizes": [1, 1]},
        classes=3,
    )
    yield sequence(
        "xlnet", "XLNet", {"vocab_size": VOCABULARY, "d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64}, classes=3
    )
    yield sequence(
        "xlm", "XLM", {"vocab_size": VOCABULARY, "emb_dim": 32, "n_layers": 2, "n_heads": 2, "n_langs": 1}, classes=3
    )
    yield sequence("nomic-bert", "NomicBert", ENCODER, classes=3)
    yield sequence("eurobert", "EuroBert", DECODER, classes=3, arguments=masked)

    yield sequence(
        "gpt2",
        "GPT2",
        {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, **SPECIAL},
        classes=5,
    )
    yield tokens(
        "gpt2-tokens",
        "GPT2",
        {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, **SPECIAL},
        classes=3,
    )
    yield sequence(
        "gpt-neo",
        "GPTNeo",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 2,
            "attention_types": [[["global", "local"], 1]],
            "max_position_embeddings": 64,
            **SPECIAL,
        },
        classes=3,
    )
    yield sequence("gpt-neox", "GPTNeoX", {**ENCODER, **SPECIAL}, classes=2)
    yield sequence(
        "gptj",
        "GPTJ",
        {
            "vocab_size": VOCABULARY,
            "n_embd": 32,
            "n_layer": 2,
            "n_head": 2,
            "n_positions": 64,
            "rotary_dim": 8,
            **SPECIAL,
        },
        classes=3,
    )
    yield sequence(
        "openai-gpt",
        "OpenAIGPT",
        {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64, "pad_token_id": 0},
        classes=3,
    )
    yield sequence(
        "ctrl",
        "CTRL",
        {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 2, "dff": 64, "pad_token_id": 0},
        classes=3,
    )
    yield sequence(
        "opt", "OPT", {**ENCODER, **SPECIAL, "ffn_dim": 64, "word_embed_proj_dim": 32}, classes=3, arguments=masked
    )
    yield sequence(
        "bloom", "Bloom", {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 2, **SPECIAL}, classes=3
    )
    yield sequence("llama", "Llama", DECODER, classes=5)
    yield sequence(
        "llama-binary",
        "Llama",
        DECODER,
        classes=2,
        heads=1,
        arguments=binary,
        problem_type="multi_label_classification",
    )
    yield sequence("mistral", "Mistral", DECODER, classes=10)
    yield sequence("mixtral", "Mixtral", {**DECODER, **EXPERTS}, classes=3)
    yield sequence("qwen2", "Qwen2", DECODER, classes=3)
    yield sequence("qwen3", "Qwen3", {**DECODER, "head_dim": 16}, classes=3)
    yield sequence("qwen3-moe", "Qwen3Moe", {**DECODER, **EXPERTS, "head_dim": 16}, classes=3)
    yield sequence("gemma", "Gemma", {**DECODER, "head_dim": 16}, classes=3)
    yield sequence("gemma2", "Gemma2", {**DECODER, "head_dim": 16}, classes=3)
    yield sequence("phi", "Phi", {**ENCODER, **SPECIAL}, classes=3)
    yield sequence("phi3", "Phi3", DECODER, classes=3)
    yield sequence("falcon", "Falcon", {**ENCODER, **SPECIAL}, classes=3)
    yield sequence("stablelm", "StableLm", {**DECODER, "partial_rotary_factor": 0.5}, classes=3)
    yield sequence("olmo2", "Olmo2", DECODER, classes=3)
    yield sequence("biogpt", "BioGpt", {**ENCODER, **SPECIAL}, classes=3)
    yield sequence(
        "mpt",
        "Mpt",
        {"vocab_size": VOCABULARY, "d_model": 32, "n_layers": 2, "n_heads": 2, "max_seq_len": 64, **SPECIAL},
        classes=3,
    )

    ended = {"inputs": sentences_with_end}
    yield sequence("bart", "Bart", SEQ2SEQ, classes=3, arguments=ended)
    yield sequence("mbart", "MBart", SEQ2SEQ, classes=5, arguments=ended)
    yield sequence("plbart", "PLBart", SEQ2SEQ, classes=3, arguments=ended)
    yield sequence("t5", "T5", T5, classes=3, arguments=ended)
    yield sequence("mt5", "MT5", T5, classes=3, arguments=ended)
    yield tokens("t5-tokens", "T5", T5, classes=4)
