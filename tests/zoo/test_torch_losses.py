"""torch's own losses pass with every argument: a sample here, in standard; all of them in ``tox -e losses``."""

from __future__ import annotations

import pytest

from tests.zoo.torch_losses import TorchLoss, torch_losses, wrong

LOSSES = list(torch_losses())
# A prime that no number of arguments divides; from the seventh on, every kind of loss comes up.
FIRST, STRIDE = 6, 17
SAMPLE = LOSSES[FIRST::STRIDE]


@pytest.mark.parametrize("loss", SAMPLE, ids=lambda loss: loss.name)
def test_a_loss_of_torch_is_clean(loss: TorchLoss):
    assert [(r.check, r.outcome, r.verdict.measured) for r in wrong(loss, "standard")] == []


def test_the_sample_has_every_kind_of_loss_and_every_reduction():
    for part in (lambda loss: type(loss.loss), lambda loss: loss.loss.reduction):
        assert set(map(part, SAMPLE)) == set(map(part, LOSSES))


def test_no_loss_comes_up_twice():
    assert len({loss.name for loss in LOSSES}) == len(LOSSES)
