"""The strategies and relations as a library: pytest's plugin is off, and never loaded."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from torch import nn

from pytest_logits.strategies import Batch
from tests import versions

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


# What forward returns, and the smallest batch that shows what is wrong with it.
FAULTS = {
    "squeeze": ("scores.squeeze()", 1, r"the logits of a batch of 1 have shape \(2,\): not one row for each"),
    "mean": ("scores - scores.mean(dim=0)", 2, r"the logits of examples \[0\] of 2, taken by themselves, differ by"),
    "softmax": ("scores.softmax(dim=0)", 2, r"the logits of examples \[0\] of 2, taken by themselves, differ by"),
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, clean_environment: dict[str, str]) -> dict[str, str]:
    """What is told of the test of each faulty module, in one run; of the sound one nothing is, as it passes."""
    folder = tmp_path_factory.mktemp("library")
    for name, returned in {"sound": "scores", **{name: fault[0] for name, fault in FAULTS.items()}}.items():
        (folder / f"net_{name}.py").write_text(NET.format(returned=returned), encoding="utf-8")
        (folder / f"test_{name}.py").write_text(TEST.replace("from net ", f"from net_{name} "), encoding="utf-8")
    options = ("-p", "no:cacheprovider", "-p", "no:logits", "--junitxml=out.xml", "--hypothesis-seed=0")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=folder,
        env=clean_environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    cases = ElementTree.parse(folder / "out.xml").iter("testcase")
    return {case.attrib["classname"]: "".join(part.text or "" for part in case) for case in cases}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_and_its_example_can_be_run(report: dict[str, str], name: str):
    _, size, message = FAULTS[name]
    text = report[f"test_{name}"]
    assert re.search(message, text)
    (call,) = set(re.findall(r"^batch = (Batch\(.*\))$", text, re.MULTILINE))
    batch = eval(call)
    versions.shrinks_further(name == "squeeze")
    assert (batch.size, batch.num_classes, batch.seed) == (size, 2, 0)
    assert isinstance(batch, Batch)
    assert nn.Linear(4, 2)(batch.x).shape == torch.Size([size, 2])


def test_a_sound_module_passes(report: dict[str, str]):
    assert report["test_sound"] == ""


def test_the_library_imports_no_pytest(pytester: pytest.Pytester):
    code = "import sys; from pytest_logits import relations, strategies, planting; print('pytest' in sys.modules)"
    assert pytester.run(sys.executable, "-c", code).stdout.str().strip() == "False"
