"""The gradients of earlier steps are added to those of this one.

backward() adds to what is in .grad. Without optimizer.zero_grad() each step follows the sum of all gradients so far, as
momentum with a factor of 1 would: the loss overshoots, oscillates and may grow, while small step sizes hide it.
Accumulation over several micro-batches is no such fault: the gradients are cleared after each optimizer.step().
"""

FIX = "call optimizer.zero_grad() once for every optimizer.step(), before backward()"

BAD = """\
def train_step(model, optimizer, x, y):
    optimizer.zero_grad
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
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
