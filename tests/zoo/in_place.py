"""Models that write into their input, and such as only seem to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo import sound
from tests.zoo.entry import Fault, Trap
from tests.zoo.sound import FLAT

FLAT3 = {**FLAT, "num_classes": 3}
SEQUENCE = {"input_shape": (12,), "num_classes": 3}
CHECK = "evaluation_is_deterministic"


class Prepared(sound.MLP):
    """A network behind a function of the input."""

    def __init__(self, prepare: Callable[[Tensor], Tensor]) -> None:
        super().__init__(3)
        self.prepare = prepare

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.prepare(x))


def scaled_in_place(x: Tensor) -> Tensor:
    return x.mul_(2.0)  # FAULT


def scaled(x: Tensor) -> Tensor:
    return x.mul(2.0)


def shifted_by_assignment(x: Tensor) -> Tensor:
    x -= 0.5  # FAULT
    return x


def shifted(x: Tensor) -> Tensor:
    return x - 0.5


def first_channel_by_hand(x: Tensor) -> Tensor:
    x[:, 0] = x[:, 0] * (0.229 / 0.5) + (0.485 - 0.5) / 0.5  # FAULT
    return x


def first_channel_of_a_copy(x: Tensor) -> Tensor:
    x = x.clone()
    x[:, 0] = x[:, 0] * (0.229 / 0.5) + (0.485 - 0.5) / 0.5
    return x


def leaky_in_place(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.1, inplace=True)  # FAULT


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.1)


class Convolution(nn.Module):
    """Rows of numbers as a sequence of one channel."""

    def __init__(self, *, faulty: bool) -> None:
        super().__init__()
        self.body, self.head = nn.Conv1d(1, 8, 3), nn.Linear(8, 3)
        self.faulty = faulty

    def forward(self, x: Tensor) -> Tensor:
        channels = x.unsqueeze_(1) if self.faulty else x.unsqueeze(1)  # FAULT
        return self.head(torch.relu(self.body(channels)).mean(dim=2))


def _faults() -> Iterator[Fault]:
    for faulty, twin, words in (
        (scaled_in_place, scaled, "mul_"),
        (shifted_by_assignment, shifted, "-="),
        (first_channel_by_hand, first_channel_of_a_copy, "a column is assigned to"),
        (leaky_in_place, leaky, "a leaky ReLU in place"),
    ):
        yield Fault(
            name=faulty.__name__,
            words=words,
            cause="input_modified_in_place",
            factory=lambda faulty=faulty: Prepared(faulty),
            twin=lambda twin=twin: Prepared(twin),
            arguments=FLAT3,
        )
    yield Fault(
        name="UnsqueezedInPlace",
        words="unsqueeze_, so that a second pass raises",
        cause="input_modified_in_place",
        factory=lambda: Convolution(faulty=True),
        twin=lambda: Convolution(faulty=False),
        arguments=SEQUENCE,
    )


class ReluFirst(nn.Module):
    """What it writes into its input it would write again: the logits stay."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(10, 16), nn.ReLU(inplace=True), nn.Linear(16, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def put_back(x: Tensor) -> Tensor:
    doubled = x.mul_(2.0).clone()
    x.div_(2.0)
    return doubled


FAULTS = tuple(_faults())
TRAPS = (
    Trap(
        name="ReluFirst",
        words="a first layer in place that changes nothing twice",
        factory=ReluFirst,
        arguments=FLAT3,
        advice=(CHECK,),
    ),
    Trap(name="put_back", words="changed and put back", factory=lambda: Prepared(put_back), arguments=FLAT3),
)
