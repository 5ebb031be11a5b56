"""Two text classifiers, both sound: a tiny BERT with random weights, and a small LSTM."""

import torch.nn as nn
from transformers import BertConfig, BertForSequenceClassification

VOCAB_SIZE = 200
NUM_TOPICS = 5


def bert():
    """BERT as Hugging Face builds it, made small; nothing is downloaded. It returns an object with .logits."""
    config = BertConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=NUM_TOPICS,
    )
    return BertForSequenceClassification(config)


class LSTMClassifier(nn.Module):
    """Reads the tokens from left to right and classifies the last hidden state."""

    def __init__(self, embedding_dim=32, hidden_dim=64):
        super().__init__()
        self.embedding = nn.Embedding(VOCAB_SIZE, embedding_dim)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim, batch_first=True)
        self.head = nn.Linear(hidden_dim, NUM_TOPICS)

    def forward(self, tokens):
        _, (hidden, _) = self.lstm(self.embedding(tokens))
        return self.head(hidden[-1])
