"""The outputs are sigmoids, and cross entropy needs scores without bound.

Outputs in [0, 1] keep cross entropy between log(1 + (K-1)/e) and log(1 + (K-1)e): the same floor as double
softmax.

Bad:

    return torch.sigmoid(self.head(x))             # with nn.CrossEntropyLoss

Use instead:

    return self.head(x)                            # one class per example: cross entropy on the scores
    return self.head(x)                            # independent labels: BCEWithLogitsLoss on the scores
"""

FIX = "return the scores that go into the sigmoid; for independent labels use BCEWithLogitsLoss on them"
