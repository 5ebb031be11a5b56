from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pytest_logits import judged_once
from pytest_logits.loss_subject import LossSubject
from pytest_logits.model import make_loss_spec
from pytest_logits.settings import Settings


@pytest.fixture(autouse=True)
def nothing_judged_before() -> None:
    judged_once.forget()


def loss_of(loss: Any, **arguments: Any) -> LossSubject:
    spec = make_loss_spec(loss, file=Path(__file__), line=1, arguments={"name": "loss", "num_classes": 3, **arguments})
    return LossSubject.registered(spec, Settings())


def times_judged(*losses: LossSubject) -> int:
    judged: list[LossSubject] = []
    for loss in losses:
        judged_once.judged_once(loss, "a check", judged.append)
    return len(judged)


def named(name: str, classes: int = 3) -> LossSubject:
    loss = loss_of(F.cross_entropy, num_classes=classes)
    loss.loss_object = name
    return loss


def test_a_named_loss_is_judged_once_for_all_models_with_such_scores():
    assert times_judged(named("cross_entropy"), named("cross_entropy")) == 1


def test_so_is_a_module_of_torchs_without_weights_and_one_with_other_arguments_by_itself():
    assert times_judged(loss_of(nn.CrossEntropyLoss()), loss_of(nn.CrossEntropyLoss())) == 1
    assert times_judged(loss_of(nn.CrossEntropyLoss(label_smoothing=0.1))) == 1


def test_one_with_weights_is_judged_each_time():
    weighted = nn.CrossEntropyLoss(weight=torch.ones(3))
    assert times_judged(loss_of(weighted), loss_of(weighted)) == 2


def test_what_is_drawn_for_a_plain_loss_does_not_depend_on_the_model():
    first, second = loss_of(nn.CrossEntropyLoss(), name="one"), loss_of(nn.CrossEntropyLoss(), name="other")
    assert first.seed("x") == second.seed("x")


def test_other_scores_are_judged_by_themselves():
    assert times_judged(named("cross_entropy", 3), named("cross_entropy", 4)) == 2


def test_a_function_is_judged_each_time():
    """Two of them may be alike and hold another state."""
    assert times_judged(loss_of(F.cross_entropy), loss_of(F.cross_entropy)) == 2
