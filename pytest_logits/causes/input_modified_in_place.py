"""forward writes into the tensor that it is given.

x.mul_(2), x /= 255, x[:, 0] = 0 and a first layer that is nn.ReLU(inplace=True) change the caller's tensor. A second
pass over the same batch, for a metric or in the next epoch, sees other numbers. Slices of a tensor are views of it:
where batches are slices, the data itself is changed, once more in each epoch. Batches that are made anew each time, as
most DataLoaders make them, hide it.
"""

FIX = (
    "make a new tensor: x = x * 2 for x.mul_(2), x = x / 255 for x /= 255, x = x.clone() before x[:, 0] = 0, "
    "nn.ReLU() for a first layer that is nn.ReLU(inplace=True)"
)

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        return self.head(x.sub_(0.5))
"""

GOOD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        return self.head(x.sub(0.5))
"""

SEEN: tuple[tuple[str, str], ...] = (
    ("pytorch/vision#217", "make_grid wrote into the batch that it was given to show"),
)
