from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pytest_logits import stability
from pytest_logits.stability import (
    FIRST_MARGINS,
    Precision,
    adds_up,
    bernoulli_rays,
    bisected,
    categorical_rays,
    evaluate,
    finite_at,
    overflows,
    rounded_up,
    smallest_overflow,
)
from tests import versions

LABELS = torch.tensor([0, 1])
FLOAT32 = Precision(torch.float32)


def log_of_softmax(z: Tensor, y: Tensor) -> Tensor:
    return F.nll_loss(torch.log(torch.softmax(z, dim=1)), y)


def log_of_sum(z: Tensor, y: Tensor) -> Tensor:
    return (torch.log(torch.exp(z).sum(dim=1)) - z.gather(1, y.unsqueeze(1)).squeeze(1)).mean()


def margins(z: Tensor, y: Tensor) -> Tensor:
    return z[:, 1] * (1 - 2 * y) + z[:, 0] * (2 * y - 1)


def exponential(z: Tensor, y: Tensor) -> Tensor:
    return torch.exp(margins(z, y)).mean()


def barrier(z: Tensor, y: Tensor) -> Tensor:
    return -torch.log(300 - margins(z, y)).mean()


def found(loss: Callable[[Tensor, Tensor], Tensor], precision: Precision = FLOAT32, classes: int = 2, rows: int = 1):
    return smallest_overflow(loss, F.cross_entropy, categorical_rays(LABELS[:rows], classes), precision=precision)


@pytest.mark.parametrize(
    ("loss", "dtype", "margin"),
    [
        # exp(-m) underflows at log(tiny) - log(2 / eps), and 1 / exp(-m) overflows before at log(max).
        (log_of_softmax, torch.float32, math.log(torch.finfo(torch.float32).max)),
        (log_of_softmax, torch.float64, math.log(torch.finfo(torch.float64).max)),
        (log_of_softmax, torch.bfloat16, math.log(torch.finfo(torch.bfloat16).max)),
        # The smallest float16 is 2**-24; 1 / 2**-16 is beyond the largest.
        (log_of_softmax, torch.float16, 16 * math.log(2)),
        # Two equal scores: the sum overflows a log(2) before.
        (log_of_sum, torch.float32, math.log(torch.finfo(torch.float32).max) - math.log(2)),
        (log_of_sum, torch.float64, math.log(torch.finfo(torch.float64).max) - math.log(2)),
    ],
)
def test_the_margin_is_where_the_dtype_ends(loss: Callable[..., Tensor], dtype: torch.dtype, margin: float):
    versions.needs_torch_2_4(dtype == torch.float16, "no NLL loss of float16 on a CPU")
    overflow = found(loss, Precision(dtype))
    assert overflow is not None
    assert overflow.margin == pytest.approx(margin, rel=4 * torch.finfo(dtype).eps + 1e-3)


def test_the_margin_is_the_smallest_number_that_breaks():
    overflow = found(log_of_softmax)
    assert overflow is not None

    def finite(margin: float) -> bool:
        numbers = evaluate(log_of_softmax, overflow.ray.at(margin, torch.float32), overflow.ray.labels)
        return numbers is not None and all(map(math.isfinite, numbers))

    below = float(torch.nextafter(torch.tensor(overflow.margin), torch.tensor(0.0)))
    assert not finite(overflow.margin)
    assert finite(below)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("loss", [exponential, barrier, F.cross_entropy])
def test_what_is_infinite_by_its_mathematics_is_no_overflow(loss: Callable[..., Tensor], dtype: torch.dtype):
    # In float64 a barrier is not told from an overflow: no wider dtype says that it is one.
    if (loss, dtype) != (barrier, torch.float64):
        assert found(loss, Precision(dtype), rows=2) is None


def test_a_gradient_that_is_infinite_at_zero_scores_is_found():
    overflow = found(lambda z, y: F.cross_entropy(z, y) + torch.sqrt(z.square().sum()))
    assert overflow is not None
    assert overflow.margin == 0
    assert math.isfinite(overflow.value)


def test_a_loss_that_is_infinite_around_zero_too_is_none_at_zero():
    assert found(lambda z, y: torch.log(-z.square().sum())) is None


def test_a_loss_that_refuses_the_dtype_has_no_overflow():
    def refusing(z: Tensor, y: Tensor) -> Tensor:
        if z.dtype == torch.float16:
            raise TypeError("no float16")
        return log_of_softmax(z, y)

    assert found(refusing, Precision(torch.float16)) is None
    assert found(refusing) is not None


def test_a_loss_that_refuses_float64_is_judged_by_what_it_is_below_the_margin():
    def narrow(loss: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        def call(z: Tensor, y: Tensor) -> Tensor:
            if z.dtype == torch.float64:
                raise TypeError("no float64")
            return loss(z, y)

        return call

    assert found(narrow(log_of_softmax)) is not None
    assert found(narrow(exponential)) is None


def test_a_loss_that_refuses_scores_from_some_size_on_has_no_overflow():
    def refusing(z: Tensor, y: Tensor) -> Tensor:
        if z.abs().max() > 50:
            raise ValueError("scores beyond 50")
        return log_of_softmax(z, y)

    assert found(refusing) is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("power", [1, 2])
def test_one_is_asked_first_where_a_range_is_left_for_a_while(dtype: torch.dtype, power: int):
    numbers = torch.finfo(dtype)
    left, back = math.log(numbers.max) / power, -math.log(numbers.smallest_normal * numbers.eps) / power
    assert any(left < margin < back for margin in FIRST_MARGINS)


def test_where_a_loss_stays_finite_few_margins_are_asked():
    seen = set()

    def call(z: Tensor, y: Tensor) -> Tensor:
        seen.add(float(z.abs().max()))
        return F.cross_entropy(z, y)

    assert found(call) is None
    assert sorted(seen) == pytest.approx([0.0, *FIRST_MARGINS])


def test_scores_that_cannot_come_up_do_not_count():
    rays = categorical_rays(LABELS, 2)

    def within(most: float):
        return smallest_overflow(
            log_of_softmax,
            F.cross_entropy,
            rays,
            precision=FLOAT32,
            reaches=lambda z: float(z.abs().max()) <= most,
        )

    assert within(50) is None
    assert within(200) is not None


def test_autocast_computes_in_its_own_dtypes():
    def product(z: Tensor, y: Tensor) -> Tensor:
        # Autocast makes the product in bfloat16, where 1 - 1e-3 is 1.
        p = (torch.sigmoid(margins(z, y)).unsqueeze(1) @ torch.full((1, 1), 1 - 1e-3).to(z)).squeeze(1)
        return -torch.log(1 - p).mean()

    plain = Precision(torch.float32)
    mixed = Precision(torch.float32, autocast=True)
    assert found(product, plain) is None
    overflow = found(product, mixed)
    assert overflow is not None
    assert mixed.name == "float32 under torch.autocast"


def test_rays_lie_as_they_say():
    wrong, behind, ahead, high, low = categorical_rays(LABELS, 3)
    assert wrong.at(5, torch.float32).tolist() == [[0, 5, 0], [0, 0, 5]]
    assert behind.at(5, torch.float32).tolist() == [[-5, 0, 0], [0, -5, 0]]
    assert ahead.at(5, torch.float32).tolist() == [[5, 0, 0], [0, 5, 0]]
    assert high.at(5, torch.float16).tolist() == [[5, 5, 5]] * 2
    assert low.at(5, torch.float16).dtype == torch.float16
    against, towards = bernoulli_rays(LABELS, (2, 1))
    assert against.at(2, torch.float32).tolist() == [[2], [-2]]
    assert towards.at(2, torch.float32).tolist() == [[-2], [2]]
    assert [row.labels.tolist() for row in wrong.rows()] == [[0], [1]]


def test_rays_of_dense_scores_have_the_class_in_the_second_place():
    (wrong, *_) = categorical_rays(torch.tensor([[0, 1]]), 2)
    assert wrong.at(3, torch.float32).tolist() == [[[0, 3], [3, 0]]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_bisection_ends_at_neighbouring_numbers(dtype: torch.dtype):
    below, broken = bisected(lambda margin: margin > 100.3, 64.0, 128.0, dtype)
    assert below <= 100.3 < broken
    assert broken - below == pytest.approx(64 * torch.finfo(dtype).eps)


@pytest.mark.parametrize(("margin", "shown"), [(0.0, 0.0), (88.7228, 89), (102.363, 110), (8.733, 8.8), (16.0, 16)])
def test_a_margin_is_rounded_up_to_two_digits(margin: float, shown: float):
    assert rounded_up(margin) == pytest.approx(shown)


# All rays in one batch


def hardest(z: Tensor, y: Tensor) -> Tensor:
    """Of the half of the rows that cost most; of the others 1 / exp(-margin) overflows."""
    rows = F.cross_entropy(z, y, reduction="none")
    kept = rows.topk(max(1, len(rows) // 2)).indices
    return rows[kept].mean() + 0 * (1 / torch.exp(-margins(z, 1 - y)))[kept].sum()


def together(loss: Callable[[Tensor, Tensor], Tensor], precision: Precision = FLOAT32) -> bool:
    return adds_up(loss, categorical_rays(LABELS, 2), precision=precision)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_mean_and_the_sum_of_rows_add_up(reduction: str, dtype: torch.dtype):
    versions.needs_torch_2_4(dtype == torch.float16, "no NLL loss of float16 on a CPU")

    def call(z: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(z, y, reduction=reduction)

    assert together(call, Precision(dtype))
    assert together(call, Precision(torch.float32, autocast=True))
    assert together(lambda z, y: F.cross_entropy(z, y, reduction=reduction, weight=torch.tensor([1.0, 3.0]).to(z)))


def test_rays_of_several_lengths_add_up():
    rays = [ray for n in (2, 6) for ray in bernoulli_rays(torch.arange(n) % 2, (n,))]
    assert adds_up(lambda z, y: F.binary_cross_entropy_with_logits(z, y.to(z)), rays, precision=FLOAT32)


@pytest.mark.parametrize(
    "loss",
    [
        hardest,
        lambda z, y: F.cross_entropy(z, y).square(),
        lambda z, y: F.nll_loss(torch.log_softmax(z, dim=0), y),
        lambda z, y: F.cross_entropy(z, y) if len(z) == 2 else F.cross_entropy(z, y, reduction="sum").sqrt(),
        lambda z, y: F.cross_entropy(z, y) * (math.nan if len(z) > 2 else 1.0),
    ],
    ids=["hardest rows", "square of a mean", "softmax over the batch", "its own size", "not finite in a larger batch"],
)
def test_what_is_no_sum_of_rows_does_not_add_up(loss: Callable[[Tensor, Tensor], Tensor]):
    assert not together(loss)


def test_a_loss_that_refuses_a_larger_batch_does_not_add_up():
    def call(z: Tensor, y: Tensor) -> Tensor:
        if len(z) > 2:
            raise ValueError("two rows only")
        return F.cross_entropy(z, y)

    assert not together(call)


LOSSES = {
    "sound": F.cross_entropy,
    "softmax, then log": log_of_softmax,
    "log of a sum": log_of_sum,
    "a sum": lambda z, y: len(z) * log_of_softmax(z, y),
    "gradient only": lambda z, y: F.cross_entropy(z, y) + z.abs().sum().sqrt() * 0,
}


@pytest.mark.parametrize("precision", [FLOAT32, Precision(torch.bfloat16), Precision(torch.float16)], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_a_batch_of_all_rays_tells_what_each_ray_tells(name: str, precision: Precision):
    loss, rays = LOSSES[name], categorical_rays(LABELS, 2)
    alone, batch = (overflows(loss, F.cross_entropy, rays, precision=precision, together=way) for way in (False, True))
    assert [(o.ray.where, o.margin, o.value) for o in batch] == [(o.ray.where, o.margin, o.value) for o in alone]


def test_of_a_loss_that_stays_finite_each_margin_is_asked_once_for_all_rays():
    seen: list[int] = []

    def call(z: Tensor, y: Tensor) -> Tensor:
        seen.append(len(z))
        return F.cross_entropy(z, y)

    rays = categorical_rays(LABELS, 2)
    assert overflows(call, F.cross_entropy, rays, precision=FLOAT32, together=True) == ()
    assert seen == [10] * len(FIRST_MARGINS) + [2]


def test_a_gradient_that_is_too_large_for_a_row_by_itself_is_too_large_in_the_batch():
    """Of a mean the gradient of each row is divided by the number of rows."""
    versions.needs_torch_2_4(True, "no NLL loss of float16 on a CPU")

    def steep(z: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(z, y) + (z[:, 0] * 4e4).clamp(max=1.0).mean() * 4

    rays = categorical_rays(LABELS, 2)
    half = Precision(torch.float16)
    values = [evaluate(steep, ray.at(16.0, half.dtype), ray.labels) for ray in rays]
    assert any(numbers is not None and not math.isfinite(numbers[1]) for numbers in values)
    assert not stability._are_finite_together(steep, rays, half)


def test_finite_at_asks_every_ray_at_every_margin():
    rays = categorical_rays(torch.tensor([0, 1]), 2)
    assert finite_at(F.cross_entropy, rays, (0.0, 1.0, 1000.0), precision=FLOAT32)

    def overflows_at_ninety(z: Tensor, y: Tensor) -> Tensor:
        return z.exp().sum()

    assert finite_at(overflows_at_ninety, rays, (0.0, 80.0), precision=FLOAT32)
    assert not finite_at(overflows_at_ninety, rays, (0.0, 90.0), precision=FLOAT32)
