"""The step goes uphill: it raises the loss that it is meant to lower.

A sign is wrong: the loss is negated before backward(), or the optimizer is told to maximise. To first order a step
changes the loss by minus the step size times the squared gradient; here it is plus. With every gradient turned round,
the same step lowers the loss.
"""

FIX = "minimise the loss: no minus sign before it, and no maximize=True in the optimizer"

BAD = """\
@pytest_logits.register(
    input_shape=(10,),
    num_classes=3,
    optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.01, maximize=True),
)
def classifier():
    return nn.Linear(10, 3)
"""

GOOD = """\
@pytest_logits.register(
    input_shape=(10,),
    num_classes=3,
    optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.01),
)
def classifier():
    return nn.Linear(10, 3)
"""

SEEN: tuple[tuple[str, str], ...] = (
    ("AnubhavGupta3377/Text-Classification-Models-Pytorch#9", "a loss that is negative and falls"),
)
