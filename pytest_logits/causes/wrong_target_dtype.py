"""The loss refuses the dtype or the shape of the targets.

Cross entropy takes class indices as int64 (N,), or probabilities as floats in the shape of the logits; BCE takes
floats in the shape of the logits.
"""

FIX = "give the loss the targets it takes: int64 indices for cross entropy, floats in the logits' shape for BCE"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3, targets=lambda labels: labels.float())
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3, targets=lambda labels: labels.long())
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
"""

SEEN: tuple[tuple[str, str], ...] = ()
