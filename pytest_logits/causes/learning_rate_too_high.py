"""The step size is so large that the loss rises.

The same step, with a step size a tenth, a hundredth or a thousandth as large, lowers the loss on the same data. On
your own batches this is a failure. On the suite's separable batch it is advice: a step size may suit other data.
"""

FIX = "take a smaller step size, from the range in the finding"

BAD = """\
@pytest_logits.register(
    input_shape=(10,),
    num_classes=3,
    batches=lambda: [(torch.eye(10)[:6] * 10, torch.arange(6) % 3)],
    optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=100.0),
)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
"""

GOOD = """\
@pytest_logits.register(
    input_shape=(10,),
    num_classes=3,
    batches=lambda: [(torch.eye(10)[:6] * 10, torch.arange(6) % 3)],
    optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
"""

SEEN: tuple[tuple[str, str], ...] = ()
