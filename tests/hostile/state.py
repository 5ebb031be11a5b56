"""All that the process holds for everyone, read without the guard's help."""

from __future__ import annotations

import copy
import decimal
import gc
import locale
import logging
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy
import torch
import torch.multiprocessing
import torch.utils._device
from torch.nn.modules import module
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack


def _called(owner: Any, name: str) -> Any:
    function = getattr(owner, name, None)
    try:
        return None if function is None else function()
    except RuntimeError as error:
        # Of torch, where its two ways to set the same precision are mixed.
        return str(error)


def snapshot() -> dict[str, Any]:
    """Values to compare with ``==``; of objects, who they are."""
    kind, keys, *rest = numpy.random.get_state()
    mask = os.umask(0)
    os.umask(mask)
    root = logging.getLogger()
    context = decimal.getcontext()
    backends = torch.backends
    return {
        "random": random.getstate(),
        "numpy.random": (kind, keys.tolist(), *rest),
        "numpy errors": (numpy.geterr(), numpy.geterrcall()),
        "numpy printing": numpy.get_printoptions(),
        "folder": str(Path.cwd()),
        # pytest keeps the name of the test there.
        "environment": {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        "time zone": (time.tzname, time.timezone),
        "umask": mask,
        "lists of sys": {
            name: (id(getattr(sys, name)), list(getattr(sys, name)))
            for name in ("path", "meta_path", "path_hooks", "argv")
        },
        "modules": {name: id(found) for name, found in sys.modules.items()},
        "streams": (id(sys.stdin), id(sys.stdout), id(sys.stderr)),
        "hooks": [id(getattr(sys, name)) for name in ("excepthook", "displayhook", "unraisablehook", "breakpointhook")],
        "bytecode": sys.dont_write_bytecode,
        "hooks of threads": (id(threading.excepthook), _called(threading, "gettrace"), threading.stack_size()),
        "trace": (sys.gettrace(), sys.getprofile()),
        "interpreter": (
            sys.getrecursionlimit(),
            sys.getswitchinterval(),
            _called(sys, "get_int_max_str_digits"),
        ),
        "gc": (gc.isenabled(), gc.get_threshold(), gc.get_debug()),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "blocked signals": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "alarm": signal.getitimer(signal.ITIMER_REAL),
        "warnings": (id(warnings.filters), list(warnings.filters), id(warnings.showwarning)),
        "logging": (root.level, list(root.handlers), list(root.filters), root.manager.disable),
        "locale": locale.setlocale(locale.LC_ALL),
        "decimal": (id(context), repr(context)),
        "start method": multiprocessing.get_start_method(allow_none=True),
        "temporary files": tempfile.tempdir,
        "torch.random": torch.random.get_rng_state().tolist(),
        "grad": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "dtype": torch.get_default_dtype(),
        "device": (
            str(torch.empty(0).device),
            str(torch.utils._device.CURRENT_DEVICE),
            id(getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)),
        ),
        "threads": torch.get_num_threads(),
        "determinism": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        ),
        "anomalies": (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        "autocast": (
            torch.ones(1, 1, device="cpu").mm(torch.ones(1, 1, device="cpu")).dtype,
            torch.is_autocast_enabled(),
            torch.get_autocast_dtype("cpu") if hasattr(torch, "get_autocast_dtype") else torch.get_autocast_cpu_dtype(),
            torch.is_autocast_cache_enabled(),
        ),
        "precision": (
            _called(torch, "get_float32_matmul_precision"),
            _called(torch._C, "_get_cudnn_allow_tf32"),
            _called(torch._C, "_get_cublas_allow_tf32"),
            getattr(backends, "fp32_precision", None),
            getattr(backends.cuda.matmul, "fp32_precision", None),
        ),
        "cudnn": (backends.cudnn.enabled, backends.cudnn.benchmark, backends.cudnn.deterministic),
        "attention": (
            backends.cuda.flash_sdp_enabled(),
            backends.cuda.mem_efficient_sdp_enabled(),
            backends.cuda.math_sdp_enabled(),
        ),
        "mkldnn": _called(torch._C, "_get_mkldnn_enabled"),
        "engine": backends.quantized.engine,
        "warn always": torch.is_warn_always_enabled(),
        # No number: where they are flushed, one of them equals 0.
        "denormals": bool(torch.tensor(1e-310, dtype=torch.float64, device="cpu") * 1 == 0),
        "printing": repr(torch.tensor([1 / 3, 1e9], device="cpu")),
        "hooks of modules": {
            name: copy.copy(value) for name, value in vars(module).items() if name.startswith("_global_")
        },
        "sharing": torch.multiprocessing.get_sharing_strategy(),
        "modes": (
            [id(mode) for mode in torch.overrides._get_current_function_mode_stack()],
            [id(mode) for mode in _get_current_dispatch_mode_stack()],
        ),
    }


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What differs, with both values. A module that was imported since is no change."""
    loaded = {name: found for name, found in after["modules"].items() if name in before["modules"]}
    after = {**after, "modules": loaded}
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}
