"""Classifiers made of torch's own layers: recurrent, attention, convolutions of one to three dimensions, embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.real.entry import Adapted, Real, ids_and_mask, images

NEEDS: tuple[str, ...] = ()
FLAT = {"input_shape": (20,)}
SERIES = {"input_shape": (12, 6)}
TOKENS = {"vocab_size": 100, "input_shape": (10,)}


class Recurrent(nn.Module):
    """The last state of both directions of a recurrent layer, over features or over embedded tokens."""

    def __init__(self, kind: type[nn.RNNBase], classes: int, *, tokens: bool = False, **options: Any) -> None:
        super().__init__()
        self.embed = nn.Embedding(100, 6) if tokens else nn.Identity()
        self.rnn = kind(6, 24, batch_first=True, **options)
        directions = 2 if options.get("bidirectional") else 1
        self.head = nn.Linear((options.get("proj_size") or 24) * directions, classes)
        self.directions = directions

    def forward(self, x: Tensor) -> Tensor:
        _, state = self.rnn(self.embed(x))
        hidden = state[0] if isinstance(state, tuple) else state
        return self.head(torch.cat(list(hidden[-self.directions :]), dim=1))


class PackedLSTM(nn.Module):
    """Rows of unequal length, packed."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(100, 16, padding_idx=0)
        self.lstm = nn.LSTM(16, 24, batch_first=True)
        self.head = nn.Linear(24, classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embed(input_ids), attention_mask.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False
        )
        _, (hidden, _) = self.lstm(packed)
        return self.head(hidden[-1])


class Cells(nn.Module):
    """A loop over time with a cell."""

    def __init__(self, cell: nn.Module, classes: int) -> None:
        super().__init__()
        self.cell = cell
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for step in x.unbind(dim=1):
            state = self.cell(step, state)
        assert state is not None
        return self.head(state[0] if isinstance(state, tuple) else state)


class Encoder(nn.Module):
    """A transformer encoder over tokens, with a padding mask where there is one, read at [CLS] or by the mean."""

    def __init__(self, classes: int, *, cls: bool, layers: int = 2, **options: Any) -> None:
        super().__init__()
        self.embed = nn.Embedding(100, 32)
        self.place = nn.Parameter(torch.randn(13, 32) * 0.02)
        self.cls = nn.Parameter(torch.zeros(32)) if cls else None
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, **options)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(32, classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        x = self.embed(input_ids)
        if self.cls is not None:
            x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1)
        x = x + self.place[: x.shape[1]]
        padding = None if attention_mask is None else attention_mask == 0
        x = self.encoder(x, src_key_padding_mask=padding)
        if self.cls is not None:
            return self.head(x[:, 0])
        if padding is None:
            return self.head(x.mean(dim=1))
        return self.head(x.masked_fill(padding.unsqueeze(2), 0).sum(dim=1) / attention_mask.sum(dim=1, keepdim=True))


class Seq2Seq(nn.Module):
    """nn.Transformer with one learnt query."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.transformer = nn.Transformer(16, 2, 1, 1, 32, batch_first=True)
        self.project = nn.Linear(6, 16)
        self.query = nn.Parameter(torch.randn(1, 1, 16))
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        made = self.transformer(self.project(x), self.query.expand(len(x), 1, -1))
        return self.head(made.squeeze(1))


class AttentionPool(nn.Module):
    """One multi-head attention with a learnt query, as a pooling layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.project = nn.Linear(6, 16)
        self.query = nn.Parameter(torch.randn(1, 1, 16))
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.project(x)
        pooled, _ = self.attention(self.query.expand(len(x), 1, -1), x, x)
        return self.head(pooled.squeeze(1))


class Bag(nn.Module):
    def __init__(self, classes: int, mode: str, *, sparse: bool = False) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(100, 16, mode=mode, sparse=sparse)
        self.head = nn.Linear(16, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.bag(x))


class Pair(nn.Module):
    """Two inputs, scored by a bilinear form."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(8, 12), nn.Linear(5, 10)
        self.form = nn.Bilinear(12, 10, classes)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.form(F.relu(self.left(a)), F.relu(self.right(b)))


class Siamese(nn.Module):
    """Same or different: one tower for both inputs, one logit."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8))
        self.head = nn.Linear(16, 1)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        u, v = self.tower(a), self.tower(b)
        return self.head(torch.cat([(u - v).abs(), u * v], dim=1))


class WideAndDeep(nn.Module):
    """Categories and numbers in a dict."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(30, 8)
        self.wide = nn.Linear(7, classes)
        self.deep = nn.Sequential(nn.Linear(7 + 4 * 8, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, classes))

    def forward(self, categories: Tensor, numbers: Tensor) -> Tensor:
        return self.wide(numbers) + self.deep(torch.cat([self.embed(categories).flatten(1), numbers], dim=1))


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class PointNet(nn.Module):
    """A set of points: a shared layer, then the maximum."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.shared = nn.Sequential(nn.Conv1d(3, 32, 1), nn.BatchNorm1d(32), nn.ReLU(), nn.Conv1d(32, 64, 1))
        self.head = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, classes))

    def forward(self, points: Tensor) -> Tensor:
        return self.head(self.shared(points.transpose(1, 2)).amax(dim=2))


class UNet(nn.Module):
    """Dense logits (N, K, H, W)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.down1, self.down2 = conv(3, 8), conv(8, 16)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.out = nn.Sequential(conv(16, 8), nn.Conv2d(8, classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        fine = self.down1(x)
        coarse = self.down2(F.max_pool2d(fine, 2))
        return self.out(torch.cat([fine, self.up(coarse)], dim=1))


class Tagger(nn.Module):
    """A label for each token, (N, T, K)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(100, 16)
        self.lstm = nn.LSTM(16, 16, batch_first=True, bidirectional=True)
        self.head = nn.Linear(32, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(self.embed(x))[0])


class TextCNN(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(100, 24)
        self.convs = nn.ModuleList(nn.Conv1d(24, 16, width) for width in (2, 3, 4))
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(48, classes))

    def forward(self, x: Tensor) -> Tensor:
        embedded = self.embed(x).transpose(1, 2)
        return self.head(torch.cat([F.relu(c(embedded)).amax(dim=2) for c in self.convs], dim=1))


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def mlp(classes: int, *, depth: int = 2, norm: Callable[[], nn.Module] = nn.Identity, act: Any = nn.ReLU) -> nn.Module:
    layers: list[nn.Module] = [nn.Linear(20, 32)]
    for _ in range(depth - 1):
        layers += [norm(), act(), nn.Linear(32, 32)]
    return nn.Sequential(*layers, norm(), act(), nn.Linear(32, classes))


def lenet(classes: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes)),
    )


def vgg(classes: int) -> nn.Module:
    return nn.Sequential(
        *(conv(3, 16), conv(16, 16), nn.MaxPool2d(2), conv(16, 32), conv(32, 32), nn.MaxPool2d(2)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(32, classes)),
    )


def resnet1d(classes: int) -> nn.Module:
    def block() -> nn.Module:
        return Residual(
            nn.Sequential(
                nn.Conv1d(16, 16, 3, padding=1), nn.BatchNorm1d(16), nn.ReLU(), nn.Conv1d(16, 16, 3, padding=1)
            )
        )

    return nn.Sequential(
        nn.Conv1d(4, 16, 3, padding=1), block(), block(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, classes)
    )


def volume(classes: int) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv3d(1, 8, 3, padding=1), nn.InstanceNorm3d(8, affine=True), nn.ReLU(), nn.MaxPool3d(2)),
        *(nn.Conv3d(8, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, classes)),
    )


def separable(classes: int) -> nn.Module:
    """Depthwise separable convolutions with group norm, no batch norm."""

    def block(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs),
            nn.Conv2d(inputs, outputs, 1),
            nn.GroupNorm(4, outputs),
            nn.SiLU(),
        )

    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1),
        block(16, 32),
        block(32, 32),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, classes),
    )


def mixer(classes: int) -> nn.Module:
    """MLP-Mixer over 16 patches."""

    class Transposed(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x.transpose(1, 2)).transpose(1, 2)

    def mix(width: int) -> nn.Module:
        return nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, width))

    blocks = (
        Residual(nn.Sequential(nn.LayerNorm(32), inner)) for _ in range(2) for inner in (Transposed(mix(16)), mix(32))
    )
    return nn.Sequential(
        Adapted(nn.Conv2d(3, 32, 4, 4), lambda patches, x: patches(x).flatten(2).transpose(1, 2)),
        *blocks,
        Adapted(nn.Linear(32, classes), lambda head, x: head(x.mean(dim=1))),
    )


def pairs(batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return torch.randn(batch_size, 8, generator=generator), torch.randn(batch_size, 5, generator=generator)


def twins(batch_size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return torch.randn(batch_size, 8, generator=generator), torch.randn(batch_size, 8, generator=generator)


def table(batch_size: int, generator: torch.Generator) -> dict[str, Tensor]:
    return {
        "categories": torch.randint(0, 30, (batch_size, 4), generator=generator),
        "numbers": torch.randn(batch_size, 7, generator=generator),
    }


def entries() -> Iterator[Real]:
    def real(name: str, family: str, factory: Callable[[], nn.Module], **arguments: Any) -> Real:
        return Real(name=f"nn-{name}", family=family, package="torch", factory=factory, arguments=arguments)

    yield real("linear", "linear", lambda: nn.Linear(20, 10), **FLAT, num_classes=10)
    yield real("logistic", "linear", lambda: nn.Linear(20, 1), **FLAT, num_classes=2, task="binary")
    yield real("mlp-batchnorm", "MLP", lambda: mlp(3, norm=lambda: nn.BatchNorm1d(32)), **FLAT, num_classes=3)
    yield real(
        "mlp-layernorm", "MLP", lambda: mlp(100, norm=lambda: nn.LayerNorm(32), act=nn.GELU), **FLAT, num_classes=100
    )
    yield real("mlp-selu-8", "MLP", lambda: mlp(5, depth=8, act=nn.SELU), **FLAT, num_classes=5)
    yield real("mlp-tanh", "MLP", lambda: mlp(2, depth=3, act=nn.Tanh), **FLAT, num_classes=2)
    yield real("mlp-sigmoid", "MLP", lambda: mlp(2, depth=2, act=nn.Sigmoid), **FLAT, num_classes=2)
    yield real("mlp-multilabel", "MLP", lambda: mlp(8), **FLAT, num_classes=8, task="multilabel")
    yield real("mlp-dropout", "MLP", lambda: mlp(5, depth=3, norm=lambda: nn.Dropout(0.5)), **FLAT, num_classes=5)
    yield real(
        "mlp-weightnorm",
        "MLP",
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(20, 32)), nn.ReLU(), nn.Linear(32, 5)),
        **FLAT,
        num_classes=5,
    )
    yield real(
        "mlp-spectralnorm",
        "MLP",
        lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(20, 32)), nn.ReLU(), nn.Linear(32, 3)),
        **FLAT,
        num_classes=3,
    )
    yield real("rnn", "RNN", lambda: Recurrent(nn.RNN, 3), **SERIES, num_classes=3)
    yield real("rnn-relu", "RNN", lambda: Recurrent(nn.RNN, 2, nonlinearity="relu"), **SERIES, num_classes=2)
    yield real("lstm-2", "LSTM", lambda: Recurrent(nn.LSTM, 10, num_layers=2, dropout=0.2), **SERIES, num_classes=10)
    yield real(
        "bilstm", "LSTM", lambda: Recurrent(nn.LSTM, 100, tokens=True, bidirectional=True), **TOKENS, num_classes=100
    )
    yield real("lstm-projected", "LSTM", lambda: Recurrent(nn.LSTM, 5, proj_size=8), **SERIES, num_classes=5)
    yield real("lstm-packed", "LSTM", lambda: PackedLSTM(4), inputs=ids_and_mask(), num_classes=4)
    yield real("lstm-cell", "LSTM", lambda: Cells(nn.LSTMCell(6, 16), 3), **SERIES, num_classes=3)
    yield real(
        "lstm-tagger", "LSTM", lambda: Tagger(5), **TOKENS, num_classes=5, logits=lambda out: out.transpose(1, 2)
    )
    yield real("gru", "GRU", lambda: Recurrent(nn.GRU, 5), **SERIES, num_classes=5)
    yield real(
        "bigru-binary",
        "GRU",
        lambda: Recurrent(nn.GRU, 1, tokens=True, bidirectional=True),
        **TOKENS,
        num_classes=2,
        task="binary",
    )
    yield real("gru-cell", "GRU", lambda: Cells(nn.GRUCell(6, 16), 2), **SERIES, num_classes=2)
    yield real("encoder-cls", "transformer encoder", lambda: Encoder(5, cls=True), **TOKENS, num_classes=5)
    yield real(
        "encoder-prenorm",
        "transformer encoder",
        lambda: Encoder(10, cls=False, norm_first=True, activation="gelu"),
        **TOKENS,
        num_classes=10,
    )
    yield real(
        "encoder-masked", "transformer encoder", lambda: Encoder(3, cls=False), inputs=ids_and_mask(), num_classes=3
    )
    yield real(
        "encoder-multilabel",
        "transformer encoder",
        lambda: Encoder(6, cls=False, layers=1),
        **TOKENS,
        num_classes=6,
        task="multilabel",
    )
    yield real("transformer", "encoder-decoder", lambda: Seq2Seq(4), **SERIES, num_classes=4)
    yield real("attention-pool", "attention pooling", lambda: AttentionPool(5), **SERIES, num_classes=5)
    yield real("bag-mean", "bag of words", lambda: Bag(5, "mean"), **TOKENS, num_classes=5)
    yield real("bag-sum-sparse", "bag of words", lambda: Bag(2, "sum", sparse=True), **TOKENS, num_classes=2)
    yield real("bag-max", "bag of words", lambda: Bag(10, "max"), **TOKENS, num_classes=10)
    yield real("textcnn", "TextCNN", lambda: TextCNN(4), **TOKENS, num_classes=4)
    yield real("bilinear", "bilinear", lambda: Pair(3), inputs=pairs, num_classes=3)
    yield real("siamese", "siamese", Siamese, inputs=twins, num_classes=2, task="binary")
    yield real("wide-and-deep", "wide and deep", lambda: WideAndDeep(3), inputs=table, num_classes=3)
    yield real("pointnet", "PointNet", lambda: PointNet(8), input_shape=(24, 3), num_classes=8)
    yield real("lenet", "LeNet", lambda: lenet(10), **images(28, 1), num_classes=10)
    yield real("vgg", "VGG", lambda: vgg(100), **images(16), num_classes=100)
    yield real("vgg-multilabel", "VGG", lambda: vgg(5), **images(16), num_classes=5, task="multilabel")
    yield real("separable", "depthwise separable", lambda: separable(5), **images(16), num_classes=5)
    yield real("mixer", "MLP-Mixer", lambda: mixer(10), **images(16), num_classes=10)
    yield real("resnet1d", "1-D ResNet", lambda: resnet1d(5), input_shape=(4, 32), num_classes=5)
    yield real("volume", "3-D convolutions", lambda: volume(3), input_shape=(1, 8, 8, 8), num_classes=3)
    yield real("unet", "U-Net", lambda: UNet(4), **images(16), num_classes=4)
    yield real("unet-binary", "U-Net", lambda: UNet(1), **images(16), num_classes=2, task="binary")
    yield real(
        "fcn1d-frames",
        "temporal convolutions",
        lambda: nn.Sequential(
            nn.Conv1d(4, 16, 3, padding=2, dilation=2),
            nn.ReLU(),
            nn.Conv1d(16, 16, 3, padding=4, dilation=4),
            nn.ReLU(),
            nn.Conv1d(16, 3, 1),
        ),
        input_shape=(4, 20),
        num_classes=3,
    )
