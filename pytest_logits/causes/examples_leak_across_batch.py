"""The logits of an example depend on the other examples of the batch, in eval mode.

A reshape that mixes rows, a mean over the wrong axis, or a normalisation over the batch that stays on in eval mode
gives another prediction for the same example in another batch. BatchNorm in train mode mixes rows by design and is
not reported.
"""

FIX = "keep the batch axis apart: reduce and reshape over the other axes only"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        return self.head(x - x.mean(dim=0))
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        return self.head(x - x.mean(dim=1, keepdim=True))
"""

SEEN: tuple[tuple[str, str], ...] = ()
