"""Rows that are to be left out still have an influence.

They are counted in the mean, so that the loss of a batch falls with the share of padding in it and short sequences
count less than long ones; or their loss is added, with a label that stands in for the one that is ignored.
"""

FIX = "multiply by the mask and divide by its sum"

BAD = """\
@pytest_logits.register_loss
def loss(logits, targets, ignore_index=-100):
    kept = (targets != ignore_index).to(logits)
    each = F.cross_entropy(logits, targets.clamp(min=0), reduction="none")
    return (each * kept).mean()
"""

GOOD = """\
@pytest_logits.register_loss
def loss(logits, targets, ignore_index=-100):
    kept = (targets != ignore_index).to(logits)
    each = F.cross_entropy(logits, targets.clamp(min=0), reduction="none")
    return (each * kept).sum() / kept.sum()
"""

SEEN: tuple[tuple[str, str], ...] = ()
