from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pytest_logits.model import make_spec
from pytest_logits.pooled import POOLED_SETTINGS, is_clipped, pooled_from
from pytest_logits.settings import Settings
from pytest_logits.subject import Subject
from tests.zoo import sound


def pooled(factory, shape: tuple[int, ...]) -> tuple[int, int]:
    """From how many numbers each score is pooled, and in how many passes that was found."""
    spec = make_spec(
        factory, file=Path(__file__), line=1, arguments={"name": "net", "num_classes": 3, "input_shape": shape}
    )
    subject = Subject(spec, Settings())
    subject.sample_logits  # noqa: B018
    before = subject.passes
    return pooled_from(subject), (subject.passes - before).forward


def test_global_pooling_of_a_relu_is_seen_in_every_setting():
    assert pooled(lambda: sound.NetworkInNetwork(3), (3, 4, 4)) == (16, POOLED_SETTINGS)


def test_a_relu_on_the_scores_is_no_pooling():
    class Clipped(sound.MLP):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).relu()

    assert pooled(lambda: Clipped(3), (10,)) == (1, 1)


def test_a_relu_that_changes_nothing_as_initialised_is_seen_in_another_setting():
    class Clipped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk, self.head = nn.Linear(10, 48), nn.Linear(48, 3)
            nn.init.normal_(self.head.weight, std=0.01)
            nn.init.ones_(self.head.bias)

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.head(torch.relu(self.trunk(x))))

    least, passes = pooled(Clipped, (10,))
    assert least == 1
    assert 1 < passes <= POOLED_SETTINGS


class Clipped(sound.MLP):
    """ReLU on the scores."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


@pytest.mark.parametrize(
    ("factory", "shape", "clipped"),
    [
        (lambda: Clipped(3), (10,), True),
        (lambda: sound.MLP(3), (10,), False),
        (lambda: sound.NetworkInNetwork(3), (3, 4, 4), False),
    ],
    ids=["clipped", "free", "pooled"],
)
def test_scores_are_clipped_one_by_one(factory, shape: tuple[int, ...], clipped: bool):
    arguments = {"name": "net", "num_classes": 3, "input_shape": shape}
    spec = make_spec(factory, file=Path(__file__), line=1, arguments=arguments)
    assert is_clipped(Subject(spec, Settings())) == clipped
