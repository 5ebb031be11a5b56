"""Finite inputs give logits that are NaN or infinite.

One NaN in a batch makes the loss NaN, and the next step makes every parameter NaN.

Bad:

    return torch.log(scores / scores.sum(dim=1, keepdim=True))

Use instead:

    return torch.log_softmax(scores, dim=1)
"""

FIX = "look for a logarithm, division or root of 0 and for exp of a large number"
