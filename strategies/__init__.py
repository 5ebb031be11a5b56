"""Hypothesis strategies for classifiers, their inputs, labels, logits, losses and optimizers, and for known faults."""

from __future__ import annotations

from pytest_logits.strategies.batches import Batch, batches
from pytest_logits.strategies.class_weights import class_weights
from pytest_logits.strategies.classifiers import GeneratedClassifier, classifiers
from pytest_logits.strategies.equivalent_pairs import EquivalentPair, equivalent_pairs
from pytest_logits.strategies.faulty_classifiers import FaultyClassifier, faults, faulty_classifiers
from pytest_logits.strategies.inseparable_batches import InseparableBatch, inseparable_batches
from pytest_logits.strategies.labels import labels
from pytest_logits.strategies.logits import logits
from pytest_logits.strategies.losses import GeneratedLoss, losses
from pytest_logits.strategies.optimizers import GeneratedOptimizer, optimizers
from pytest_logits.strategies.separable_batches import SeparableBatch, separable_batches
from pytest_logits.strategies.transforms import Transform, transforms

__all__ = [
    "Batch",
    "EquivalentPair",
    "FaultyClassifier",
    "GeneratedClassifier",
    "GeneratedLoss",
    "GeneratedOptimizer",
    "InseparableBatch",
    "SeparableBatch",
    "Transform",
    "batches",
    "class_weights",
    "classifiers",
    "equivalent_pairs",
    "faults",
    "faulty_classifiers",
    "inseparable_batches",
    "labels",
    "logits",
    "losses",
    "optimizers",
    "separable_batches",
    "transforms",
]
