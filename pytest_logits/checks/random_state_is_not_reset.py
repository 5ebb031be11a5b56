"""A forward pass does not set the global random state."""

from __future__ import annotations

from typing import Any

from torch import nn

from pytest_logits.check_registry import check
from pytest_logits.copies import evaluating
from pytest_logits.feeding import SCAN_ROWS
from pytest_logits.finding import Verdict, passed
from pytest_logits.guard import random_states
from pytest_logits.locate import seeding_place
from pytest_logits.subject import Subject


@check(claim="a forward pass does not set the global random state", tags=("outputs", "exact"))
def random_state_is_not_reset(subject: Subject) -> Verdict:
    """Two forward passes that start from different random states do not end in the same one.

    Drawing numbers moves a state on, and never brings two different ones together; only setting it does. Looked at are
    torch, ``random`` and, where it is loaded, numpy. In train mode it fails: dropout and the shuffling of the data then
    repeat at each step. In eval mode only it is advice.

    Causes: random_state_reset.
    """
    subject.require_rows()
    inputs = subject.inputs(SCAN_ROWS, "random state")
    return subject.in_one_copy(lambda scattered: _judge(subject, inputs, scattered(0.0, 0)))


def _judge(subject: Subject, inputs: Any, model: nn.Module) -> Verdict:
    for training in (True, False):
        model = model if training else evaluating(model)
        first, second = (_states_after(subject, model, inputs, purpose) for purpose in ("one start", "another start"))
        reset = sorted(name for name in first if first[name] == second[name])
        if reset:
            mode = "train" if training else "eval"
            return Verdict(
                outcome="failed" if training else "advice",
                cause="random_state_reset",
                measured=f"after a forward pass in {mode} mode the random state of {' and '.join(reset)} is the same, "
                "from whatever state the pass started",
                expected="different states stay different",
                location=seeding_place(subject, model),
                counterexample={"batch_size": SCAN_ROWS, "mode": mode},
                evidence={"reset": reset, "mode": mode},
            )
    return passed("two passes from different random states end in different ones, in train and in eval mode")


def _states_after(subject: Subject, model: nn.Module, inputs: Any, purpose: str) -> dict[str, object]:
    subject.scores(model, inputs, purpose=purpose)
    return random_states()
