"""Softmax is taken along another axis than that of the classes.

Over the batch axis every column sums to 1 instead of every row: the scores of one example depend on the others,
and on how many there are. softmax without dim= picks axis 0 for 1-D and 3-D inputs.
"""

FIX = "return the scores, or normalise along the class axis, dim=1"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3, loss="nll_loss")
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        return torch.log_softmax(self.head(x), dim=0)
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3, loss="nll_loss")
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        return torch.log_softmax(self.head(x), dim=1)
"""

SEEN: tuple[tuple[str, str], ...] = (("fxia22/pointnet.pytorch#27", "log_softmax over the batch axis"),)
