"""BCELoss takes probabilities and is fed with scores that are not confined to [0, 1].

torch raises an error as soon as a score leaves [0, 1]; until then the loss is of the wrong thing.

Bad:

    return self.head(x)                            # with nn.BCELoss

Use instead:

    return self.head(x)                            # with nn.BCEWithLogitsLoss
"""

FIX = "use BCEWithLogitsLoss on the scores, or apply sigmoid to them"
