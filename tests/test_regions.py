from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.model import make_spec
from pytest_logits.regions import (
    UNDONE,
    Extent,
    confine,
    confirmed_region,
    is_material,
    row_sum_tolerance,
    undo,
)
from pytest_logits.settings import Settings
from pytest_logits.subject import Subject
from tests.zoo import sound

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


def by_hand(z: Tensor) -> Tensor:
    exponentials = torch.exp(z - z.max(dim=1, keepdim=True).values)
    return exponentials / exponentials.sum(dim=1, keepdim=True)


def row_sum_errors(dtype: torch.dtype, width: int, *, rows: int) -> float:
    """The largest distance of a row sum from 1, over softmax and its form by hand, scores of .01 to 1000."""
    rng = torch.Generator().manual_seed(width)
    worst = 0.0
    for scale in (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0):
        z = (scale * torch.randn(rows // 12, width, generator=rng, dtype=torch.float64)).to(dtype)
        for p in (torch.softmax(z, dim=1), by_hand(z)):
            worst = max(worst, float((p.double().sum(dim=1) - 1).abs().max()))
    return worst


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_softmax_row_sums_keep_to_the_tolerance_and_it_is_no_wider_than_needed(dtype: torch.dtype):
    # 12,000 rows for each dtype. The tolerance is of the order of the rounding: at most 50 times the largest seen.
    for width in (2, 3, 10, 100, 1000):
        worst, tolerance = row_sum_errors(dtype, width, rows=2400), row_sum_tolerance(dtype, width)
        assert worst <= tolerance <= 50 * worst


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_single_column_has_a_tolerance_too(dtype: torch.dtype):
    assert 0 < row_sum_tolerance(dtype, 1) <= row_sum_tolerance(dtype, 2)


# Extents.


def extent_of(*samples: Tensor) -> Extent:
    extent = Extent()
    for sample in samples:
        extent.add(sample, scattered=0.0)
    return extent


def test_an_extent_holds_the_facts_about_all_samples():
    extent = extent_of(torch.tensor([[0.25, 0.75]]), torch.tensor([[-2.0, 1.0], [0.0, 3.0]]))
    assert (extent.rows, extent.low, extent.high, extent.bound, extent.width) == (3, -2.0, 3.0, 3.0, 2)
    assert extent.sum_gap == 2.0
    assert extent.log_gap == pytest.approx(math.log(1 + math.exp(3)), abs=1e-12)


@pytest.mark.parametrize(("shape", "rows", "width"), [((4,), 4, 1), ((4, 1), 4, 1), ((4, 3), 4, 3), ((4, 3, 5), 20, 3)])
def test_rows_are_counted_over_dense_axes(shape: tuple[int, ...], rows: int, width: int):
    extent = extent_of(torch.rand(shape, generator=torch.Generator().manual_seed(0)))
    assert (extent.rows, extent.width) == (rows, width)


def test_dense_softmax_is_normalised_over_the_class_axis():
    z = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    assert extent_of(torch.softmax(z, dim=1)).holds("simplex")
    assert not extent_of(torch.softmax(z, dim=2)).holds("simplex")


def test_rows_that_are_not_finite_are_left_out_of_the_sums_and_their_values_are_not():
    extent = extent_of(torch.tensor([[0.5, 0.5], [math.nan, 0.75], [-math.inf, 0.25]]))
    assert (extent.rows, extent.dropped, extent.largest_sum, extent.low, extent.high) == (1, 2, 1.0, 0.25, 0.75)


def test_plus_infinity_is_beyond_every_end():
    extent = extent_of(torch.tensor([[0.5, 0.5], [math.inf, 0.0]]))
    assert not any(extent.holds(region) for region in ("simplex", "unit", "symmetric"))


def test_nothing_is_confirmed_of_no_rows():
    extent = extent_of(torch.full((4, 2), math.nan))
    assert (extent.rows, confirmed_region(extent)) == (0, "free")


@pytest.mark.parametrize(
    ("rows", "held"),
    [
        ([[0.25, 0.75], [1.0, 0.0]], {"simplex", "unit", "symmetric", "nonnegative"}),
        ([[0.25, 0.5], [1.0, 1.0]], {"unit", "symmetric", "nonnegative"}),
        ([[-0.25, 0.5], [1.0, -1.0]], {"symmetric"}),
        ([[0.0, 7.0], [1.0, 0.0]], {"nonnegative"}),
        ([[math.log(0.25), math.log(0.75)]], {"log_simplex"}),
        ([[-2.0, 7.0]], set()),
    ],
)
def test_an_extent_knows_what_it_holds(rows: list[list[float]], held: set[str]):
    regions = ("simplex", "log_simplex", "unit", "symmetric", "nonnegative")
    assert {region for region in regions if extent_of(torch.tensor(rows)).holds(region)} == held


def test_a_single_score_is_on_no_simplex():
    extent = extent_of(torch.ones(16, 1))
    assert not extent.holds("simplex")
    assert not extent_of(torch.zeros(16, 1)).holds("log_simplex")


@pytest.mark.parametrize("epsilon", [0.0, 1e-8, 1e-7, 1e-6, 1e-5])
@pytest.mark.parametrize("width", [2, 10, 1000])
def test_logarithms_with_an_epsilon_are_nearly_normalised(width: int, epsilon: float):
    z = 10 * torch.randn(64, width, generator=torch.Generator().manual_seed(width))
    rows = torch.log(torch.softmax(z, dim=1) + epsilon)
    assert extent_of(rows).is_nearly_log_normalised


@pytest.mark.parametrize("width", [2, 10, 1000])
def test_free_scores_are_not_nearly_log_normalised(width: int):
    for seed in range(20):
        rows = torch.randn(16, width, generator=torch.Generator().manual_seed(seed))
        assert not extent_of(rows, -rows.abs()).is_nearly_log_normalised


# What is confirmed of whole models, over many seeds. A region that is confirmed may become a failure, so sound heads
# are never confirmed to be in one where a loss behind it is kept from its minimum.


def stretched(z: Tensor, epsilon: float = 0.0) -> Tensor:
    low, high = z.amin(dim=1, keepdim=True), z.amax(dim=1, keepdim=True)
    return (z - low) / (high - low + epsilon)


class After(nn.Module):
    """A function applied to a model's scores."""

    def __init__(self, model: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model = model
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.model(x))


def subject_of(factory: Callable[[], nn.Module], classes: int, seed: int) -> Subject:
    task = "binary" if classes == 1 else "multiclass"
    arguments: dict[str, Any] = {
        "name": "net",
        "num_classes": max(classes, 2),
        "input_shape": (10,),
        "task": task,
    }
    return Subject(make_spec(factory, file=Path(__file__), line=1, arguments=arguments), Settings(seed=seed))


TRUNKS: dict[str, Callable[[int], nn.Module]] = {
    "linear": lambda k: nn.Linear(10, k),
    "mlp": sound.MLP,
    "deep": lambda k: sound.deep(6, k),
}
ACTIVATIONS: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "softmax": ("simplex", lambda z: torch.softmax(z, dim=1)),
    "softmax by hand": ("simplex", by_hand),
    "log_softmax": ("log_simplex", lambda z: torch.log_softmax(z, dim=1)),
    "sigmoid": ("unit", torch.sigmoid),
    "hardsigmoid": ("unit", F.hardsigmoid),
    "least to 0, greatest to 1": ("stretched", stretched),
    "the same with an epsilon": ("stretched", lambda z: stretched(z, 1e-6)),
    "clamp to 0, 1": ("unit", lambda z: z.clamp(0, 1)),
    "tanh": ("symmetric", torch.tanh),
    "hardtanh": ("symmetric", F.hardtanh),
    "softsign": ("symmetric", F.softsign),
    "clamp to -5, 5": ("bounded", lambda z: z.clamp(-5, 5)),
    "2 tanh": ("bounded", lambda z: 2 * torch.tanh(z)),
    "atan": ("bounded", torch.atan),
    "relu": ("nonnegative", torch.relu),
    "relu6": ("nonnegative", F.relu6),
}


@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_confirmed(name: str, trunk: str):
    region, function = ACTIVATIONS[name]
    for classes in (1, 2, 10, 100):
        if classes > 2 or not (region == "stretched" or (classes == 1 and region.endswith("simplex"))):
            for seed in range(2):
                assert subject_of(lambda k=classes: After(TRUNKS[trunk](k), function), classes, seed).region == region


def masked(value: float) -> Callable[[Tensor], Tensor]:
    """Half of the classes are never possible."""
    return lambda z: torch.cat([z[:, ::2], torch.full_like(z[:, 1::2], value)], dim=1)[:, : z.shape[1]]


class Constant(nn.Module):
    """A bias and nothing else: all rows are the same."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.bias.expand(len(x), -1)


class Bags(nn.Module):
    """Scores that no parameter scales, such as those of a table that is not trained."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("table", torch.randn(10, classes))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.table


SOUND: dict[str, Callable[[int], nn.Module]] = {
    **TRUNKS,
    "very deep": lambda k: sound.deep(20, k),
    "cosine of scale 16": lambda k: sound.Cosine(k, 16.0),
    "minus distance": sound.Distance,
    "soft cap at 30": sound.SoftCapped,
    "zero head": sound.ZeroHead,
    "logits in [0, 1] at first": sound.UnitLogits,
    "mixture": sound.Gated,
    "constant": Constant,
    "no parameters": Bags,
    "batch norm": lambda k: nn.Sequential(nn.Linear(10, k), nn.BatchNorm1d(k, affine=False)),
    "layer norm": lambda k: nn.Sequential(nn.Linear(10, k), nn.LayerNorm(k)),
    "dropout": lambda k: After(sound.MLP(k), lambda z: F.dropout(z, 0.5)),
    "least score at 0": lambda k: After(sound.MLP(k), lambda z: z - z.min(dim=1, keepdim=True).values if k > 1 else z),
    "masked by -1e9": lambda k: After(sound.MLP(k), masked(-1e9)),
    "masked by -inf": lambda k: After(sound.MLP(k), masked(-math.inf)),
    "float16": lambda k: sound.MLP(k).half(),
    "bfloat16": lambda k: sound.MLP(k).bfloat16(),
    **{
        f"{trunk} and {name}": lambda k, t=TRUNKS[trunk], f=function: After(t(k), f)
        for trunk in TRUNKS
        for name, function in (
            ("softplus", F.softplus),
            ("exp", torch.exp),
            ("elu + 1", lambda z: F.elu(z) + 1),
            ("square", torch.square),
            ("elu", F.elu),
            ("gelu", F.gelu),
            ("leaky relu", F.leaky_relu),
        )
    },
}
# By the floor of their bound: 16 is the least of the sound ones, and leaves cross entropy (K-1) e**-32.
HARMLESS_BOUND = 15.9


@pytest.mark.parametrize("name", SOUND)
def test_sound_heads_are_never_confirmed_to_be_confined(name: str):
    # Two seeds of each of 4 widths for each of 40 heads: more than 300 spreads.
    for classes in (1, 2, 10, 100):
        for seed in range(2):
            subject = subject_of(lambda k=classes: SOUND[name](k), classes, seed)
            region = subject.region
            assert region == "free" or (region == "bounded" and subject.scan.bound > HARMLESS_BOUND), (classes, seed)


def test_outputs_that_are_all_zero_are_in_no_pile_at_an_end():
    # A stochastic mask that happened to drop every score looks the same at every scale, as it is seeded alike.
    assert confirmed_region(extent_of(*[torch.zeros(16, 1)] * 7)) == "free"


@pytest.mark.parametrize("width", [1, 2, 10, 100])
def test_free_scores_at_the_scales_of_the_scan_are_free(width: int):
    # 300 draws of seven samples. That 16 normal scores lie within [0, 1] at seven scales, or a quarter of them within
    # 1 % of a bound set by another scale, has no chance worth computing.
    rng = torch.Generator().manual_seed(width)
    for _ in range(300):
        scales = (0.3, 1.0, 4.0, 16.0, 64.0, 256.0, 1024.0)
        assert confirmed_region(extent_of(*(s * torch.randn(16, width, generator=rng) for s in scales))) == "free"


# Confining and undoing.


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("region", ["simplex", "unit"])
def test_undo_gives_the_scores_back(region: Any, dtype: torch.dtype):
    # Rounding p to a unit u moves log p by u, and logit(p) by u / (1 - p), which is u e**|z| or less. Scores are at
    # most 5 here, and each map takes a few roundings: 8 in all.
    rng = torch.Generator().manual_seed(0)
    z = torch.empty(1000, 5, dtype=dtype).uniform_(-5, 5, generator=rng)
    back = undo(region)(confine(region)(z))
    if region == "simplex":
        back, z = torch.log_softmax(back, dim=1), torch.log_softmax(z, dim=1)
    bound = 8 * torch.finfo(dtype).eps * (math.exp(5) if region == "unit" else 1 + float(z.abs().max()))
    assert float((back - z).abs().max()) <= bound


@pytest.mark.parametrize("region", ["simplex", "unit"])
def test_undo_is_finite_at_the_ends(region: Any):
    outputs = torch.tensor([[0.0, 1.0]], requires_grad=True)
    scores = undo(region)(outputs)
    scores.sum().backward()
    assert scores.isfinite().all()
    assert float((scores[0, 1] - scores[0, 0]).detach()) > 15


@pytest.mark.parametrize(("region", "bound"), [("symmetric", 1.0), ("bounded", 2.5)])
def test_undo_makes_room_within_a_bound(region: Any, bound: float):
    z = torch.tensor([[-9.0, 9.0]], dtype=torch.float64)
    squashed = confine(region, bound)(z)
    assert float(squashed.abs().max()) <= bound
    assert torch.equal(undo(region)(squashed), 16 * squashed)


@pytest.mark.parametrize("region", ["nonnegative", "log_simplex", "free"])
def test_what_cannot_be_undone_from_outside_is_refused(region: Any):
    with pytest.raises(ValueError, match=f"a {region} output cannot be undone"):
        undo(region)


@pytest.mark.parametrize("region", ["simplex", "stretched", "unit", "symmetric", "bounded", "nonnegative"])
def test_confined_scores_lie_in_the_region_and_its_undoing_has_words(region: Any):
    z = 4 * torch.randn(64, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert extent_of(confine(region, 3.0 if region == "bounded" else 1.0)(z)).holds(region)
    assert region in UNDONE


def test_free_scores_are_left_as_they_are():
    z = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(confine("free")(z), z)


@pytest.mark.parametrize(
    ("floor", "least", "at_zero", "material"),
    [(0.3133, 0.0, math.log(2), True), (0.04 * math.log(2), 0.0, math.log(2), False), (0.1, 0.1, 0.7, False)],
)
def test_a_floor_is_material_where_it_hides_a_share_of_the_loss(
    floor: float, least: float, at_zero: float, material: bool
):
    assert is_material(floor, least, at_zero) is material


@pytest.mark.parametrize("numbers", [(math.nan, 0.0, 1.0), (1.0, math.nan, 1.0), (0.5, 0.0, math.nan)])
def test_a_floor_that_is_not_known_is_not_material(numbers: tuple[float, float, float]):
    assert not is_material(*numbers)


def test_scores_that_overflow_are_confined_to_nothing():
    """Every number is within a share of infinity of it, and so no number is near it."""
    extent = Extent()
    for scale in (1.0, 10.0, 100.0, 1000.0):
        scores = scale * torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
        scores[0, 0] = math.inf
        extent.add(scores, scattered=0.0)
    assert confirmed_region(extent) == "free"


@pytest.mark.parametrize("shape", [(16, 3), (16, 3, 500)], ids=["few", "many"])
@pytest.mark.parametrize("bend", [lambda z: z, lambda z: z.softmax(dim=1), lambda z: z.exp()], ids=["", "sum", "inf"])
def test_settings_that_are_added_at_once_are_measured_as_one_by_one(
    bend: Callable[[Tensor], Tensor], shape: tuple[int, ...]
):
    rng = torch.Generator().manual_seed(0)
    settings = [(amount, bend((0.1 + amount) * torch.randn(shape, generator=rng))) for amount in (0.0, 1.0, 4.0, 16.0)]
    together, one_by_one = Extent(), Extent()
    together.add_settings(settings)
    for amount, scores in settings:
        one_by_one.add(scores, scattered=amount)
    assert repr(together) == repr(one_by_one)
    assert len(together.samples) == len(one_by_one.samples) == len(settings)
