"""Targets of -1 and 1 in a loss that takes 0 and 1.

BCE with logits accepts -1 and is then unbounded below: at target -1 it is softplus(z) + z, which falls without
end.
"""

FIX = "encode the classes as 0 and 1"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=2, task="binary", targets="signed")
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=2, task="binary", targets="column")
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
"""

SEEN: tuple[tuple[str, str], ...] = ()
