from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pytest_logits
from pytest_logits.checks.no_class_is_privileged import MOST_PASSES, SETTINGS
from pytest_logits.finding import Result
from tests.checks.planted import found, result_of
from tests.zoo import sound

CHECK = "no_class_is_privileged"


class Made(sound.MLP):
    """Scores that a function makes of ``width`` free ones."""

    def __init__(self, width: int, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__(width)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.net(x))


def judge(function: Any, *, width: int = 4, classes: int = 4, **arguments: Any) -> Any:
    return result_of(CHECK, lambda: Made(width, function), num_classes=classes, **arguments)


def below_another(z: Tensor) -> Tensor:
    return torch.cat([z[:, :3], z[:, :1] - z[:, 3:].exp()], dim=1)


def least_of_all(z: Tensor) -> Tensor:
    return torch.cat([z[:, :3], z[:, :3].min(dim=1, keepdim=True).values - 1], dim=1)


def penalised(z: Tensor) -> Tensor:
    """It wins where the parameters are scattered by more than BENT."""
    return z - 1e4 * F.one_hot(torch.tensor(2), 4)


def on_one_side(z: Tensor) -> Tensor:
    """Two scores that a threshold on the wrong side keeps in order."""
    return torch.stack([z[:, 0].abs(), -z[:, 0].abs()], dim=1)


@pytest.mark.parametrize(
    ("function", "classes", "which", "above"),
    [(below_another, 4, 3, 0), (least_of_all, 4, 3, 0), (on_one_side, 2, 1, 0), (penalised, 4, 2, 0)],
)
def test_a_class_that_never_wins_is_found(function: Any, classes: int, which: int, above: int):
    result = judge(function, classes=classes)
    assert found(result) == ("failed", "unreachable_class")
    assert result.verdict.counterexample is not None
    assert (result.verdict.counterexample["class"], result.verdict.counterexample["never_above"]) == (which, above)
    assert result.verdict.evidence["unreachable"] == [which]


class Shrinks(sound.MLP):
    """Its last class is as high as 5 where parameters are near 0, which no noise takes them to, and training does."""

    def __init__(self) -> None:
        super().__init__(3)
        self.height = nn.Parameter(torch.full((8,), 0.2))

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        return torch.cat([scores[:, :2].abs(), scores[:, 2:], scores[:, :1] * 0 + 5 - 10 * self.height.norm()], dim=1)


def test_a_class_that_only_training_makes_win_is_no_fault():
    result = result_of(CHECK, Shrinks, num_classes=4)
    assert result.outcome == "passed"
    assert result.passes.backward > 0


def mean_of_the_others(z: Tensor) -> Tensor:
    return torch.cat([z[:, :2], z.mean(dim=1, keepdim=True), z[:, 2:]], dim=1)


def between_two(z: Tensor) -> Tensor:
    return torch.cat([z[:, :2], 0.3 * z[:, :1] + 0.7 * z[:, 2:3], z[:, 2:]], dim=1)


@pytest.mark.parametrize("classes", [3, 5, 100])
def test_a_class_that_is_the_mean_of_the_others_is_found(classes: int):
    result = judge(mean_of_the_others, width=classes - 1, classes=classes)
    assert found(result) == ("failed", "unreachable_class")
    assert result.verdict.evidence["unreachable"] == [2]


def test_a_class_between_two_others_is_found_though_the_scores_are_small():
    result = result_of(CHECK, lambda: nn.Sequential(nn.Linear(10, 4), Between()), num_classes=5)
    assert found(result) == ("failed", "unreachable_class")
    assert result.verdict.evidence["unreachable"] == [2]


def test_a_class_that_lies_between_two_because_another_is_made_from_it_is_found():
    result = judge(lambda z: torch.cat([z[:, :3], 2 * z[:, :1] - z[:, 1:2]], dim=1))
    assert found(result) == ("failed", "unreachable_class")
    assert result.verdict.evidence["unreachable"] == [0]


class Between(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return between_two(z)


@pytest.mark.parametrize(
    "function",
    [
        lambda z: z - z.mean(dim=1, keepdim=True),
        lambda z: torch.cat([z[:, :3], z[:, :3].mean(dim=1, keepdim=True) + z[:, 3:].relu()], dim=1),
        lambda z: torch.cat([z[:, :3], -z[:, :3].mean(dim=1, keepdim=True)], dim=1),
        lambda z: torch.cat([z[:, :3], 0.9 * z[:, :3].mean(dim=1, keepdim=True) + 0.1 * z[:, 3:]], dim=1),
    ],
    ids=["centred", "lifted from the mean", "against the mean", "mostly the mean"],
)
def test_a_score_that_depends_on_the_others_and_can_win_passes(function: Any):
    assert judge(function).outcome == "passed"


def test_several_classes_that_never_win_are_counted():
    result = judge(lambda z: torch.cat([z, z[:, :2] - 1], dim=1), classes=6)
    assert result.verdict.evidence["unreachable"] == [4, 5]
    assert "So is that of 1 more" in result.verdict.measured


def test_it_is_found_in_every_position_of_a_dense_output():
    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(4, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            z = self.conv(x)
            return torch.cat([z, z[:, :1] - 1], dim=1)

    result = result_of(CHECK, Dense, input_shape=(4, 12), num_classes=4)
    assert found(result) == ("failed", "unreachable_class")


def ordinal(z: Tensor) -> Tensor:
    """The log of the probability that a logistic variable falls between thresholds."""
    below = torch.sigmoid(torch.tensor([-2.0, 0.0, 2.0]) - z[:, :1])
    ends = torch.zeros(len(z), 1), torch.ones(len(z), 1)
    return torch.cat([ends[0], below, ends[1]], dim=1).diff(dim=1).clamp_min(1e-12).log()


def binomial(z: Tensor) -> Tensor:
    k = torch.arange(6.0)
    return torch.lgamma(torch.tensor(6.0)) - torch.lgamma(k + 1) - torch.lgamma(6 - k) + k * z[:, :1]


SOUND: dict[str, tuple[Any, int]] = {
    "free": (lambda z: z, 4),
    "a hundred": (lambda z: z, 100),
    "one of them 0": (lambda z: torch.cat([torch.zeros(len(z), 1), z], dim=1), 5),
    "antisymmetric": (lambda z: torch.cat([-z[:, :1], z[:, :1]], dim=1), 2),
    "with a prior": (lambda z: z + torch.tensor([0.97, 0.01, 0.01, 0.01]).log(), 4),
    "scaled by class": (lambda z: z * torch.tensor([1.0, 2.0, 5.0, 10.0]), 4),
    "negative": (lambda z: -F.softplus(z), 4),
    "log-softmax": (lambda z: z.log_softmax(dim=1), 4),
    "distances on a line": (lambda z: -(z[:, :1] - torch.arange(8.0)).square(), 8),
    "ordinal": (ordinal, 4),
    "binomial": (binomial, 6),
    "capped": (lambda z: 30 * torch.tanh(z / 30), 4),
}


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sound_heads_pass(name: str, seed: int):
    function, classes = SOUND[name]
    result = judge(function, width=classes if name == "a hundred" else 4, classes=classes, seed=seed)
    assert result.outcome == "passed", result.verdict.measured


@pytest.mark.parametrize(
    ("factory", "arguments"),
    [
        (lambda: sound.Cosine(10, 16.0), {"num_classes": 10}),
        (lambda: sound.Distance(10), {"num_classes": 10}),
        (lambda: sound.deep(20, 10), {"num_classes": 10}),
        (lambda: sound.ZeroHead(10), {"num_classes": 10}),
        (lambda: sound.CNN(10), {**sound.IMAGE, "num_classes": 10}),
        (lambda: sound.LSTM(10), {**sound.TOKENS, "num_classes": 10}),
        (lambda: nn.Linear(1, 30), {"input_shape": (1,), "num_classes": 30}),
        (lambda: sound.MLP(4), {"num_classes": 4, "loss": sound.focal}),
        (lambda: sound.MLP(4), {"num_classes": 4, "loss": nn.MultiMarginLoss()}),
        (lambda: sound.MLP(4), {"num_classes": 4, "targets": "onehot"}),
        (lambda: sound.Softmax(4), {"num_classes": 4, "loss": sound.wants_probabilities}),
    ],
    ids=["cosine", "distance", "deep", "zero head", "CNN", "LSTM", "line", "focal", "hinge", "one-hot", "softmax"],
)
def test_sound_models_pass(factory: Any, arguments: dict[str, Any]):
    assert result_of(CHECK, factory, **arguments).outcome == "passed"


# What it costs beside the scan of outputs_are_logits and the training of loss_decreases_on_separable_data.
OTHERS = ("outputs_are_logits", "loss_decreases_on_separable_data")


def beside_others(factory: Callable[[], nn.Module], classes: int, **arguments: Any) -> Result:
    report = pytest_logits.check_classifier(
        factory, name="model", num_classes=classes, select=[*OTHERS, CHECK], **arguments
    )
    (result,) = (result for result in report if result.check == CHECK)
    return result


def forward_passes(factory: Callable[[], nn.Module], classes: int, **arguments: Any) -> int:
    result = beside_others(factory, classes, **arguments)
    assert result.outcome == "passed"
    return result.passes.forward


@pytest.mark.parametrize(("classes", "passes"), [(2, 0), (3, 0), (10, 0), (30, 0), (100, 3), (200, 8)])
def test_the_settings_of_the_scan_will_do_for_few_classes_and_a_few_more_for_many(classes: int, passes: int):
    assert forward_passes(lambda: sound.MLP(classes), classes, input_shape=(10,)) == passes


def test_many_classes_on_few_features_take_some_settings_of_one_copy():
    made = []

    def pooled() -> nn.Module:
        made.append(1)
        layers = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        return nn.Sequential(*layers, nn.Linear(8, 100))

    assert 4 < forward_passes(pooled, 100, input_shape=(3, 12, 12)) <= math.ceil(2 * math.log2(100))
    # One is scattered, one trained.
    assert len(made) == 2


@pytest.mark.parametrize(("classes", "most"), [(4, MOST_PASSES), (128, MOST_PASSES), (1500, 22 + 41)])
def test_a_class_that_never_wins_costs_no_more_than_is_said(classes: int, most: int):
    def factory() -> Made:
        return Made(classes - 1, lambda z: torch.cat([z, z[:, :1] - 1], dim=1))

    result = beside_others(factory, classes, input_shape=(10,))
    assert found(result) == ("failed", "unreachable_class")
    assert result.passes.forward <= most


# Masks and padding.


@pytest.mark.parametrize("value", [-torch.inf, -1e9])
def test_a_masked_class_is_advice(value: float):
    result = judge(lambda z: z.masked_fill(torch.arange(4) == 2, value))
    assert found(result) == ("advice", None)
    assert result.verdict.evidence["masked"] == [2]


@pytest.mark.parametrize(
    "loss", [nn.CrossEntropyLoss(weight=torch.tensor([1.0, 1.0, 0.0, 1.0])), nn.CrossEntropyLoss(ignore_index=2)]
)
def test_a_class_that_the_loss_ignores_is_advice(loss: nn.Module):
    result = judge(lambda z: z, loss=loss)
    assert found(result) == ("advice", "wrong_loss_weights")
    assert result.verdict.evidence["ignored"] == [2]
    assert "rows of class 2 have no effect" in result.verdict.measured


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 1.0, 1e-6, 1.0])),
        nn.CrossEntropyLoss(label_smoothing=0.9),
        nn.CrossEntropyLoss(reduction="sum"),
    ],
)
def test_a_class_that_counts_little_counts(loss: nn.Module):
    assert judge(lambda z: z, loss=loss).outcome == "passed"


def hardest(z: Tensor, y: Tensor) -> Tensor:
    """Online hard example mining: the mean of the highest losses."""
    return F.cross_entropy(z, y, reduction="none").topk(max(1, len(y) // 4)).values.mean()


def hardest_above(z: Tensor, y: Tensor) -> Tensor:
    losses = F.cross_entropy(z, y, reduction="none")
    return losses[losses > 2].sum() / len(y)


def trimmed(z: Tensor, y: Tensor) -> Tensor:
    """All but the highest losses, which wrong labels may have made."""
    return F.cross_entropy(z, y, reduction="none").topk(3 * len(y) // 4, largest=False).values.mean()


@pytest.mark.parametrize("loss", [hardest, hardest_above, trimmed])
def test_a_loss_of_some_rows_of_the_batch_ignores_no_class(loss: Any):
    assert judge(lambda z: z, loss=loss).outcome == "passed"


def test_a_loss_of_the_hardest_rows_may_ignore_a_class_as_well():
    def loss(z: Tensor, y: Tensor) -> Tensor:
        losses = F.cross_entropy(z, y, weight=torch.tensor([1.0, 1.0, 0.0, 1.0]), reduction="none")
        return losses.topk(2).values.mean()

    result = judge(lambda z: z, loss=loss)
    assert found(result) == ("advice", "wrong_loss_weights")
    assert result.verdict.evidence["ignored"] == [2]


@pytest.mark.parametrize(
    ("outputs", "arguments"),
    [(1, {"task": "binary", "num_classes": 2}), (4, {"task": "multilabel", "num_classes": 4}), (1, {"num_classes": 2})],
)
def test_where_no_class_is_chosen_of_several_there_is_nothing_to_look_at(outputs: int, arguments: dict[str, Any]):
    assert result_of(CHECK, lambda: sound.MLP(outputs), **arguments).outcome == "not_applicable"


def test_scores_that_are_never_a_number_decide_nothing():
    assert judge(lambda z: z * torch.nan).outcome == "inconclusive"


def test_settings_that_overflow_are_drawn_again():
    made = itertools.count()

    class Overflows(sound.MLP):
        def __init__(self) -> None:
            super().__init__(3)
            self.number = next(made)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * (1.0 if self.number % 20 == 19 else torch.nan)

    result = result_of(CHECK, Overflows, num_classes=3)
    assert result.outcome == "passed"
    assert result.passes.forward > SETTINGS


def test_where_no_parameters_are_drawn_nothing_is_said_of_other_settings():
    class Fixed(nn.Module):
        """A model fitted elsewhere, whose weights are no parameters."""

        def forward(self, x: Tensor) -> Tensor:
            return 1000 * x[:, :3] + torch.tensor([0.0, 1e5, 0.0])

    assert result_of(CHECK, Fixed, num_classes=3).outcome == "not_applicable"


class Tires(sound.MLP):
    """Puts class 0 below the others from the second call of one model on."""

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        tired = hasattr(self, "used")
        self.used = True
        return scores - 1e6 * F.one_hot(torch.tensor(0), scores.shape[1]) if tired else scores


def test_what_a_copy_keeps_from_setting_to_setting_is_not_held_against_the_model():
    assert result_of(CHECK, lambda: Tires(3), num_classes=3).outcome == "passed"
