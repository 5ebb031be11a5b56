"""Trainable tensors are used in forward that parameters() does not list.

An optimizer made from model.parameters() never sees them.

Bad:

    self.blocks = [nn.Linear(8, 8) for _ in range(3)]

Use instead:

    self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
"""

FIX = "keep modules in nn.ModuleList or nn.ModuleDict and tensors in nn.Parameter"
