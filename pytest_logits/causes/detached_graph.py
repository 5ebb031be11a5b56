"""The logits are cut off from the parameters, so no gradient reaches them.

detach(), .data, .item(), numpy() and torch.no_grad() all cut the graph.

Bad:

    features = self.trunk(x).detach()
    with torch.no_grad(): return self.head(features)

Use instead:

    return self.head(self.trunk(x))
"""

FIX = "remove detach(), .data or no_grad from the path between the parameters and the logits"
