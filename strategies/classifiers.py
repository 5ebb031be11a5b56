"""Small sound classifiers: raw logits out, quick to build, quick to learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from pytest_logits.strategies import _trunks
from pytest_logits.strategies._validate import check_bounds, check_float_dtypes, check_names
from pytest_logits.strategies.batches import seeds

# In the order of how many choices they leave to draw. Hypothesis shrinks towards the first and towards few choices.
FAMILIES = ("linear", "mlp", "embedding", "lstm", "cnn")

# The lower ends are what it takes to learn within a few dozen steps, and for an LSTM two steps: with one, its
# recurrent weights meet no hidden state but zero and cannot learn at all.
WIDTHS = st.integers(8, 32)
VOCAB_SIZES = st.integers(40, 80)
INPUT_SHAPES: dict[str, st.SearchStrategy[tuple[int, ...]]] = {
    "linear": st.tuples(st.integers(8, 24)),
    "mlp": st.tuples(st.integers(8, 24)),
    "cnn": st.tuples(st.integers(2, 4), st.integers(4, 8), st.integers(4, 8)),
    "lstm": st.tuples(st.integers(2, 6), st.integers(8, 16)),
    "embedding": st.tuples(st.integers(1, 8)),
}
DEPTHS = {
    "linear": st.just(0),
    "mlp": st.integers(1, 3),
    "cnn": st.integers(1, 2),
    "lstm": st.integers(1, 2),
    "embedding": st.integers(0, 2),
}


class TrunkAndHead(nn.Module):
    """A classifier in two parts: ``trunk`` gives features (N, width), ``head``, one linear layer, logits (N, K)."""

    def __init__(self, trunk: nn.Module, head: nn.Linear) -> None:
        """Both parts, made already."""
        super().__init__()
        self.trunk = trunk
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (N, *input_shape) to logits (N, K)."""
        logits: Tensor = self.head(self.trunk(x))
        return logits


@dataclass(frozen=True, kw_only=True)
class GeneratedClassifier:
    """What :meth:`build` makes a classifier from. Its repr, evaluated, builds one with the same weights.

    ``input_shape`` is the shape of one example: (F,) for "linear" and "mlp", (C, H, W) for "cnn", (T, F) for "lstm"
    and (T,) for "embedding", whose inputs are int64 tokens in [0, vocab_size); for all others ``vocab_size`` is None
    and inputs are floats of ``dtype``. ``width`` is the number of features that the head sees, ``depth`` the number
    of layers below it. ``activation`` is "none" where there are no hidden layers to follow.
    """

    family: str
    input_shape: tuple[int, ...]
    vocab_size: int | None
    num_classes: int
    width: int
    depth: int
    activation: str
    normalisation: str
    dtype: torch.dtype
    seed: int

    def build(self, outputs: int | None = None) -> TrunkAndHead:
        """A new classifier with ``outputs`` logits, else with one for each class; on the CPU, in training mode.

        The weights come from the seed alone, and torch's own random state is left as it was.
        """
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            # torch.manual_seed would seed all other devices too, which this fork_rng does not restore.
            torch.default_generator.manual_seed(self.seed)
            trunk = self._trunk()
            head = nn.Linear(self.width, self.num_classes if outputs is None else outputs, dtype=_trunks.DTYPE)
        return TrunkAndHead(trunk, head).to(self.dtype)

    def _trunk(self) -> nn.Module:
        if self.vocab_size is not None:
            return _trunks.embedding_trunk(
                self.vocab_size,
                width=self.width,
                depth=self.depth,
                activation=self.activation,
                normalisation=self.normalisation,
            )
        if self.family == "linear":
            return _trunks.linear_trunk()
        if self.family == "lstm":
            return _trunks.lstm_trunk(
                self.input_shape, width=self.width, depth=self.depth, normalisation=self.normalisation
            )
        build = _trunks.cnn_trunk if self.family == "cnn" else _trunks.mlp_trunk
        return build(
            self.input_shape,
            width=self.width,
            depth=self.depth,
            activation=self.activation,
            normalisation=self.normalisation,
        )


def classifiers(
    *,
    min_classes: int = 2,
    max_classes: int = 10,
    families: Sequence[str] = FAMILIES,
    dtypes: Sequence[torch.dtype] = (torch.float32,),
) -> st.SearchStrategy[GeneratedClassifier]:
    """Sound classifiers of ``min_classes`` to ``max_classes`` classes: raw logits (N, K) out, of one of ``dtypes``.

    Call ``.build()`` on an example for the module; :class:`GeneratedClassifier` says what its inputs are. Those
    normalised by "batch" need two examples or more in training mode.

    Examples shrink towards the first allowed family of "linear", "mlp", "embedding", "lstm" and "cnn", then towards
    ``min_classes``, the first of ``dtypes``, the smallest inputs, width and depth of the family, "relu", no
    normalisation and seed 0.
    """
    check_bounds("min_classes", min_classes, "max_classes", max_classes, minimum=2)
    check_names("families", families, FAMILIES)
    check_float_dtypes("dtypes", dtypes)
    simplest_first = tuple(family for family in FAMILIES if family in families)
    return _classifiers(min_classes, max_classes, simplest_first, tuple(dtypes))


@st.composite
def _classifiers(
    draw: st.DrawFn,
    min_classes: int,
    max_classes: int,
    families: tuple[str, ...],
    dtypes: tuple[torch.dtype, ...],
) -> GeneratedClassifier:
    # The same choices in the same order, whether or not the family has a use for them: what is left then stays as it
    # is while the family and the depth shrink.
    num_classes = draw(st.integers(min_classes, max_classes))
    dtype = draw(st.sampled_from(dtypes))
    seed = draw(seeds())
    family = draw(st.sampled_from(families))
    width = draw(WIDTHS)
    activation = draw(st.sampled_from(tuple(_trunks.ACTIVATIONS)))
    normalisation = draw(st.sampled_from(_trunks.NORMALISATIONS))
    depth = draw(DEPTHS[family])
    input_shape = draw(INPUT_SHAPES[family])
    return GeneratedClassifier(
        family=family,
        input_shape=input_shape,
        vocab_size=draw(VOCAB_SIZES) if family == "embedding" else None,
        num_classes=num_classes,
        width=input_shape[0] if family == "linear" else width,
        depth=depth,
        activation=activation if depth > 0 and family != "lstm" else "none",
        normalisation=normalisation if depth > 0 else "none",
        dtype=dtype,
        seed=seed,
    )
