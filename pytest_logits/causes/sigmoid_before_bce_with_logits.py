"""The outputs are sigmoids, and BCEWithLogitsLoss applies the sigmoid once more.

The per-example loss is then confined to [.3133, .6931] where the label is 1 and [.6931, 1.3133] where it is 0, so
on balanced labels it cannot get below .5032. Every output is above 0, so the decision "logit above 0", which is
"sigmoid(output) above 0.5", gives class 1 on every row.
"""

FIX = "return the scores that go into the sigmoid; apply sigmoid only where you need probabilities"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=2, task="binary")
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=2, task="binary")
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
"""

SEEN: tuple[tuple[str, str], ...] = (("NVIDIA-Merlin/models#1175", "sigmoid twice by default"),)
