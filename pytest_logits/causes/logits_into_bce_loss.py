"""The loss takes probabilities, as BCELoss does, and is fed with scores that are not confined to [0, 1].

BCELoss raises an error as soon as a score leaves [0, 1]; until then the loss is of the wrong thing. A loss of your own
gives NaN there, or clips the score and with it the gradient.
"""

FIX = "use BCEWithLogitsLoss on the scores, or apply sigmoid to them"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=2, task="binary", loss="bce")
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=2, task="binary", loss="bce_with_logits")
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
"""

SEEN: tuple[tuple[str, str], ...] = ()
