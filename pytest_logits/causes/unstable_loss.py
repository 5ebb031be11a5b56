"""A loss overflows where cross entropy is finite.

-log(softmax(z)) is infinite in float32 once a margin exceeds about 104, as the true class's probability is then 0,
and its gradient is NaN. log_softmax computes the same value without leaving the range of the dtype.
"""

FIX = "use log_softmax, logsigmoid, or torch's own loss instead of log(softmax) and log(sigmoid)"

BAD = """\
def loss(logits, targets):
    return F.nll_loss(torch.log(torch.softmax(logits, dim=1)), targets)


@pytest_logits.register(input_shape=(10,), num_classes=2, loss=loss)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 2))
"""

GOOD = """\
def loss(logits, targets):
    return F.nll_loss(torch.log_softmax(logits, dim=1), targets)


@pytest_logits.register(input_shape=(10,), num_classes=2, loss=loss)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 2))
"""

SEEN: tuple[tuple[str, str], ...] = ()
