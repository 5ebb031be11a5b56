"""An exact check is cheap: at most 40 forward and 4 backward passes in the standard profile, as reports count them."""

from __future__ import annotations

import pytest

from pytest_logits.check_registry import all_checks
from tests.zoo.families import FAULTS, TRAPS, run

MOST_FORWARD, MOST_BACKWARD = 40, 4
# Each makes some exact check do all it can: search, scan further, follow a threshold, look for the place.
MODELS = (
    "CNN_10",
    "Transformer_2",
    "OneLogit_True",
    "Multilabel",
    "Threshold_0.6",
    "SkorchNLL",
    "SoftmaxTransformer_100",
    "ReLUMLP_10",
    "SqueezeInside",
    "MixesRows",
    "always_dropped",
    "log_of_negative",
    "HalfOnLogits",
    "SigmoidTwice",
    "ColumnAgainstFlat",
)
EXACT = {check.name for check in all_checks() if "exact" in check.tags}


@pytest.mark.parametrize("name", MODELS)
def test_exact_checks_need_few_passes(name: str):
    (model,) = (m for m in (*FAULTS, *TRAPS) if m.name == name)
    passes = {r.check: (r.passes.forward, r.passes.backward) for r in run(model) if r.check in EXACT}
    assert set(passes) == EXACT
    over = {check: n for check, n in passes.items() if n[0] > MOST_FORWARD or n[1] > MOST_BACKWARD}
    assert over == {}
