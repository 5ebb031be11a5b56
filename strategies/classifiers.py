"""Small sound classifiers of many kinds: raw logits out, quick to build."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from torch import Tensor, nn

from pytest_logits.strategies import _layers, _trunks
from pytest_logits.strategies._text import call_of
from pytest_logits.strategies._validate import check_bounds, check_float_dtypes, check_names, check_shares
from pytest_logits.strategies.batches import Batch, seeds
from pytest_logits.strategies.separable_batches import SeparableBatch

# In the order of how many choices they leave to draw. Hypothesis shrinks towards the first and towards few choices.
FAMILIES = ("linear", "mlp", "residual", "embedding_bag", "rnn", "gru", "lstm", "cnn1d", "cnn2d", "attention")
ACTIVATIONS = tuple(_layers.ACTIVATIONS)
NORMALISATIONS = _layers.NORMALISATIONS
HEADS = ("classes", "column", "flat", "dense", "tokens")

RECURRENT = tuple(_trunks.RECURRENT)
SEQUENCES = (*RECURRENT, "attention")
CONVOLUTIONS = ("cnn1d", "cnn2d")
DEPTHS = {"linear": (0, 0), "embedding_bag": (0, 2), "mlp": (1, 3), "residual": (1, 3)}
USUAL_DEPTH = (1, 2)
# A recurrent network needs two steps: with one, its recurrent weights meet no hidden state but zero and cannot learn.
STEPS = (2, 6)
MOST_FEATURES, MOST_STEP_FEATURES, LARGEST_SIDE, MOST_CHANNELS, MOST_TOKENS, LARGEST_VOCABULARY = 24, 16, 8, 4, 8, 80


class TrunkAndHead(nn.Module):
    """A classifier in two parts: ``trunk`` gives features (N, width), ``head``, one linear layer, the logits."""

    def __init__(self, trunk: nn.Module, head: nn.Module, *, flat: bool = False) -> None:
        """Both parts, made already. ``flat`` takes the axis of a single column away."""
        super().__init__()
        self.trunk = trunk
        self.head = head
        self.flat = flat

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (N, *input_shape) to logits, whose shape is the head's."""
        logits: Tensor = self.head(self.trunk(x))
        return logits.squeeze(1) if self.flat else logits


@dataclass(frozen=True, kw_only=True, repr=False)
class GeneratedClassifier:
    """What :meth:`build` makes a classifier from. Its repr, evaluated, builds one with the same weights.

    ``input_shape`` is the shape of one example: (F,) for "linear", "mlp" and "residual", (C, L) for "cnn1d", (C, H, W)
    for "cnn2d", (T, F) for "rnn", "gru", "lstm" and "attention", and (T,) for "embedding_bag", whose inputs are int64
    tokens in [0, vocab_size); for all others ``vocab_size`` is None and inputs are floats of ``dtype``. ``width`` is
    the number of features that the head sees, ``depth`` the number of layers below it. ``activation`` is "none" where
    there are no hidden layers to follow. The logits are, by ``head``:

    - "classes": (N, K);
    - "column": (N, 1), the logit of class 1 of two;
    - "flat": (N,), the same without the axis;
    - "dense": (N, K, L) or (N, K, H, W), as cross entropy takes them;
    - "tokens": (N, T, K), as models of sequences give them. Cross entropy takes their ``transpose(1, 2)``.
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
    dropout: float = 0.0
    head: str = "classes"

    def __repr__(self) -> str:
        """The call that makes the classifier, without the arguments that are at their defaults."""
        return call_of(self)

    def build(self, outputs: int | None = None) -> TrunkAndHead:
        """A new classifier with ``outputs`` logits, else with as many as the head gives; on the CPU, in training mode.

        The weights come from the seed alone, and torch's own random state is left as it was.
        """
        parts = _trunks.Parts(
            width=self.width,
            depth=self.depth,
            activation=self.activation,
            normalisation=self.normalisation,
            dropout=self.dropout,
            pooled=self.head not in ("dense", "tokens"),
        )
        single = self.head in ("column", "flat")
        outputs = (1 if single else self.num_classes) if outputs is None else outputs
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            # torch.manual_seed would seed all other devices too, which this fork_rng does not restore.
            torch.default_generator.manual_seed(self.seed)
            trunk = _trunks.trunk(self.family, self.input_shape, self.vocab_size, parts)
            head = self._head(outputs)
        return TrunkAndHead(trunk, head, flat=self.head == "flat").to(self.dtype)

    def _head(self, outputs: int) -> nn.Module:
        if self.head == "dense":
            kind = nn.Conv2d if self.family == "cnn2d" else nn.Conv1d
            return kind(self.width, outputs, 1, dtype=_layers.DTYPE)
        return nn.Linear(self.width, outputs, dtype=_layers.DTYPE)

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of :func:`pytest_logits.register` and ``check_classifier`` for this classifier."""
        found: dict[str, Any] = {"num_classes": self.num_classes, "input_shape": self.input_shape}
        if self.vocab_size is not None:
            found["vocab_size"] = self.vocab_size
        if self.head in ("column", "flat"):
            found["task"] = "binary"
        if self.head == "tokens":
            found["logits"] = _classes_second
        return found

    def batch(self, size: int, *, seed: int = 0, separable: bool = False) -> Batch:
        """A batch that this classifier takes; float inputs are float32. ``separable`` ones can be learnt."""
        kind = SeparableBatch if separable else Batch
        return kind(
            size=size,
            input_shape=self.input_shape,
            num_classes=self.num_classes,
            vocab_size=self.vocab_size,
            scale=1.0,
            seed=seed,
        )


def _classes_second(output: Tensor) -> Tensor:
    return output.transpose(1, 2)


def classifiers(
    *,
    min_classes: int = 2,
    max_classes: int = 10,
    min_width: int = 1,
    max_width: int = 32,
    families: Sequence[str] = FAMILIES,
    heads: Sequence[str] = ("classes",),
    activations: Sequence[str] = ACTIVATIONS,
    normalisations: Sequence[str] = NORMALISATIONS,
    dropouts: Sequence[float] = (0.0, 0.1, 0.5),
    dtypes: Sequence[torch.dtype] = (torch.float32,),
) -> st.SearchStrategy[GeneratedClassifier]:
    """Sound classifiers of ``min_classes`` to ``max_classes`` classes: raw logits out, of one of ``dtypes``.

    Call ``.build()`` on an example for the module, ``.batch(size)`` for inputs; :class:`GeneratedClassifier` says what
    these are, and the shape of the logits for each of ``heads``. Heads "column" and "flat" have two classes, so they
    need ``min_classes=2``; "dense" is drawn with "cnn1d" and "cnn2d", "tokens" with "rnn", "gru", "lstm" and
    "attention". Those normalised by "batch" need two examples or more in training mode.

    ``min_width`` and ``max_width`` bound the number of features, of an example and of a hidden layer. With 8 or more,
    all families learn separable batches in a few dozen steps; with few, a ReLU may be off for every input. A
    normalisation over features is drawn with at least four of them.

    Examples shrink towards the first allowed of the families, heads, activations and normalisations, in the order of
    this function's defaults, then towards ``min_classes``, the first of ``dtypes`` and of ``dropouts``, the smallest
    inputs, width and depth of the family, and seed 0.
    """
    check_bounds("min_classes", min_classes, "max_classes", max_classes, minimum=2)
    check_bounds("min_width", min_width, "max_width", max_width, minimum=1)
    check_names("families", families, FAMILIES)
    check_names("heads", heads, HEADS)
    check_names("activations", activations, ACTIVATIONS)
    check_names("normalisations", normalisations, NORMALISATIONS)
    check_shares("dropouts", dropouts)
    check_float_dtypes("dtypes", dtypes)
    kinds = [
        (family, head)
        for head in HEADS
        for family in FAMILIES
        if family in families and head in heads and _head_fits(head, family, min_classes)
    ]
    if not kinds:
        raise InvalidArgument(
            f"no classifier has one of heads={heads!r}, families={families!r} and min_classes={min_classes!r}: "
            "'column' and 'flat' need min_classes=2, 'dense' needs 'cnn1d' or 'cnn2d', 'tokens' one of "
            + ", ".join(repr(family) for family in SEQUENCES)
        )
    grammar = _Grammar(
        classes=(min_classes, max_classes),
        widths=(min_width, max_width),
        kinds=tuple(kinds),
        activations=tuple(name for name in ACTIVATIONS if name in activations),
        normalisations=tuple(name for name in NORMALISATIONS if name in normalisations),
        dropouts=tuple(float(share) for share in dropouts),
        dtypes=tuple(dtypes),
    )
    return _classifiers(grammar)


def _head_fits(head: str, family: str, min_classes: int) -> bool:
    if head in ("column", "flat"):
        return min_classes == 2
    return head == "classes" or family in (CONVOLUTIONS if head == "dense" else SEQUENCES)


@dataclass(frozen=True, kw_only=True)
class _Grammar:
    classes: tuple[int, int]
    widths: tuple[int, int]
    kinds: tuple[tuple[str, str], ...]
    activations: tuple[str, ...]
    normalisations: tuple[str, ...]
    dropouts: tuple[float, ...]
    dtypes: tuple[torch.dtype, ...]

    def shapes(self, family: str) -> tuple[st.SearchStrategy[int], ...]:
        """The axes of one example. At a width from which models learn, images have room for patterns as well."""
        least, most = self.widths
        if family == "embedding_bag":
            return (st.integers(1, MOST_TOKENS),)
        if family in SEQUENCES:
            return st.integers(*STEPS), st.integers(least, max(least, min(most, MOST_STEP_FEATURES)))
        if family in CONVOLUTIONS:
            # Two positions at least, over which an instance normalisation can be taken.
            sides = st.integers(max(2, min(4, least)), LARGEST_SIDE)
            return (st.integers(min(2, least), MOST_CHANNELS), *([sides] * (2 if family == "cnn2d" else 1)))
        return (st.integers(least, max(least, min(most, MOST_FEATURES))),)

    def fitting(self, family: str, head: str, normalisation: str, depth: int) -> str:
        """The normalisation where the family and the head have it, else none."""
        impossible = (
            depth == 0
            or (normalisation != "batch" and self.widths[1] < _layers.LEAST_NORMALISED)
            or (family not in CONVOLUTIONS and normalisation == "instance")
            or (family in CONVOLUTIONS and normalisation == "rms")
            or ((family == "attention" or head == "tokens") and normalisation in ("batch", "group"))
        )
        return "none" if impossible else normalisation


@st.composite
def _classifiers(draw: st.DrawFn, grammar: _Grammar) -> GeneratedClassifier:
    # The same choices in the same order, whether or not the family has a use for them: what is left then stays as it
    # is while the family and the depth shrink.
    num_classes = draw(st.integers(*grammar.classes))
    dtype = draw(st.sampled_from(grammar.dtypes))
    seed = draw(seeds())
    family, head = draw(st.sampled_from(grammar.kinds))
    width = draw(st.integers(*grammar.widths))
    activation = draw(st.sampled_from(grammar.activations))
    normalisation = draw(st.sampled_from(grammar.normalisations))
    dropout = draw(st.sampled_from(grammar.dropouts))
    depth = draw(st.integers(*DEPTHS.get(family, USUAL_DEPTH)))
    normalisation = grammar.fitting(family, head, normalisation, depth)
    if normalisation not in ("none", "batch"):
        width = max(width, _layers.LEAST_NORMALISED)
    input_shape = tuple(draw(axis) for axis in grammar.shapes(family))
    vocabulary = st.integers(max(2, min(40, 5 * grammar.widths[0])), LARGEST_VOCABULARY)
    return GeneratedClassifier(
        family=family,
        input_shape=input_shape,
        vocab_size=draw(vocabulary) if family == "embedding_bag" else None,
        num_classes=2 if head in ("column", "flat") else num_classes,
        width=input_shape[0] if family == "linear" else width,
        depth=depth,
        activation=activation if depth > 0 and family not in RECURRENT else "none",
        normalisation=normalisation,
        dtype=dtype,
        seed=seed,
        dropout=dropout if depth > 0 else 0.0,
        head=head,
    )
