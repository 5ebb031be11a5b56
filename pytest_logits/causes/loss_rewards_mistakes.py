"""A row with the true class behind costs less than the same row with it in front.

Exchanging the score of the true class with a lower one should never lower the loss. A focal loss that weighs rows by
p where 1 - p is meant does it: rows that are badly wrong cost nothing, so they are never learnt. The loss still
prefers the true class where it is sure of it, so training looks sound on easy data.
"""

FIX = "weigh each row by what it lacks: (1 - pt) ** gamma, with pt the probability of the true class"

BAD = """\
@pytest_logits.register_loss
def loss(logits, targets):
    ce = F.cross_entropy(logits, targets, reduction="none")
    pt = torch.exp(-ce)
    return (pt**2 * ce).mean()
"""

GOOD = """\
@pytest_logits.register_loss
def loss(logits, targets):
    ce = F.cross_entropy(logits, targets, reduction="none")
    pt = torch.exp(-ce)
    return ((1 - pt) ** 2 * ce).mean()
"""

SEEN: tuple[tuple[str, str], ...] = ()
