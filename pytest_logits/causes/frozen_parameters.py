"""Parameters that should train do not require a gradient.

With requires_grad=False on all of them the loss cannot fall. Without the layer that makes the logits, the others must
learn features that suit its random weights.
"""

FIX = "set requires_grad on the parameters that are to learn, and declare the others in frozen="

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3, frozen=("0.*",))
def classifier():
    model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
    model.requires_grad_(False)
    return model
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3, frozen=("0.*",))
def classifier():
    model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
    model[0].requires_grad_(False)
    return model
"""

SEEN: tuple[tuple[str, str], ...] = ()
