"""A sample of the real models in the ordinary test suite; ``tox -e zoo`` runs them all."""

from __future__ import annotations

import os

import pytest

from tests.zoo.real import FILES, entries, missing
from tests.zoo.real.planted import found_in, planted
from tests.zoo.real.run import amiss, measure

os.environ.setdefault("HF_HUB_OFFLINE", "1")

# Diverse, and cheap: a dict with a mask, two inputs, dense and token logits, one logit, many labels, sparse gradients.
SAMPLE = (
    "nn-lstm-packed",
    "nn-encoder-multilabel",
    "nn-unet-binary",
    "nn-bag-sum-sparse",
    "nn-bilinear",
    "nn-mlp-weightnorm",
    "hf-bert-masked",
    "hf-gpt2-tokens",
    "hf-t5",
    "hf-vit-binary",
    "hf-convnext",
    "hf-wav2vec2",
)
# Every kind of output: (N, K) with a mask, (N, 1) dense, many labels, sparse gradients, tokens.
PLANTED_ON = ("nn-encoder-multilabel", "nn-unet-binary", "nn-bag-sum-sparse", "hf-bert-masked", "hf-gpt2-tokens")
ENTRIES = {entry.name: entry for entry in entries()}


@pytest.mark.parametrize("name", SAMPLE)
def test_real_model_fails_nothing(name: str):
    if name.startswith("hf-"):
        pytest.importorskip("transformers")
    assert amiss(measure(ENTRIES[name], seed=0, profile="standard")) == ""


@pytest.mark.parametrize("name", PLANTED_ON)
def test_faults_planted_in_real_models_are_found(name: str):
    if name.startswith("hf-"):
        pytest.importorskip("transformers")
    found = {fault.name: found_in(fault, seed=0) for fault in planted(ENTRIES[name])}
    assert found == {fault.name: fault.cause for fault in planted(ENTRIES[name])}


def test_zoo_is_as_large_as_the_documentation_says():
    absent = sorted({name for file in FILES for name in missing(file)})
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)}")
    sound = [entry for entry in ENTRIES.values() if not entry.mistakes]
    assert len(sound) >= 150
    assert len({entry.family for entry in sound}) >= 40
