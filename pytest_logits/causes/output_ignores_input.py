"""The logits are the same for every input.

The model can then learn the base rates of the classes and nothing else.
"""

FIX = "look for where the input is dropped, multiplied by zero, or replaced"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        return self.head(torch.zeros_like(x))
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        return self.head(x)
"""

SEEN: tuple[tuple[str, str], ...] = ()
