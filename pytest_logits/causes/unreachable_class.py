"""One class's score never exceeds another's, so it is never predicted.

Whatever the parameters and the input, argmax passes the class by. Cross entropy cannot learn its rows: their loss stays
above log 2. A score that is made from another's by taking something off does it, and one that is an average of the
others'.
"""

FIX = "give every class a score of its own, free of the others'"

BAD = """\
class Net(nn.Linear):
    def forward(self, x):
        scores = super().forward(x)
        return torch.cat([scores[:, :2], scores[:, :1] - scores[:, 2:].exp()], dim=1)


@pytest_logits.register(input_shape=(10,), num_classes=3)
def classifier():
    return Net(10, 3)
"""

GOOD = """\
class Net(nn.Linear):
    def forward(self, x):
        scores = super().forward(x)
        return torch.cat([scores[:, :2], scores[:, :1] - scores[:, 2:]], dim=1)


@pytest_logits.register(input_shape=(10,), num_classes=3)
def classifier():
    return Net(10, 3)
"""

SEEN: tuple[tuple[str, str], ...] = ()
