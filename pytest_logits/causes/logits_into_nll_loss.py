"""The loss takes log-probabilities, as NLLLoss does, and is fed with scores that are not normalised.

It only picks the entry of the true class and changes its sign. On free scores it has no minimum: the loss
falls below 0 without end.
"""

FIX = "apply log_softmax to the scores, or use CrossEntropyLoss on them"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3, loss="nll_loss")
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3, loss="nll_loss")
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3), nn.LogSoftmax(dim=1))
"""

SEEN: tuple[tuple[str, str], ...] = ()
