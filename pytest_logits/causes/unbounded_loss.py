"""The loss has no least value.

It falls without end as the score of the true class grows, so the scores grow for as long as training runs, and rows
that are right already pull as hard as those that are wrong. A hinge needs its max(0, ...), a log-likelihood its
normaliser.
"""

FIX = "clamp a hinge at 0 from below; put log_softmax before a sum of scores"

BAD = """\
@pytest_logits.register_loss
def loss(logits, targets):
    margins = 1 + logits - logits.gather(1, targets.unsqueeze(1))
    return margins.mean()
"""

GOOD = """\
@pytest_logits.register_loss
def loss(logits, targets):
    margins = 1 + logits - logits.gather(1, targets.unsqueeze(1))
    return margins.clamp(min=0).mean()
"""

SEEN: tuple[tuple[str, str], ...] = ()
