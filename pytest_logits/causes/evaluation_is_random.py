"""The same input gives different logits in eval mode.

F.dropout without training=self.training stays on after model.eval(): every evaluation draws another network.
"""

FIX = (
    "pass training=self.training, or use nn.Dropout; draw noise only if self.training; "
    "for Monte Carlo dropout declare the failure as expected"
)

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        return self.head(F.dropout(x, 0.5))
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        return self.head(F.dropout(x, 0.5, training=self.training))
"""

SEEN: tuple[tuple[str, str], ...] = (("deepchem/deepchem#5120", "F.dropout stays on in predictions"),)
