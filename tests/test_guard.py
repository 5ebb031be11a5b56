from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from pytest_logits.guard import limited_threads, preserved_state, seed_everything


def disturb() -> None:
    seed_everything(1)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(torch.get_num_threads() + 1)


def state() -> dict[str, Any]:
    kind, keys, *rest = np.random.get_state()
    return {
        "torch": torch.random.get_rng_state().tolist(),
        "random": random.getstate(),
        "numpy": (kind, keys.tolist(), *rest),
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
    }


def test_everything_is_restored():
    before = state()
    with preserved_state():
        disturb()
        changed = state()
    assert all(changed[key] != before[key] for key in before)
    assert state() == before


def test_everything_is_restored_when_the_block_raises():
    def fails() -> None:
        with preserved_state():
            disturb()
            raise ZeroDivisionError

    before = state()
    with pytest.raises(ZeroDivisionError):
        fails()
    assert state() == before


def test_gradients_are_on_inside_and_off_again_outside():
    with torch.no_grad():
        with preserved_state():
            inside = torch.is_grad_enabled()
        assert inside
        assert not torch.is_grad_enabled()


def test_numpy_is_not_imported_for_the_purpose():
    code = (
        "import sys, torch\n"
        "for name in [n for n in sys.modules if n.split('.')[0] == 'numpy']: del sys.modules[name]\n"
        "from pytest_logits.guard import preserved_state, seed_everything\n"
        "with preserved_state(): seed_everything(0)\n"
        "assert 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def drawn() -> tuple[float, float, float]:
    return float(torch.rand(())), random.random(), float(np.random.rand())


@pytest.mark.parametrize("seed", [0, 2**32 + 5, 2**63 - 1])
def test_a_seed_fixes_all_three_generators(seed: int):
    with preserved_state():
        seed_everything(seed)
        first = drawn()
        drawn()
        seed_everything(seed)
        assert drawn() == first


def test_seeds_that_differ_give_other_numbers_in_all_three():
    with preserved_state():
        seed_everything(3)
        first = drawn()
        seed_everything(4)
        assert all(a != b for a, b in zip(first, drawn(), strict=True))


@pytest.mark.parametrize(("before", "asked", "inside"), [(3, 1, 1), (3, 2, 2), (2, 9, 2), (2, 0, 1)])
def test_threads_are_limited_inside_only(before: int, asked: int, inside: int):
    with preserved_state():
        torch.set_num_threads(before)
        with limited_threads(asked):
            seen = torch.get_num_threads()
        assert (seen, torch.get_num_threads()) == (inside, before)


def test_threads_come_back_when_the_block_raises():
    with preserved_state():
        torch.set_num_threads(3)
        with pytest.raises(ZeroDivisionError), limited_threads(1):
            raise ZeroDivisionError
        assert torch.get_num_threads() == 3
