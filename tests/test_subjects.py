"""Subjects are shared while they are in use."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from pytest_logits.loss_subject import LossSubject
from pytest_logits.model import ModelSpec, make_loss_spec, make_spec
from pytest_logits.settings import Settings
from pytest_logits.subject import Subject
from pytest_logits.subjects import KEPT_SUBJECTS, Subjects


def spec() -> ModelSpec:
    return make_spec(nn.Linear, file=Path(__file__), line=1, arguments={"input_shape": (4,), "num_classes": 3})


def test_a_model_and_a_loss_have_subjects_of_their_own():
    subjects = Subjects(Settings())
    loss = make_loss_spec(nn.functional.cross_entropy, file=Path(__file__), line=1, arguments={})
    assert type(subjects.of(spec())) is Subject
    assert type(subjects.of(loss)) is LossSubject


def test_subjects_are_shared():
    subjects, one = Subjects(Settings()), spec()
    assert subjects.of(one) is subjects.of(one)


def test_the_least_recently_used_subject_is_dropped():
    subjects, specs = Subjects(Settings()), [spec() for _ in range(KEPT_SUBJECTS + 1)]
    first, second = subjects.of(specs[0]), subjects.of(specs[1])
    for one in (*specs[2:-1], specs[0], specs[-1]):
        subjects.of(one)
    assert subjects.of(specs[0]) is first
    assert subjects.of(specs[1]) is not second
