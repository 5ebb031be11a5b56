"""Whether a loss takes its targets at all: of a model's loss and of one that is registered by itself alike."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from pytest_logits.copies import DoesNotApply, SubjectError
from pytest_logits.losses import Nature


class Judged(Protocol):
    """What has a loss: a model, or a loss by itself."""

    @property
    def loss_name(self) -> str:
        """How the loss is called in a sentence."""
        ...

    @property
    def nature(self) -> Nature:
        """What the loss takes."""
        ...

    @property
    def sample_logits(self) -> Tensor:
        """Scores in the shape that the loss is fed with."""
        ...

    @property
    def sample_labels(self) -> Tensor:
        """Labels for them."""
        ...

    @property
    def refusal(self) -> Exception | None:
        """What the loss raises on them."""
        ...

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss as a scalar."""
        ...


def refusal_of(judged: Judged) -> Exception | None:
    """What the loss raises on scores of zero in the shape that it is fed with; None where it takes its targets."""
    try:
        judged.loss(torch.zeros_like(judged.sample_logits), judged.sample_labels)
    except SubjectError:
        raise
    except Exception as error:
        # A loss may raise anything about its targets; targets_fit_loss reports it in torch's words.
        return error
    return None


def require_taken(judged: Judged) -> None:
    """Say that a check does not apply where the loss refuses its targets.

    Raises:
        DoesNotApply: it does.
    """
    if judged.refusal is not None:
        said = str(judged.refusal).splitlines()[0]
        raise DoesNotApply(f"{judged.loss_name} refuses its targets, see targets_fit_loss: {said}")


def is_single_column(judged: Judged) -> bool:
    """Whether a loss over classes gets one score per example: softmax over one score is 1 whatever it says."""
    shape, nature = judged.sample_logits.shape, judged.nature
    return nature.form == "categorical" and nature.takes != "unknown" and (len(shape) < 2 or shape[1] == 1)
