"""The shape of the logits changes with the size of the batch.

squeeze() without a dimension also removes the batch axis of a batch of one. The last batch of an epoch often is
one: the loss then raises, or broadcasts without a word.
"""

FIX = "name the dimension: squeeze(1), not squeeze(); keep the batch axis first in every reshape"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=2, task="binary")
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 1)

    def forward(self, x):
        return self.head(x).squeeze()
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=2, task="binary")
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 1)

    def forward(self, x):
        return self.head(x).squeeze(1)
"""

SEEN: tuple[tuple[str, str], ...] = (("open-mmlab/mmsegmentation#1629", "squeeze() at batch 1"),)
