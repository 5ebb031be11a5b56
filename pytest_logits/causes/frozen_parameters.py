"""Parameters that should train do not require a gradient.

With requires_grad=False on all of them the loss cannot fall.
"""

FIX = "set requires_grad on the parameters that are to learn, at least those of the head"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
def classifier():
    model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
    model.requires_grad_(False)
    return model
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
def classifier():
    model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
    model[0].requires_grad_(False)
    return model
"""

SEEN: tuple[tuple[str, str], ...] = ()
