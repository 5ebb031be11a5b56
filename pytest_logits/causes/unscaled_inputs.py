"""The inputs are far larger or smaller than initial weights assume.

Initialisations keep the size of what goes through a layer, for inputs of mean 0 and size 1. Raw pixels, 0 to 255, make
the first logits a hundred times too large: the first steps are wild, and plain SGD may end with one class for every
row. Inputs far below 1 learn slowly. A normalisation as the first layer takes the size out.
"""

FIX = "standardise the inputs: subtract their mean, divide by their standard deviation, or start with a normalisation"

BAD = """\
@pytest_logits.register(
    input_shape=(10,),
    num_classes=3,
    batches=lambda: [(torch.arange(60.0).reshape(6, 10) * 4, torch.arange(6) % 3)],
)
def classifier():
    return nn.Linear(10, 3)
"""

GOOD = """\
@pytest_logits.register(
    input_shape=(10,),
    num_classes=3,
    batches=lambda: [(torch.arange(60.0).reshape(6, 10) / 30 - 1, torch.arange(6) % 3)],
)
def classifier():
    return nn.Linear(10, 3)
"""

SEEN: tuple[tuple[str, str], ...] = ()
