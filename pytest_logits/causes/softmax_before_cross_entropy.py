"""The outputs are probabilities, and cross entropy applies softmax to them once more.

Cross entropy takes logits: it applies log-softmax itself. Fed with probabilities it cannot get below log(1 +
(K-1)/e), however well the model classifies: .3133 at K = 2, .5514 at 3, 1.4612 at 10, 3.6222 at 100. It does not
by itself leave the predictions stuck: on separable data accuracy still reaches 1.00. What it costs is calibration,
always, and learning where gradients are scarce: the first step's gradient is about K times smaller. At K = 100 a
network of one hidden layer with SGD at 0.1 stays below accuracy .05, and reaches 1.00 without the softmax.
"""

FIX = "return the scores that go into the softmax; apply softmax only where you need probabilities"

BAD = """\
@pytest_logits.register(input_shape=(10,), num_classes=3)
class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        return torch.softmax(self.head(x), dim=1)
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

SEEN: tuple[tuple[str, str], ...] = (
    ("pytorch/pytorch#55902", "asks torch to warn; open since 2021"),
    ("MicrosoftDocs/ml-basics#48", "in a course"),
    ("bkitano/llama-from-scratch#5", "in a walk-through of a language model"),
    ("Yard1/ray-skorch#18", "in an example"),
    ("bowang-lab/Transformer-GCN-QA#32", "in a research model"),
)
