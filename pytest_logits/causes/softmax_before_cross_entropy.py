"""The outputs are probabilities, and cross entropy applies softmax to them once more.

Cross entropy takes logits: it applies log-softmax itself. Fed with probabilities it cannot get below log(1 +
(K-1)/e), however well the model classifies: .3133 at K = 2, .5514 at 3, 1.4612 at 10, 3.6222 at 100. It does not
by itself leave the predictions stuck: on separable data accuracy still reaches 1.00. What it costs is calibration,
always, and learning where gradients are scarce: the first step's gradient is about K times smaller (K = 100, SGD
at 0.1: accuracy .119 instead of 1.000).

Bad:

    return torch.softmax(self.head(x), dim=1)      # with nn.CrossEntropyLoss

Use instead:

    return self.head(x)                            # and softmax only where probabilities are needed
"""

FIX = "return the scores that go into the softmax; apply softmax only where you need probabilities"
