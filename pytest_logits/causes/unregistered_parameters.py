"""Trainable tensors are used in forward that parameters() does not list.

An optimizer made from model.parameters() never sees them.
"""

FIX = "keep modules in nn.ModuleList or nn.ModuleDict and tensors in nn.Parameter"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3)]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x
"""

SEEN: tuple[tuple[str, str], ...] = ()
