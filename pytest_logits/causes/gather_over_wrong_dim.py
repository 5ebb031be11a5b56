"""Labels pick rows of the scores, not classes.

gather and scatter with dim=0, or log_p[targets], take the labels for row indices. In a batch with more rows than
classes no index is out of range, so nothing is raised: each row is trained on the scores of another.
"""

FIX = "index the class axis: gather(1, targets.unsqueeze(1)), or log_p[torch.arange(len(targets)), targets]"

BAD = """\
@pytest_logits.register_loss
def loss(logits, targets):
    log_p = F.log_softmax(logits, dim=1)
    return -log_p.gather(0, targets.unsqueeze(1)).mean()
"""

GOOD = """\
@pytest_logits.register_loss
def loss(logits, targets):
    log_p = F.log_softmax(logits, dim=1)
    return -log_p.gather(1, targets.unsqueeze(1)).mean()
"""

SEEN: tuple[tuple[str, str], ...] = ()
