"""What a model takes and gives, guessed from its layers and tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pytest_logits.guess import CannotGuess, guess


class Words(nn.Module):
    """Tokens, a recurrent layer, the last state."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 4)
        self.rnn = nn.GRU(4, 5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(self.rnn(self.embedding(tokens))[0][:, -1])}


class Frames(nn.Module):
    """A sequence of features; the head is registered before what comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 4)
        self.attention = nn.TransformerEncoderLayer(6, 2, dim_feedforward=8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        assert x.ndim == 3
        return self.head(self.attention(x).mean(dim=1))


class Squeezed(nn.Module):
    """One probability per example, (N,)."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(7, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.head(x)).squeeze(1)


class TwoInputs(nn.Module):
    """It cannot be called with one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(7, 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.as_tensor(self.head(x + y))


class ClassesLast(nn.Module):
    """A label for each token, with the classes on the last axis."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.as_tensor(self.head(self.embedding(tokens)))


def digits() -> nn.Module:
    """It takes images of 28 by 28 only."""
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 26 * 26, 10))


def photos() -> nn.Module:
    """It takes images of any size."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))


def pixels() -> nn.Module:
    """A class for each pixel."""
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 1))


FLAT = {"input_shape": (10,), "num_classes": 3}


@pytest.mark.parametrize(
    ("factory", "arguments"),
    [
        (lambda: nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3)), FLAT),
        (nn.Linear(10, 3), FLAT),
        (lambda: nn.Linear(10, 3, dtype=torch.float64), FLAT),
        (lambda: nn.Sequential(nn.BatchNorm1d(10), nn.LazyLinear(3)), FLAT),
        (lambda: nn.Sequential(nn.LayerNorm(10), nn.LazyLinear(3)), FLAT),
        (digits, {"input_shape": (1, 28, 28), "num_classes": 10}),
        (photos, {"input_shape": (3, 32, 32), "num_classes": 5}),
        (pixels, {"input_shape": (3, 32, 32), "num_classes": 6}),
        (
            lambda: nn.Sequential(nn.Conv1d(2, 3, 5), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(3, 4)),
            {"input_shape": (2, 64), "num_classes": 4},
        ),
        (Words, {"vocab_size": 50, "num_classes": 3}),
        (Frames, {"input_shape": (16, 6), "num_classes": 4}),
        (lambda: nn.Linear(10, 1), {"input_shape": (10,), "num_classes": 2, "task": "binary"}),
        (Squeezed, {"input_shape": (7,), "num_classes": 2, "task": "binary", "loss": "bce"}),
        (lambda: nn.Sequential(nn.Linear(10, 3), nn.LogSoftmax(1)), {**FLAT, "loss": "nll_loss"}),
        # Softmax before cross entropy is what the checks are to find, and so is a sigmoid.
        (lambda: nn.Sequential(nn.Linear(10, 3), nn.Softmax(1)), FLAT),
        (lambda: nn.Sequential(nn.Linear(10, 3), nn.Sigmoid()), FLAT),
    ],
)
def test_a_guess_is_what_the_model_takes(factory: Any, arguments: dict[str, Any]):
    assert guess(factory).arguments == arguments


def test_a_guess_says_where_it_comes_from():
    told = guess(Squeezed).told
    assert told == (
        "input_shape=(7,) from Linear 'head', task='binary' from its one output, (2,) for a batch of 2, "
        "loss='bce' from the sigmoid at its end"
    )


def test_what_is_given_is_not_guessed():
    found = guess(photos, input_shape=(3, 8, 8))
    assert found.arguments == {"input_shape": (3, 8, 8), "num_classes": 5}
    assert found.told == "num_classes=5 from its output, (2, 5) for a batch of 2"
    assert guess(photos, num_classes=4).arguments == {"input_shape": (3, 32, 32), "num_classes": 4}


def test_a_shape_that_is_given_may_be_of_tokens():
    assert guess(Words, input_shape=(5,)).arguments == {"input_shape": (5,), "vocab_size": 50, "num_classes": 3}


@pytest.mark.parametrize(
    ("factory", "given", "message"),
    [
        (lambda: 3, {}, "it must return a torch.nn.Module; it returned int"),
        (lambda size: nn.Linear(size, 2), {}, "calling it with no arguments raised TypeError: .*name a function"),
        (nn.Identity, {}, "no layer that says what it takes; give --logit-input-shape"),
        (lambda: nn.Sequential(nn.Flatten(0), nn.Linear(7, 2)), {}, "none of 2 guesses .*give --logit-input-shape.*"),
        (TwoInputs, {}, "takes more than one input; register it with inputs="),
        (ClassesLast, {}, r"gives \(2, 16, 3\), with the classes last.*logits=lambda output: output.movedim\(-1, 1\)"),
        (photos, {"input_shape": (5,)}, "does not take --logit-input-shape"),
    ],
)
def test_what_cannot_be_guessed_says_what_to_give(factory: Callable[..., Any], given: dict[str, Any], message: str):
    with pytest.raises(CannotGuess, match=message):
        guess(factory, **given)


def test_a_guess_leaves_model_and_random_state_as_they_were():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2))
    before = torch.get_rng_state()
    guess(model)
    assert model.training
    assert int(model[0].num_batches_tracked) == 0
    assert torch.equal(torch.get_rng_state(), before)
