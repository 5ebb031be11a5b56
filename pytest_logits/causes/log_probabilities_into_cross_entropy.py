"""Cross entropy applies log-softmax to outputs that are log-probabilities already. Harmless.

Log-softmax of log-probabilities is those same log-probabilities, so loss and gradients are right. It is computed
twice.
"""

FIX = "nothing is wrong; use NLLLoss, or return the scores"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3), nn.LogSoftmax(dim=1))
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
"""

SEEN: tuple[tuple[str, str], ...] = ()
