"""Logits (N, 1) against targets (N,) broadcast: every row is compared with every label.

A loss written by hand does not check shapes. (N, 1) - (N,) is (N, N), and the mean over it trains every row on all
labels: the predictions converge to the base rate.
"""

FIX = "give logits and targets the same shape: z.squeeze(1), or y.unsqueeze(1)"

BAD = """\
def loss(logits, targets):
    return (F.softplus(logits) - logits * targets).mean()


@pytest_logits.register(input_shape=(10,), num_classes=2, task="binary", loss=loss, targets="float_index")
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 1)

    def forward(self, x):
        return self.head(x)
"""

GOOD = """\
def loss(logits, targets):
    return (F.softplus(logits) - logits * targets).mean()


@pytest_logits.register(input_shape=(10,), num_classes=2, task="binary", loss=loss, targets="float_index")
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 1)

    def forward(self, x):
        return self.head(x).squeeze(1)
"""

SEEN: tuple[tuple[str, str], ...] = (("pytorch/pytorch#16045", "a loss that broadcasts its target"),)
