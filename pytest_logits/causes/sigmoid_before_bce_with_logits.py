"""The outputs are sigmoids, and BCEWithLogitsLoss applies the sigmoid once more.

The per-example loss is then confined to [.3133, .6931] where the label is 1 and [.6931, 1.3133] where it is 0, so
on balanced labels it cannot get below .5032. Every output is above 0, so the decision "logit above 0", which is
"sigmoid(output) above 0.5", gives class 1 on every row.

Bad:

    return torch.sigmoid(self.head(x))             # with nn.BCEWithLogitsLoss

Use instead:

    return self.head(x)                            # and sigmoid only where probabilities are needed
"""

FIX = "return the scores that go into the sigmoid; apply sigmoid only where you need probabilities"
