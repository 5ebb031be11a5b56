from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pytest_logits.tolerances import bce_with_logits_bound, cross_entropy_bound, nll_bound
from tests import rounding
from tests.rounding import DTYPES, FAMILIES, KINDS, REDUCTIONS, Case, draw, ratios

# 48 groups of 40 batches; benchmarks/tolerances.py draws 100,000.
DRAWN = 40
TIGHT = 1 / 50

wide_enough = pytest.mark.skipif(
    np.finfo(np.longdouble).eps > 2.0**-60, reason="long double is no wider than double here: nothing exact to compare"
)


@wide_enough
@pytest.mark.parametrize(("dtype", "family", "reduction"), list(product(DTYPES, FAMILIES, REDUCTIONS)), ids=str)
def test_torchs_losses_keep_to_the_bound_and_it_is_at_most_fifty_times_the_largest_error(
    dtype: torch.dtype, family: str, reduction: str
):
    rng = torch.Generator().manual_seed(0)
    found = [ratios(draw(family, dtype, reduction, rng)) for _ in range(DRAWN)]
    value, gradient = max(v for v, _ in found), max(g for _, g in found)
    assert TIGHT <= value <= 1
    # The gradient of NLL is the weights themselves where nothing divides them: exact, with a bound of 0.
    exact = family == "nll" and reduction != "mean"
    assert gradient == 0 if exact else TIGHT <= gradient <= 1


def test_every_kind_of_scores_and_every_argument_is_drawn():
    rng = torch.Generator().manual_seed(0)
    cases = [draw(family, torch.float32, "mean", rng) for family in FAMILIES for _ in range(DRAWN)]
    assert {case.kind for case in cases} == set(KINDS)
    assert {name for case in cases for name in case.arguments} == {
        "reduction",
        "weight",
        "label_smoothing",
        "pos_weight",
    }
    assert max(case.scores.shape[0] for case in cases) == 1000
    assert max(case.scores.shape[1] for case in cases) == 1000
    assert min(case.scores.shape[0] for case in cases) == 1
    assert any(bool((case.targets == -100).any()) for case in cases)
    assert any(case.scores.ndim == 3 for case in cases)


def by_logsumexp(z: Tensor, y: Tensor) -> Tensor:
    return (z.logsumexp(dim=1) - z.gather(1, y.unsqueeze(1)).squeeze(1)).mean()


def by_onehot(z: Tensor, y: Tensor) -> Tensor:
    return -(F.one_hot(y, z.shape[1]) * F.log_softmax(z, dim=1)).sum(dim=1).mean()


def row_by_row(z: Tensor, y: Tensor) -> Tensor:
    total = z.new_zeros(())
    for row, label in zip(z, y, strict=True):
        total = total - F.log_softmax(row, dim=0)[label]
    return total / len(y)


def by_margin(z: Tensor, y: Tensor) -> Tensor:
    margin = z[:, 1] - z[:, 0]
    return F.softplus(margin * (1 - 2 * y)).mean() if z.shape[1] == 2 else F.cross_entropy(z, y)


def by_softplus(z: Tensor, y: Tensor) -> Tensor:
    return (F.softplus(z) - z * y).mean()


def by_logsigmoid(z: Tensor, y: Tensor) -> Tensor:
    return -(y * F.logsigmoid(z) + (1 - y) * F.logsigmoid(-z)).mean()


@wide_enough
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("family", "loss"),
    [
        ("cross_entropy", by_logsumexp),
        ("cross_entropy", by_onehot),
        ("cross_entropy", row_by_row),
        ("cross_entropy", by_margin),
        ("bce_with_logits", by_softplus),
        ("bce_with_logits", by_logsigmoid),
    ],
    ids=lambda part: getattr(part, "__name__", part),
)
def test_losses_written_by_hand_keep_to_the_bound(
    family: str, loss: Callable[..., Tensor], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(rounding.LOSSES, family, lambda z, y, **arguments: loss(z, y))
    rng = torch.Generator().manual_seed(1)
    for _ in range(DRAWN):
        drawn = draw(family, dtype, "mean", rng, longest=30)
        z, y = drawn.scores, drawn.targets
        if family == "cross_entropy" and (z.ndim > 2 or y.is_floating_point() or bool((y < 0).any())):
            continue
        assert max(ratios(Case(family, drawn.kind, z, y, {"reduction": "mean"}))) <= 1


def test_a_loss_that_is_off_by_a_thousandth_is_far_outside():
    z, y = torch.tensor([[0.5, -0.5], [2.0, 1.0]]), torch.tensor([0, 1])
    assert 1e-3 * float(F.cross_entropy(z, y)) > 100 * float(cross_entropy_bound(z, y).value)


def test_the_bound_grows_with_the_scores_and_not_with_the_loss():
    y = torch.tensor([0])
    near, far = (cross_entropy_bound(torch.full((1, 2), at), y).value for at in (0.0, 1000.0))
    # The docstring's figure: L = 1000.69 rounded twice in float32, 2 * 2**-24 * 1000.69 = 1.2e-4.
    assert float(far - near) == pytest.approx(1.2e-4, rel=0.02)


def test_the_bound_of_rows_is_by_row():
    z, y = torch.tensor([[0.0, 0.0], [1000.0, 0.0]]), torch.tensor([0, 1])
    bound = cross_entropy_bound(z, y, reduction="none")
    assert bound.value.shape == (2,)
    assert bound.value[1] > 100 * bound.value[0]
    assert bound.gradient.shape == (2, 2)


def test_ignored_rows_add_no_more_than_their_places_in_the_sum():
    z, y = torch.tensor([[1.0, 2.0], [1000.0, -1000.0]]), torch.tensor([0, -100])
    bound = cross_entropy_bound(z, y)
    assert float(bound.value) < 1.1 * float(cross_entropy_bound(z[:1], y[:1]).value)
    assert bound.gradient[1].tolist() == [0, 0]
    assert nll_bound(z, y).gradient[1].tolist() == [0, 0]


def test_what_a_sum_takes_out_of_the_dtype_has_no_bound():
    z = torch.full((1000, 2), 0.0, dtype=torch.float16)
    z[:, 0] = 100
    y = torch.ones(1000, dtype=torch.long)
    assert F.cross_entropy(z, y).isinf()
    assert cross_entropy_bound(z, y).value.isinf()
    assert cross_entropy_bound(z[:100], y[:100]).value.isfinite()


def test_a_small_pos_weight_does_not_make_the_bound_small():
    # torch takes (pos_weight - 1) y + 1, which cancels.
    z, y = torch.tensor([-1.0]), torch.tensor([1.0])
    light = bce_with_logits_bound(z, y, pos_weight=torch.tensor([1e-3]))
    assert float(light.value) > 0.5 * float(bce_with_logits_bound(z, y).value)
