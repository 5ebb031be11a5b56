"""The model is in another mode than it should be after a prediction, or during a training step.

After a prediction that leaves train mode, dropout and BatchNorm act as in training on whatever comes next. After an
evaluation that leaves eval mode, the rest of the training goes without dropout, and BatchNorm's statistics stay.
"""

FIX = "call model.eval() before predicting and restore the mode after it; begin a training step with model.train()"

BAD = """\
def predict(model, x):
    model.train()
    return model(x).argmax(dim=1)


@pytest_logits.register(input_shape=(10,), num_classes=3, predict=predict)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
"""

GOOD = """\
def predict(model, x):
    model.eval()
    return model(x).argmax(dim=1)


@pytest_logits.register(input_shape=(10,), num_classes=3, predict=predict)
def classifier():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))
"""

SEEN: tuple[tuple[str, str], ...] = ()
