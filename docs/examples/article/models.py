"""The three classifiers of the article, as it has them, and a sound twin of the third."""

import torch.nn as nn


# Planted: softmax before cross entropy. It keeps the order of scores: accuracy 1.0, but no loss below .3133.
class IncorrectBinaryClassifier(nn.Module):
    def __init__(self, input_dim):
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(input_dim, 2),
            nn.Softmax(dim=1),  # Incorrect application of softmax within the model
        )

    def forward(self, x):
        return self.model(x)


# Sound.
class CorrectBinaryClassifier(nn.Module):
    def __init__(self, input_dim):
        super().__init__()
        self.model = nn.Linear(input_dim, 2)

    def forward(self, x):
        return self.model(x)  # Output raw logits


# Planted: squeeze() also drops the batch axis of a batch of one. Any larger batch is right: accuracy 1.0.
class BinaryClassifierBCE(nn.Module):
    def __init__(self, input_dim):
        super().__init__()
        self.model = nn.Linear(input_dim, 1)

    def forward(self, x):
        return self.model(x).squeeze()  # Output single logit for positive class


# Sound: squeeze(1) drops the column and nothing else.
class BinaryClassifierBCEFixed(nn.Module):
    def __init__(self, input_dim):
        super().__init__()
        self.model = nn.Linear(input_dim, 1)

    def forward(self, x):
        return self.model(x).squeeze(1)
