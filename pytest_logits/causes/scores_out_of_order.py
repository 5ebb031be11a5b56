"""The scores of one position are held against the label of another.

Scores (N, K, T) become rows by transpose and reshape. A view or reshape alone gives rows of the right shape that mix
classes and positions, and a roll moves every position on by one. The loss falls to the base rate of the labels.
"""

FIX = "move the class axis last first: logits.transpose(1, 2).reshape(-1, K), or give torch's loss (N, K, T)"

BAD = """\
@pytest_logits.register_loss
def loss(logits, targets):
    rows = logits.transpose(1, 2).roll(1, dims=1).reshape(-1, logits.shape[1])
    return F.cross_entropy(rows, targets.reshape(-1))
"""

GOOD = """\
@pytest_logits.register_loss
def loss(logits, targets):
    rows = logits.transpose(1, 2).reshape(-1, logits.shape[1])
    return F.cross_entropy(rows, targets.reshape(-1))
"""

SEEN: tuple[tuple[str, str], ...] = ()
