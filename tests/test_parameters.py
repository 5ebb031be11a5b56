from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from pytest_logits.guard import preserved_state
from pytest_logits.parameters import last_leaves, leaves, strays, survey
from pytest_logits.subject import Subject, SubjectError
from tests.test_subject import subject_of
from tests.zoo import sound


@pytest.fixture(autouse=True)
def state_kept():
    with preserved_state():
        yield


def names(model: nn.Module, found: dict[int, Tensor]) -> set[str]:
    return {name for name, p in model.named_parameters() if id(p) in found}


def scores(model: nn.Module) -> Tensor:
    logits: Tensor = model(torch.randn(4, 10))
    return logits


# Leaves.


def test_the_leaves_are_the_parameters_that_the_graph_reaches():
    model = sound.MLP(3)
    model.unused = nn.Linear(2, 2)
    model.net[0].bias.requires_grad_(False)
    assert names(model, leaves(scores(model))) == {"net.0.weight", "net.2.weight", "net.2.bias"}


def test_a_tensor_without_a_graph_has_no_leaves():
    assert leaves(torch.zeros(3)) == {}
    assert last_leaves(torch.zeros(3)) == ({}, {})


def test_a_parameter_that_is_used_twice_is_one_leaf():
    shared = nn.Linear(10, 10)
    model = nn.Sequential(shared, nn.ReLU(), shared)
    assert len(leaves(scores(model))) == 2


class Weighted(nn.Module):
    """A trunk and a matrix that makes the logits as ``how`` says."""

    def __init__(self, how: Any) -> None:
        super().__init__()
        self.trunk = nn.Linear(10, 8)
        self.weight = nn.Parameter(torch.randn(3, 8))
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        return self.how(self.trunk(x).relu(), self.weight)


@pytest.mark.parametrize(
    "how",
    [
        F.linear,
        lambda h, w: h @ w.T,
        lambda h, w: torch.einsum("nd,kd->nk", h, w),
        lambda h, w: -torch.cdist(h, w),
        lambda h, w: F.linear(h, w).log_softmax(dim=1),
        lambda h, w: F.linear(h, w) * 3 + 1,
        lambda h, w: F.linear(h, w).unsqueeze(-1).squeeze(-1),
        lambda h, w: F.linear(h, w) - F.linear(h, w).mean(dim=1, keepdim=True),
    ],
    ids=["linear", "matmul", "einsum", "distance", "log-softmax", "scaled", "reshaped", "centred"],
)
def test_the_last_layer_is_found_behind_what_has_no_parameters(how: Any):
    model = Weighted(how)
    assert names(model, last_leaves(scores(model))[0]) == {"weight"}


def test_the_last_layer_has_its_bias():
    model = sound.MLP(3)
    assert names(model, last_leaves(scores(model))[0]) == {"net.2.weight", "net.2.bias"}


def test_the_last_layer_of_a_dense_head_is_found():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.Upsample(scale_factor=2))
    assert names(model, last_leaves(model(torch.randn(2, 3, 8, 8)))[0]) == {"2.weight", "2.bias"}


class Updated(nn.Module):
    """A layer with a low-rank update beside it, and a temperature on both."""

    def __init__(self) -> None:
        super().__init__()
        self.base = nn.Linear(10, 3)
        self.down, self.up = nn.Linear(10, 2, bias=False), nn.Linear(2, 3, bias=False)
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (self.base(x) + self.up(self.down(x)))


def test_a_temperature_is_no_layer_and_an_update_lies_beside_it():
    model = Updated()
    last, beside = last_leaves(scores(model))
    assert names(model, last) == {"base.weight", "base.bias"}
    assert names(model, beside) == {"up.weight", "down.weight"}


class Calibrated(nn.Module):
    """A layer with one number for each class, in the shape of the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.base, self.gain, self.prior = (
            nn.Linear(10, 3),
            nn.Parameter(torch.ones(1, 3)),
            nn.Parameter(torch.ones(1, 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.base(x) + self.prior


def test_one_number_for_each_class_is_no_layer_in_whatever_shape():
    model = Calibrated()
    last, beside = last_leaves(scores(model))
    assert names(model, last) == {"base.weight", "base.bias"}
    assert beside == {}


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_the_matrix_of_a_narrow_head_is_one(outputs: int):
    model = nn.Sequential(nn.Linear(10, 4), nn.ReLU(), nn.Linear(4, outputs))
    assert names(model, last_leaves(scores(model))[0]) == {"2.weight", "2.bias"}


# Strays.


class Inside(nn.Module):
    """A layer where ``hide`` puts it."""

    def __init__(self, hide: Any) -> None:
        super().__init__()
        self.layer_of = hide(self, nn.Linear(10, 10))
        self.head = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer_of()(x).relu())


def in_list(model: nn.Module, layer: nn.Module) -> Any:
    model.blocks = [layer]
    return lambda: model.blocks[0]


def in_dict(model: nn.Module, layer: nn.Module) -> Any:
    model.blocks = {"first": layer}
    return lambda: model.blocks["first"]


def in_nested(model: nn.Module, layer: nn.Module) -> Any:
    model.blocks = [(0, {"deep": [layer]})]
    return lambda: model.blocks[0][1]["deep"][0]


def below_a_submodule(model: nn.Module, layer: nn.Module) -> Any:
    model.inner = nn.Identity()
    model.inner.blocks = [layer]
    return lambda: model.inner.blocks[0]


def in_dunder_dict(model: nn.Module, layer: nn.Module) -> Any:
    model.__dict__["layer"] = layer
    return lambda: model.__dict__["layer"]


def in_a_closure(model: nn.Module, layer: nn.Module) -> Any:
    return lambda: layer


@pytest.mark.parametrize(
    ("hide", "path", "holder"),
    [
        (in_list, "blocks[0].weight", "self.blocks is a Python list"),
        (in_dict, "blocks['first'].weight", "self.blocks is a Python dict"),
        (in_nested, "blocks[0][1]['deep'][0].weight", "self.blocks is a Python list"),
        (below_a_submodule, "inner.blocks[0].weight", "self.inner.blocks is a Python list"),
        (in_dunder_dict, "layer.weight", "self.layer is hidden from the module"),
        (in_a_closure, "a tensor outside the model", ""),
    ],
)
def test_a_stray_is_named_by_its_path(hide: Any, path: str, holder: str):
    subject = subject_of(lambda: Inside(hide))
    found = strays(subject, subject.fresh())
    assert len(found) == 2
    assert path in {stray.path for stray in found}
    assert {stray.holder for stray in found} == {holder}


def test_a_tensor_that_is_no_parameter_is_a_stray():
    class Plain(sound.MLP):
        def __init__(self) -> None:
            super().__init__(3)
            self.scale = torch.ones(10, requires_grad=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(self.scale * x)

    (stray,) = strays(subject := subject_of(Plain), subject.fresh())
    assert (stray.path, stray.holder) == ("scale", "self.scale is a tensor, not an nn.Parameter")


class AlsoInAList(sound.MLP):
    """Registered, and kept in a list beside."""

    def __init__(self) -> None:
        super().__init__(3)
        self.blocks = list(self.net)


class HiddenTeacher(sound.MLP):
    """Not registered, so that it neither trains nor is saved; used without a graph."""

    def __init__(self) -> None:
        super().__init__(3)
        self.teacher = [sound.MLP(10).requires_grad_(False)]

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            told = self.teacher[0](x)
        return self.net(x + told)


class GradientOfInput(sound.MLP):
    """Asks for the gradient of its input, as energy models and saliency methods do."""

    def forward(self, x: Tensor) -> Tensor:
        x.requires_grad_()
        scores = self.net(x)
        (slope,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
        return scores + 0.1 * slope[:, :3]


class Checkpointed(sound.MLP):
    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.net, x, use_reentrant=False)


class OldWeightNorm(nn.Module):
    """The weight is made anew in each forward pass, and is a plain attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.direction = nn.Parameter(torch.ones(3, 1)), nn.Parameter(torch.randn(3, 10))
        self.weight = self.gain * self.direction

    def forward(self, x: Tensor) -> Tensor:
        self.weight = self.gain * F.normalize(self.direction, dim=1)
        return F.linear(x, self.weight)


SOUND: dict[str, Any] = {
    "MLP": lambda: sound.MLP(3),
    "also in a list": AlsoInAList,
    "hidden teacher": HiddenTeacher,
    "gradient of the input": lambda: GradientOfInput(3),
    "checkpointed": lambda: Checkpointed(3),
    "weight made in forward": OldWeightNorm,
    "weight norm": lambda: parametrizations.weight_norm(nn.Linear(10, 3)),
    "spectral norm": lambda: parametrizations.spectral_norm(nn.Linear(10, 3)),
    "orthogonal": lambda: parametrizations.orthogonal(nn.Linear(10, 3)),
    "lazy": lambda: nn.LazyLinear(3),
    "shared": lambda: nn.Sequential(*[nn.Linear(10, 10)] * 3, nn.Linear(10, 3)),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_models_have_no_strays(name: str):
    subject = subject_of(SOUND[name])
    assert strays(subject, subject.fresh()) == []


# The survey.


def surveyed(subject: Subject) -> Any:
    """With the connections of one backward pass."""
    model = subject.fresh()
    subject.logits_of(model, subject.inputs(16, "graph")).square().sum().backward()
    with_gradient = {n for n, p in model.named_parameters() if p.grad is not None}
    moved = {n for n, p in model.named_parameters() if p.grad is not None and bool(p.grad.any())}
    return survey(subject, connected=with_gradient, moved=moved)


def test_parameters_of_a_sound_model_are_all_in_order():
    found = surveyed(subject_of(lambda: sound.MLP(3)))
    assert found.all == ("net.0.weight", "net.0.bias", "net.2.weight", "net.2.bias")
    assert found.head == ("net.2.weight", "net.2.bias")
    assert (found.off, found.unused, found.cut, found.still, found.strays) == ((), (), (), (), ())


class Sorted(nn.Module):
    """One part of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.off = nn.Linear(10, 10).requires_grad_(False)
        self.cut = nn.Linear(10, 10)
        self.unused = nn.Linear(10, 10)
        self.still = nn.Parameter(torch.ones(10))
        self.head = nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.off(x) + self.cut(x).detach() + 0 * self.still)


def test_each_parameter_is_sorted_by_what_becomes_of_it():
    found = surveyed(subject_of(Sorted))
    assert found.head == ("head.weight", "head.bias")
    assert found.off == ("off.weight", "off.bias")
    assert found.cut == ("cut.weight", "cut.bias")
    assert found.unused == ("unused.weight", "unused.bias")
    assert found.still == ("still",)


def test_what_is_declared_frozen_is_left_out():
    found = surveyed(subject_of(Sorted, frozen=("off.*", "cut.*", "unused.*", "still")))
    assert (found.off, found.cut, found.unused, found.still) == ((), (), (), ())


def test_a_head_that_is_switched_off_is_still_the_head():
    def headless() -> nn.Module:
        model = sound.MLP(3)
        model.net[2].requires_grad_(False)
        return model

    found = surveyed(subject_of(headless))
    assert found.head == found.off == ("net.2.weight", "net.2.bias")


@pytest.mark.parametrize("pattern", ["net.7.*", "Net.0.weight", "0.weight", "net"])
def test_a_pattern_that_matches_nothing_is_told_of(pattern: str):
    subject = subject_of(lambda: sound.MLP(3), frozen=("net.0.*", pattern))
    with pytest.raises(SubjectError, match=rf"frozen= of 'net': '{pattern}'.* matches no parameter; .*net\.\d\."):
        surveyed(subject)


def test_buffers_and_integer_parameters_are_not_asked_to_train():
    class Counting(sound.MLP):
        def __init__(self) -> None:
            super().__init__(3)
            self.register_buffer("seen", torch.zeros(()))
            self.table = nn.Parameter(torch.arange(3), requires_grad=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x) + self.table

    assert surveyed(subject_of(Counting)).off == ()
