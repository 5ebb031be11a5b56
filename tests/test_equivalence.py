from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.equivalence import exact_reference, margin_of, recognise, shares
from pytest_logits.guard import preserved_state


@pytest.fixture(autouse=True)
def state_kept():
    with preserved_state():
        yield


# The tolerance. Torch's own losses are the user's loss here, and the float64 reference is what they are held against.


def nll(z: Tensor, y: Tensor) -> Tensor:
    return F.nll_loss(F.log_softmax(z, dim=1), y)


def weights(dtype: torch.dtype) -> Tensor:
    return torch.tensor([1.0, 5.0], dtype=dtype)


CE, BCE = nn.CrossEntropyLoss, nn.BCEWithLogitsLoss
LOSSES: dict[str, tuple[bool, Callable[[torch.dtype], Any]]] = {
    "CE": (True, lambda d: CE()),
    "CE summed": (True, lambda d: CE(reduction="sum")),
    "CE weighted": (True, lambda d: CE(weight=weights(d))),
    "CE weighted, summed": (True, lambda d: CE(weight=weights(d), reduction="sum")),
    "CE smoothed": (True, lambda d: CE(label_smoothing=0.1)),
    "CE weighted, smoothed": (True, lambda d: CE(weight=weights(d), label_smoothing=0.1)),
    "CE weighted, smoothed, summed": (True, lambda d: CE(weight=weights(d), label_smoothing=0.1, reduction="sum")),
    "CE ignoring": (True, lambda d: CE(ignore_index=1)),
    "CE ignoring, weighted": (True, lambda d: CE(ignore_index=0, weight=weights(d), reduction="sum")),
    "NLL": (True, lambda d: "nll_loss"),
    "BCE": (False, lambda d: BCE()),
    "BCE weighted": (False, lambda d: BCE(weight=torch.tensor(0.3, dtype=d))),
    "BCE summed": (False, lambda d: BCE(reduction="sum")),
    "BCE pos_weight": (False, lambda d: BCE(pos_weight=torch.tensor([9.0], dtype=d))),
    "BCE pos_weight below 1": (False, lambda d: BCE(pos_weight=torch.tensor(0.1, dtype=d))),
    "BCE pos_weight, summed": (False, lambda d: BCE(pos_weight=torch.tensor(9.0, dtype=d), reduction="sum")),
}
# For each dtype 16 losses on 1,260 batches: 20,160 cases. A fifth of them runs with the other tests.
CASES = (252, pytest.param(1260, marks=pytest.mark.slow))


def batches(cases: int, dtype: torch.dtype, *, two_columns: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of 1 to 4 rows, scores up to .1 in some, up to 1000 in others."""
    rng = torch.Generator().manual_seed(0)
    for _ in range(cases // 12):
        scale = 10 ** (4 * float(torch.rand((), generator=rng)) - 1)
        drawn = scale * (2 * torch.rand(12, 4, 2, generator=rng, dtype=torch.float64) - 1)
        labels = torch.randint(0, 2, (12, 4), generator=rng)
        for i, (z, y) in enumerate(zip(drawn.to(dtype), labels, strict=True)):
            rows = i % 4 + 1
            yield z[:rows] if two_columns else z[:rows, :1], y[:rows]


def value_and_gradient(function: Callable[[Tensor], Tensor], scores: Tensor) -> tuple[float, Tensor]:
    leaf = scores.clone().requires_grad_()
    value = function(leaf)
    return float(value.detach()), torch.autograd.grad(value, leaf)[0]


@pytest.mark.parametrize("cases", CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_torchs_losses_keep_to_the_tolerance_and_it_is_no_wider_than_needed(name: str, dtype: torch.dtype, cases: int):
    # The tolerance is of the order of the rounding: at most 50 times the largest seen, for value and gradient.
    two_columns, make = LOSSES[name]
    loss = make(dtype)
    reference = exact_reference(loss, two_columns=two_columns)
    assert reference is not None
    worst = worst_gradient = 0.0
    for z, y in batches(cases, dtype, two_columns=two_columns):
        targets = y if two_columns else y.to(dtype).unsqueeze(1)
        function = nll if loss == "nll_loss" else loss
        if bool((y == getattr(loss, "ignore_index", -100)).all()):
            continue
        value, gradient = value_and_gradient(lambda s, f=function, t=targets: f(s, t), z)
        exact, exact_gradient = value_and_gradient(lambda s, y=y: reference.value(s, y), z.double())
        bound, gradient_bound = reference.tolerance(z, y)
        worst = max(worst, abs(value - exact) / bound)
        off = (gradient.double() - exact_gradient).abs() / gradient_bound
        worst_gradient = max(worst_gradient, float(off.max()))
    assert 1 / 50 <= worst <= 1
    assert 1 / 50 <= worst_gradient <= 1


def test_a_loss_that_is_wrong_by_a_hundredth_is_far_outside_the_tolerance():
    z, y = torch.tensor([[0.5, -0.5], [2.0, 1.0]]), torch.tensor([0, 1])
    reference = exact_reference("cross_entropy", two_columns=True)
    assert reference is not None
    value = float(F.cross_entropy(z, y))
    assert abs(1.01 * value - float(reference.value(z.double(), y))) > 1000 * reference.tolerance(z, y)[0]


@pytest.mark.parametrize(
    ("loss", "two_columns", "name"),
    [
        ("cross_entropy", True, "BCE with logits on z1 - z0"),
        ("nll_loss", True, "BCE with logits on z1 - z0"),
        ("bce_with_logits", False, "cross entropy on (0, z)"),
        (CE(), True, "BCE with logits on z1 - z0"),
        (BCE(), False, "cross entropy on (0, z)"),
    ],
)
def test_the_reference_is_the_other_parameterisation(loss: Any, two_columns: bool, name: str):
    reference = exact_reference(loss, two_columns=two_columns)
    assert reference is not None
    assert reference.name == name


class Focal(CE):
    """A subclass may compute what it likes."""

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        each = F.cross_entropy(z, y, reduction="none")
        return ((1 - torch.exp(-each)) ** 2 * each).mean()


class BinaryFocal(BCE):
    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        each = F.binary_cross_entropy_with_logits(z, y, reduction="none")
        return ((1 - torch.exp(-each)) ** 2 * each).mean()


@pytest.mark.parametrize(
    ("loss", "two_columns"),
    [
        ("bce", False),
        (CE(reduction="none"), True),
        (BCE(reduction="none"), False),
        (BCE(weight=torch.tensor([2.0, 1.0])), False),
        (BCE(pos_weight=torch.tensor([2.0, 1.0])), False),
        (BCE(weight=torch.tensor([-1.0])), False),
        (F.cross_entropy, True),
        (nn.MSELoss(), True),
        (Focal(), True),
        (BinaryFocal(), False),
    ],
)
def test_any_other_loss_has_no_exact_reference(loss: Any, two_columns: bool):
    assert exact_reference(loss, two_columns=two_columns) is None


def soft(y: Tensor) -> Tensor:
    on = 0.2 + 0.6 * y.double()
    return torch.stack([1 - on, on], dim=1)


EXACT = 1e-13


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (CE(), soft),
        (CE(weight=weights(torch.float64)), soft),
        (CE(weight=weights(torch.float64), reduction="sum"), soft),
        (CE(weight=weights(torch.float64), label_smoothing=0.3), soft),
        (CE(weight=weights(torch.float64)), lambda y: F.one_hot(y, 2).double()),
        (CE(weight=weights(torch.float64)), lambda y: y),
        (CE(weight=weights(torch.float64), label_smoothing=0.3), lambda y: y.masked_fill(torch.arange(4) == 1, -100)),
        (CE(ignore_index=7), lambda y: y.masked_fill(torch.arange(4) == 2, 7)),
    ],
)
def test_soft_targets_ignored_rows_and_normalisers_are_those_of_cross_entropy(loss: Any, targets: Any):
    reference = exact_reference(loss, two_columns=True)
    assert reference is not None
    z = 3 * torch.randn(4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 1, 0])
    value, gradient = value_and_gradient(lambda s: loss(s, targets(y)), z)
    other, other_gradient = value_and_gradient(lambda s: reference.value(s, targets(y)), z)
    assert value == pytest.approx(other, rel=EXACT)
    assert float((gradient - other_gradient).abs().max()) < EXACT


@pytest.mark.parametrize("weight", [None, torch.tensor([0.5], dtype=torch.float64)])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_soft_targets_and_both_weights_are_those_of_bce(weight: Tensor | None, reduction: str):
    loss = BCE(weight=weight, pos_weight=torch.tensor(3.0, dtype=torch.float64), reduction=reduction)
    reference = exact_reference(loss, two_columns=False)
    assert reference is not None
    z = 3 * torch.randn(4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0.0, 0.3, 1.0, 0.9], dtype=torch.float64)
    assert float(loss(z, y)) == pytest.approx(float(reference.value(z, y)), rel=EXACT)


def test_a_mean_over_nothing_is_no_number():
    reference = exact_reference(CE(), two_columns=True)
    assert reference is not None
    assert reference.value(torch.zeros(2, 2).double(), torch.tensor([-100, -100])).isnan()


@pytest.mark.parametrize(
    ("targets", "two_columns", "taken"),
    [
        (torch.tensor([0, 1]), True, False),
        (torch.tensor([[1.0, 0.0], [0.1, 0.9]]), True, True),
        (torch.tensor([[1.0, 0.0], [0.1, 1.9]]), True, False),
        (torch.tensor([[1.0, 0.0], [0.9, 0.1]]), True, False),
        (torch.tensor([[1.0, 0.5], [0.1, 0.9]]), True, False),
        (torch.tensor([0.05, 0.95]), False, True),
        (torch.tensor([[0.0], [1.0]]), False, True),
        (torch.tensor([-1.0, 1.0]), False, False),
        (torch.tensor([1.0, 0.0]), False, False),
        ("no tensor", False, False),
    ],
)
def test_targets_are_shares_where_they_can_be(targets: Any, two_columns: bool, taken: bool):
    scores, labels = torch.zeros(2, 2) if two_columns else torch.zeros(2), torch.tensor([0, 1])
    found = shares(targets, labels, scores, two_columns=two_columns)
    assert (found is labels) != taken
    if taken:
        assert found.flatten().tolist() == targets.double().flatten().tolist()


@pytest.mark.parametrize(
    ("scores", "two_columns"),
    [
        (torch.tensor([[1.0, 3.0], [2.0, -1.0]]), True),
        (torch.tensor([[2.0], [-3.0]]), False),
        (torch.tensor([2.0, -3.0]), False),
    ],
)
def test_the_margin_is_what_both_losses_see(scores: Tensor, two_columns: bool):
    assert margin_of(scores, two_columns=two_columns).tolist() == [2.0, -3.0]


# Recognising a loss of the user's own.


def by_logsumexp(z: Tensor, y: Tensor) -> Tensor:
    return (z.logsumexp(dim=1) - z.gather(1, y.unsqueeze(1)).squeeze(1)).mean()


def by_softplus(z: Tensor, y: Tensor) -> Tensor:
    z = z.reshape(-1)
    return (F.softplus(z) - z * y).mean()


def broadcast(z: Tensor, y: Tensor) -> Tensor:
    z = z.reshape(-1, 1)
    return (F.softplus(z) - z * y).mean()


def broadcast_columns(z: Tensor, y: Tensor) -> Tensor:
    return broadcast(z[:, 1] - z[:, 0], y)


def squashed(z: Tensor, y: Tensor) -> Tensor:
    return by_softplus(torch.sigmoid(z), y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("loss", "shape", "name", "cause"),
    [
        (by_logsumexp, (2,), "cross entropy, averaged", None),
        (F.cross_entropy, (2,), "cross entropy, averaged", None),
        (lambda z, y: F.cross_entropy(z, y, reduction="sum"), (2,), "cross entropy, summed", None),
        (lambda z, y: by_softplus(z[:, 1] - z[:, 0], y), (2,), "cross entropy, averaged", None),
        (by_softplus, (1,), "BCE with logits, averaged", None),
        (by_softplus, (), "BCE with logits, averaged", None),
        (lambda z, y: len(y) * by_softplus(z, y), (1,), "BCE with logits, summed", None),
        (broadcast, (1,), "BCE with logits of every row against every label", "broadcast_targets"),
        (broadcast, (), "BCE with logits of every row against every label", "broadcast_targets"),
        (broadcast_columns, (2,), "cross entropy of every row against every label", "broadcast_targets"),
        (squashed, (1,), "BCE with logits of sigmoid(logits)", "sigmoid_before_bce_with_logits"),
        (squashed, (), "BCE with logits of sigmoid(logits)", "sigmoid_before_bce_with_logits"),
        (
            lambda z, y: F.cross_entropy(torch.softmax(z, dim=1), y),
            (2,),
            "cross entropy of softmax(logits)",
            "softmax_before_cross_entropy",
        ),
    ],
)
def test_a_loss_is_recognised(loss: Any, shape: tuple[int, ...], name: str, cause: str | None, dtype: torch.dtype):
    family = recognise(loss, shape=shape, dtype=dtype, two_columns=shape == (2,))
    assert family is not None
    assert family.name.startswith(name)
    assert family.cause == cause
    assert (family.reference is None) == (cause is not None)


@pytest.mark.parametrize("loss", [broadcast, squashed])
def test_a_mistake_comes_with_an_example_and_what_was_wanted(loss: Any):
    family = recognise(loss, shape=(1,), dtype=torch.float64, two_columns=False)
    assert family is not None
    assert family.example is not None
    z = torch.tensor(family.example["logits"], dtype=torch.float64)
    y = torch.tensor(family.example["labels"])
    # The same sums in the same dtype, rounded alike but for the last unit or so.
    assert family.example["loss"] == pytest.approx(float(loss(z, y)), rel=1e-12)
    assert family.example["reference"] == pytest.approx(float(by_softplus(z, y)), rel=1e-12)
    assert family.example["loss"] != pytest.approx(family.example["reference"], rel=1e-2)
    assert family.wanted


@pytest.mark.parametrize(
    ("loss", "shape"),
    [
        (Focal(), (2,)),
        (F.multi_margin_loss, (2,)),
        (lambda z, y: F.cross_entropy(z, y, label_smoothing=0.1), (2,)),
        (lambda z, y: F.cross_entropy(z, y, weight=torch.tensor([1.0, 5.0]).to(z)), (2,)),
        (lambda z, y: F.cross_entropy(z / 2, y), (2,)),
        (lambda z, y: (torch.sigmoid(z.reshape(-1)) - y).square().mean(), (1,)),
        (lambda z, y: F.relu(1 - z.reshape(-1) * (2 * y - 1)).mean(), (1,)),
        (lambda z, y: by_softplus(-z, y), (1,)),
        (lambda z, y: z.sum() * float("nan"), (1,)),
        (F.binary_cross_entropy, (1,)),
    ],
    ids=[
        "focal",
        "hinge",
        "smoothed",
        "weighted",
        "temperature",
        "squared error",
        "binary hinge",
        "sign",
        "nan",
        "BCE",
    ],
)
def test_an_unrelated_loss_is_not_recognised(loss: Any, shape: tuple[int, ...]):
    assert recognise(loss, shape=shape, dtype=torch.float32, two_columns=shape == (2,)) is None
