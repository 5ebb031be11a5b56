"""A loss overflows where cross entropy is finite.

-log(softmax(z)) is infinite in float32 once a margin exceeds about 104, as the true class's probability is then 0,
and its gradient is NaN, from 89 on already. log(sum(exp(z))) overflows at scores of 89, and log(1 - sigmoid(z)) at 17,
where the sigmoid is 1. log_softmax, logsumexp and logsigmoid compute the same values without leaving the range of the
dtype. The gradient of a square root, or of a power below 1, is infinite at 0, where a probability or a loss can arrive.
"""

FIX = (
    "use log_softmax, logsigmoid, or torch's own loss instead of log(softmax) and log(sigmoid); clamp away from 0 what "
    "a root, a power below 1 or a logarithm is taken of"
)

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
