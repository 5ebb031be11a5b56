"""Tell pytest-logits which models to check. Run: pytest --logit-checks"""

import images
import text

import pytest_logits

TOKENS = {"input_shape": (16,), "vocab_size": text.VOCAB_SIZE, "num_classes": text.NUM_TOPICS}
IMAGES = {"input_shape": (3, 16, 16), "num_classes": images.NUM_CLASSES}

pytest_logits.register(text.bert, name="bert", **TOKENS)
pytest_logits.register(text.LSTMClassifier, name="lstm", **TOKENS)
pytest_logits.register(images.vit, name="vit", **IMAGES)
pytest_logits.register(images.CNN, name="cnn", **IMAGES)
pytest_logits.register(images.CNNWithSoftmax, name="cnn_with_softmax", **IMAGES)
