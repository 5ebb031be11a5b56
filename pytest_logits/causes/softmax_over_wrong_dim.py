"""Softmax is taken along another axis than that of the classes.

Over the batch axis every column sums to 1 instead of every row: the scores of one example depend on the others,
and on how many there are. softmax without dim= picks axis 0 for 1-D and 3-D inputs.

Bad:

    return torch.softmax(self.head(x), dim=0)

Use instead:

    return self.head(x)                            # with nn.CrossEntropyLoss
    return torch.log_softmax(self.head(x), dim=1)  # with nn.NLLLoss
"""

FIX = "return the scores, or normalise along the class axis, dim=1"
