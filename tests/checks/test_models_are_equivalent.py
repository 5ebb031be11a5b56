from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits import doubled
from pytest_logits.finding import Result
from pytest_logits.model_registry import isolated, register
from tests.checks.planted import result_of
from tests.zoo import sound

CHECK = "models_are_equivalent"
BINARY: dict[str, Any] = {"num_classes": 2, "task": "binary"}


@pytest.fixture(autouse=True)
def as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubled, "SECONDS", math.inf)


@pytest.fixture(autouse=True)
def no_other_models() -> Iterator[None]:
    with isolated():
        yield


class Net(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.BatchNorm1d(16))
        self.head = nn.Linear(16, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class Halved(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 2


class Detached(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).detach())


class Scaled(Net):
    """The gradient of the trunk is scaled on its way."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        return self.head(h.detach() + 2 * (h - h.detach()))


class Renamed(nn.Module):
    def __init__(self, outputs: int, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(10, 16), activation(), nn.BatchNorm1d(16))
        self.classifier = nn.Linear(16, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


class Dropped(Net):
    """Dropout drawn in train mode, on the features or on the inputs of the last layer in two steps."""

    def __init__(self, outputs: int, first: bool) -> None:
        super().__init__(outputs)
        self.first = first

    def forward(self, x: Tensor) -> Tensor:
        if self.first:
            torch.rand(3)
        return self.head(F.dropout(self.body(x), 0.5, self.training))


class SquashedHead(Net):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(super().forward(x))


class Narrow(Net):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.body(x).float(), self.head.weight.float(), self.head.bias.float())


class FloatOnly(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) @ torch.eye(self.head.out_features)


class Margin(nn.Module):
    """The margin of a model of two logits."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net(2)

    def forward(self, x: Tensor) -> Tensor:
        z = self.net(x)
        return z[:, 1] - z[:, 0]


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = Net(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def against(model: Any, other: Any, mine: dict[str, Any] | None = None, its: dict[str, Any] | None = None) -> Result:
    """The check on a model of two logits registered as equivalent to one of a single logit, or as said."""
    register(other, name="other", **{"input_shape": (10,), **(BINARY if its is None else its)})
    return result_of(CHECK, model, equivalent_to="other", **(mine or {}))


MULTI = {"num_classes": 2}


@pytest.mark.parametrize(
    ("model", "other", "mine", "its"),
    [
        (lambda: Net(2), lambda: Net(1), None, None),
        (lambda: Net(1), lambda: Net(2), BINARY, MULTI),
        (lambda: Net(2), lambda: Net(2), None, MULTI),
        (lambda: Net(5), lambda: Net(5), {"num_classes": 5}, {"num_classes": 5}),
        (lambda: Net(2), lambda: Renamed(1), None, None),
        (lambda: Net(2), lambda: Renamed(2), None, MULTI),
        (Wrapped, Margin, None, None),
        (lambda: Dropped(2, True), lambda: Dropped(1, True), None, None),
        (lambda: Dropped(2, True), lambda: Dropped(1, False), None, None),
        (lambda: sound.CNN(2), lambda: sound.CNN(1), sound.IMAGE, {**sound.IMAGE, **BINARY}),
        (lambda: sound.LSTM(2), lambda: sound.LSTM(1), sound.TOKENS, {**sound.TOKENS, **BINARY}),
        (lambda: sound.Transformer(2), lambda: sound.Transformer(1), sound.TOKENS, {**sound.TOKENS, **BINARY}),
        (lambda: sound.LogSoftmax(2), lambda: sound.MLP(2), {"loss": "nll_loss"}, MULTI),
    ],
    ids=[
        "two and one",
        "one and two",
        "alike",
        "five classes",
        "renamed twin",
        "renamed copy",
        "same parameters",
        "dropout",
        "dropout in another order",
        "cnn",
        "lstm",
        "transformer",
        "log_softmax",
    ],
)
def test_equivalent_models_pass(model: Any, other: Any, mine: Any, its: Any):
    result = against(model, other, mine, its)
    assert result.outcome == "passed", result.verdict
    assert result.verdict.evidence["training"].keys() == {"weight decay", "momentum", "adam"}
    assert result.passes.backward > 0


@pytest.mark.parametrize(
    ("other", "its"),
    [(lambda: Halved(1), None), (lambda: Halved(2), MULTI)],
    ids=["two and one", "alike"],
)
def test_other_outputs_fail_with_the_row_and_both_values(other: Any, its: Any):
    result = against(lambda: Net(2), other, None, its)
    assert (result.outcome, result.verdict.cause) == ("failed", None)
    found = result.verdict.counterexample
    assert found is not None
    assert abs(found["left"] - found["right"]) > found["bound"]
    assert len(found["rows"]) == 1


def test_a_factor_between_the_outputs_is_told():
    assert "2 times as much" in against(lambda: Net(2), lambda: Halved(1)).verdict.measured


@pytest.mark.parametrize("pair", [(lambda: Net(2), lambda: Detached(1)), (lambda: Detached(2), lambda: Net(1))])
def test_a_graph_that_is_cut_in_one_of_them_fails_at_its_first_parameter(pair: Any):
    result = against(*pair)
    assert (result.outcome, result.verdict.cause) == ("failed", "detached_graph")
    found = result.verdict.counterexample
    assert found is not None
    assert (found["where"], found["step"]) == ("body.0.weight", 1)


def test_another_gradient_fails_with_parameter_and_step():
    result = against(lambda: Net(2), lambda: Scaled(1))
    assert (result.outcome, result.verdict.cause) == ("failed", None)
    assert "body.0.weight is" in result.verdict.measured
    assert "at step 1" in result.verdict.measured


# Losses

W = torch.tensor([1.0, 3.0])
CE, BCE = nn.CrossEntropyLoss, nn.BCEWithLogitsLoss


def smooth(labels: Tensor) -> Tensor:
    return (0.8 * labels.float() + 0.1).unsqueeze(1)


@pytest.mark.parametrize(
    ("loss", "other"),
    [
        (CE(weight=W, reduction="sum"), {"loss": BCE(pos_weight=W[1], reduction="sum")}),
        (CE(label_smoothing=0.2), {"loss": BCE(), "targets": smooth}),
        (CE(), {"loss": nn.BCELoss(), "logits": torch.sigmoid}),
    ],
    ids=["weights summed", "smoothing", "probabilities"],
)
def test_equivalent_losses_pass(loss: Any, other: dict[str, Any]):
    result = against(lambda: Net(2), lambda: Net(1), {"loss": loss}, {**BINARY, **other})
    assert result.outcome == "passed", result.verdict


@pytest.mark.parametrize(
    ("loss", "other", "told"),
    [
        (
            CE(weight=W, reduction="sum"),
            BCE(pos_weight=1 / W[1], reduction="sum"),
            "weights the classes 1 and 3, summed, and other weights the classes 1 and 0.333333, summed",
        ),
        (CE(weight=W), BCE(pos_weight=W[1]), "averaged over the weights, and other weights the classes 1 and 3"),
        (CE(), BCE(reduction="sum"), "0.0625 times as much"),
        (CE(label_smoothing=0.1), BCE(), "with label_smoothing 0.1"),
    ],
    ids=["pos_weight the wrong way round", "another mean", "another reduction", "smoothing"],
)
def test_other_losses_fail_with_what_they_are(loss: Any, other: Any, told: str):
    result = against(lambda: Net(2), lambda: Net(1), {"loss": loss}, {**BINARY, "loss": other})
    assert result.outcome == "failed"
    assert told in result.verdict.measured
    assert "the loss on" in result.verdict.measured


class WithFeatures(Net):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.head(h), h


def with_penalty(output: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
    return F.cross_entropy(output[0], targets) + 0.01 * output[1].square().mean()


def test_a_loss_of_the_whole_output_gets_that_of_the_model():
    arguments = {"loss": with_penalty, "loss_takes": "output"}
    result = against(lambda: WithFeatures(2), lambda: WithFeatures(2), arguments, {**MULTI, **arguments})
    assert result.outcome == "passed", result.verdict


# The user's own optimizers


def own(head: float, head_decay: float, trunk: float = 0.01) -> dict[str, Callable[[Any], torch.optim.Optimizer]]:
    def make(model: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            [
                {"params": model.body.parameters(), "lr": trunk, "weight_decay": 0.1},
                {"params": model.head.parameters(), "lr": head, "weight_decay": head_decay},
            ],
            momentum=0.9,
        )

    return {"optimizer": make}


def test_optimizers_with_twice_the_step_and_half_the_decay_pass():
    assert against(lambda: Net(2), lambda: Net(1), own(0.01, 0.1), {**BINARY, **own(0.02, 0.05)}).outcome == "passed"


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        (own(0.01, 0.05), "that of other lr=0.01, weight_decay=0.05"),
        (own(0.02, 0.1), "that of other lr=0.02, weight_decay=0.1"),
        (own(0.02, 0.05, trunk=0.02), "body.0.weight is"),
    ],
    ids=["step not doubled", "decay not halved", "trunk's step doubled"],
)
def test_optimizers_that_train_them_apart_are_advice_with_the_right_step(theirs: Any, told: str):
    result = against(lambda: Net(2), lambda: Net(1), own(0.01, 0.1), {**BINARY, **theirs})
    assert result.outcome == "advice"
    assert told in result.verdict.measured
    assert "lr=0.02, weight_decay=0.05" in result.verdict.expected


def test_other_optimizers_of_copies_are_advice_too():
    result = against(lambda: Net(2), lambda: Net(2), own(0.01, 0.1), {**MULTI, **own(0.03, 0.1)})
    assert result.outcome == "advice"
    assert result.verdict.expected.startswith("the same step")


def test_an_optimizer_that_wants_a_closure_is_left_out():
    closure = {"optimizer": lambda model: torch.optim.LBFGS(model.parameters())}
    assert against(lambda: Net(2), lambda: Net(1), closure, {**BINARY, **closure}).outcome == "passed"


# What cannot be told


@pytest.mark.parametrize(
    ("model", "other", "its", "why"),
    [
        (lambda: Net(2), lambda: nn.Linear(10, 1), None, "their states have 9 and 2 tensors"),
        (lambda: nn.Linear(10, 2), lambda: nn.Linear(10, 2, bias=False), MULTI, "2 and 1 tensors"),
        (lambda: Net(2), lambda: Renamed(1, nn.Tanh), None, "matched by order"),
        (lambda: SquashedHead(2), lambda: SquashedHead(1), None, "is no linear last layer"),
        (lambda: Narrow(2), lambda: Net(1), None, "computes in another dtype than float64"),
        (lambda: Net(2), lambda: FloatOnly(1), None, "other or its loss raises RuntimeError"),
    ],
    ids=["other layers", "no bias", "order only", "bent head", "narrow", "float32 only"],
)
def test_where_the_parameters_cannot_tell_nothing_is_decided(model: Any, other: Any, its: Any, why: str):
    result = against(model, other, None, its)
    assert result.outcome == "inconclusive", result.verdict
    assert why in result.verdict.measured


def test_another_hidden_width_names_the_tensor():
    result = against(
        lambda: nn.Sequential(nn.Linear(10, 4), nn.Linear(4, 2)),
        lambda: nn.Sequential(nn.Linear(10, 5), nn.Linear(5, 1)),
    )
    assert result.outcome == "inconclusive"
    assert "0.weight has the shape (4, 10), and 0.weight (5, 10)" in result.verdict.measured


def test_monte_carlo_dropout_is_not_compared():
    class MonteCarlo(Net):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(F.dropout(self.body(x), 0.5, training=True))

    result = against(lambda: MonteCarlo(2), lambda: Net(1))
    assert result.outcome == "inconclusive"
    assert "random in eval mode" in result.verdict.measured


def test_a_model_that_names_no_other_is_not_judged():
    assert result_of(CHECK, lambda: Net(2)).outcome == "not_applicable"


def test_a_name_that_nothing_has_is_an_error():
    register(lambda: Net(1), name="one_logit", input_shape=(10,), **BINARY)
    result = result_of(CHECK, lambda: Net(2), equivalent_to="one_logits")
    assert result.outcome == "error"
    assert "equivalent_to='one_logits' is no registered model; did you mean 'one_logit'?" in result.verdict.measured


def test_inputs_of_the_users_own_are_fed_to_both():
    def inputs(count: int, generator: torch.Generator) -> Tensor:
        return torch.rand(count, 10, generator=generator)

    register(lambda: Net(1), name="other", input_shape=(10,), **BINARY)
    result = result_of(CHECK, lambda: Net(2), equivalent_to="other", inputs=inputs)
    assert result.outcome == "passed", result.verdict


def test_the_users_own_module_is_left_as_it_was():
    module, other = Net(2), Net(1)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert against(module, other).outcome == "passed"
    assert {value.dtype for value in module.parameters()} == {torch.float32}
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in before.items())
