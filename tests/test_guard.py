from __future__ import annotations

import decimal
import gc
import locale
import logging
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_logits import guard
from pytest_logits.guard import KEPT, Reading, limited_threads, preserved_state, seed_everything
from pytest_logits.limits import Limit, OutOfTime
from pytest_logits.python_state import Kept
from tests.hostile.state import changes, snapshot


class FunctionMode(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class DispatchMode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


ENTERED: list[Any] = []


def enter(context: Any) -> None:
    """And never leave."""
    ENTERED.append(context)
    context.__enter__()


def disturb_environment() -> None:
    os.environ["TZ"] = "Asia/Kolkata"
    os.environ.pop("PATH", None)


def disturb_sys() -> None:
    sys.path = ["nowhere"]
    sys.argv.append("more")
    sys.meta_path.reverse()


def disturb_numpy() -> None:
    np.random.seed(1)
    np.seterr(all="raise")
    np.set_printoptions(precision=2)


def disturb_interpreter() -> None:
    sys.setrecursionlimit(sys.getrecursionlimit() + 1)
    sys.setswitchinterval(0.25)


def disturb_root_logger() -> None:
    logging.getLogger().addHandler(logging.NullHandler())
    logging.getLogger().addFilter(lambda record: False)


def disturb_logging() -> None:
    logging.getLogger().setLevel(logging.CRITICAL)
    logging.disable(logging.ERROR)


def disturb_warnings() -> None:
    warnings.simplefilter("error")
    warnings.showwarning = print  # type: ignore[assignment]


def disturb_autocast() -> None:
    if hasattr(torch, "set_autocast_dtype"):
        torch.set_autocast_dtype("cpu", torch.float16)
    else:
        torch.set_autocast_cpu_dtype(torch.float16)


def disturb_precision() -> None:
    if hasattr(torch._C, "_set_fp32_precision_setter"):
        torch._C._set_fp32_precision_setter("cuda", "matmul", "tf32")


def disturb_switches() -> None:
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    torch.backends.cuda.enable_flash_sdp(not torch.backends.cuda.flash_sdp_enabled())


# What code may do to each part that is kept.
DISTURBANCES: dict[str, Callable[[], object]] = {
    "random state of Python": lambda: random.seed(1),
    "numpy: random state, error handling, print options": disturb_numpy,
    "working directory": lambda: os.chdir(Path.cwd().parent),
    "environment": disturb_environment,
    "umask": lambda: os.umask(0o70),
    "sys.path, meta_path, path_hooks, argv": disturb_sys,
    "loaded modules: none is unloaded": lambda: sys.modules.pop("tempfile"),
    "standard streams": lambda: setattr(sys, "stdout", sys.__stderr__),
    "hooks of sys": lambda: setattr(sys, "excepthook", print),
    "hook of threading": lambda: setattr(threading, "excepthook", print),
    "trace and profile functions": lambda: sys.setprofile(lambda *event: None),
    "recursion limit, switch interval, digits of integers": disturb_interpreter,
    "garbage collector: threshold": lambda: gc.set_threshold(7),
    "garbage collector: on or off": gc.disable,
    "signal handlers": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "blocked signals": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]),
    "alarm": lambda: signal.setitimer(signal.ITIMER_REAL, 1e6),
    "warning filters and what shows warnings": disturb_warnings,
    "root logger: handlers, filters": disturb_root_logger,
    "root logger: level; logging.disable": disturb_logging,
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C"),
    "decimal context": lambda: setattr(decimal.getcontext(), "prec", 3),
    "start method of multiprocessing": lambda: multiprocessing.set_start_method("spawn", force=True),
    "folder of temporary files": lambda: setattr(tempfile, "tempdir", "nowhere"),
    "grad mode, inference mode": lambda: enter(torch.inference_mode()),
    "random states of torch, CPU and CUDA": lambda: torch.manual_seed(1),
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "deterministic algorithms": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "anomaly detection": lambda: torch.autograd.set_detect_anomaly(True, False),
    "autocast": disturb_autocast,
    "autocast cache": lambda: torch.set_autocast_cache_enabled(False),
    "precision of float32, by backend and operation": disturb_precision,
    "switches of the backends": disturb_switches,
    "warn always": lambda: torch.set_warn_always(True),
    # Some libraries set it when they are loaded.
    "denormal numbers": lambda: torch.set_flush_denormal(not snapshot()["denormals"]),
    "print options": lambda: torch.set_printoptions(precision=2),
    "hooks of all modules": lambda: nn.modules.module.register_module_forward_hook(print),
    "sharing strategy": lambda: torch.multiprocessing.set_sharing_strategy("file_system"),
    "dispatch modes": lambda: enter(DispatchMode()),
    "function modes": lambda: enter(FunctionMode()),
    "default device": lambda: torch.set_default_device("meta"),
}
PARTS = {part.name: part for part in KEPT}


def disturb() -> None:
    # What torch imports for it must be found; the paths come last.
    for name in sorted(DISTURBANCES, key="sys.path, meta_path, path_hooks, argv".__eq__):
        DISTURBANCES[name]()


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    """What a test leaves behind, where a restore is missing, is not for the next one."""
    with preserved_state():
        yield
        # A mode that is entered and never left is left when it is freed.
        ENTERED.clear()


def test_each_part_is_disturbed_here():
    assert DISTURBANCES.keys() == PARTS.keys()


def test_everything_is_restored():
    before = snapshot()
    with preserved_state():
        disturb()
        changed = changes(before, snapshot())
    assert changes(before, snapshot()) == {}
    # Inference mode hides that gradients are on, and a state of its own is a change to each.
    assert len(changed) >= 30


@pytest.mark.parametrize("name", PARTS)
def test_a_part_is_restored(name: str):
    before = snapshot()
    with preserved_state():
        DISTURBANCES[name]()
    assert changes(before, snapshot()) == {}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_was_read_once_is_restored_after_each_block(name: str):
    before, reading = snapshot(), Reading()
    for _ in range(2):
        with reading.preserved():
            DISTURBANCES[name]()
        assert changes(before, snapshot()) == {}


def test_everything_that_was_read_once_is_restored_after_each_block():
    before, reading = snapshot(), Reading()
    for _ in range(2):
        with reading.preserved():
            disturb()
        assert changes(before, snapshot()) == {}


def test_what_there_was_nothing_of_is_read_again(monkeypatch: pytest.MonkeyPatch):
    """A model may import numpy: what the next check makes of it is undone."""
    found: list[str | None] = [None, "imported", "changed"]
    restored: list[str | None] = []
    late = Kept("late", lambda: found.pop(0), restored.append)
    monkeypatch.setattr(guard, "KEPT", (*KEPT, late))
    reading = Reading()
    for _ in range(2):
        with reading.preserved():
            pass
    assert restored == ["imported", "changed"]


@pytest.mark.parametrize("name", PARTS)
def test_without_its_restore_a_part_is_not(name: str, monkeypatch: pytest.MonkeyPatch):
    """The comparison sees each of them: it is red where one restore is left out."""
    if name.startswith("precision") and not hasattr(torch._C, "_set_fp32_precision_setter"):
        pytest.skip("this torch has no precision by backend and operation")
    if name == "default device" and not isinstance(
        getattr(torch, "_GLOBAL_DEVICE_CONTEXT", threading.local()), threading.local
    ):
        pytest.skip("in torch 2.2 it is one of the function modes, which are put back by themselves")
    before = snapshot()
    with monkeypatch.context() as patches:
        patches.setattr(guard, "KEPT", [part for part in KEPT if part.name != name])
        with preserved_state():
            DISTURBANCES[name]()
        left = changes(before, snapshot())
    assert left != {}


def test_everything_is_restored_when_the_block_raises():
    def fails() -> None:
        with preserved_state():
            disturb()
            raise ZeroDivisionError

    before = snapshot()
    with pytest.raises(ZeroDivisionError):
        fails()
    assert changes(before, snapshot()) == {}


def test_everything_is_restored_when_time_is_up():
    def spins() -> None:
        with preserved_state(), Limit(0.1).of("a_check"):
            # Without what would take the alarm away.
            for name in DISTURBANCES:
                if name not in ("alarm", "signal handlers"):
                    DISTURBANCES[name]()
            while True:
                pass

    before = snapshot()
    with pytest.raises(OutOfTime):
        spins()
    assert changes(before, snapshot()) == {}


def test_what_cannot_be_restored_keeps_nothing_else_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def removes_its_folder() -> None:
        with preserved_state():
            disturb()
            Path(tmp_path, "gone").rmdir()

    monkeypatch.chdir(tmp_path)
    Path("gone").mkdir()
    os.chdir("gone")
    before = snapshot()
    with pytest.raises(FileNotFoundError):
        removes_its_folder()
    os.chdir(tmp_path)
    assert changes(before, snapshot()).keys() == {"folder"}


def test_gradients_are_on_inside_and_off_again_outside():
    with torch.no_grad():
        with preserved_state():
            inside = torch.is_grad_enabled()
        assert inside
        assert not torch.is_grad_enabled()


def test_modules_that_make_room_for_others_are_put_back(monkeypatch: pytest.MonkeyPatch):
    for number in range(4):
        monkeypatch.setitem(sys.modules, f"made_{number}", ModuleType(f"made_{number}"))
    with preserved_state():
        pass
    other = ModuleType("made_3")
    monkeypatch.setitem(sys.modules, "made_3", other)
    with preserved_state():
        for number in (0, 3):
            del sys.modules[f"made_{number}"]
        for number in (4, 5, 6):
            monkeypatch.setitem(sys.modules, f"made_{number}", ModuleType(f"made_{number}"))
    assert {name for name in sys.modules if name.startswith("made_")} == {f"made_{number}" for number in range(7)}
    assert sys.modules["made_3"] is other


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
