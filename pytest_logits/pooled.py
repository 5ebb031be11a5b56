"""Whether scores that are never negative are pooled from many clipped numbers, as in a network that ends in ReLU."""

from __future__ import annotations

import torch
from torch import nn

from pytest_logits.copies import evaluating
from pytest_logits.feeding import SCAN_ROWS
from pytest_logits.guard import seed_everything
from pytest_logits.locate import producer, record
from pytest_logits.subject import Subject

LUCK = "the outputs are clipped at 0, so what training makes of them is a matter of the draw, see outputs_are_logits"

# A ReLU on one logit is on for all rows of a batch in some settings, and hardly ever in so many.
POOLED_SETTINGS = 8


def is_clipped(subject: Subject) -> bool:
    """Whether the scores that a loss takes as logits are clipped at 0 one by one, which outputs_are_logits reports.

    A class that is clipped for every row gets no gradient. Whether one is, at the first weights or on the way, is a
    matter of the draw, and so is all that training makes of such scores.
    """
    return subject.nature.takes == "logits" and subject.region == "nonnegative" and pooled_from(subject) == 1


def pooled_from(subject: Subject) -> int:
    """How many numbers, none of them negative, each score is pooled from by the operation that makes the scores.

    1 where that operation takes no more numbers than it gives, as an activation does, or takes negative ones. An
    activation that changes nothing in one setting of the parameters cannot be told from what feeds it, so the least of
    several is taken.
    """
    return subject.remember("pooled from", lambda: _least_pooled(subject))


def _least_pooled(subject: Subject) -> int:
    least = _pooled_from(subject, evaluating(subject.fresh()))
    for variant in range(1, POOLED_SETTINGS):
        if least > 1:
            least = min(least, _pooled_from(subject, evaluating(subject.scattered(1.0, variant))))
    return least


def _pooled_from(subject: Subject, model: nn.Module) -> int:
    seed_everything(subject.seed("locate"))
    inputs = subject.inputs(SCAN_ROWS, "scan")
    with torch.no_grad():
        final, operations = record(lambda: subject.logits_of(model, inputs), size=subject.sample_logits.numel())
    operation = producer(operations, final)
    source = operation.source if operation is not None else None
    if source is None or bool((source < 0).any()):
        return 1
    return max(1, int(source.numel()) // int(final.numel()))
