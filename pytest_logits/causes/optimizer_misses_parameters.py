"""The optimizer does not hold all the parameters that are to train.

An optimizer steps what it was given when it was made. Parameters of another copy of the model, of a layer that was
replaced afterwards, or of one part only leave the rest as it was initialised, while gradients are computed for it.
"""

FIX = "make the optimizer from model.parameters() of the model that trains, after its last layer is in place"

BAD = """\
@pytest_logits.register(
    input_shape=(10,),
    num_classes=3,
    optimizer=lambda model: torch.optim.Adam(model[0].parameters()),
)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
"""

GOOD = """\
@pytest_logits.register(
    input_shape=(10,),
    num_classes=3,
    optimizer=lambda model: torch.optim.Adam(model.parameters()),
)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
"""

SEEN: tuple[tuple[str, str], ...] = ()
