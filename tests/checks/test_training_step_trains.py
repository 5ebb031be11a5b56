from __future__ import annotations

import copy
import math
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.check_registry import all_checks
from pytest_logits.guard import preserved_state
from pytest_logits.runner import decide
from tests.checks.planted import blamed, found, result_of
from tests.test_subject import subject_of
from tests.zoo import sound

CHECK = "training_step_trains"

Step = Callable[..., Any]


def judge(factory: Any = None, **arguments: Any) -> Any:
    return result_of(CHECK, factory or (lambda: sound.MLP(3)), **{"num_classes": 3, **arguments})


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-3)


def step(model: Any, optimizer: Any, x: Any, y: Any) -> Tensor:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


class Modes(nn.Module):
    """Minds whether it is in train mode."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(10, 32), *layers, nn.ReLU(), nn.Linear(32, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


# Without a fault.


OPTIMIZERS: dict[str, Any] = {
    "SGD": sgd,
    "momentum": lambda m: torch.optim.SGD(m.parameters(), lr=0.01, momentum=0.9, nesterov=True, weight_decay=5e-4),
    "Adam": adam,
    "AdamW": lambda m: torch.optim.AdamW(m.parameters(), lr=1e-3, weight_decay=0.1, amsgrad=True),
    "Adam at 2e-5": lambda m: torch.optim.Adam(m.parameters(), lr=2e-5),
    "RMSprop": lambda m: torch.optim.RMSprop(m.parameters(), lr=1e-3),
    "Adagrad": lambda m: torch.optim.Adagrad(m.parameters()),
    "Adadelta": lambda m: torch.optim.Adadelta(m.parameters()),
    "Rprop": lambda m: torch.optim.Rprop(m.parameters()),
    "two groups": lambda m: torch.optim.SGD(
        [{"params": m.net[0].parameters(), "lr": 1e-3}, {"params": m.net[2].parameters()}], lr=0.1
    ),
    "no weight decay on biases": lambda m: torch.optim.AdamW(
        [
            {"params": [p for p in m.parameters() if p.ndim > 1]},
            {"params": [p for p in m.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=1e-3,
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("train_step", [None, step], ids=["plain", "own step"])
def test_sound_optimizers_pass(name: str, train_step: Any):
    result = judge(optimizer=OPTIMIZERS[name], train_step=train_step)
    assert result.outcome == "passed", result.verdict.measured
    evidence = result.verdict.evidence
    assert evidence["last_loss"] < evidence["first_loss"]
    assert (evidence["steps"], evidence["optimizer_steps"], evidence["not_in_optimizer"]) == (8, 8, [])


def test_a_step_needs_no_optimizer_to_be_registered():
    assert judge(train_step=step).outcome == "passed"


def accumulating(every: int) -> Step:
    def accumulate(model: Any, optimizer: Any, x: Any, y: Any) -> None:
        model.calls = getattr(model, "calls", 0) + 1
        (F.cross_entropy(model(x), y) / every).backward()
        if model.calls % every == 0:
            optimizer.step()
            optimizer.zero_grad()

    return accumulate


def clipping_norm(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    optimizer.step()


def clipping_value(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    nn.utils.clip_grad_value_(model.parameters(), 0.01)
    optimizer.step()


def to_none(model: Any, optimizer: Any, x: Any, y: Any) -> float:
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    model.zero_grad(set_to_none=True)
    return 0.0


def warming_up(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    """The first step has a step size of 0."""
    if not hasattr(model, "schedule"):
        model.schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda count: min(1.0, count / 4))
    step(model, optimizer, x, y)
    model.schedule.step()


def skipping(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    """As a gradient scaler does until its scale fits."""
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    model.calls = getattr(model, "calls", 0) + 1
    if model.calls > 3:
        optimizer.step()


def scaled(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer.zero_grad()
    scaler.scale(F.cross_entropy(model(x), y)).backward()
    scaler.step(optimizer)
    scaler.update()


def averaging(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    if not hasattr(model, "average"):
        object.__setattr__(model, "average", copy.deepcopy(model))
    step(model, optimizer, x, y)
    with torch.no_grad():
        for mean, p in zip(model.average.parameters(), model.parameters(), strict=True):
            mean.lerp_(p, 0.1)


def sharpness_aware(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    """Two backward passes a step: the first finds where to take the gradient."""
    F.cross_entropy(model(x), y).backward()
    moves = [0.05 * F.normalize(p.grad.flatten(), dim=0).view_as(p) for p in model.parameters()]
    with torch.no_grad():
        for p, move in zip(model.parameters(), moves, strict=True):
            p.add_(move)
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    with torch.no_grad():
        for p, move in zip(model.parameters(), moves, strict=True):
            p.sub_(move)
    optimizer.step()
    optimizer.zero_grad()


def mixing(model: Any, optimizer: Any, x: Any, y: Any) -> Tensor:
    share = torch.rand(len(x), 1)
    other = torch.randperm(len(x))
    targets = F.one_hot(y, 3).float()
    optimizer.zero_grad()
    mixed = share * targets + (1 - share) * targets[other]
    loss = F.cross_entropy(model(share * x + (1 - share) * x[other]), mixed)
    loss.backward()
    optimizer.step()
    return loss


def penalised(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    """Penalises the gradient, which takes a graph of the graph."""
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    slopes = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    (loss + 0.01 * sum(s.square().sum() for s in slopes)).backward()
    optimizer.step()


def smoothed(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(x), y, label_smoothing=0.3).backward()
    optimizer.step()


def maximising_the_likelihood(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, maximize=True)
    optimizer.zero_grad()
    (-F.cross_entropy(model(x), y)).backward()
    optimizer.step()


def with_a_penalty_by_hand(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    for p in model.parameters():
        p.grad += 1e-3 * p.detach().sign()
    optimizer.step()


def with_noise(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    """Differentially private training adds noise to the gradients."""
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    for p in model.parameters():
        p.grad += 1e-3 * torch.randn_like(p)
    optimizer.step()


def by_autograd_grad(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    slopes = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    for p, slope in zip(model.parameters(), slopes, strict=True):
        p.grad = slope
    optimizer.step()


STEPS: dict[str, Step] = {
    "accumulating 2": accumulating(2),
    "accumulating 4": accumulating(4),
    "clipping norms": clipping_norm,
    "clipping values": clipping_value,
    "cleared to None": to_none,
    "warming up": warming_up,
    "skipping": skipping,
    "scaled": scaled,
    "averaging": averaging,
    "sharpness-aware": sharpness_aware,
    "mixing": mixing,
    "penalised": penalised,
    "smoothed": smoothed,
    "maximising": maximising_the_likelihood,
    "L1": with_a_penalty_by_hand,
    "noise": with_noise,
    "autograd.grad": by_autograd_grad,
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("optimizer", [sgd, adam])
def test_sound_steps_pass(name: str, optimizer: Any):
    if name == "scaled" and not hasattr(torch.amp, "GradScaler"):
        pytest.skip("torch before 2.3 scales no gradients on a CPU")
    result = judge(optimizer=optimizer, train_step=STEPS[name])
    assert result.outcome == "passed", result.verdict.measured


def test_gradients_that_are_accumulated_for_longer_than_the_run_are_waited_for():
    result = judge(optimizer=sgd, train_step=accumulating(32))
    assert result.outcome == "passed", result.verdict.measured


def closed(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    optimizer.step(closure)


# torch 2.8 warns so of its own LBFGS.
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True to a scalar:UserWarning")
@pytest.mark.parametrize("optimizer", [lambda m: torch.optim.LBFGS(m.parameters(), lr=0.5, max_iter=3), sgd, adam])
def test_an_optimizer_may_take_a_closure(optimizer: Any):
    assert judge(optimizer=optimizer, train_step=closed).outcome == "passed"


MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "BatchNorm": (lambda: Modes(nn.BatchNorm1d(32)), {}),
    "dropout": (lambda: Modes(nn.Dropout(0.5)), {}),
    "images": (lambda: sound.CNN(3), sound.IMAGE),
    "tokens": (lambda: sound.LSTM(3), sound.TOKENS),
    "Monte Carlo": (lambda: sound.MonteCarlo(3), {}),
    "frozen norm": (lambda: sound.OwnTrainMode(3), {}),
    "zero head": (lambda: sound.ZeroHead(3), {}),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3)), {}),
    "several inputs": (sound.TwoInputs, {"inputs": sound.ids_and_mask}),
    "dict output": (lambda: sound.ReturnsDict(3), {}),
    "soft targets": (lambda: sound.MLP(3), {"targets": "onehot"}),
    "binary": (lambda: sound.OneLogit(True), {"task": "binary", "num_classes": 2}),
    "multilabel": (lambda: sound.MLP(6), {"task": "multilabel", "num_classes": 6}),
    "dense": (lambda: sound.Conv1dHead(4), {"input_shape": (4, 12), "num_classes": 4}),
    "own loss": (lambda: sound.Softmax(3), {"loss": sound.wants_probabilities}),
}


@pytest.mark.parametrize("name", MODELS)
def test_sound_models_pass(name: str):
    factory, arguments = MODELS[name]
    result = judge(factory, optimizer=adam, **arguments)
    assert result.outcome == "passed", result.verdict.measured


def test_sparse_gradients_pass():
    class Sparse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.EmbeddingBag(200, 16, sparse=True), nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.embed(x))

    assert judge(Sparse, optimizer=sgd, **sound.TOKENS).outcome == "passed"
    result = judge(Sparse, optimizer=sgd, train_step=not_clearing, **sound.TOKENS)
    assert found(result) == ("failed", "gradients_not_cleared")


# Gradients that are not cleared.


def not_clearing(model: Any, optimizer: Any, x: Any, y: Any) -> Tensor:
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


def clearing_too_soon(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    if not hasattr(model, "begun"):
        optimizer.zero_grad()
        model.begun = True
    not_clearing(model, optimizer, x, y)


def clipping_without_clearing(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    F.cross_entropy(model(x), y).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    optimizer.step()


def accumulating_without_clearing(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    model.calls = getattr(model, "calls", 0) + 1
    F.cross_entropy(model(x), y).backward()
    if model.calls % 2 == 0:
        optimizer.step()


@pytest.mark.parametrize(
    "train_step", [not_clearing, clearing_too_soon, clipping_without_clearing, accumulating_without_clearing]
)
@pytest.mark.parametrize("optimizer", [sgd, adam])
def test_gradients_that_are_not_cleared_are_found(train_step: Any, optimizer: Any):
    result = judge(optimizer=optimizer, train_step=train_step)
    assert found(result) == ("failed", "gradients_not_cleared")
    assert blamed(result).startswith(f"def {train_step.__name__}(")


@pytest.mark.parametrize("size", [1e-1, 1e-4, 1e-7])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW, torch.optim.NAdam, torch.optim.Adagrad])
def test_it_does_not_matter_how_far_a_step_goes(kind: Any, size: float):
    result = judge(optimizer=lambda m: kind(m.parameters(), lr=size), train_step=not_clearing)
    assert found(result) == ("failed", "gradients_not_cleared")


@pytest.mark.parametrize("model", [lambda: Modes(nn.BatchNorm1d(32)), lambda: Modes(nn.Dropout(0.5))])
def test_it_is_found_through_what_train_mode_does(model: Any):
    assert found(judge(model, optimizer=adam, train_step=not_clearing)) == ("failed", "gradients_not_cleared")


def test_it_is_found_on_the_users_own_batches():
    def batches() -> Any:
        for _ in range(3):
            yield torch.randn(8, 10), torch.randint(3, (8,))

    result = judge(optimizer=adam, train_step=not_clearing, batches=batches)
    assert found(result) == ("failed", "gradients_not_cleared")


def test_gradients_that_overflow_are_no_evidence_of_it():
    # Products with weights of 1e38 are beyond float32, so that every gradient after the first is NaN.
    result = judge(optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=1e38), train_step=step)
    assert result.verdict.cause != "gradients_not_cleared"


# Steps that weigh the classes.


def for_the_rare(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y, weight=torch.tensor([1.0, 20.0, 20.0]))
    loss.backward()
    optimizer.step()
    return loss


def mostly_common() -> Any:
    yield torch.zeros(40, 10), torch.tensor([0] * 36 + [1, 2] * 2)


def test_a_step_that_weighs_the_classes_may_raise_the_loss_without_weights():
    result = judge(optimizer=sgd, train_step=for_the_rare, batches=mostly_common)
    assert found(result) == ("passed", None)
    assert "with a weight for each class" in result.verdict.measured


def test_a_step_that_weighs_the_classes_and_diverges_is_not_passed():
    far_too_large = judge(
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=1e6), train_step=for_the_rare, batches=mostly_common
    )
    assert found(far_too_large) == ("inconclusive", None)


# Steps that are rounded away.


def in_bfloat16(first: float = 1e-12) -> nn.Module:
    model = sound.MLP(3).bfloat16()
    with torch.no_grad():
        model.net[2].bias[0] = first
    return model


def test_biases_of_0_that_move_may_be_the_start_of_a_warm_up():
    result = judge(lambda: in_bfloat16(0.0), optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=1e-7))
    assert found(result) == ("advice", "learning_rate_too_low")


def test_a_number_next_to_0_may_move_where_all_else_is_rounded_away():
    result = judge(in_bfloat16, optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=1e-7))
    assert found(result) == ("failed", "learning_rate_too_low")
    assert ": 1 of " in result.verdict.measured


def test_small_steps_of_adam_in_bfloat16_are_a_choice():
    result = judge(in_bfloat16, optimizer=lambda m: torch.optim.Adam(m.parameters(), lr=2e-5))
    assert found(result) in [("passed", None), ("advice", "learning_rate_too_low")]


def clipped(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Tensor:
    optimizer.zero_grad()
    loss = F.cross_entropy(F.relu(model(x)), y)
    loss.backward()
    optimizer.step()
    return loss


def all_negative(function: Any) -> Any:
    def factory() -> nn.Module:
        model = sound.MLP(3)
        with torch.no_grad():
            model.net[2].bias -= 20.0
        return model

    return judge(factory, optimizer=sgd, train_step=function)


def test_gradients_of_zero_are_not_taken_for_steps_that_are_rounded_away():
    assert found(all_negative(clipped)) == ("failed", "bounded_logits")


def test_nothing_is_said_of_a_step_that_gives_no_gradient():
    def constant(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = (0.0 * model(x)).sum()
        loss.backward()
        optimizer.step()
        return loss

    result = all_negative(constant)
    assert found(result) == ("inconclusive", None)
    assert "all gradients being zero" in result.verdict.measured


# What the optimizer holds.


def of_the_trunk(model: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.net[0].parameters(), lr=0.1)


def of_the_head(model: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.net[2].parameters(), lr=0.1)


def of_another_copy(model: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(copy.deepcopy(model).parameters(), lr=0.1)


def before_the_head_is_replaced(model: Any) -> torch.optim.Optimizer:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.net[2] = nn.Linear(16, 3)
    return optimizer


@pytest.mark.parametrize("optimizer", [of_the_trunk, of_another_copy, before_the_head_is_replaced])
@pytest.mark.parametrize("train_step", [None, step], ids=["plain", "own step"])
def test_an_optimizer_without_the_head_is_found(optimizer: Any, train_step: Any):
    result = judge(optimizer=optimizer, train_step=train_step)
    assert found(result) == ("failed", "optimizer_misses_parameters")
    assert "net.2.weight" in result.verdict.evidence["not_in_optimizer"]
    assert blamed(result).startswith(f"def {optimizer.__name__}(")


def test_an_optimizer_of_the_head_alone_is_advice_and_nothing_where_it_is_declared():
    result = judge(optimizer=of_the_head)
    assert found(result) == ("advice", "optimizer_misses_parameters")
    assert result.verdict.evidence["not_in_optimizer"] == ["net.0.weight", "net.0.bias"]
    assert judge(optimizer=of_the_head, frozen="net.0.*").outcome == "passed"


@pytest.mark.parametrize(
    ("made", "kind"), [(None, "NoneType"), ([], "list"), (torch.optim.SGD, "type"), (3, "int")], ids=str
)
def test_something_else_than_an_optimizer_is_an_error(made: Any, kind: str):
    result = judge(optimizer=lambda model: made)
    assert result.outcome == "error"
    assert f"optimizer= of 'planted' must return a torch.optim.Optimizer; it returned {kind}" in result.verdict.measured


# Steps that do nothing.


def never_stepping(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()


def never_going_back(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(x), y)
    optimizer.step()


def detaching(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    optimizer.zero_grad()
    F.cross_entropy(model(x).detach().requires_grad_(), y).backward()
    optimizer.step()


def clearing_before_the_step(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    F.cross_entropy(model(x), y).backward()
    optimizer.zero_grad()
    optimizer.step()


@pytest.mark.parametrize(
    ("train_step", "cause"),
    [
        (never_stepping, "step_without_update"),
        (never_going_back, "detached_graph"),
        (detaching, "detached_graph"),
    ],
)
def test_a_step_that_changes_nothing_is_found(train_step: Any, cause: str):
    result = judge(optimizer=sgd, train_step=train_step)
    assert found(result) == ("failed", cause)
    assert blamed(result).startswith(f"def {train_step.__name__}(")


def test_gradients_that_are_cleared_before_the_step_are_no_training():
    assert judge(optimizer=sgd, train_step=clearing_before_the_step).outcome == "failed"


def test_a_step_size_that_rounds_away_is_found():
    result = judge(optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=1e-15))
    assert found(result) == ("failed", "learning_rate_too_low")


# Modes.


def left_in_evaluation(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    step(model, optimizer, x, y)
    model.eval()


def validating(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    model.train()
    step(model, optimizer, x, y)
    model.eval()
    with torch.no_grad():
        model(x).argmax(dim=1)


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(32), nn.Dropout(0.5)])
def test_a_model_that_is_left_in_evaluation_mode_is_found(layer: nn.Module):
    result = judge(lambda: Modes(copy.deepcopy(layer)), optimizer=adam, train_step=left_in_evaluation)
    assert found(result) == ("failed", "model_left_in_wrong_mode")
    assert blamed(result).startswith("def left_in_evaluation(")
    assert result.verdict.evidence["train_mode"] == [True, *[False] * 7]


def test_it_makes_no_difference_to_a_model_that_does_not_mind():
    assert judge(optimizer=adam, train_step=left_in_evaluation).outcome == "passed"


def in_evaluation_mode(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    """Fine-tuning with the statistics as they are."""
    model.eval()
    step(model, optimizer, x, y)


@pytest.mark.parametrize("train_step", [validating, in_evaluation_mode])
def test_a_step_that_sets_its_mode_each_time_passes(train_step: Any):
    result = judge(lambda: Modes(nn.BatchNorm1d(32)), optimizer=adam, train_step=train_step)
    assert result.outcome == "passed", result.verdict.measured


# Direction and size.


def negated(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    optimizer.zero_grad()
    (-F.cross_entropy(model(x), y)).backward()
    optimizer.step()


@pytest.mark.parametrize("model", [lambda: sound.MLP(3), lambda: Modes(nn.BatchNorm1d(32), nn.Dropout(0.2))])
@pytest.mark.parametrize("optimizer", [sgd, adam])
def test_a_negated_loss_is_found_and_proved(model: Any, optimizer: Any):
    result = judge(model, optimizer=optimizer, train_step=negated)
    assert found(result) == ("failed", "loss_is_maximised")
    proof = result.verdict.proof
    assert proof is not None
    assert proof.with_fix < proof.goal < proof.as_written
    assert blamed(result).startswith("def negated(")


def maximising(model: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=1e-3, maximize=True)


def test_an_optimizer_that_maximises_is_found():
    result = judge(optimizer=maximising)
    assert found(result) == ("failed", "loss_is_maximised")
    assert blamed(result).startswith("def maximising(")


def overshooting(model: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=100.0)


def users_own() -> Any:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(3, 10, generator=generator)
    for _ in range(4):
        labels = torch.arange(16) % 3
        yield centres[labels] + 0.1 * torch.randn(16, 10, generator=generator), labels


def test_a_step_size_that_overshoots_is_advice_on_the_suites_data_and_a_failure_on_the_users():
    for batches, outcome in ((None, "advice"), (users_own, "failed")):
        result = judge(optimizer=overshooting, batches=batches)
        assert found(result) == (outcome, "learning_rate_too_high")
        assert blamed(result).startswith("def overshooting(")
        assert "instead of 100 the loss falls" in result.verdict.measured


# The user's own data and errors.


@pytest.mark.parametrize(
    "batches",
    [
        lambda: list(users_own()),
        users_own,
        lambda: torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(torch.randn(24, 10), torch.arange(24) % 3), batch_size=8, shuffle=True
        ),
        lambda: [[torch.randn(8, 10), torch.arange(8) % 3]],
    ],
    ids=["list", "generator", "loader", "lists"],
)
def test_batches_come_in_any_iterable(batches: Any):
    result = judge(optimizer=adam, batches=batches)
    assert result.outcome == "passed", result.verdict.measured
    assert result.verdict.measured.endswith("on your batches")


def raising(model: Any, optimizer: Any, x: Any, y: Any) -> None:
    raise KeyError("my own mistake")


def test_a_step_that_raises_is_an_error_with_the_users_traceback():
    result = judge(optimizer=sgd, train_step=raising)
    assert result.outcome == "error"
    assert "my own mistake" in result.verdict.measured
    (check,) = (c for c in all_checks() if c.name == CHECK)
    with preserved_state(), pytest.raises(KeyError) as raised:
        decide(check, subject_of(lambda: sound.MLP(3), optimizer=sgd, train_step=raising))
    assert traceback.extract_tb(raised.value.__traceback__)[-1].name == "raising"


def test_an_error_in_the_step_leaves_no_hooks_behind():
    shared = sound.MLP(3)
    assert judge(shared, optimizer=sgd, train_step=raising).outcome == "error"
    assert judge(shared, optimizer=sgd).outcome == "passed"
    assert not shared._forward_pre_hooks


def test_without_a_step_and_an_optimizer_there_is_nothing_to_look_at():
    result = judge()
    assert result.outcome == "not_applicable"
    assert "neither optimizer= nor train_step= is registered" in result.verdict.measured


def test_a_model_whose_parameters_are_all_frozen_has_nothing_to_train():
    assert judge(optimizer=sgd, frozen="*").outcome == "not_applicable"


def test_a_loss_that_is_not_finite_decides_nothing():
    def loss(scores: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(scores, targets) + (math.nan if float(scores.detach().abs().max()) > 0 else 0.0)

    assert judge(optimizer=sgd, loss=loss).outcome == "inconclusive"


def test_labels_that_the_step_moves_are_advice_on_the_users_own_batches():
    def moving(model: Any, optimizer: Any, x: Any, y: Any) -> Tensor:
        return step(model, optimizer, x, (y - 1) % 3)

    x, y = torch.randn(12, 10, generator=torch.Generator().manual_seed(0)), 1 + torch.arange(12) % 2
    assert found(judge(train_step=moving)) == ("failed", "labels_out_of_range")
    assert found(judge(train_step=moving, batches=lambda: [(x, y)])) == ("advice", "labels_out_of_range")
