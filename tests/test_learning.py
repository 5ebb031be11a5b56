from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits import learning
from pytest_logits.goals import ARRIVED
from pytest_logits.guard import preserved_state
from pytest_logits.learning import FASTER, MUCH_FASTER, SILENT_STEPS, LearningRun, learning_run
from pytest_logits.model import make_spec
from pytest_logits.settings import PROFILES, Settings
from pytest_logits.sparkline import thinned
from pytest_logits.subject import Subject
from pytest_logits.trace import Trace
from tests.checks.planted import found, result_of
from tests.zoo import activations, normalised, sound

BUDGET = PROFILES["standard"].learning


def subject_of(factory: Any, **arguments: Any) -> Subject:
    defaults: dict[str, Any] = {"name": "net", "num_classes": 3}
    if "vocab_size" not in arguments:
        defaults["input_shape"] = (10,)
    spec = make_spec(factory, file=Path(__file__), line=1, arguments={**defaults, **arguments})
    return Subject(spec, Settings())


@pytest.fixture(autouse=True)
def state_kept():
    with preserved_state():
        yield


def spent(run: LearningRun) -> bool:
    """Whether a run took all the steps of the profile: a loss before each, and one after the last."""
    return [(t.step_size, len(t.losses) - 1) for t in run.traces] == list(BUDGET)


@pytest.mark.parametrize(
    ("factory", "arguments"),
    [
        (lambda: sound.MLP(3), {}),
        (lambda: sound.CNN(3), sound.IMAGE),
        (lambda: sound.LSTM(3), sound.TOKENS),
        (lambda: sound.OneLogit(False), {"task": "binary", "num_classes": 2}),
        (lambda: sound.MLP(6), {"task": "multilabel", "num_classes": 6}),
        (lambda: sound.LogSoftmax(3), {"loss": "nll_loss"}),
        (lambda: sound.Softmax(3), {"loss": sound.wants_probabilities}),
        (lambda: sound.MLP(3), {"loss": nn.CrossEntropyLoss(label_smoothing=0.1)}),
        (lambda: sound.ZeroHead(3), {}),
    ],
    ids=["MLP", "CNN", "LSTM", "one logit", "multilabel", "NLL", "own NLL", "smoothed", "zero head"],
)
def test_a_sound_model_reaches_the_goal_and_stops_there(factory: Any, arguments: dict[str, Any]):
    run = LearningRun(subject_of(factory, **arguments))
    assert run.traces[-1].reached
    assert run.best.least < run.goal < run.stakes.squashed_floor
    assert not spent(run)
    # It stops at the first loss that is below.
    assert all(loss >= run.goal for loss in run.traces[-1].losses[:-1])


def test_the_first_trace_that_reaches_the_goal_is_the_last():
    run = LearningRun(subject_of(lambda: sound.MLP(3)))
    assert [t.step_size for t in run.traces] == [BUDGET[0][0]]


def test_every_backward_pass_is_counted():
    subject = subject_of(lambda: sound.MLP(3))
    subject.region  # noqa: B018
    before = subject.passes
    run = LearningRun(subject)
    # One loss more than steps, as the last is not stepped from; a sample of logits is looked at besides.
    assert (subject.passes - before).backward == run.steps - 1


def test_a_run_that_is_cut_has_had_its_first_gradients(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(learning, "SECONDS", -math.inf)
    run = LearningRun(subject_of(lambda: sound.MLP(3)))
    assert [(len(trace.losses), trace.cut, trace.gradient) for trace in run.traces] == [(2, True, True)]


def test_a_run_is_trained_once_for_a_subject():
    subject = subject_of(lambda: sound.MLP(3))
    assert learning_run(subject) is learning_run(subject)


def test_a_run_is_repeatable():
    first, second = (LearningRun(subject_of(lambda: sound.CNN(3), **sound.IMAGE)) for _ in range(2))
    assert first.evidence() == second.evidence()


@pytest.mark.parametrize("factory", [normalised.SoftmaxFunction, activations.SigmoidMLP, activations.TanhMLP])
def test_a_squashed_model_sits_on_its_floor_and_stops_there(factory: Any):
    run = LearningRun(subject_of(lambda: factory(3)))
    (trace,) = run.traces
    floor = run.goals.floors[run.subject.region]
    assert not trace.reached
    assert trace.accuracy == 1
    # Nothing confined gets below its floor but by rounding; it stops within a share of what there is to learn.
    room = run.stakes.at_zero - run.stakes.least
    assert floor - 1e-6 <= trace.losses[-1] < floor + ARRIVED * room
    assert len(trace.losses) - 1 < BUDGET[0][1]


def test_a_squashed_model_that_is_slow_goes_on_to_its_floor():
    run = LearningRun(subject_of(lambda: normalised.SoftmaxFunction(100), num_classes=100))
    (trace,) = run.traces
    assert (trace.went_on, trace.reached) == (True, False)
    assert len(trace.losses) - 1 < BUDGET[0][1] + BUDGET[1][1]
    assert run.holds("simplex")


# With this share of its logits a linear layer takes 69 steps.
SLOW = 0.15


class Slow(nn.Linear):
    """Its logits are so small a share of the layer's that the loss falls steadily, and slowly."""

    def __init__(self, share: float) -> None:
        super().__init__(10, 3)
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        return self.share * super().forward(x)


def test_a_loss_on_its_way_has_the_steps_of_the_next_step_size_too():
    (trace,) = LearningRun(subject_of(lambda: Slow(SLOW))).traces
    assert trace.went_on
    assert trace.reached
    assert BUDGET[0][1] < len(trace.losses) - 1 <= BUDGET[0][1] + BUDGET[1][1]


@pytest.mark.parametrize(("share", "faster"), [(SLOW, FASTER), (SLOW / 100, MUCH_FASTER)], ids=["slow", "hardly moves"])
def test_a_loss_that_falls_steadily_goes_on_in_larger_steps(
    monkeypatch: pytest.MonkeyPatch, share: float, faster: float
):
    sizes: list[float] = []

    class Watched(torch.optim.Adam):
        def step(self, closure: Any = None) -> Any:
            sizes.append(self.param_groups[0]["lr"])
            return super().step(closure)

    monkeypatch.setattr(torch.optim, "Adam", Watched)
    (first, *_) = LearningRun(subject_of(lambda: Slow(share))).traces
    own, spent = BUDGET[0][1], len(first.losses) - 1
    assert sizes[:spent] == [BUDGET[0][0]] * own + [faster * BUDGET[0][0]] * (spent - own)
    assert spent > own


class Jolted(Slow):
    """Its loss rises a little at one step."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) * (-1.0 if self.calls == 5 else 1.0)


def test_a_loss_that_is_too_slow_to_arrive_and_not_steady_does_not_go_on():
    run = LearningRun(subject_of(lambda: Jolted(SLOW / 10)))
    assert not any(trace.went_on for trace in run.traces)
    assert spent(run)


def test_a_loss_that_went_on_for_nothing_leaves_the_last_steps_to_the_next_step_size():
    first, second = LearningRun(subject_of(lambda: Slow(SLOW / 100))).traces
    assert first.falls_steadily
    assert (first.step_size, len(first.losses) - 1) == (BUDGET[0][0], BUDGET[0][1] + BUDGET[1][1])
    assert (second.step_size, len(second.losses) - 1) == (BUDGET[1][0], BUDGET[2][1])


@pytest.mark.parametrize(
    ("factory", "region", "arguments"),
    [
        (normalised.SoftmaxFunction, "simplex", {}),
        (normalised.SoftmaxFunction, "simplex", {"num_classes": 100}),
        (activations.SigmoidMLP, "unit", {}),
        (activations.TanhMLP, "symmetric", {}),
        (activations.ReLUMLP, "nonnegative", {}),
        (activations.SigmoidMLP, "unit", {"task": "multilabel"}),
        (normalised.SoftmaxFunction, "simplex", {"task": "multilabel"}),
    ],
    ids=["softmax", "softmax 100", "sigmoid", "tanh", "relu", "sigmoid multilabel", "softmax multilabel"],
)
def test_a_proof_is_below_the_goal(factory: Any, region: Any, arguments: dict[str, Any]):
    classes = arguments.get("num_classes", 3)
    run = LearningRun(subject_of(lambda: factory(classes), **arguments))
    proof = run.prove(region)
    assert proof is not None
    assert proof.with_fix < proof.goal == run.goal
    assert proof.as_written == run.best.least
    assert proof.steps is not None
    assert 0 < proof.steps <= max(steps for _, steps in BUDGET) + 1


def test_there_is_no_proof_where_undoing_changes_nothing():
    # The gradient is zero with the activation and without.
    run = LearningRun(subject_of(lambda: nn.Sequential(sound.MLP(3).requires_grad_(False), nn.Softmax(dim=1))))
    assert run.prove("simplex") is None


@pytest.mark.parametrize("factory", [lambda: activations.ReLUModule(3), lambda: InPlace(3)], ids=["module", "method"])
def test_a_relu_that_works_in_place_has_the_same_proof(factory: Any):
    # Its input is overwritten, so it takes care to train on what went in and not on what came out.
    assert LearningRun(subject_of(factory)).prove("nonnegative") == LearningRun(
        subject_of(lambda: activations.ReLUMLP(3))
    ).prove("nonnegative")


class InPlace(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).relu_()


def test_sparse_gradients_train():
    class Sparse(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(200, 16, sparse=True)
            self.head = nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.embed(x).mean(dim=1))

    run = LearningRun(subject_of(Sparse, **sound.TOKENS))
    assert run.best.reached
    assert run.best.accuracy == 1


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_a_trace(value: float):
    # Of the model's own scores only: what the loss can be with free ones is finite.
    def loss(z: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(z, y) * (value if z.requires_grad else 1)

    run = LearningRun(subject_of(lambda: sound.MLP(3), loss=loss))
    assert [len(t.losses) for t in run.traces] == [1]
    assert math.isnan(run.best.least)
    assert run.subject.passes.backward == 0


class WithoutTheLeast(sound.MLP):
    """The least score of every row but the first is minus infinity: the loss is finite where it is no label's."""

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        least = scores == scores.amin(dim=1, keepdim=True)
        least[0] = False
        return scores.masked_fill(least, -torch.inf)


LEARNING = [
    "every_parameter_learns",
    "loss_decreases_on_separable_data",
    "loss_reaches_its_minimum",
    "predictions_do_not_collapse",
]


@pytest.mark.parametrize("check", LEARNING)
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_said_of_training_where_logits_are_not_finite_at_first(check: str, seed: int):
    result = result_of(check, lambda: WithoutTheLeast(10), num_classes=10, seed=seed)
    assert found(result) == ("inconclusive", None)
    assert "before the first step" in result.verdict.measured


@pytest.mark.parametrize("check", LEARNING[1:])
@pytest.mark.parametrize("seed", [0, 1, 22, 25])
def test_of_a_deep_net_that_its_input_hardly_reaches_the_draw_decides(check: str, seed: int):
    # At seeds 1, 22 and 25 it learns.
    result = result_of(check, lambda: sound.deep(20, 2), seed=seed, name="Deep_20")
    assert found(result) == ("inconclusive", None)
    assert "without normalisation" in result.verdict.measured


def test_equal_inputs_are_no_evidence_that_they_do_not_reach_the_scores():
    run = LearningRun(
        subject_of(lambda: sound.MLP(3), inputs=lambda count, rng: torch.ones(count, 10), input_shape=None)
    )
    assert not run.traces[0].reached_by_input
    assert not run.faint


@pytest.mark.parametrize("check", LEARNING[1:])
def test_a_deep_net_that_its_input_reaches_passes(check: str):
    assert found(result_of(check, lambda: sound.deep(6, 2))) == ("passed", None)


def test_logits_that_are_not_finite_are_told_beside_a_loss_that_is():
    run = LearningRun(subject_of(lambda: sound.MLP(3)))
    assert run.broken_start == ""
    run.traces[0].broken = 2
    assert run.broken_start == "2 logits are NaN or infinite before the first step, see outputs_stay_finite"
    run.traces[0].losses[0] = math.inf
    assert run.broken_start == "the loss is inf before the first step"


def test_a_model_with_no_gradient_is_given_up_after_a_few_steps():
    def all_zero() -> nn.Module:
        model = nn.Sequential(nn.Linear(10, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3, bias=False))
        for p in model.parameters():
            nn.init.zeros_(p)
        return model

    run = LearningRun(subject_of(all_zero))
    (trace,) = run.traces
    assert not trace.gradient
    assert len(trace.losses) == SILENT_STEPS
    assert not trace.rows_differ


@pytest.mark.parametrize("factory", [lambda: sound.MLP(3).requires_grad_(False), lambda: Detached(3)])
def test_a_model_that_cannot_train_is_looked_at_once(factory: Any):
    run = LearningRun(subject_of(factory))
    (trace,) = run.traces
    assert not trace.gradient
    assert len(trace.losses) == 1
    assert run.subject.passes.backward == 0


class Detached(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).detach()


def test_a_gradient_that_is_silenced_once_does_not_end_the_run():
    class Silenced(sound.MLP):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return self.net(x) * (0 if self.calls == 1 else 1)

    run = LearningRun(subject_of(lambda: Silenced(3)))
    assert run.best.gradient
    assert run.best.least < run.goals.fallen(run.best.losses[0])


def test_the_best_trace_has_the_lowest_finite_loss():
    run = LearningRun(subject_of(lambda: sound.MLP(3)))
    run.traces = [Trace(1.0, losses=[math.nan]), Trace(2.0, losses=[3.0, 2.0, math.inf]), Trace(3.0, losses=[2.5])]
    assert run.best.step_size == 2.0
    assert run.best.least == 2.0


def test_evidence_tells_all_traces():
    run = LearningRun(subject_of(lambda: normalised.SoftmaxFunction(100), num_classes=100))
    evidence = run.evidence()
    assert evidence["step_sizes"] == [trace.step_size for trace in run.traces]
    assert evidence["steps"] == [len(trace.losses) for trace in run.traces]
    assert evidence["classes_predicted"] == max(t.most_predicted for t in run.traces)
    assert evidence["lowest_loss"] == [t.least for t in run.traces]
    assert evidence["loss_curve"] == [round(value, 6) for value in thinned(run.best.losses)]
    assert round(evidence["floors"]["simplex"], 4) == 3.6222
    assert "nonnegative" not in evidence["floors"]


def test_a_run_that_is_out_of_time_before_its_first_step_still_sees_the_gradient(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(learning, "SECONDS", -1.0)
    (trace,) = LearningRun(subject_of(lambda: sound.MLP(3))).traces
    assert (trace.cut, trace.gradient, len(trace.losses)) == (True, True, 2)
