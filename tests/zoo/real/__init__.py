"""Sound classifiers from packages that people use, small and with random weights. No check may fail on any of them."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys

from torch import library

from tests.zoo.real.entry import Real

FILES = (
    "torch_nn",
    "transformers_text",
    "transformers_vision",
    "transformers_audio",
    "pytorchcv_nets",
    "vit_pytorch_nets",
    "monai_nets",
    "tsai_series",
    "rtdl_tables",
    "smp_dense",
    "timm_nets",
    "torchvision_nets",
)


def missing(file: str) -> list[str]:
    """The modules that the entries of one file need and that are not installed."""
    needs: tuple[str, ...] = importlib.import_module(f"tests.zoo.real.{file}").NEEDS
    return [name for name in needs if importlib.util.find_spec(name) is None]


def entries() -> tuple[Real, ...]:
    """All entries of the packages that are installed. No package is imported before one of its models is built."""
    _mend_torchvision()
    found: list[Real] = []
    for file in FILES:
        if not missing(file):
            found += importlib.import_module(f"tests.zoo.real.{file}").entries()
    names = [entry.name for entry in found]
    assert len(set(names)) == len(names), sorted({name for name in names if names.count(name) > 1})
    return tuple(found)


@functools.cache
def _mend_torchvision() -> None:
    """Let torchvision be imported beside a torch for the CPU.

    PyPI's wheel is built for CUDA; beside a CPU's torch its operators do not load, and the import stops where it
    describes the first of them. Many packages import torchvision, and no model here uses one of its operators.
    """
    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        operators = library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            operators.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _kept.append(operators)


# A library's definitions go when it is collected.
_kept: list[library.Library] = []
