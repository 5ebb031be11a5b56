"""The outputs are softmax probabilities, and BCEWithLogitsLoss takes logits.

Outputs in [0, 1] go through a sigmoid inside the loss, which keeps it from its minimum. With several labels per
example softmax also makes the labels compete.

Bad:

    return torch.softmax(self.head(x), dim=1)      # with nn.BCEWithLogitsLoss

Use instead:

    return self.head(x)
"""

FIX = "return the scores that go into the softmax; for one class per example use cross entropy on them"
