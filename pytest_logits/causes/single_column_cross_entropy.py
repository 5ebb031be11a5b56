"""Cross entropy over one column: the loss is 0 whatever the model says.

Softmax over one score is 1. With (N, 1) scores cross entropy is exactly 0 and has no gradient, and argmax over the
classes is always 0.

Bad:

    self.head = nn.Linear(width, 1)                # with nn.CrossEntropyLoss

Use instead:

    self.head = nn.Linear(width, 2)                # with nn.CrossEntropyLoss
    self.head = nn.Linear(width, 1)                # with nn.BCEWithLogitsLoss
"""

FIX = "give the head one output per class, or use BCEWithLogitsLoss with task='binary'"
