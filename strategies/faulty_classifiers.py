"""Generated classifiers with one known fault in them, to try a test on."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn

from pytest_logits.planting import Planted, plants
from pytest_logits.strategies._validate import check_choice
from pytest_logits.strategies.classifiers import GeneratedClassifier, classifiers

# A head, a task that says more than the head does, and the bounds of the number of classes.
Setting = tuple[str, str | None, int, int]
# What a fault is tried in. The first that takes it at both bounds is drawn.
SETTINGS: tuple[Setting, ...] = (
    ("classes", None, 2, 5),
    ("classes", None, 3, 5),
    ("classes", None, 2, 2),
    ("column", None, 2, 2),
    ("classes", "multilabel", 2, 5),
)


@dataclass(frozen=True, kw_only=True)
class FaultyClassifier:
    """A classifier and the cause that is planted in it. Its repr, evaluated, builds one with the same fault.

    ``task`` is that of :func:`pytest_logits.register`, or None for the one that the classifier's head says.
    """

    cause: str
    classifier: GeneratedClassifier
    task: str | None = None

    @functools.cached_property
    def planted(self) -> Planted:
        """The factory of the module, and the arguments that it is registered with."""
        found = plants()[self.cause](self.classifier.build, self.sound_arguments)
        assert found is not None, f"{self.cause} cannot be planted in {self.classifier!r}"
        return found

    @property
    def sound_arguments(self) -> dict[str, Any]:
        """The arguments of the same classifier without the fault."""
        task = {} if self.task is None else {"task": self.task}
        return {**self.classifier.arguments, **task}

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of ``register`` and ``check_classifier``; the fault may be in them."""
        return self.planted.arguments

    def build(self) -> nn.Module:
        """A new module; the fault may be in it."""
        made: nn.Module = self.planted.factory()
        return made


@functools.cache
def faults() -> tuple[str, ...]:
    """The causes that can be planted in a generated classifier."""
    return tuple(cause for cause in plants() if _setting(cause) is not None)


@functools.cache
def _setting(cause: str) -> Setting | None:
    return next((setting for setting in SETTINGS if all(_fits(cause, setting, k) for k in setting[2:])), None)


def _fits(cause: str, setting: Setting, classes: int) -> bool:
    head, task, *_ = setting
    tried = GeneratedClassifier(
        family="mlp",
        input_shape=(2,),
        vocab_size=None,
        num_classes=classes,
        width=2,
        depth=1,
        activation="relu",
        normalisation="none",
        dtype=torch.float32,
        seed=0,
        dropout=0.5,
        head=head,
    )
    arguments = {**tried.arguments, **({} if task is None else {"task": task})}
    return plants()[cause](tried.build, arguments) is not None


def faulty_classifiers(*, cause: str, min_width: int = 1, max_width: int = 32) -> st.SearchStrategy[FaultyClassifier]:
    """Classifiers with ``cause`` planted in them: in the module, its loss, its targets or its training.

    Call ``.build()`` on an example for the module and read ``.arguments`` for what it is registered with.
    ``pytest_logits.planting.plants()`` plants the same in a module of yours. ``min_width`` and ``max_width`` mean what
    they mean to :func:`classifiers`.

    Examples shrink as those of :func:`classifiers` do.
    """
    check_choice("cause", cause, faults())
    setting = _setting(cause)
    assert setting is not None
    head, task, least, most = setting
    drawn = classifiers(
        heads=(head,),
        min_classes=least,
        max_classes=most,
        min_width=min_width,
        max_width=max_width,
        # What minds its mode has dropout.
        dropouts=(0.5,) if cause == "model_left_in_wrong_mode" else (0.0, 0.1, 0.5),
    )
    if cause == "model_left_in_wrong_mode":
        drawn = drawn.filter(lambda classifier: classifier.depth > 0)
    return drawn.map(lambda classifier: FaultyClassifier(cause=cause, classifier=classifier, task=task))
