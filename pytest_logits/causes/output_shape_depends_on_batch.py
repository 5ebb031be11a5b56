"""The shape of the logits changes with the size of the batch.

squeeze() without a dimension also removes the batch axis of a batch of one. The last batch of an epoch often is
one: the loss then raises, or broadcasts without a word.

Bad:

    return self.head(x).squeeze()

Use instead:

    return self.head(x).squeeze(1)
"""

FIX = "name the dimension: squeeze(1), not squeeze(); keep the batch axis first in every reshape"
