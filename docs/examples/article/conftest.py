"""Tell pytest-logits which models to check. Run: pytest --logit-checks"""

import models

import pytest_logits


@pytest_logits.register(input_shape=(10,), num_classes=2)
def incorrect():
    return models.IncorrectBinaryClassifier(10)


@pytest_logits.register(input_shape=(10,), num_classes=2)
def correct():
    return models.CorrectBinaryClassifier(10)


@pytest_logits.register(input_shape=(10,), num_classes=2, task="binary")
def bce():
    return models.BinaryClassifierBCE(10)


@pytest_logits.register(input_shape=(10,), num_classes=2, task="binary")
def bce_fixed():
    return models.BinaryClassifierBCEFixed(10)
