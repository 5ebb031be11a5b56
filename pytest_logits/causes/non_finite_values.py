"""Finite inputs give logits that are NaN or infinite.

One NaN in a batch makes the loss NaN, and the next step makes every parameter NaN.
"""

FIX = "look for a logarithm, division or root of 0 and for exp of a large number"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3, loss="nll_loss")
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        scores = self.head(x)
        return torch.log(scores / scores.sum(dim=1, keepdim=True))
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3, loss="nll_loss")
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        scores = self.head(x)
        return torch.log_softmax(scores, dim=1)
"""

SEEN: tuple[tuple[str, str], ...] = ()
