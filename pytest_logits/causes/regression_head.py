"""One label makes a Hugging Face model train by regression.

A configuration with num_labels=1 and no problem_type is taken for regression: given labels, the model's loss is the
mean squared error of its single output. On classes 0 and 1 that trains a score near 0 or 1, of which the sigmoid is .5
to .73, and the decision at probability 0.5 is wrong for class 0.
"""

FIX = "use num_labels=2, or compute BCE with logits of model(...).logits yourself"

BAD = """\
class Config:
    num_labels, problem_type = 1, None


class Net(nn.Linear):
    config = Config()

    def forward(self, x, labels=None):
        logits = super().forward(x)
        loss = None if labels is None else F.mse_loss(logits, labels)
        return {"loss": loss, "logits": logits}


@pytest_logits.register(input_shape=(10,), num_classes=2, task="binary")
def classifier():
    return Net(10, 1)
"""

GOOD = """\
class Config:
    num_labels, problem_type = 1, None


class Net(nn.Linear):
    config = Config()

    def forward(self, x, labels=None):
        logits = super().forward(x)
        loss = None if labels is None else F.binary_cross_entropy_with_logits(logits, labels)
        return {"loss": loss, "logits": logits}


@pytest_logits.register(input_shape=(10,), num_classes=2, task="binary")
def classifier():
    return Net(10, 1)
"""

SEEN: tuple[tuple[str, str], ...] = ()
