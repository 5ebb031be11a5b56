"""The strategies and relations as a library: pytest's plugin is off, and never loaded."""

from __future__ import annotations

import re
import sys

import pytest
import torch
from torch import nn

from pytest_logits.strategies import Batch

# Ten lines of a user's test, from the first import to the last assertion.
TEST = """\
from hypothesis import given
from net import Net

from pytest_logits import relations
from pytest_logits import strategies as st


@given(batch=st.batches(input_shape=(4,)))
def test_rows_are_kept_apart(batch):
    relations.assert_batch_can_be_split(Net(), batch.x)
"""
NET = """\
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        scores = self.head(x)
        return {returned}
"""


def run(pytester: pytest.Pytester, returned: str) -> pytest.RunResult:
    pytester.makepyfile(net=NET.format(returned=returned), test_net=TEST)
    return pytester.run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:logits")


@pytest.mark.parametrize(
    ("returned", "size", "message"),
    [
        ("scores.squeeze()", 1, r"the logits of a batch of 1 have shape \(2,\): not one row for each"),
        ("scores - scores.mean(dim=0)", 2, r"the logits of examples \[0\] of 2, taken by themselves, differ by"),
        ("scores.softmax(dim=0)", 2, r"the logits of examples \[0\] of 2, taken by themselves, differ by"),
    ],
    ids=["squeeze", "mean", "softmax"],
)
def test_a_planted_fault_is_found_and_its_example_can_be_run(
    pytester: pytest.Pytester, returned: str, size: int, message: str
):
    result = run(pytester, returned)
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert re.search(message, text)
    (call,) = set(re.findall(r"^batch = (Batch\(.*\))$", text, re.MULTILINE))
    batch = eval(call)
    assert (batch.size, batch.num_classes, batch.seed) == (size, 2, 0)
    assert isinstance(batch, Batch)
    assert nn.Linear(4, 2)(batch.x).shape == torch.Size([size, 2])


def test_a_sound_module_passes(pytester: pytest.Pytester):
    run(pytester, "scores").assert_outcomes(passed=1)


def test_the_library_imports_no_pytest(pytester: pytest.Pytester):
    code = "import sys; from pytest_logits import relations, strategies, planting; print('pytest' in sys.modules)"
    assert pytester.run(sys.executable, "-c", code).stdout.str().strip() == "False"
