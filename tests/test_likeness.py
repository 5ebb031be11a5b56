"""Two models are alike where nothing that can be seen tells them apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.likeness import are_alike, losses_are_alike
from pytest_logits.loss_subject import LossSubject
from pytest_logits.model import make_loss_spec, make_spec
from pytest_logits.settings import Settings
from pytest_logits.subject import Subject


class Net(nn.Module):
    def __init__(self, change: Callable[[Tensor], Tensor] = lambda z: z) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.layer(x))


def subject(factory: Callable[[], nn.Module] = Net, **arguments: Any) -> Subject:
    given = {"name": "net", "input_shape": (4,), "num_classes": 3, **arguments}
    return Subject(make_spec(factory, file=Path(__file__), line=1, arguments=given), Settings())


def frozen() -> nn.Module:
    return Net().requires_grad_(False)


def reseeded(z: Tensor) -> Tensor:
    torch.manual_seed(0)
    return z


def in_train_mode_only() -> nn.Module:
    class Dropped(Net):
        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(super().forward(x), training=self.training)

    return Dropped()


def test_a_model_is_like_itself():
    assert are_alike(subject(), subject())


def test_a_change_that_never_shows_is_none():
    assert are_alike(subject(lambda: Net(torch.square)), subject(lambda: Net(lambda z: z.square().relu())))


def test_nll_of_log_probabilities_is_cross_entropy():
    def logs() -> nn.Module:
        return Net(lambda z: F.log_softmax(z, dim=1))

    assert are_alike(subject(logs), subject(logs, loss="nll_loss"))


@pytest.mark.parametrize(
    "factory",
    [
        lambda: Net(torch.relu),
        lambda: Net(Tensor.detach),
        lambda: Net(lambda z: z.squeeze()),
        lambda: Net(reseeded),
        lambda: Net(lambda z: z.double()),
        lambda: Net(lambda z: z.clamp(-60, 60)),
        lambda: nn.Sequential(Net()),
        in_train_mode_only,
        frozen,
    ],
    ids=["relu", "detach", "squeeze", "seed", "dtype", "clamp", "names", "dropout", "frozen"],
)
def test_a_change_that_shows_is_one(factory: Callable[[], nn.Module]):
    assert not are_alike(subject(), subject(factory))


def test_another_loss_is_a_change():
    assert not are_alike(subject(), subject(loss=nn.CrossEntropyLoss(label_smoothing=0.1)))


def raising_on(rows: int, error: type[Exception]) -> Callable[[], nn.Module]:
    def change(z: Tensor) -> Tensor:
        if len(z) <= rows:
            raise error("own")
        return z

    return lambda: Net(change)


def test_two_models_may_raise_the_same():
    assert are_alike(subject(raising_on(1, KeyError)), subject(raising_on(1, KeyError)))


@pytest.mark.parametrize("other", [raising_on(0, KeyError), raising_on(1, ValueError)], ids=["nothing", "another"])
def test_to_raise_something_else_is_a_change(other: Callable[[], nn.Module]):
    assert not are_alike(subject(raising_on(1, KeyError)), subject(other))


def test_of_two_that_only_raise_nothing_is_known():
    assert not are_alike(subject(raising_on(16, KeyError)), subject(raising_on(16, KeyError)))


def loss(function: Callable[[Tensor, Tensor], Tensor], **arguments: Any) -> LossSubject:
    given = {"name": "loss", "num_classes": 3, **arguments}
    return LossSubject.registered(make_loss_spec(function, file=Path(__file__), line=1, arguments=given), Settings())


def ce(z: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(z, y)


def by_hand(z: Tensor, y: Tensor) -> Tensor:
    return (z.logsumexp(dim=1) - z.gather(1, y.unsqueeze(1)).squeeze(1)).mean()


def unstable(z: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(z.exp().log(), y)


def half_the_slope(z: Tensor, y: Tensor) -> Tensor:
    return (F.cross_entropy(z, y) + F.cross_entropy(z.detach(), y)) / 2


def test_losses_of_the_same_value_and_gradient_are_alike():
    assert losses_are_alike(loss(ce), loss(by_hand))


@pytest.mark.parametrize("other", [unstable, half_the_slope])
def test_losses_of_another_value_or_gradient_are_not(other: Callable[[Tensor, Tensor], Tensor]):
    assert not losses_are_alike(loss(ce), loss(other))


def test_a_loss_that_raises_is_not_like_one_that_does_not():
    assert not losses_are_alike(loss(ce), loss(ce, targets=lambda labels: labels + 1))
