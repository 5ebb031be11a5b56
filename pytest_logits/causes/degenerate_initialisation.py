"""The gradient of every parameter is exactly zero from the start.

Weights that are all zero in two layers in a row, or a ReLU that is off for every input, give gradients that are
exactly zero, and no step changes that.

Bad:

    for p in model.parameters(): nn.init.zeros_(p)

Use instead:

    the default initialisation of torch.nn
"""

FIX = "initialise the weights with values that differ; zeros are right for a last layer only"
