"""The outputs are softmax probabilities, and BCEWithLogitsLoss takes logits.

Outputs in [0, 1] go through a sigmoid inside the loss, which keeps it from its minimum. With several labels per
example softmax also makes the labels compete.
"""

FIX = "return the scores that go into the softmax; for one class per example use cross entropy on them"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=4, task="multilabel")
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 4), nn.Softmax(dim=1))
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=4, task="multilabel")
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 4))
"""

SEEN: tuple[tuple[str, str], ...] = ()
