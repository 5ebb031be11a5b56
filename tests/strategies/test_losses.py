from __future__ import annotations

import pytest
import torch
from torch import nn

from pytest_logits.strategies import GeneratedLoss


@pytest.mark.parametrize(
    ("loss", "same"),
    [
        (GeneratedLoss(name="cross_entropy", num_classes=2), nn.CrossEntropyLoss()),
        (
            GeneratedLoss(
                name="cross_entropy",
                num_classes=2,
                weight=(1.0, 2.0),
                ignore_index=1,
                label_smoothing=0.1,
                reduction="sum",
            ),
            nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0]), ignore_index=1, label_smoothing=0.1, reduction="sum"),
        ),
        (GeneratedLoss(name="nll_loss", num_classes=2, ignore_index=0), nn.NLLLoss(ignore_index=0)),
        (
            GeneratedLoss(name="bce_with_logits", num_classes=2, pos_weight=(1.0, 3.0)),
            nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 3.0])),
        ),
        (GeneratedLoss(name="bce", num_classes=2), nn.BCELoss()),
        (GeneratedLoss(name="multilabel_soft_margin", num_classes=2), nn.MultiLabelSoftMarginLoss()),
        (
            GeneratedLoss(name="multi_margin", num_classes=2, p=2, margin=0.5),
            nn.MultiMarginLoss(p=2, margin=0.5),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_it_builds_torchs_own(loss: GeneratedLoss, same: nn.Module) -> None:
    built = loss.build()
    assert type(built) is type(same)
    scores = torch.tensor([[0.25, 0.75], [0.5, 0.125]])
    targets = torch.tensor([0, 1]) if loss.takes_indices else torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert torch.equal(built(scores, targets), same(scores, targets))


def test_its_weights_do_not_depend_on_the_default_dtype(float64_by_default: None) -> None:
    built = GeneratedLoss(name="nll_loss", num_classes=2, weight=(1.0, 2.0)).build()
    assert built.weight.dtype == torch.float32
