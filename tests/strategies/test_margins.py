"""The margin of separable batches: what is measured is what is stated."""

from __future__ import annotations

import math

import pytest
import torch

from pytest_logits.strategies import SeparableBatch


def batch(**changes: object) -> SeparableBatch:
    given: dict[str, object] = {"size": 8, "input_shape": (3,), "num_classes": 2, "vocab_size": None, "scale": 1.0}
    return SeparableBatch(**{**given, "seed": 1, **changes})  # type: ignore[arg-type]


def test_it_is_the_distance_to_the_plane_between_two_class_means():
    made = batch()
    x, y = made.x.double(), made.labels
    first, second = x[y == y.min()].mean(dim=0), x[y == y.max()].mean(dim=0)
    along = (x - (first + second) / 2) @ ((second - first) / (second - first).norm())
    assert made.margin == pytest.approx(float((along * (2.0 * (y == y.max()) - 1)).min()))


def test_inputs_too_close_are_spread_and_others_are_not():
    close, far = batch(min_margin=10.0), batch(min_margin=1e-3)
    assert close.margin == pytest.approx(10.0, rel=1e-3)
    assert close.margin >= 10.0
    assert torch.equal(far.x, batch().x)
    ratio = close.x / batch().x
    assert torch.allclose(ratio, ratio[0, 0])


def test_the_scale_scales_it():
    assert batch(scale=3.0).margin == pytest.approx(3 * batch().margin, rel=1e-4)


def test_one_class_has_no_boundary():
    assert batch(size=1).margin == math.inf


def test_tokens_have_none():
    with pytest.raises(TypeError, match="no margin"):
        _ = batch(vocab_size=9).margin
