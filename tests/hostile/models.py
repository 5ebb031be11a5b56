"""Models that do what no model should, each with the verdicts it is to get. Imported by the runs' conftest.py.

A verdict is an outcome and words of what was measured. The checks are ``output_shape_is_stable`` (``shape``),
``evaluation_is_deterministic`` (``again``) and ``loss_decreases_on_separable_data`` (``learns``).
"""

from __future__ import annotations

import contextlib
import copy
import gc
import locale
import logging
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import pytest_logits

CHECKS = {
    "shape": "output_shape_is_stable",
    "again": "evaluation_is_deterministic",
    "learns": "loss_decreases_on_separable_data",
}
SOUND = "passed"
SEEN: list[Any] = []
LOCK = threading.Lock()


@dataclass(frozen=True)
class Hostile:
    """A factory, or a module that is registered itself, and its verdicts by check."""

    name: str
    factory: Any
    verdicts: dict[str, str]


KINDS: dict[str, dict[str, Hostile]] = {"survived": {}, "endless": {}, "deadly": {}}


def hostile(always: str = "", *, kind: str = "survived", **verdicts: str) -> Callable[[Any], Any]:
    """Declare a model; ``always`` is the verdict of the checks that are not named.

    A model that changes the process, and is sound, is run by one check; so is one that ends the process.
    """

    def declare(factory: Any) -> Any:
        name = getattr(factory, "__name__", "") or type(factory).__name__
        wanted = {check: verdicts.get(short, always) for short, check in CHECKS.items()}
        if kind == "deadly" or ("change" in vars(factory) and set(wanted.values()) == {SOUND}):
            # One forward pass is all it takes.
            wanted = {CHECKS["shape"]: always}
        KINDS[kind][name] = Hostile(name, factory, wanted)
        return factory

    return declare


def register(kind: str) -> None:
    """Register all models of a kind."""
    for entry in KINDS[kind].values():
        pytest_logits.register(entry.factory, name=entry.name, input_shape=(4,), num_classes=2)


class Net(nn.Module):
    """A sound one, for others to spoil."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Any:
        return self.head(x)


hostile(SOUND)(Net)


# What raises


@hostile("error ValueError: mine")
def raises_in_the_factory() -> NoReturn:
    raise ValueError("mine")


@hostile("error ValueError: mine")
class RaisesInForward(Net):
    def forward(self, x: Tensor) -> Any:
        raise ValueError("mine")


class FailsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> NoReturn:
        raise ValueError("mine")


@hostile(SOUND, learns="error ValueError: mine")
class RaisesInBackward(Net):
    def forward(self, x: Tensor) -> Any:
        return FailsBackward.apply(self.head(x))


@hostile("error ValueError: mine")
class RaisesInTrain(Net):
    def train(self, mode: bool = True) -> Any:
        raise ValueError("mine")


@hostile("error ValueError: mine", learns=SOUND)
class RaisesInEval(Net):
    def eval(self) -> Any:
        raise ValueError("mine")


@hostile(SOUND)
class RaisesInTo(Net):
    def to(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError("mine")


@hostile(SOUND)
class RaisesInStateDict(Net):
    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError("mine")


@hostile("error ValueError: mine")
class RaisesInParameters(Net):
    def named_parameters(self, *args: Any, **kwargs: Any) -> Any:
        raise ValueError("mine")


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


@hostile("error Silent: <its text cannot be had>")
class RaisesWhatHasNoText(Net):
    def forward(self, x: Tensor) -> Any:
        raise Silent


@hostile("error ValueError: \x1b[2J\x07red")
class RaisesWhatSteersTheTerminal(Net):
    def forward(self, x: Tensor) -> Any:
        raise ValueError("\x1b[2J\x07red")


@hostile("error RecursionError: maximum recursion depth exceeded")
class CallsItself(Net):
    def forward(self, x: Tensor) -> Any:
        return self.forward(x)


@hostile("error SystemExit: 3")
class Exits(Net):
    def forward(self, x: Tensor) -> Any:
        sys.exit(3)


@hostile("error SystemExit: 0")
def exits_in_the_factory() -> NoReturn:
    sys.exit(0)


@hostile("error KeyboardInterrupt: mine")
class Interrupts(Net):
    def forward(self, x: Tensor) -> Any:
        raise KeyboardInterrupt("mine")


@hostile("error KeyboardInterrupt: mine")
def interrupts_in_the_factory() -> NoReturn:
    raise KeyboardInterrupt("mine")


@hostile("error GeneratorExit")
class RaisesGeneratorExit(Net):
    def forward(self, x: Tensor) -> Any:
        raise GeneratorExit


@hostile("error StopIteration")
class RaisesStopIteration(Net):
    def forward(self, x: Tensor) -> Any:
        raise StopIteration


@hostile("error AssertionError: mine")
class Asserts(Net):
    def forward(self, x: Tensor) -> Any:
        raise AssertionError("mine")


@hostile("error RuntimeError: ")
class AllocatesTooMuchInTorch(Net):
    def forward(self, x: Tensor) -> Any:
        return self.head(x) + torch.zeros(2**58)[:2]


@hostile("error MemoryError")
class AllocatesTooMuchInPython(Net):
    def forward(self, x: Tensor) -> Any:
        return self.head(x) + len(bytearray(2**62))


# What returns something else


@hostile("error it gave NoneType")
class ReturnsNone(Net):
    def forward(self, x: Tensor) -> Any:
        return None


@hostile("error it gave str")
class ReturnsAString(Net):
    def forward(self, x: Tensor) -> Any:
        return "scores"


@hostile("not_applicable logits of shape (0, 2), see output_shape_is_stable", shape="failed logits of shape (0, 2)")
class ReturnsAnEmptyTensor(Net):
    def forward(self, x: Tensor) -> Any:
        return self.head(x)[:0]


@hostile("error it gave a torch.complex64 tensor")
class ReturnsComplexNumbers(Net):
    def forward(self, x: Tensor) -> Any:
        return self.head(x).to(torch.complex64)


@hostile("error it gave a torch.int64 tensor")
class ReturnsIntegers(Net):
    def forward(self, x: Tensor) -> Any:
        return self.head(x).long()


@hostile("error it gave a torch.bool tensor")
class ReturnsTruths(Net):
    def forward(self, x: Tensor) -> Any:
        return self.head(x) > 0


@hostile("error must give a floating-point tensor of scores; it gave a sparse tensor")
class ReturnsASparseTensor(Net):
    def forward(self, x: Tensor) -> Any:
        return self.head(x).to_sparse()


@hostile("error must give a floating-point tensor of scores; it gave a tensor on the meta device")
class ReturnsAMetaTensor(Net):
    def forward(self, x: Tensor) -> Any:
        return self.head(x).to("meta")


@hostile("error it gave generator")
class ReturnsAGenerator(Net):
    def forward(self, x: Tensor) -> Any:
        return (row for row in self.head(x))


@hostile(SOUND, learns="failed the logits have no graph")
class ReturnsAViewOfItsInput(Net):
    def forward(self, x: Tensor) -> Any:
        return x[:, :2]


@hostile(SOUND, learns="inconclusive the loss is nan before the first step")
class ReturnsNaN(Net):
    def forward(self, x: Tensor) -> Any:
        return self.head(x) * float("nan")


@hostile(SOUND, learns="inconclusive the loss is nan before the first step")
class ReturnsInfinity(Net):
    def forward(self, x: Tensor) -> Any:
        return self.head(x) + float("inf")


@hostile("not_applicable logits of shape (), see output_shape_is_stable", shape="failed logits of shape ()")
class ReturnsAScalar(Net):
    def forward(self, x: Tensor) -> Any:
        return self.head(x).sum()


@hostile(SOUND, shape="failed 3 scores per example")
class ReturnsThreeColumns(Net):
    def forward(self, x: Tensor) -> Any:
        return torch.cat([self.head(x), x[:, :1]], dim=1)


@hostile("not_applicable logits of shape (32, 2), see output_shape_is_stable", shape="failed logits of shape (32, 2)")
class ReturnsTheWrongRows(Net):
    def forward(self, x: Tensor) -> Any:
        return self.head(x).repeat(2, 1)


@hostile("error it gave dict")
class ReturnsAnEmptyDict(Net):
    def forward(self, x: Tensor) -> Any:
        return {}


@hostile("error it gave")
class ReturnsItself(Net):
    def forward(self, x: Tensor) -> Any:
        return self


@hostile("error it gave ndarray")
class ReturnsAnArray(Net):
    def forward(self, x: Tensor) -> Any:
        return self.head(x).detach().numpy()


@hostile("error must return a torch.nn.Module; it returned NoneType")
def returns_no_module() -> None:
    return None


@hostile("error must return a torch.nn.Module; it returned type")
def returns_a_class() -> type:
    return Net


# What keeps a state


@hostile(SOUND, again="failed a pass in eval mode changes 64 of the 64 numbers of its input; a second pass over")
class WritesIntoItsInput(Net):
    def forward(self, x: Tensor) -> Any:
        return self.head(x.mul_(2))


@hostile(SOUND, again="failed two evaluations of one batch differ")
class KeepsAState(Net):
    calls = 0

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        return self.head(x) * self.calls


@hostile(SOUND)
class KeepsEverything(Net):
    def forward(self, x: Tensor) -> Any:
        SEEN.append(self.head(x))
        return SEEN[-1]


@hostile(SOUND)
def returns_one_object() -> nn.Module:
    if not hasattr(returns_one_object, "made"):
        returns_one_object.made = Net()  # type: ignore[attr-defined]
    return returns_one_object.made  # type: ignore[attr-defined, no-any-return]


# What changes the process


class Changes(Net):
    """Does something to the process in every forward pass."""

    def forward(self, x: Tensor) -> Any:
        self.change()
        return self.head(x)

    def change(self) -> None:
        raise NotImplementedError


@hostile(SOUND)
class Seeds(Changes):
    def change(self) -> None:
        torch.manual_seed(3)
        random.seed(3)


@hostile(SOUND)
class DrawsRandomNumbers(Changes):
    def change(self) -> None:
        torch.rand(3)
        random.random()


@hostile(SOUND)
class SetsTheDefaultDtype(Changes):
    def change(self) -> None:
        torch.set_default_dtype(torch.float64)


@hostile("error RuntimeError: Tensor on device meta is not on the expected device cpu!")
def sets_the_default_device() -> nn.Module:
    torch.set_default_device("meta")
    return Net()


@hostile(SOUND, learns="failed the logits have no graph")
class TurnsGradientsOff(Changes):
    def change(self) -> None:
        torch.set_grad_enabled(False)


@hostile(SOUND, learns="failed the logits have no graph")
class EntersInferenceMode(Changes):
    def change(self) -> None:
        SEEN.append(torch.inference_mode())
        SEEN[-1].__enter__()


@hostile(SOUND)
class AsksForDeterminism(Changes):
    def change(self) -> None:
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.enabled = False
        torch.set_float32_matmul_precision("medium")


@hostile(SOUND)
class SetsTheThreads(Changes):
    def change(self) -> None:
        torch.set_num_threads(2)


@hostile(SOUND, learns="inconclusive")
class EntersAutocast(Changes):
    def change(self) -> None:
        torch.autocast("cpu", dtype=torch.bfloat16).__enter__()


class Mode(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@hostile(SOUND)
class EntersAMode(Changes):
    def change(self) -> None:
        Mode().__enter__()


@hostile(SOUND)
class HooksAllModules(Changes):
    def change(self) -> None:
        nn.modules.module.register_module_forward_hook(lambda module, inputs, output: None)


@hostile(SOUND)
class DetectsAnomalies(Changes):
    def change(self) -> None:
        torch.autograd.set_detect_anomaly(True)


@hostile(SOUND)
class MakesWarningsErrors(Changes):
    def change(self) -> None:
        warnings.simplefilter("error")
        warnings.showwarning = print


@hostile("error UserWarning: mine")
class WarnsWhereWarningsAreErrors(Changes):
    def change(self) -> None:
        warnings.simplefilter("error")
        warnings.warn("mine", stacklevel=1)


@hostile(SOUND)
class Warns(Changes):
    def change(self) -> None:
        warnings.warn("mine", stacklevel=1)


@hostile(SOUND)
class GoesElsewhere(Changes):
    def change(self) -> None:
        os.chdir(Path.cwd().parent)
        os.umask(0o77)


@hostile(SOUND)
class ChangesTheEnvironment(Changes):
    def change(self) -> None:
        os.environ["HOSTILE"] = "1"
        os.environ.pop("PATH", None)


@hostile(SOUND)
class ChangesTheImportPath(Changes):
    def change(self) -> None:
        sys.path.insert(0, "nowhere")
        sys.argv = ["mine"]


@hostile(SOUND)
class UnloadsAModule(Changes):
    def change(self) -> None:
        sys.modules.pop("colorsys", None)
        sys.modules.pop("random", None)


@hostile(SOUND)
class HandlesSignals(Changes):
    def change(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda number, frame: None)


@hostile(SOUND)
class SetsAnAlarm(Changes):
    def change(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 1e6)


@hostile(SOUND)
class ConfiguresLogging(Changes):
    def change(self) -> None:
        logging.basicConfig(level=logging.DEBUG, force=True)
        logging.disable(logging.ERROR)


@hostile(SOUND)
class ReplacesTheStreams(Changes):
    def change(self) -> None:
        sys.stdout = sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        SEEN.append(sys.stdout)


@hostile(SOUND)
class ReplacesTheHooks(Changes):
    def change(self) -> None:
        sys.excepthook = sys.displayhook = sys.unraisablehook = print  # type: ignore[assignment]
        threading.excepthook = print
        sys.settrace(lambda *event: None)


@hostile(SOUND)
class ChangesTheInterpreter(Changes):
    def change(self) -> None:
        sys.setrecursionlimit(sys.getrecursionlimit() + 1)
        sys.setswitchinterval(0.25)
        gc.disable()
        gc.set_threshold(5)


@hostile(SOUND)
class ChangesTheLocale(Changes):
    def change(self) -> None:
        locale.setlocale(locale.LC_ALL, "C")


@hostile(SOUND)
class ChangesNumpy(Changes):
    def change(self) -> None:
        numpy = sys.modules["numpy"]
        numpy.seterr(all="raise")
        numpy.random.seed(1)
        numpy.set_printoptions(precision=2)
        torch.set_printoptions(precision=2)


@hostile(SOUND)
class PrintsAGreatDeal(Changes):
    def change(self) -> None:
        print("x" * 100_000)


# Threads, processes, locks


@hostile(SOUND)
class StartsAThread(Changes):
    def change(self) -> None:
        thread = threading.Thread(target=SEEN.append, args=(1,))
        thread.start()
        thread.join()


@hostile(SOUND)
class LeavesAThread(Changes):
    def change(self) -> None:
        if len(threading.enumerate()) < 8:
            threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()


@hostile(SOUND)
class RaisesInAThread(Changes):
    def change(self) -> None:
        def fails() -> None:
            with contextlib.suppress(ZeroDivisionError):
                1 / 0  # noqa: B018

        thread = threading.Thread(target=fails)
        thread.start()
        thread.join()


@hostile(SOUND)
class StartsAProcess(Changes):
    started = False

    def change(self) -> None:
        if not type(self).started:
            type(self).started = True
            subprocess.run([sys.executable, "-S", "-c", ""], check=True)
            multiprocessing.set_start_method("spawn", force=True)


@hostile(SOUND)
class NeedsALock(Net):
    def forward(self, x: Tensor) -> Any:
        with LOCK:
            return self.head(x)


# What is no plain module


class Held(Net):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.rows = (row for row in range(3))


@hostile(SOUND)
class CannotBePickled(Held):
    pass


hostile("error TypeError: cannot pickle")(Held())


class Uncopyable(Net):
    def __deepcopy__(self, memo: Any) -> NoReturn:
        raise copy.Error("mine")


hostile("error Error: mine")(Uncopyable())


@hostile(SOUND)
class IsLazy(Net):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.LazyLinear(2)


@hostile(SOUND)
def is_scripted() -> Any:
    return torch.jit.script(nn.Linear(4, 2))


@hostile(SOUND, learns="failed the gradient of every trainable parameter is exactly zero")
class IsQuantised(Net):
    def forward(self, x: Tensor) -> Any:
        return torch.fake_quantize_per_tensor_affine(self.head(x), 0.1, 0, -128, 127).round()


@hostile(SOUND)
class IsTied(Net):
    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Linear(4, 4)
        self.after = nn.Linear(4, 4)
        self.after.weight = self.before.weight

    def forward(self, x: Tensor) -> Any:
        return self.head(self.after(self.before(x)))


@hostile(SOUND)
class IsComplex(Net):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2, dtype=torch.complex64)

    def forward(self, x: Tensor) -> Any:
        return self.head(x.to(torch.complex64)).real


@hostile(SOUND)
def is_half_precision() -> nn.Module:
    return Net().half()


@hostile(SOUND)
def is_bfloat16() -> nn.Module:
    return Net().bfloat16()


@hostile("error RuntimeError: Tensor on device meta is not on the expected device cpu!")
def is_on_meta() -> nn.Module:
    return Net().to("meta")


@hostile(SOUND, learns="not_applicable the model has no parameters to train")
class HasNoParameters(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return x[:, :2] * 2


@hostile(SOUND, learns="failed no parameter requires a gradient")
class TrainsNothing(Net):
    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)


@hostile(SOUND)
class DeniesItsClass(Net):
    @property
    def __class__(self) -> Any:
        return int


# What does not end


@hostile("error did not finish in", kind="endless")
class SpinsInForward(Net):
    def forward(self, x: Tensor) -> Any:
        while True:
            pass


@hostile("error did not finish in", kind="endless")
def spins_in_the_factory() -> NoReturn:
    while True:
        pass


class SpinsBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> NoReturn:
        while True:
            pass


@hostile("error did not finish in", kind="endless")
class SpinsInBackward(Net):
    def forward(self, x: Tensor) -> Any:
        return SpinsBackward.apply(self.head(x))


@hostile("error did not finish in", kind="endless")
class SpinsInTrain(Net):
    def train(self, mode: bool = True) -> Any:
        while True:
            pass


@hostile("error did not finish in", kind="endless")
class CatchesEverything(Net):
    def forward(self, x: Tensor) -> Any:
        while True:
            with contextlib.suppress(BaseException):
                while True:
                    pass


@hostile("error did not finish in", kind="endless")
class SaysItIsAnother(Net):
    def forward(self, x: Tensor) -> Any:
        try:
            time.sleep(1e6)
        except BaseException as error:
            raise ValueError("mine") from error


@hostile("error did not finish in", kind="endless")
class GoesOnAsIfNothingWere(Net):
    def forward(self, x: Tensor) -> Any:
        with contextlib.suppress(BaseException):
            time.sleep(1e6)
        return self.head(x)


@hostile("error did not finish in", kind="endless")
class WaitsForALock(Net):
    def forward(self, x: Tensor) -> Any:
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()


@hostile("error did not finish in", kind="endless")
class WaitsForAThread(Net):
    def forward(self, x: Tensor) -> Any:
        thread = threading.Thread(target=time.sleep, args=(1e6,), daemon=True)
        thread.start()
        thread.join()


# What ends the process


@hostile(kind="deadly")
class LeavesAtOnce(Net):
    def forward(self, x: Tensor) -> Any:
        os._exit(3)


@hostile(kind="deadly")
class KillsItself(Net):
    def forward(self, x: Tensor) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)
