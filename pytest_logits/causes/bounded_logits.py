"""An activation bounds the scores, so the loss cannot reach its minimum.

tanh keeps cross entropy above log(1 + (K-1)/e^2): .1269, .7966 and 2.6671 at K = 2, 10 and 100. ReLU leaves the
least loss at 0, but a true class whose score is clipped to 0 has zero gradient, and a row of zeros stays at log K.
Rows normalised to norm 1 have a margin of sqrt(K/(K-1)) at most: floors of .2176, .8362 and 2.0555 at K = 2, 5 and 20.
A bound of 16 and more, as in scaled cosine logits, costs nothing and is not reported.
"""

FIX = "return the scores that go into the activation; multiply normalised scores, such as cosines, by 16 or more"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3), nn.ReLU())
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
"""

SEEN: tuple[tuple[str, str], ...] = (("pytorch/tutorials#1644", "ReLU on the logits of a tutorial"),)
