"""The loss takes log-probabilities, as NLLLoss does, and is fed with probabilities.

NLLLoss only picks the entry of the true class and changes its sign. On probabilities it lies in [-1, 0]: it is
negative, which no log-likelihood of a class is, and its gradient does not grow where the model is wrong.
"""

FIX = "return log_softmax instead of softmax, or return the scores and use CrossEntropyLoss"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3, loss="nll_loss")
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(dim=1))
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3, loss="nll_loss")
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3), nn.LogSoftmax(dim=1))
"""

SEEN: tuple[tuple[str, str], ...] = (
    ("AnubhavGupta3377/Text-Classification-Models-Pytorch#9", "the loss is always negative"),
)
