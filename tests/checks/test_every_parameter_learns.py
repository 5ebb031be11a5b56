from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from pytest_logits.pooled import LUCK
from tests.checks.planted import blamed, found, result_of
from tests.zoo import sound

CHECK = "every_parameter_learns"


def judge(factory: Any, **arguments: Any) -> Any:
    return result_of(CHECK, factory, **{"num_classes": 3, **arguments})


class Parts(nn.Module):
    """A wide layer and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(10, 64), nn.ReLU())
        self.head = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


# Not in parameters().


class InList(Parts):
    def __init__(self) -> None:
        super().__init__()
        del self.head
        self.head = [nn.Linear(64, 3)]

    def forward(self, x: Tensor) -> Tensor:
        return self.head[0](self.body(x))


class InDict(InList):
    def __init__(self) -> None:
        super().__init__()
        self.head = {0: nn.Linear(64, 3)}


class PlainTensor(Parts):
    def __init__(self) -> None:
        super().__init__()
        del self.head
        self.head = (torch.randn(64, 3) / 8).requires_grad_()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) @ self.head


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (InList, "self.head is a Python list"),
        (InDict, "self.head is a Python dict"),
        (PlainTensor, "self.head is a tensor, not an nn.Parameter"),
    ],
)
def test_a_head_that_is_not_registered_is_found(factory: Any, said: str):
    result = judge(factory)
    assert found(result) == ("failed", "unregistered_parameters")
    assert said in result.verdict.measured
    assert all(path.startswith("head") for path in result.verdict.evidence["unregistered"])


class NoParameters(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(10, 64), nn.Linear(64, 3)]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[1](self.layers[0](x).relu())


def test_a_model_all_of_whose_layers_are_in_a_list_is_found():
    assert found(judge(NoParameters)) == ("failed", "unregistered_parameters")


class Scrambled(Parts):
    """What comes before the hidden layers says nothing: with their first weights the head cannot tell the classes."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = [nn.Linear(10, 1), nn.Linear(1, 64)]
        nn.init.zeros_(self.blocks[0].weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks[1](self.blocks[0](x)).tanh())


def test_hidden_layers_that_the_rest_cannot_do_without_are_found_and_proved():
    result = judge(Scrambled, num_classes=2)
    assert found(result) == ("failed", "unregistered_parameters")
    proof = result.verdict.proof
    assert proof is not None
    assert proof.with_fix < proof.goal < proof.as_written


class Nested(Parts):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = [[nn.Linear(64, 64)]]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks[0][0](self.body(x)))


def test_hidden_layers_in_a_model_that_learns_without_them_are_advice():
    result = judge(Nested)
    assert found(result) == ("advice", "unregistered_parameters")
    assert "blocks[0][0].weight" in result.verdict.measured


def test_the_users_own_hidden_layers_do_not_train():
    shared = nn.Linear(10, 64)
    before = copy.deepcopy(shared.state_dict())

    class Borrowed(Parts):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(shared(x).relu())

    result = judge(Borrowed)
    assert result.outcome == "advice"
    assert "a tensor outside the model" in result.verdict.measured
    assert all(torch.equal(before[key], value) for key, value in shared.state_dict().items())


# Switched off.


def switched_off(*parts: str) -> Any:
    def factory() -> nn.Module:
        model = Parts()
        for part in parts:
            getattr(model, part).requires_grad_(False)
        return model

    return factory


def test_a_frozen_backbone_is_advice_and_nothing_where_it_is_declared():
    result = judge(switched_off("body"))
    assert found(result) == ("advice", "frozen_parameters")
    assert result.verdict.evidence["off"] == ["body.0.weight", "body.0.bias"]
    assert judge(switched_off("body"), frozen=("body.*",)).outcome == "passed"
    assert judge(switched_off("body"), frozen="body.0.weight").verdict.evidence["off"] == ["body.0.bias"]


def test_a_frozen_head_is_found_and_nothing_where_it_is_declared():
    result = judge(switched_off("head"))
    assert found(result) == ("failed", "frozen_parameters")
    assert "head.weight" in result.verdict.measured
    assert judge(switched_off("head"), frozen="head.*").outcome == "passed"


class Calibrated(Parts):
    """The scores get a temperature and a prior, in the shape of numbers or of rows."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.temperature, self.prior = nn.Parameter(torch.ones(shape[:1])), nn.Parameter(torch.zeros(shape))
        self.head.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.temperature + self.prior


@pytest.mark.parametrize("shape", [(3,), (1, 3)])
def test_a_frozen_head_is_found_where_only_a_temperature_and_a_prior_train_beside_it(shape: tuple[int, ...]):
    assert found(judge(lambda: Calibrated(*shape))) == ("failed", "frozen_parameters")


def test_a_frozen_head_whose_bias_trains_is_found():
    def factory() -> nn.Module:
        model = Parts()
        model.head.weight.requires_grad_(False)
        return model

    assert found(judge(factory)) == ("failed", "frozen_parameters")


class DeepProbe(nn.Module):
    """A frozen backbone so deep that its random weights give every input of the suite nearly the same features."""

    def __init__(self) -> None:
        super().__init__()
        layers = [part for _ in range(10) for part in (nn.Linear(32, 32), nn.ReLU())]
        self.body, self.head = nn.Sequential(nn.Linear(10, 32), *layers).requires_grad_(False), nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def test_a_frozen_backbone_from_which_the_suites_data_cannot_be_learnt_is_advice():
    result = judge(DeepProbe)
    assert found(result) == ("advice", "frozen_parameters")
    assert result.verdict.evidence["lowest_loss"][0] > result.verdict.evidence["goal"]


def test_a_model_that_is_frozen_altogether_is_found():
    result = judge(switched_off("body", "head"))
    assert found(result) == ("failed", "frozen_parameters")
    assert result.verdict.counterexample == {
        "parameters": ["body.0.weight", "body.0.bias", "head.weight", "head.bias"],
        "count": 4,
    }


def test_what_is_declared_frozen_does_not_train_though_it_requires_a_gradient():
    result = judge(Parts, frozen=("body.*",))
    assert result.outcome == "passed"
    assert result.verdict.measured.startswith("2 of 4 parameters train")


def test_a_frozen_pattern_that_matches_nothing_is_an_error():
    result = judge(Parts, frozen=("backbone.*",))
    assert result.outcome == "error"
    assert "'backbone.*' matches no parameter" in result.verdict.measured


# Cut off.


class DetachedLogits(Parts):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()  # FAULT


class ThroughData(Parts):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).data  # FAULT


class ThroughNumbers(Parts):
    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        return torch.tensor(scores.tolist())  # FAULT


class DetachedWeight(Parts):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.body(x), self.head.weight.detach(), self.head.bias)  # FAULT


class NoGrad(Parts):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return super().forward(x)


@pytest.mark.parametrize("factory", [DetachedLogits, ThroughData, NoGrad, ThroughNumbers])
def test_a_head_that_is_cut_off_is_found(factory: Any):
    assert found(judge(factory)) == ("failed", "detached_graph")


@pytest.mark.parametrize("factory", [DetachedLogits, ThroughData, DetachedWeight])
def test_the_line_that_cuts_is_named(factory: Any):
    assert blamed(judge(factory)).endswith("# FAULT")


class ThroughDataWeight(Parts):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.body(x), self.head.weight.data, self.head.bias)  # FAULT


class DetachedWeightAlone(DetachedWeight):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 3, bias=False)


@pytest.mark.parametrize("factory", [DetachedWeight, DetachedWeightAlone, ThroughDataWeight])
def test_a_head_whose_matrix_is_cut_off_is_found_though_the_backbone_trains(factory: Any):
    result = judge(factory)
    assert found(result) == ("failed", "detached_graph")
    assert result.verdict.evidence["cut"] == ["head.weight"]


class WritesIntoData(Parts):
    """A weight that forward keeps small, in place; the backbone is cut off."""

    def forward(self, x: Tensor) -> Tensor:
        self.head.weight.data.clamp_(-1, 1)
        return self.head(self.body(x).detach())


def test_a_parameter_that_is_written_to_in_forward_hinders_nothing():
    assert found(judge(WritesIntoData)) == ("advice", "detached_graph")


class DetachedFeatures(Parts):
    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x).detach())  # FAULT


class FeaturesWithoutGrad(Parts):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            features = self.body(x)
        return self.head(features)


@pytest.mark.parametrize("factory", [DetachedFeatures, FeaturesWithoutGrad])
def test_a_backbone_that_is_cut_off_is_advice_where_the_head_learns(factory: Any):
    result = judge(factory)
    assert found(result) == ("advice", "detached_graph")
    assert result.verdict.evidence["cut"] == ["body.0.weight", "body.0.bias"]
    assert judge(factory, frozen="body.*").outcome == "passed"


def test_the_line_that_cuts_a_backbone_is_named():
    assert blamed(judge(DetachedFeatures)).endswith("# FAULT")


# Nothing comes back.


def all_zero() -> nn.Module:
    model = Parts()
    for p in model.parameters():
        nn.init.zeros_(p)
    return model


def dead() -> nn.Module:
    model = Parts()
    nn.init.constant_(model.body[0].bias, -100.0)
    return model


@pytest.mark.parametrize("factory", [all_zero, dead])
def test_an_initialisation_that_gives_no_gradient_is_found(factory: Any):
    result = judge(factory)
    assert found(result) == ("failed", "degenerate_initialisation")
    assert "head.weight" in result.verdict.evidence["zero_gradient"]


@pytest.mark.parametrize("bias", [-100.0, 0.0])
def test_behind_a_relu_on_the_logits_it_is_the_draw_who_learns(bias: float):
    def factory() -> nn.Module:
        model = nn.Sequential(nn.Linear(10, 3), nn.ReLU())
        nn.init.constant_(model[0].bias, bias)
        return model

    result = judge(factory)
    assert found(result) == ("inconclusive", None)
    assert LUCK in result.verdict.measured


class DeadAtFirst(sound.MLP):
    """All of its hidden units are off for every input in the first draws of its weights."""

    def __init__(self, draws: list[int], dead: int) -> None:
        super().__init__(3)
        with torch.no_grad():
            # Which draw it is, the weights tell: they are those of a seed.
            key = round(float(self.net[0].weight[0, 0]) * 1e6)
            if key not in draws:
                draws.append(key)
            if draws.index(key) < dead:
                self.net[0].bias -= 1e6


@pytest.mark.parametrize(("dead", "verdict"), [(1, ("passed", None)), (9, ("failed", "degenerate_initialisation"))])
def test_an_unlucky_draw_of_the_weights_is_not_held_against_a_model(dead: int, verdict: tuple[str, str | None]):
    draws: list[int] = []
    assert found(judge(lambda: DeadAtFirst(draws, dead))) == verdict


def test_a_model_that_ignores_its_input_is_told_so():
    class Ignores(Parts):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(torch.zeros_like(x))

    assert judge(Ignores).verdict.cause == "output_ignores_input"


# Sound models.


class LowRank(nn.Module):
    """A layer with an adapter, whose second factor starts at 0."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.a = nn.Parameter(torch.randn(4, base.in_features) * 0.1)
        self.b = nn.Parameter(torch.zeros(base.out_features, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.a.T @ self.b.T


class ZeroHead(Parts):
    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.head.weight)


class Rezero(Parts):
    """A residual branch behind a gain of 0."""

    def __init__(self) -> None:
        super().__init__()
        self.branch, self.gain = nn.Linear(64, 64), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        return self.head(h + self.gain * self.branch(h))


class UnusedBranch(Parts):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(10, 3)


class UnusedInEvaluation(Parts):
    """An auxiliary head that only a training loss of the user's own reads."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Any:
        h = self.body(x)
        return (self.head(h), self.other(h)) if self.training else self.head(h)


class Tied(nn.Module):
    """The head is the embedding, as in language models."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(200, 32)
        self.mix = nn.Linear(32, 32)
        self.head = nn.Linear(32, 200, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mix(self.embed(x).mean(dim=1)))


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.EmbeddingBag(200, 16, sparse=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x))


class Normed(Parts):
    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.body[0] = norm(self.body[0])
        self.head = norm(self.head)


class HalfDead(Parts):
    """One unit in two never fires."""

    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():
            self.body[0].bias[::2] = -100.0


class Averaged(Parts):
    """Keeps a running average of itself, which does not train, and uses it in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.average = copy.deepcopy(nn.ModuleList([self.body, self.head]))
        for p in self.average.parameters():
            p.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.training else self.average[1](self.average[0](x))


class Experts(nn.Module):
    """Every row goes to the one expert that its gate likes best; most experts get no row of a small batch."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.head = nn.Linear(10, 64), nn.Linear(16, 3)
        self.experts = nn.ModuleList(nn.Linear(10, 16) for _ in range(64))

    def forward(self, x: Tensor) -> Tensor:
        share, chosen = self.gate(x).softmax(dim=1).max(dim=1)
        made = [self.experts[int(e)](row) * s for row, s, e in zip(x, share, chosen, strict=True)]
        return self.head(torch.stack(made).relu())


class CalibratedInEvaluation(Parts):
    """Temperature scaling: fitted after training, used in eval mode only."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.training else super().forward(x) / self.temperature


SOUND: dict[str, tuple[Any, dict[str, Any]]] = {
    "parts": (Parts, {}),
    "zero head": (ZeroHead, {}),
    "residual gain of 0": (Rezero, {}),
    "adapters": (lambda: nn.Sequential(LowRank(nn.Linear(10, 64)), nn.ReLU(), nn.Linear(64, 3)), {"frozen": "0.base*"}),
    "unused branch": (UnusedBranch, {}),
    "auxiliary head": (UnusedInEvaluation, {}),
    "tied": (Tied, {"vocab_size": 200, "input_shape": (12,), "num_classes": 200}),
    "sparse": (Sparse, sound.TOKENS),
    "weight norm": (lambda: Normed(parametrizations.weight_norm), {}),
    "spectral norm": (lambda: Normed(parametrizations.spectral_norm), {}),
    "orthogonal": (lambda: Normed(parametrizations.orthogonal), {}),
    "half dead": (HalfDead, {}),
    "averaged": (Averaged, {"frozen": "average.*"}),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(64), nn.ReLU(), nn.LazyLinear(3)), {}),
    "shared layer": (lambda: nn.Sequential(*[nn.Linear(10, 10)] * 2, nn.Linear(10, 3)), {}),
    "experts that no row chooses": (Experts, {}),
    "temperature of evaluation": (CalibratedInEvaluation, {}),
    "mixture": (lambda: sound.Gated(3), {}),
    "transformer": (lambda: sound.Transformer(3), sound.TOKENS),
    "recurrent": (lambda: sound.LSTM(3), sound.TOKENS),
    "convolutions": (lambda: sound.CNN(3), sound.IMAGE),
    "binary": (lambda: sound.OneLogit(True), {"task": "binary", "num_classes": 2}),
    "multilabel": (Parts, {"task": "multilabel"}),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_models_pass(name: str):
    factory, arguments = SOUND[name]
    result = judge(factory, **arguments)
    assert result.outcome == "passed", result.verdict.measured


def test_what_the_logits_do_not_need_is_mentioned():
    result = judge(UnusedBranch)
    assert result.verdict.evidence["unused"] == ["other.weight", "other.bias"]
    assert "unused: other.weight, other.bias" in result.verdict.measured


def test_a_model_without_parameters_is_not_looked_at():
    assert judge(nn.Flatten, input_shape=(3,)).outcome == "not_applicable"


def test_one_column_is_for_another_check():
    result = judge(lambda: nn.Linear(10, 1), num_classes=2)
    assert result.outcome == "not_applicable"
    assert "outputs_are_logits" in result.verdict.measured


def test_a_loss_that_is_not_finite_decides_nothing():
    def loss(scores: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(scores, targets) * (torch.nan if scores.requires_grad else 1)

    assert judge(Parts, loss=loss).outcome == "inconclusive"
