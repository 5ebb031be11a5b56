"""The training step never calls optimizer.step().

Gradients are computed and the parameters stay as they are: the loss of each batch is that of the initial weights. It
moves from batch to batch as any loss does, so the curve shows noise and no trend.
"""

FIX = "call optimizer.step() after backward()"

BAD = """\
def train_step(model, optimizer, x, y):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step
    return loss


@pytest_logits.register(input_shape=(10,), num_classes=3, train_step=train_step)
def classifier():
    return nn.Linear(10, 3)
"""

GOOD = """\
def train_step(model, optimizer, x, y):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss


@pytest_logits.register(input_shape=(10,), num_classes=3, train_step=train_step)
def classifier():
    return nn.Linear(10, 3)
"""

SEEN: tuple[tuple[str, str], ...] = ()
