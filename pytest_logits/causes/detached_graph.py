"""The logits are cut off from the parameters, so no gradient reaches them.

detach(), .data, .item(), numpy() and torch.no_grad() all cut the graph.
"""

FIX = "remove detach(), .data or no_grad from the path between the parameters and the logits"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        return self.head(x).detach()
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
