"""forward sets the global seed, so what should be random repeats.

A forward pass that calls torch.manual_seed leaves the same random state behind for every batch. Dropout then drops the
same units at every step, and whatever draws next, a shuffling DataLoader, an augmentation, gets the same numbers again.
Over 100 steps a dropout layer of 8 units, half of them dropped, uses 1 mask, where 83 different ones are expected.
The model looks deterministic, which is often why the line was written.
"""

FIX = "set the seed once, before training; where forward needs numbers of its own, draw them from a torch.Generator"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        noise = torch.randn(x.shape, generator=torch.manual_seed(0))
        return self.head(x + 0.1 * noise)
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        return self.head(x + 0.1 * noise)
"""

SEEN: tuple[tuple[str, str], ...] = ()
