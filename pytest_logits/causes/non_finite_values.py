"""Numbers that are NaN or infinite, in the logits of finite inputs or in the inputs themselves.

One NaN in a batch makes the loss NaN, and the next step makes every parameter NaN.
"""

FIX = (
    "look for the logarithm or root of a number that is 0 or negative, a division by 0 and exp of a large number; "
    "in the data, for missing values"
)

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
