"""Parameters that should train do not require a gradient.

With requires_grad=False on all of them the loss cannot fall.

Bad:

    model.requires_grad_(False)                    # and then a head that is frozen as well

Use instead:

    model.backbone.requires_grad_(False)
"""

FIX = "set requires_grad on the parameters that are to learn, at least those of the head"
