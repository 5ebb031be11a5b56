"""A prediction leaves the model in train mode.

Dropout and BatchNorm then act as in training on whatever comes next.
"""

FIX = "call model.eval() before predicting, and model.train() where training goes on"

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
