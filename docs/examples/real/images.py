"""Three image classifiers: a tiny ViT with random weights and a small CNN, both sound, and the CNN with a fault."""

import torch.nn as nn
from transformers import ViTConfig, ViTForImageClassification

NUM_CLASSES = 10


def vit():
    """ViT as Hugging Face builds it, made small; nothing is downloaded. It returns an object with .logits."""
    config = ViTConfig(
        image_size=16,
        patch_size=4,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=NUM_CLASSES,
    )
    return ViTForImageClassification(config)


class CNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(32 * 4 * 4, NUM_CLASSES),
        )

    def forward(self, images):
        return self.head(self.features(images))


# Planted: a softmax by hand before cross entropy. It keeps the order of scores: accuracy 1.0, no loss below 1.461.
def normalise(scores):
    exponentials = (scores - scores.amax(dim=1, keepdim=True)).exp()
    return exponentials / exponentials.sum(dim=1, keepdim=True)


class CNNWithSoftmax(CNN):
    def forward(self, images):
        return normalise(super().forward(images))
