"""The targets name classes that the model has no score for, or other classes than the labels.

Labels that start from 1 make cross entropy raise on the last class, or, where the head has a score to spare, train
every example towards the next class without a word.
"""

FIX = "number the classes from 0 to num_classes - 1"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3, targets=lambda labels: labels + 1)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3, targets=lambda labels: labels)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
"""

SEEN: tuple[tuple[str, str], ...] = ()
