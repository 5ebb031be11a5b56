"""The same input gives different logits in eval mode.

F.dropout without training=self.training stays on after model.eval(): every evaluation draws another network.

Bad:

    x = F.dropout(x, 0.5)

Use instead:

    x = F.dropout(x, 0.5, training=self.training)
    x = self.dropout(x)                            # self.dropout = nn.Dropout(0.5)
"""

FIX = "pass training=self.training, or use nn.Dropout; for Monte Carlo dropout declare the failure as expected"
