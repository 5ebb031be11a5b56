"""Losses by themselves: registration, classes and shapes found by probing, items and reports."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pytest_logits
from pytest_logits import RegistrationError
from pytest_logits.loss_subject import MOST_CLASSES, LossSubject
from pytest_logits.model_registry import registered_losses, registered_models
from pytest_logits.settings import Settings
from tests.test_subject import subject_of


def subject(loss: Any, **arguments: Any) -> LossSubject:
    pytest_logits.register_loss(loss, **{"name": "loss", **arguments})
    return LossSubject.registered(registered_losses()[-1], Settings())


def ce(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets)


def test_a_registered_loss_is_no_model():
    assert pytest_logits.register_loss(ce) is ce
    assert ([spec.name for spec in registered_losses()], registered_models()) == (["ce"], ())


def test_an_unknown_argument_names_the_nearest():
    with pytest.raises(RegistrationError, match="unknown argument 'reductions'; did you mean 'reduction'"):
        pytest_logits.register_loss(reductions="mean")


def test_an_unknown_reduction_is_refused():
    with pytest.raises(RegistrationError, match="reduction='avg' is not known"):
        pytest_logits.register_loss(ce, reduction="avg")


def test_a_loss_takes_any_number_of_classes():
    assert subject(ce).any_classes


def test_the_number_of_classes_is_that_of_the_weights():
    assert subject(nn.CrossEntropyLoss(weight=torch.ones(4))).trailing == (4,)


def test_a_loss_that_takes_dense_scores_only_gets_them():
    found = subject(lambda z, y: F.cross_entropy(z.transpose(1, 2).reshape(-1, z.shape[1]), y.reshape(-1)))
    assert len(found.trailing) == 2
    assert found.any_classes


def test_a_module_is_copied():
    loss = nn.CrossEntropyLoss(weight=torch.ones(3))
    assert subject(loss).loss_object is not loss


def test_evaluations_are_counted():
    found = subject(ce, num_classes=3)
    found.gradient(torch.zeros(2, 3), torch.tensor([0, 1]))
    assert (found.passes.forward, found.passes.backward) == (1, 1)


def test_a_report_has_the_checks_of_losses_only():
    names = {result.check for result in pytest_logits.check_loss(ce, profile="quick", select=["loss"])}
    assert {"loss_matches_reference", "targets_fit_loss"} <= names
    assert "own_loss_is_the_registered_one" not in names


def test_items_are_named_by_file_loss_and_check(pytester: pytest.Pytester):
    pytester.makeconftest("import pytest_logits\n\n@pytest_logits.register_loss\ndef mine(z, y):\n    return z.sum()\n")
    result = pytester.runpytest("--logit-checks", "--co", "-q")
    result.stdout.fnmatch_lines(["conftest.py::mine::loss_matches_reference"])
    result.stdout.no_fnmatch_line("*outputs_are_logits*")


def test_pyproject_registers_a_loss(pytester: pytest.Pytester):
    (pytester.mkpydir("own") / "losses.py").write_text("def mine(z, y):\n    return z.sum()\n", encoding="utf-8")
    pytester.makepyprojecttoml('[tool.pytest-logits.losses.mine]\nfactory = "own.losses:mine"\nreduction = "sum"\n')
    result = pytester.runpytest("--logit-checks", "--co", "-q")
    result.stdout.fnmatch_lines(["pyproject.toml::mine::loss_prefers_the_true_class"])


@pytest.mark.parametrize(
    ("loss", "classes"),
    [(nn.CrossEntropyLoss(), MOST_CLASSES), (nn.CrossEntropyLoss(torch.ones(1100)), 1100), (ce, 1100)],
    ids=["alike", "weighted", "own"],
)
def test_of_many_classes_that_are_alike_a_thousand_are_looked_at(loss: Any, classes: int):
    model = subject_of(lambda: nn.Linear(10, 1100), num_classes=1100, loss=loss)
    assert LossSubject.of_model(model).trailing == (classes,)
