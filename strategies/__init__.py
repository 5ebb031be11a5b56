"""Hypothesis strategies for classifiers, their inputs, their labels and their logits."""

from __future__ import annotations

from pytest_logits.strategies.batches import Batch, batches
from pytest_logits.strategies.classifiers import GeneratedClassifier, classifiers
from pytest_logits.strategies.labels import labels
from pytest_logits.strategies.logits import logits
from pytest_logits.strategies.separable_batches import SeparableBatch, separable_batches

__all__ = [
    "Batch",
    "GeneratedClassifier",
    "SeparableBatch",
    "batches",
    "classifiers",
    "labels",
    "logits",
    "separable_batches",
]
