"""The predictions are not the decisions that the loss trains.

Where cross entropy is trained, the decision is argmax over the class axis; where BCE with logits is trained, it is
a logit above 0, which is a probability above 0.5.

Bad:

    return model(x).argmax(dim=0)
    return (torch.sigmoid(torch.sigmoid(model(x))) > 0.5).long()

Use instead:

    return model(x).argmax(dim=1)
    return (model(x) > 0).long()
"""

FIX = "decide by argmax over the class axis, or by logit > 0 for a single logit"
