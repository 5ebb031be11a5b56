"""The predictions are not the decisions that the loss trains.

Where cross entropy is trained, the decision is argmax over the class axis; where BCE with logits is trained, it is
a logit above 0, which is a probability above 0.5. Other decisions come of 0.5 as the threshold of logits, of sigmoid
applied twice, which is above 0.5 for every input, and of argmax over the batch axis.
"""

FIX = "decide by argmax over the class axis; for a single logit by logit > 0; for several labels by logit > 0 for each"

BAD = """\
def predict(model, x):
    return (model(x).squeeze(1) > 0.5).long()


@pytest_logits.register(input_shape=(10,), num_classes=2, task="binary", predict=predict)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
"""

GOOD = """\
def predict(model, x):
    return (model(x).squeeze(1) > 0).long()


@pytest_logits.register(input_shape=(10,), num_classes=2, task="binary", predict=predict)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 1))
"""

SEEN: tuple[tuple[str, str], ...] = (("dmlc/dgl#1534", "0.5 as the threshold of logits"),)
