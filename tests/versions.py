"""What the oldest supported versions lack: tests that need it are skipped there. docs/torch-versions.md tells of it."""

from __future__ import annotations

import hypothesis
import pytest
import torch

TORCH = torch.__version__
TORCH_2_2 = TORCH.startswith("2.2.")
PYTEST_8_0 = pytest.version_tuple[:2] == (8, 0)
HYPOTHESIS_6_100 = hypothesis.__version_info__[:2] == (6, 100)

# What torch says of an operation that it has not for a dtype, the second of bfloat16 in a recurrent layer.
REFUSALS = ("not implemented for", "could not create a primitive descriptor")
REFUSES_HALVES = TORCH.startswith(("2.2.", "2.3.", "2.4.", "2.5."))


def shrinks_further(needed: bool = True) -> None:
    """Skip what needs a Hypothesis that shrinks as far as later ones do."""
    if needed and HYPOTHESIS_6_100:
        pytest.skip("Hypothesis 6.100 does not shrink that far")


def needs_torch_2_4(needed: bool, lacking: str) -> None:
    """Skip what needs more than torch 2.2 has."""
    if needed and TORCH_2_2:
        pytest.skip(f"torch {TORCH}: {lacking}")
