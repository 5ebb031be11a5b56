"""The loss refuses the dtype or the shape of the targets.

Cross entropy takes class indices as int64 (N,), or probabilities as floats in the shape of the logits; BCE takes
floats in the shape of the logits.

Bad:

    F.cross_entropy(logits, labels.float())

Use instead:

    F.cross_entropy(logits, labels.long())
"""

FIX = "give the loss the targets it takes: int64 indices for cross entropy, floats in the logits' shape for BCE"
