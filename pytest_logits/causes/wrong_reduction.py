"""The loss is averaged over the wrong things, or at the wrong place.

A mean over rows and classes makes cross entropy K times smaller, and a mean that is divided by N again makes it fall
with the batch size: the step size that suits it is another for each. A focal loss of a mean gives every row the same
factor. Registered with a reduction, a loss that has another is reported too.
"""

FIX = "sum over the classes, take the factor of each row, and then one mean over the rows"

BAD = """\
@pytest_logits.register_loss
def loss(logits, targets):
    y = F.one_hot(targets, logits.shape[1])
    return -(y * F.log_softmax(logits, dim=1)).mean()
"""

GOOD = """\
@pytest_logits.register_loss
def loss(logits, targets):
    y = F.one_hot(targets, logits.shape[1])
    return -(y * F.log_softmax(logits, dim=1)).sum(dim=1).mean()
"""

SEEN: tuple[tuple[str, str], ...] = ()
