"""Targets of -1 and 1 in a loss that takes 0 and 1.

BCE with logits accepts -1 and is then unbounded below: at target -1 it is softplus(z) + z, which falls without
end.

Bad:

    F.binary_cross_entropy_with_logits(z, 2 * y - 1)

Use instead:

    F.binary_cross_entropy_with_logits(z, y)
"""

FIX = "encode the classes as 0 and 1"
