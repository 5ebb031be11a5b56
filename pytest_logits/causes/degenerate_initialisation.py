"""The gradient of every weight is exactly zero from the start.

Weights that are all zero in two layers in a row, or a ReLU that is off for every input, give gradients that are
exactly zero, and no step changes that.
"""

FIX = "initialise the weights with values that differ; zeros are right for a last layer only"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
def classifier():
    model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3, bias=False))
    for p in model.parameters():
        nn.init.zeros_(p)
    return model
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
def classifier():
    model = nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3, bias=False))
    for p in model[-1].parameters():
        nn.init.zeros_(p)
    return model
"""

SEEN: tuple[tuple[str, str], ...] = ()
