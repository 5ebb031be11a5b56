"""Cross entropy over one column: the loss is 0 whatever the model says.

Softmax over one score is 1. With (N, 1) scores cross entropy is exactly 0 and has no gradient, and argmax over the
classes is always 0.
"""

FIX = "give the head one output per class, or train with BCEWithLogitsLoss and pass task='binary' to register"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=2)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=2)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 2))
"""

SEEN: tuple[tuple[str, str], ...] = ()
