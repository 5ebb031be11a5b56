"""NLLLoss takes log-probabilities and is fed with probabilities.

NLLLoss only picks the entry of the true class and changes its sign. On probabilities it lies in [-1, 0]: it is
negative, which no log-likelihood of a class is, and its gradient does not grow where the model is wrong.

Bad:

    return torch.softmax(self.head(x), dim=1)      # with nn.NLLLoss

Use instead:

    return torch.log_softmax(self.head(x), dim=1)
"""

FIX = "return log_softmax instead of softmax, or return the scores and use CrossEntropyLoss"
