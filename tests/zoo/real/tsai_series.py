"""tsai: classifiers of time series, (channels, time)."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from typing import Any

from torch import nn

from tests.zoo.real.entry import Real

NEEDS = ("tsai", "fastai")
CHANNELS, LENGTH = 3, 32


def build(module: str, model: str, classes: int, options: dict[str, Any]) -> nn.Module:
    """The model from its module of tsai, imported when it is built."""
    made: nn.Module = getattr(importlib.import_module(f"tsai.models.{module}"), model)(CHANNELS, classes, **options)
    return made


def entries() -> Iterator[Real]:
    def real(
        name: str,
        model: str,
        *,
        classes: int,
        module: str | None = None,
        length: int = LENGTH,
        mistakes: dict[str, str] | None = None,
        **options: Any,
    ) -> Real:
        return Real(
            name=f"tsai-{name}",
            family=model,
            package="tsai",
            factory=functools.partial(build, module or model, model, classes, options),
            arguments={"input_shape": (CHANNELS, length), "num_classes": classes},
            mistakes=mistakes or {},
        )

    sized = {"seq_len": LENGTH}
    yield real("inception-time", "InceptionTime", classes=5, nf=8)
    yield real("inception-time-plus", "InceptionTimePlus", classes=3, nf=8, depth=3)
    yield real("xception-time", "XceptionTime", classes=3, nf=4)
    yield real("resnet", "ResNet", classes=10)
    yield real("fcn", "FCN", classes=100, layers=[16, 32, 16])
    yield real("rescnn", "ResCNN", classes=3)
    yield real("xresnet1d", "xresnet1d18", classes=3, module="XResNet1d")
    yield real("omniscale", "OmniScaleCNN", classes=3, layers=[8 * 8, 5 * 8 * 16 + 2 * 16 * 8], **sized)
    yield real("lstm", "LSTM", classes=3, module="RNN", hidden_size=24)
    yield real("gru", "GRU", classes=3, module="RNN", hidden_size=24, bidirectional=True)
    yield real("lstm-fcn", "LSTM_FCN", classes=5, module="RNN_FCN", hidden_size=16, conv_layers=[16, 32, 16], **sized)
    yield real("gru-fcn", "GRU_FCN", classes=2, module="RNN_FCN", hidden_size=16, conv_layers=[16, 32, 16], **sized)
    yield real("mlstm-fcn", "MLSTM_FCN", classes=3, module="RNN_FCN", hidden_size=16, conv_layers=[16, 32, 16], **sized)
    yield real(
        "lstm-attention", "LSTMAttention", classes=3, module="RNNAttention", hidden_size=16, n_heads=2, d_ff=32, **sized
    )
    yield real("tcn", "TCN", classes=3, layers=3 * [16], ks=5)
    yield real("tst", "TST", classes=5, n_layers=2, d_model=32, n_heads=2, d_ff=64, **sized)
    yield real("tst-plus", "TSTPlus", classes=3, n_layers=2, d_model=32, n_heads=2, d_ff=64, **sized)
    yield real("tsit", "TSiTPlus", classes=3, depth=2, d_model=32, n_heads=2, **sized)
    yield real("tsperceiver", "TSPerceiver", classes=3, n_latents=8, d_latent=16, n_layers=2, **sized)
    # Its LSTM is not batch_first, and scans the batch.
    yield real(
        "ts-sequencer",
        "TSSequencerPlus",
        classes=3,
        depth=2,
        d_model=16,
        **sized,
        mistakes={"examples_are_independent": "examples_leak_across_batch"},
    )
    yield real("transformer", "TransformerModel", classes=3, d_model=32, n_head=2, d_ffn=64, n_layers=2)
    yield real("conv-tran", "ConvTranPlus", classes=3, d_model=16, n_heads=8, dim_ff=32, **sized)
    yield real("xcm", "XCM", classes=3, nf=8, **sized)
    yield real("mwdn", "mWDN", classes=3, **sized)
    yield real("gmlp", "gMLP", classes=3, d_model=16, d_ffn=32, depth=2, **sized)
    yield real("mlp", "MLP", classes=3, layers=[32, 32], ps=[0.1, 0.1], **sized)
