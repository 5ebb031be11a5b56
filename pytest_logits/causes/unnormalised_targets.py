"""The rows of the soft targets do not sum to 1.

Cross entropy with soft targets t is least at the probabilities t / sum(t), not at t. Smoothing by hand that gives the
true class .9 and each of the nine others .1 sums to 1.8, and so asks for .5 where .9 was meant. The gradient is
sum(t) * softmax - t: its rows still sum to a constant, so no error and no odd loss curve shows it.
"""

FIX = "divide each row by its sum; for label smoothing pass label_smoothing= to the loss"

BAD = """\
@pytest_logits.register(
    input_shape=(10,),
    num_classes=10,
    targets=lambda labels: 0.1 + 0.8 * F.one_hot(labels, 10).float(),
)
def classifier():
    return nn.Linear(10, 10)
"""

GOOD = """\
@pytest_logits.register(
    input_shape=(10,),
    num_classes=10,
    targets=lambda labels: 0.1 / 10 + 0.9 * F.one_hot(labels, 10).float(),
)
def classifier():
    return nn.Linear(10, 10)
"""

SEEN: tuple[tuple[str, str], ...] = ()
