"""The loss is the same whatever the labels are.

The prediction is taken for the label, or a mask has overwritten every label. The loss falls as the model grows surer
of what it says already, and accuracy stays where it was.
"""

FIX = "pass the labels to the loss as they are"

BAD = """\
@pytest_logits.register_loss
def loss(logits, targets):
    return F.cross_entropy(logits, logits.argmax(dim=1))
"""

GOOD = """\
@pytest_logits.register_loss
def loss(logits, targets):
    return F.cross_entropy(logits, targets)
"""

SEEN: tuple[tuple[str, str], ...] = ()
