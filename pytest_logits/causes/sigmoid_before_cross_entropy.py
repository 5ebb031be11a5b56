"""The outputs are sigmoids, and cross entropy needs scores without bound.

Outputs in [0, 1] keep cross entropy between log(1 + (K-1)/e) and log(1 + (K-1)e): the same floor as double
softmax.
"""

FIX = "return the scores that go into the sigmoid; for independent labels use BCEWithLogitsLoss on them"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3), nn.Sigmoid())
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
"""

SEEN: tuple[tuple[str, str], ...] = (
    ("eriklindernoren/PyTorch-YOLOv3#108", "sigmoid on the class scores of a detector"),
)
