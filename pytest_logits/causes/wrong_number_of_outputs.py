"""The model gives another number of scores than there are classes.

Too few scores make labels that torch refuses at best; too many leave scores that no label ever asks for, as when
the 1000-class head of a pre-trained model was not replaced.
"""

FIX = "make the head's width equal num_classes, or register the num_classes that it has"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=10)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1000))
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=10)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 10))
"""

SEEN: tuple[tuple[str, str], ...] = ()
