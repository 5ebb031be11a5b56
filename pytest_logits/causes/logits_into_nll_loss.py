"""NLLLoss takes log-probabilities and is fed with scores that are not normalised.

NLLLoss only picks the entry of the true class and changes its sign. On free scores it has no minimum: the loss
falls below 0 without end.

Bad:

    return self.head(x)                            # with nn.NLLLoss

Use instead:

    return torch.log_softmax(self.head(x), dim=1)
"""

FIX = "apply log_softmax to the scores, or use CrossEntropyLoss on them"
