"""Logits (N, 1) against targets (N,) broadcast: every row is compared with every label.

A loss written by hand does not check shapes. (N, 1) - (N,) is (N, N), and the mean over it trains every row on all
labels: the predictions converge to the base rate.

Bad:

    loss = (F.softplus(z) - z * y).mean()          # z is (N, 1), y is (N,)

Use instead:

    loss = F.binary_cross_entropy_with_logits(z.squeeze(1), y)
"""

FIX = "give logits and targets the same shape: z.squeeze(1), or y.unsqueeze(1)"
