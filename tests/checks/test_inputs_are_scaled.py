from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.checks.planted import found, result_of
from tests.zoo import sound

CHECK = "inputs_are_scaled"


def judge(x: Any, factory: Any = None, **arguments: Any) -> Any:
    given = {"num_classes": 3, "batches": lambda: [(x, torch.arange(16) % 3)], **arguments}
    return result_of(CHECK, factory or (lambda: sound.MLP(3)), **given)


def raw(*shape: int) -> Tensor:
    return torch.arange(16 * 10 * 24).view(16, -1)[:, : shape[0]].remainder(256).float()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_numbers_that_are_not_finite_are_found_with_their_batch(value: float):
    x = torch.randn(16, 10)
    bad = x.clone()
    bad[3, 4] = value
    pairs = [(x, torch.arange(16) % 3), (bad, torch.arange(16) % 3)]
    result = judge(None, batches=lambda: pairs)
    assert found(result) == ("failed", "non_finite_values")
    assert result.verdict.counterexample == {"batch": 2, "bad": 1}
    assert "1 of 160 numbers in the inputs of batch 2" in result.verdict.measured


def test_raw_bytes_as_floats_are_advice():
    result = judge(raw(10))
    assert found(result) == ("advice", "unscaled_inputs")
    assert result.verdict.evidence["root_mean_square"][0] > 100


@pytest.mark.parametrize("factor", [1e-4, 1e-2, 1e2, 1e6])
def test_sizes_out_of_range_are_advice(factor: float):
    assert found(judge(torch.randn(16, 10) * factor)) == ("advice", "unscaled_inputs")


@pytest.mark.parametrize("x", [torch.randn(16, 10), torch.rand(16, 10), 5 * torch.randn(16, 10), torch.zeros(16, 10)])
def test_sizes_near_one_pass(x: Tensor):
    assert judge(x).outcome == "passed"


NORMALISED: dict[str, Any] = {
    "BatchNorm": lambda: nn.Sequential(nn.BatchNorm1d(10), sound.MLP(3)),
    "LayerNorm": lambda: nn.Sequential(nn.LayerNorm(10), sound.MLP(3)),
    "BatchNorm without weights": lambda: nn.Sequential(nn.BatchNorm1d(10, affine=False), sound.MLP(3)),
    "behind dropout": lambda: nn.Sequential(nn.Dropout(0.1), nn.BatchNorm1d(10), sound.MLP(3)),
}


@pytest.mark.parametrize("name", NORMALISED)
def test_a_normalisation_that_comes_first_takes_the_size_out(name: str):
    result = judge(raw(10), NORMALISED[name])
    assert result.outcome == "passed"
    assert "_norm() comes first" in result.verdict.measured


def test_a_normalisation_that_comes_later_does_not():
    factory = lambda: nn.Sequential(nn.Linear(10, 10), nn.BatchNorm1d(10), sound.MLP(3))  # noqa: E731
    assert found(judge(raw(10), factory)) == ("advice", "unscaled_inputs")


class Before(sound.MLP):
    """Something is done to the inputs before the first layer."""

    def __init__(self, change: Any) -> None:
        super().__init__(3)
        self.change = change
        self.register_buffer("mean", torch.full((10,), 127.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.change(self, x))


RESCALED: dict[str, Any] = {
    "divided": lambda model, x: x / 255,
    "divided in place": lambda model, x: x.div_(255),
    "less a buffer": lambda model, x: (x - model.mean) / 74,
    "in two steps": lambda model, x: x.mul(2).sub(255) / 255,
    "by their own size": lambda model, x: x / x.norm(dim=1, keepdim=True),
    "layer_norm": lambda model, x: F.layer_norm(x, (10,)),
    "normalize": lambda model, x: 3 * F.normalize(x, dim=1),
    "logarithms": lambda model, x: x.log1p(),
}


@pytest.mark.parametrize("name", RESCALED)
def test_what_forward_rescales_itself_passes(name: str):
    result = judge(raw(10), lambda: Before(RESCALED[name]))
    assert result.outcome == "passed", result.verdict.measured


@pytest.mark.parametrize("change", [lambda model, x: x + 1, lambda model, x: x - model.mean, lambda model, x: 2 * x])
def test_what_forward_leaves_large_is_advice(change: Any):
    assert found(judge(raw(10), lambda: Before(change))) == ("advice", "unscaled_inputs")


def test_what_forward_makes_large_again_is_advice():
    assert found(judge(raw(10), lambda: Before(lambda model, x: 255 * (x / 255)))) == ("advice", "unscaled_inputs")


class Columns(nn.Module):
    """The first column is a category; a large prior is added to the scores."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.net = nn.Embedding(1000, 4), nn.Linear(4 + 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.cat([self.embed(x[:, 0].long().clamp(0, 999)), x[:, 1:]], dim=1)
        return self.net(hidden) + torch.tensor([0.0, 0.0, -1000.0])


def test_a_column_of_categories_has_no_size():
    x = torch.cat([torch.arange(16.0).unsqueeze(1) * 60, torch.randn(16, 3)], dim=1)
    assert judge(x, Columns, input_shape=(4,)).outcome == "passed"
    large = torch.cat([x[:, :1], 100 * x[:, 1:]], dim=1)
    assert found(judge(large, Columns, input_shape=(4,))) == ("advice", "unscaled_inputs")


SPARSE: dict[str, Tensor] = {
    "one-hot": F.one_hot(torch.arange(16), 3000).float(),
    "counts": torch.poisson(torch.full((16, 3000), 0.0005), generator=torch.Generator().manual_seed(0)),
    "length 1": F.normalize(torch.randn(16, 3000), dim=1),
    "shares": torch.rand(16, 3000).softmax(dim=1),
}


@pytest.mark.parametrize("name", SPARSE)
def test_wide_inputs_of_a_size_that_is_meant_pass(name: str):
    result = judge(SPARSE[name], lambda: nn.Linear(3000, 3), input_shape=(3000,))
    assert result.verdict.evidence["root_mean_square"][0] < 1 / 30
    assert result.outcome == "passed"


def test_images_divided_by_255_twice_are_advice():
    images = torch.randint(0, 256, (16, 3, 8, 8)).float() / 255 / 255
    assert found(judge(images, lambda: sound.CNN(3), **sound.IMAGE)) == ("advice", "unscaled_inputs")


def test_a_tensor_of_zeros_beside_another_has_no_size():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.other = nn.Linear(10, 3), nn.Linear(4, 3)

        def forward(self, x: Tensor, other: Tensor) -> Tensor:
            return self.net(x) + self.other(other)

    def inputs(count: int, rng: torch.Generator) -> Any:
        return torch.randn(count, 10, generator=rng), torch.zeros(count, 4)

    assert judge(inputs(16, torch.Generator()), Two, inputs=inputs).outcome == "passed"


def test_inputs_that_forward_writes_into_stay_as_they_are():
    x = raw(10)
    before = x.clone()
    judge(x, lambda: Before(RESCALED["divided in place"]))
    assert torch.equal(x, before)


def test_a_normalisation_does_not_take_nan_out():
    assert judge(torch.full((16, 10), torch.nan), NORMALISED["BatchNorm"]).outcome == "failed"


def test_images_with_batch_norm_first_pass():
    images = torch.randint(0, 256, (16, 3, 8, 8)).float()
    for first, outcome in ((nn.BatchNorm2d(3), "passed"), (nn.Identity(), "advice")):
        result = judge(images, lambda first=first: nn.Sequential(first, sound.CNN(3)), **sound.IMAGE)
        assert result.outcome == outcome


@pytest.mark.parametrize("kind", [tuple, list, dict])
def test_every_float_of_a_batch_is_looked_at(kind: Any):
    mixed = {"ids": torch.arange(16), "x": torch.randn(16, 10), "y": torch.full((16, 2), torch.nan)}
    assert found(judge(mixed if kind is dict else kind(mixed.values()))) == ("failed", "non_finite_values")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.int32])
def test_integers_are_not_looked_at(dtype: torch.dtype):
    result = judge(torch.zeros(16, 10).to(dtype))
    assert result.outcome == "not_applicable"


def test_tokens_are_not_looked_at():
    assert judge(torch.randint(1, 200, (16, 12)), lambda: sound.LSTM(3), **sound.TOKENS).outcome == "not_applicable"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_size_is_computed_without_overflow(dtype: torch.dtype):
    # The squares of half a thousand are beyond float16.
    result = judge(torch.full((16, 10), 500.0).to(dtype), lambda: sound.MLP(3).to(dtype))
    assert result.verdict.evidence["root_mean_square"] == [500.0]


def test_without_batches_there_is_nothing_to_look_at():
    assert result_of(CHECK, lambda: sound.MLP(2)).outcome == "not_applicable"
