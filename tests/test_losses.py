from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.losses import (
    GOLDEN_STEPS,
    MARGINS,
    NAMED,
    Nature,
    encode_targets,
    infer_nature,
    known_nature,
    least_loss,
    plain,
    treats_classes_alike,
)

LABELS = torch.tensor([0, 1, 1])
DENSE = torch.tensor([[0, 1], [1, 2], [2, 0]])
MULTIHOT = torch.tensor([[1, 0, 1], [0, 0, 0], [1, 1, 1]])


@pytest.mark.parametrize(
    ("labels", "shape", "encoding", "form", "expected"),
    [
        (LABELS, (3, 2), None, "categorical", LABELS),
        (LABELS, (3, 2), "index", "bernoulli", LABELS),
        (LABELS, (3,), "float_index", "bernoulli", [0.0, 1.0, 1.0]),
        (LABELS, (3, 1), "float_index", "bernoulli", [0.0, 1.0, 1.0]),
        (LABELS, (3, 1), "column", "bernoulli", [[0.0], [1.0], [1.0]]),
        (LABELS, (3,), "column", "bernoulli", [[0.0], [1.0], [1.0]]),
        (LABELS, (3, 2), "onehot", "categorical", [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]),
        (LABELS, (3,), None, "bernoulli", [0.0, 1.0, 1.0]),
        (LABELS, (3, 1), None, "bernoulli", [[0.0], [1.0], [1.0]]),
        (LABELS, (3, 2), None, "bernoulli", [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]),
        (LABELS, (3,), "signed", "bernoulli", [-1.0, 1.0, 1.0]),
        (LABELS, (3, 1), "signed", "bernoulli", [[-1.0], [1.0], [1.0]]),
        (DENSE, (3, 3, 2), None, "categorical", DENSE),
        (DENSE, (3, 3, 2), "onehot", "categorical", F.one_hot(DENSE, 3).transpose(1, 2).float()),
        (DENSE, (3, 3, 2), None, "bernoulli", F.one_hot(DENSE, 3).transpose(1, 2).float()),
        (DENSE % 2, (3, 1, 2), None, "bernoulli", (DENSE % 2).unsqueeze(1).float()),
        (MULTIHOT, (3, 3), None, "bernoulli", MULTIHOT.float()),
        (MULTIHOT, (3, 3), "multihot", "bernoulli", MULTIHOT.float()),
        (MULTIHOT, (3, 3), "signed", "bernoulli", 2 * MULTIHOT.float() - 1),
    ],
    ids=lambda v: str(tuple(v.shape)) if isinstance(v, Tensor) else None,
)
def test_targets_are_encoded(labels: Tensor, shape: tuple[int, ...], encoding: Any, form: Any, expected: Any):
    made = encode_targets(labels, torch.zeros(shape), encoding=encoding, form=form)
    wanted = torch.as_tensor(expected)
    assert made.dtype == wanted.dtype
    assert made.tolist() == wanted.tolist()


def test_one_hot_of_as_many_dense_places_as_classes_puts_the_classes_second():
    labels = torch.tensor([[0, 1, 2], [2, 2, 2]])
    made = encode_targets(labels, torch.zeros(2, 3, 3), encoding="onehot", form="categorical")
    assert torch.equal(made.argmax(dim=1), labels)
    assert torch.equal(made.sum(dim=1), torch.ones(2, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
@pytest.mark.parametrize("encoding", ["float_index", "column", "onehot", "signed"])
def test_float_targets_have_the_dtype_of_the_logits(encoding: str, dtype: torch.dtype):
    shape = (3, 2) if encoding == "onehot" else (3, 1)
    assert encode_targets(LABELS, torch.zeros(shape, dtype=dtype), encoding=encoding, form="bernoulli").dtype == dtype


def test_a_callable_encodes_the_targets_itself():
    assert encode_targets(LABELS, torch.zeros(3, 2), encoding=lambda y: y + 7, form="categorical").tolist() == [7, 8, 8]


@pytest.mark.parametrize("name", NAMED)
def test_every_named_loss_takes_its_own_encoding(name: str):
    function, nature = NAMED[name]
    free = torch.zeros(3, 2) if nature.form == "categorical" else torch.zeros(3, 1)
    targets = encode_targets(LABELS, free, encoding=None, form=nature.form)
    # All scores equal: each of the two classes has probability one half.
    assert float(function(nature.link(free), targets)) == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.parametrize(
    ("loss", "takes", "form"),
    [
        ("cross_entropy", "logits", "categorical"),
        ("nll_loss", "log_probabilities", "categorical"),
        ("bce_with_logits", "logits", "bernoulli"),
        ("bce", "probabilities", "bernoulli"),
        (nn.CrossEntropyLoss(label_smoothing=0.1), "logits", "categorical"),
        (nn.NLLLoss(), "log_probabilities", "categorical"),
        (nn.BCEWithLogitsLoss(), "logits", "bernoulli"),
        (nn.MultiLabelSoftMarginLoss(), "logits", "bernoulli"),
        (nn.BCELoss(), "probabilities", "bernoulli"),
    ],
    ids=str,
)
def test_named_losses_and_torchs_modules_are_known(loss: Any, takes: str, form: str):
    assert known_nature(loss) == Nature(takes=takes, form=form)  # type: ignore[arg-type]


class Subclass(nn.CrossEntropyLoss):
    """Which may compute what it likes."""


@pytest.mark.parametrize("loss", [F.cross_entropy, nn.MSELoss(), lambda z, y: z.sum(), Subclass()])
def test_anything_else_is_not_known_by_name(loss: Any):
    assert known_nature(loss) is None


# Losses over K classes, targets int64 (N,).


def true_class(z: Tensor, y: Tensor) -> Tensor:
    return z.gather(1, y.unsqueeze(1)).squeeze(1)


def one_hot(z: Tensor, y: Tensor) -> Tensor:
    return F.one_hot(y, z.shape[1]).to(z.dtype)


def focal(z: Tensor, y: Tensor) -> Tensor:
    each = F.cross_entropy(z, y, reduction="none")
    return ((1 - torch.exp(-each)) ** 2 * each).mean()


def focal_of_probabilities(p: Tensor, y: Tensor) -> Tensor:
    p = true_class(p, y)
    return -((1 - p) ** 2 * p.log()).mean()


def smoothed(z: Tensor, y: Tensor) -> Tensor:
    return -((0.9 * one_hot(z, y) + 0.1 / z.shape[1]) * F.log_softmax(z, dim=1)).sum(dim=1).mean()


def generalised(p: Tensor, y: Tensor) -> Tensor:
    return ((1 - true_class(p, y) ** 0.7) / 0.7).mean()


def of_evidence(e: Tensor, y: Tensor) -> Tensor:
    """A Dirichlet's: evidence in [0, inf) for each class, none of it beyond bounds."""
    return ((e + 1).sum(dim=1).log() - true_class(e + 1, y).log()).mean()


def renormalised(p: Tensor, y: Tensor) -> Tensor:
    return -true_class(p / p.sum(dim=1, keepdim=True), y).clamp(1e-7, 1).log().mean()


# Unknown is the safe answer where no identity decides: nothing is claimed of the model then.
CATEGORICAL: dict[str, tuple[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "cross entropy by hand": ("logits", lambda z, y: (z.logsumexp(dim=1) - true_class(z, y)).mean()),
    "cross entropy, summed": ("logits", lambda z, y: F.cross_entropy(z, y, reduction="sum")),
    "log of softmax": ("logits", lambda z, y: -true_class(torch.softmax(z, dim=1), y).log().mean()),
    "focal": ("logits", focal),
    "smoothed by hand": ("logits", smoothed),
    "weighted": ("logits", lambda z, y: F.cross_entropy(z, y, weight=torch.linspace(0.5, 2, z.shape[1]).to(z))),
    "temperature": ("logits", lambda z, y: F.cross_entropy(z / 4, y)),
    "with a penalty on logsumexp": (
        "logits",
        lambda z, y: F.cross_entropy(z, y) + 1e-4 * z.logsumexp(1).square().mean(),
    ),
    "with weight decay on the scores": ("unknown", lambda z, y: F.cross_entropy(z, y) + 1e-3 * z.square().mean()),
    "multi-class hinge": ("logits", F.multi_margin_loss),
    "NLL by gather": ("log_probabilities", lambda z, y: -true_class(z, y).mean()),
    "NLL by one-hot": ("log_probabilities", lambda z, y: -(one_hot(z, y) * z).sum(dim=1).mean()),
    "KL divergence": ("log_probabilities", lambda z, y: F.kl_div(z, one_hot(z, y), reduction="batchmean")),
    "log of probabilities": ("probabilities", lambda p, y: F.nll_loss(p.log(), y)),
    "log of clamped probabilities": ("probabilities", lambda p, y: F.nll_loss(p.clamp(1e-8, 1).log(), y)),
    "log of probabilities and epsilon": ("probabilities", lambda p, y: F.nll_loss((p + 1e-8).log(), y)),
    "log by one-hot": ("probabilities", lambda p, y: -(one_hot(p, y) * p.log()).sum(dim=1).mean()),
    "focal of probabilities": ("unknown", focal_of_probabilities),
    "generalised, of probabilities": ("unknown", generalised),
    "log of renormalised probabilities": ("unknown", renormalised),
    "squared error": ("unknown", lambda z, y: (z - one_hot(z, y)).square().mean()),
    "absolute error": ("unknown", lambda z, y: (z - one_hot(z, y)).abs().mean()),
    "error rate of probabilities": ("unknown", lambda p, y: (1 - true_class(p, y)).mean()),
    "evidence": ("unknown", of_evidence),
    "logits normalised inside": ("unknown", lambda z, y: F.cross_entropy(20 * F.normalize(z, dim=1), y)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("name", CATEGORICAL)
def test_losses_over_classes_are_told_apart(name: str, classes: int, dtype: torch.dtype):
    takes, loss = CATEGORICAL[name]
    nature = infer_nature(loss, classes=classes, multilabel=False, dtype=dtype)
    assert (nature.takes, nature.form) == (takes, "categorical")


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize(
    ("takes", "function"),
    [("logits", F.binary_cross_entropy_with_logits), ("probabilities", F.binary_cross_entropy)],
    ids=["logits", "probabilities"],
)
def test_a_bit_for_each_class_is_told_from_one_choice(takes: str, function: Any, classes: int):
    nature = infer_nature(
        lambda z, y: function(z, one_hot(z, y)), classes=classes, multilabel=False, dtype=torch.float32
    )
    assert (nature.takes, nature.form) == (takes, "bernoulli")


# Losses over bits, targets in the shape of the scores.


def clamped_bce(p: Tensor, y: Tensor) -> Tensor:
    p = p.clamp(1e-7, 1 - 1e-7)
    return -(y * p.log() + (1 - y) * (1 - p).log()).mean()


def log_of_sigmoid(z: Tensor, y: Tensor) -> Tensor:
    return clamped_bce(torch.sigmoid(z), y)


def binary_focal(z: Tensor, y: Tensor) -> Tensor:
    each = F.binary_cross_entropy_with_logits(z, y, reduction="none")
    return ((1 - torch.exp(-each)) ** 2 * each).mean()


def dice(p: Tensor, y: Tensor) -> Tensor:
    return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)


BERNOULLI: dict[str, tuple[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "BCE by hand": ("logits", lambda z, y: (F.softplus(z) - z * y).mean()),
    "BCE by logsigmoid": ("logits", lambda z, y: -(y * F.logsigmoid(z) + (1 - y) * F.logsigmoid(-z)).mean()),
    "log of sigmoid, clamped": ("logits", log_of_sigmoid),
    "pos_weight": ("logits", lambda z, y: F.binary_cross_entropy_with_logits(z, y, pos_weight=torch.tensor(9.0).to(z))),
    "smoothed": ("logits", lambda z, y: F.binary_cross_entropy_with_logits(z, 0.9 * y + 0.05)),
    "focal": ("logits", binary_focal),
    "hinge": ("logits", lambda z, y: F.relu(1 - z * (2 * y - 1)).mean()),
    "squared hinge": ("logits", lambda z, y: F.relu(1 - z * (2 * y - 1)).square().mean()),
    "BCE of probabilities": ("probabilities", lambda p, y: -(y * p.log() + (1 - y) * (1 - p).log()).mean()),
    "BCE of probabilities, clamped": ("probabilities", clamped_bce),
    "squared error": ("unknown", lambda z, y: (z - y).square().mean()),
    "absolute error": ("unknown", lambda z, y: (z - y).abs().mean()),
    "Dice of probabilities": ("unknown", dice),
    "product with the sign": ("unknown", lambda z, y: -(z * (2 * y - 1)).mean()),
    "squared error of sigmoid": ("unknown", lambda z, y: (torch.sigmoid(z) - y).square().mean()),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("classes", "multilabel"), [(None, False), (1, False), (6, True)])
@pytest.mark.parametrize("name", BERNOULLI)
def test_losses_over_bits_are_told_apart(name: str, classes: int | None, multilabel: bool, dtype: torch.dtype):
    takes, loss = BERNOULLI[name]
    nature = infer_nature(
        lambda z, y: loss(z, y.reshape(z.shape).to(z)), classes=classes, multilabel=multilabel, dtype=dtype
    )
    assert (nature.takes, nature.form) == (takes, "bernoulli")


def test_cross_entropy_over_a_single_column_is_recognised():
    # Its value is 0 for every score, so none of the differences that tell losses apart is there.
    nature = infer_nature(lambda z, y: F.cross_entropy(z, 0 * y), classes=1, multilabel=False, dtype=torch.float32)
    assert (nature.takes, nature.form) == ("logits", "categorical")


def test_a_loss_that_refuses_every_score_is_unknown():
    def refuses(z: Tensor, y: Tensor) -> Tensor:
        raise ValueError("no")

    assert infer_nature(refuses, classes=3, multilabel=False, dtype=torch.float32).takes == "unknown"


def test_a_loss_with_a_parameter_of_its_own_is_classified_without_a_warning():
    # torch warns where a tensor that requires a gradient becomes a float; once in a process, unless told to always.
    scale = torch.ones((), requires_grad=True)
    torch.set_warn_always(True)
    try:
        nature = infer_nature(
            lambda z, y: F.cross_entropy(scale * z, y), classes=3, multilabel=False, dtype=torch.float32
        )
    finally:
        torch.set_warn_always(False)
    assert nature.takes == "logits"


@pytest.mark.parametrize(
    ("nature", "expected"),
    [
        (Nature(takes="logits", form="categorical"), lambda z: z),
        (Nature(takes="unknown", form="categorical"), lambda z: z),
        (Nature(takes="log_probabilities", form="categorical"), lambda z: torch.log_softmax(z, dim=1)),
        (Nature(takes="probabilities", form="categorical"), lambda z: torch.softmax(z, dim=1)),
        (Nature(takes="probabilities", form="bernoulli"), torch.sigmoid),
    ],
    ids=["logits", "unknown", "log_probabilities", "probabilities", "bits"],
)
def test_the_link_makes_what_the_loss_takes(nature: Nature, expected: Callable[[Tensor], Tensor]):
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(nature.link(z), expected(z))


# The least loss.


def least(function: Callable[..., Tensor], nature: Nature, *, classes: int, rows: int = 20) -> float:
    labels = torch.arange(rows) % max(classes, 2)
    like = torch.zeros(rows, classes, dtype=torch.float64)

    def loss(z: Tensor, y: Tensor) -> Tensor:
        return function(z, encode_targets(y, z, encoding=None, form=nature.form))

    return least_loss(loss, labels, like, through=nature.link)


def entropy(*probabilities: float) -> float:
    return -sum(p * math.log(p) for p in probabilities)


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_the_least_of_categorical_losses_is_zero(name: str, classes: int):
    # At the largest margin, 64, what is left is (K-1) e**-128.
    assert least(*NAMED[name], classes=classes) == pytest.approx(0, abs=1e-50)


@pytest.mark.parametrize("classes", [1, 5])
@pytest.mark.parametrize("name", ["bce_with_logits", "bce"])
def test_the_least_of_bce_is_zero(name: str, classes: int):
    # At the largest margin, 64, what is left is e**-64 = 1.6e-28; 1 - sigmoid(64) is rounded to 0.
    assert least(*NAMED[name], classes=classes) == pytest.approx(0, abs=2e-28)


# Golden section stops at a bracket of 32 * .618**30 = 1.7e-5 around the best margin. The loss is quadratic there, with
# a curvature of at most 1 in the margin, so it is off by at most (1.7e-5)**2.
REFINED = 3e-10


@pytest.mark.parametrize(
    ("classes", "smoothing", "told"), [(10, 0.1, 0.5003), (2, 0.1, None), (100, 0.2, None), (3, 0.01, None)]
)
def test_label_smoothing_leaves_the_entropy_of_its_targets(classes: int, smoothing: float, told: float | None):
    loss = nn.CrossEntropyLoss(label_smoothing=smoothing)
    share = smoothing / classes
    expected = entropy(1 - smoothing + share, *[share] * (classes - 1))
    found = least(loss, NAMED["cross_entropy"][1], classes=classes)
    assert found == pytest.approx(expected, abs=REFINED)
    assert told is None or round(found, 4) == told


def test_smoothed_bits_leave_their_entropy():
    def smoothed_bce(z: Tensor, y: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(z, 0.9 * y + 0.05)

    found = least(smoothed_bce, NAMED["bce_with_logits"][1], classes=1)
    assert found == pytest.approx(entropy(0.95, 0.05), abs=REFINED)


@pytest.mark.parametrize(
    ("loss", "classes", "form"),
    [
        (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0], dtype=torch.float64)), 2, "categorical"),
        (nn.CrossEntropyLoss(reduction="sum"), 2, "categorical"),
        (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(9.0)), 1, "bernoulli"),
        (nn.BCEWithLogitsLoss(reduction="sum"), 1, "bernoulli"),
        (lambda z, y: F.relu(1 - z * (2 * y - 1)).mean(), 1, "bernoulli"),
    ],
    ids=["weight", "sum", "pos_weight", "bits summed", "hinge"],
)
def test_weights_and_reductions_leave_nothing(loss: Any, classes: int, form: Any):
    assert least(loss, Nature(takes="logits", form=form), classes=classes) == pytest.approx(0, abs=1e-25)


def test_the_least_of_multilabel_losses_is_zero():
    labels = (torch.arange(16).unsqueeze(1) + torch.arange(5)) % 2
    found = least_loss(
        lambda z, y: F.binary_cross_entropy_with_logits(z, y.to(z)),
        labels,
        torch.zeros(16, 5, dtype=torch.float64),
        through=lambda z: z,
    )
    assert found == pytest.approx(0, abs=2e-28)


def test_the_least_of_dense_losses_is_zero():
    labels = (torch.arange(16).unsqueeze(1) + torch.arange(7)) % 3
    found = least_loss(F.cross_entropy, labels, torch.zeros(16, 3, 7, dtype=torch.float64), through=lambda z: z)
    assert found == pytest.approx(0, abs=1e-50)


def test_a_loss_that_refuses_every_score_has_no_least():
    def refuses(z: Tensor, y: Tensor) -> Tensor:
        raise ValueError("no")

    assert math.isnan(least_loss(refuses, LABELS, torch.zeros(3, 2), through=lambda z: z))


def test_scores_that_the_loss_cannot_hold_are_passed_over():
    # In float16 this one is infinite from a margin of 16 on; the least is where it is still finite.
    def by_hand(z: Tensor, y: Tensor) -> Tensor:
        return torch.exp(z).sum(dim=1).log().sub(true_class(z, y)).mean()

    found = least_loss(by_hand, LABELS, torch.zeros(3, 2, dtype=torch.float16), through=lambda z: z)
    assert 0 <= found <= torch.finfo(torch.float16).eps * 10


@pytest.mark.parametrize(
    ("loss", "alike"),
    [
        ("cross_entropy", True),
        (nn.CrossEntropyLoss(label_smoothing=0.1), True),
        (nn.CrossEntropyLoss(weight=torch.ones(3)), False),
        (nn.CrossEntropyLoss(ignore_index=2), False),
        (nn.BCEWithLogitsLoss(pos_weight=torch.ones(3)), False),
        (F.cross_entropy, False),
    ],
)
def test_torchs_own_losses_without_weights_treat_all_classes_alike(loss: Any, alike: bool):
    assert treats_classes_alike(loss) == alike


def hooked() -> nn.Module:
    loss = nn.CrossEntropyLoss()
    loss.register_forward_hook(lambda module, given, found: 2 * found)
    return loss


def patched() -> nn.Module:
    loss = nn.CrossEntropyLoss()
    loss.forward = lambda z, y: F.cross_entropy(z, y.flip(0))  # type: ignore[method-assign]
    return loss


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        ("bce", "bce"),
        (nn.BCELoss(), "BCELoss(reduction=mean)"),
        (
            nn.CrossEntropyLoss(label_smoothing=0.1, reduction="sum"),
            "CrossEntropyLoss(reduction=sum, label_smoothing=0.1, ignore_index=-100)",
        ),
        (nn.CrossEntropyLoss(weight=torch.ones(3)), None),
        (nn.CrossEntropyLoss(ignore_index=2), None),
        (hooked(), None),
        (patched(), None),
        (F.cross_entropy, None),
    ],
    ids=["named", "module", "arguments", "weights", "ignored class", "hook", "patched", "function"],
)
def test_a_plain_loss_is_named_with_its_arguments(loss: Any, name: str | None):
    assert plain(loss) == name


def times_asked(function: Any) -> tuple[float, int]:
    asked: list[float] = []

    def loss(z: Tensor, y: Tensor) -> Tensor:
        asked.append(float(z.max()))
        return function(z.max())

    return least_loss(loss, torch.tensor([0]), torch.zeros(1, 2), through=lambda z: z), len(asked)


def test_each_step_to_a_minimum_between_two_margins_asks_the_loss_once():
    found, asked = times_asked(lambda margin: (margin - 3.3) ** 2)
    assert found < 1e-9
    assert asked == len(MARGINS) + 2 + GOLDEN_STEPS


def test_where_a_loss_is_flat_at_its_least_nothing_is_sought():
    found, asked = times_asked(lambda margin: (5 - margin).clamp(min=0))
    assert (found, asked) == (0.0, len(MARGINS) + 2)
