"""What code may change of torch's global state: how each part is read and put back.

Many switches have no public getter in every supported version, or one that raises where two of torch's ways to set the
same thing are mixed; those are read by torch's own inner functions where they exist, and else left out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
import torch.multiprocessing
from torch.nn.modules import module as modules
from torch.utils import _python_dispatch

from pytest_logits.python_state import Kept

# Two inner names of the same switch, one to read and one to set it.
SWITCHES = {
    **{
        name: (f"_get_{name}", f"_set_{name}")
        for name in (
            "cudnn_enabled",
            "cudnn_benchmark",
            "cudnn_deterministic",
            "cudnn_allow_tf32",
            "cublas_allow_tf32",
            "mkldnn_enabled",
            "mkldnn_deterministic",
            "nnpack_enabled",
            "qengine",
            "float32_matmul_precision",
            "cublas_allow_fp16_accumulation",
            "deterministic_fill_uninitialized_memory",
        )
    },
    **{f"{name}_sdp": (f"_get_{name}_sdp_enabled", f"_set_sdp_use_{name}") for name in ("math", "mem_efficient")},
    **{f"{name}_sdp": (f"_get_{name}_sdp_enabled", f"_set_sdp_use_{name}") for name in ("flash", "cudnn")},
}
# Of whom torch 2.9 and later keep a precision of their own: backend and operation.
PRECISIONS = (
    ("generic", "all"),
    *((backend, operation) for backend in ("cuda", "mkldnn") for operation in ("all", "matmul", "conv", "rnn")),
)


def _of_this_torch(names: Iterable[tuple[str, str]]) -> Iterator[tuple[Callable[[], Any], Callable[[Any], object]]]:
    for get, put in names:
        if hasattr(torch._C, get) and hasattr(torch._C, put):
            yield getattr(torch._C, get), getattr(torch._C, put)


_FOUND = tuple(_of_this_torch(SWITCHES.values()))


def _switch(get: Callable[[], Any]) -> Any:
    try:
        return get()
    except RuntimeError:
        return None


def _switches() -> list[Any]:
    return [_switch(get) for get, _ in _FOUND]


def _restore_switches(before: list[Any]) -> None:
    for (get, put), value in zip(_FOUND, before, strict=True):
        if value is not None and _switch(get) != value:
            put(value)


def _precisions() -> list[str]:
    get = getattr(torch._C, "_get_fp32_precision_getter", None)
    return [] if get is None else [get(*of) for of in PRECISIONS]


def _restore_precisions(before: list[str]) -> None:
    if _precisions() == before:
        return
    # One that is set for all is read for each: what is put back is so in the end, whichever was set.
    for of, value in zip(PRECISIONS, before, strict=False):
        if torch._C._get_fp32_precision_getter(*of) != value:
            torch._C._set_fp32_precision_setter(*of, value)


def _random() -> tuple[torch.Tensor, list[torch.Tensor] | None]:
    on_gpu = torch.cuda.is_initialized()
    return torch.random.get_rng_state(), torch.cuda.get_rng_state_all() if on_gpu else None


def _restore_random(before: tuple[torch.Tensor, list[torch.Tensor] | None]) -> None:
    torch.random.set_rng_state(before[0])
    if before[1] is not None:
        torch.cuda.set_rng_state_all(before[1])


def _inference() -> torch.inference_mode:
    mode = torch.inference_mode(False)
    mode.__enter__()
    return mode


def _default_device() -> Any:
    context = getattr(torch, "_GLOBAL_DEVICE_CONTEXT", None)
    # The context itself in torch 2.2; later each thread has its own.
    return getattr(context, "device_context", None) if isinstance(context, threading.local) else context


def _restore_default_device(before: Any) -> None:
    if _default_device() is before:
        return
    device = None if before is None else before.device
    try:
        torch.set_default_device(device)
    except RuntimeError:
        # Torch 2.4 leaves a mode for it, which is gone where whoever takes all function modes away has taken it too.
        del torch._GLOBAL_DEVICE_CONTEXT.device_context
        torch.set_default_device(device)


def _function_modes() -> list[Any]:
    return list(torch.overrides._get_current_function_mode_stack())


def _restore_function_modes(before: list[Any]) -> None:
    found = _function_modes()
    if [id(mode) for mode in found] != [id(mode) for mode in before]:
        for _ in found:
            torch.overrides._pop_mode()
        for mode in before:
            torch.overrides._push_mode(mode)


def _dispatch_modes() -> list[Any]:
    return list(_python_dispatch._get_current_dispatch_mode_stack())


def _restore_dispatch_modes(before: list[Any]) -> None:
    # Held until they are popped: torch frees a mode that nobody else holds, and then returns it.
    found = _dispatch_modes()
    for _ in found[len(before) :]:
        _python_dispatch._pop_mode()


HOOKS = tuple(name for name in vars(modules) if name.startswith("_global_"))


def _hooks() -> dict[str, Any]:
    found = {name: getattr(modules, name) for name in HOOKS}
    return {name: value.copy() if isinstance(value, dict) else value for name, value in found.items()}


def _restore_hooks(before: dict[str, Any]) -> None:
    for name, value in before.items():
        found = getattr(modules, name)
        if not isinstance(value, dict):
            setattr(modules, name, value)
        elif found != value:
            found.clear()
            found.update(value)


def _autocast() -> list[tuple[bool, torch.dtype]]:
    if hasattr(torch, "get_autocast_dtype"):
        return [(torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")]
    return [
        (torch.is_autocast_cpu_enabled(), torch.get_autocast_cpu_dtype()),
        (torch.is_autocast_enabled(), torch.get_autocast_gpu_dtype()),
    ]


def _restore_autocast(before: list[tuple[bool, torch.dtype]]) -> None:
    if _autocast() == before:
        return
    if hasattr(torch, "get_autocast_dtype"):
        for kind, (enabled, dtype) in zip(("cpu", "cuda"), before, strict=True):
            torch.set_autocast_enabled(kind, enabled)
            torch.set_autocast_dtype(kind, dtype)
        return
    torch.set_autocast_cpu_enabled(before[0][0])
    torch.set_autocast_cpu_dtype(before[0][1])
    torch.set_autocast_enabled(before[1][0])
    torch.set_autocast_gpu_dtype(before[1][1])


def _printing() -> dict[str, Any]:
    return dict(vars(torch._tensor_str.PRINT_OPTS))


def _restore_printing(before: dict[str, Any]) -> None:
    options = vars(torch._tensor_str.PRINT_OPTS)
    options.clear()
    options.update(before)


def _flushes_denormals() -> bool:
    # The processor's setting holds for the numbers of Python too; half the smallest normal number is a denormal one.
    smallest = float.fromhex("0x1p-1022")
    return smallest * 0.5 == 0.0


def _deterministic() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _anomaly() -> tuple[bool, bool]:
    return torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()


def _unless_same(read: Callable[[], Any], put: Callable[[Any], object]) -> Callable[[Any], object]:
    """``put`` only where something has changed."""

    def restore(before: Any) -> None:
        if read() != before:
            put(before)

    return restore


def _setting(name: str, read: Callable[[], Any], put: Callable[[Any], object]) -> Kept:
    return Kept(name, read, _unless_same(read, put))


# What is read first is put back last: what leaves inference mode knows the grad mode that was under it.
KEPT = (
    Kept("grad mode, inference mode", _inference, lambda mode: mode.__exit__(None, None, None), lasts=False),
    Kept("random states of torch, CPU and CUDA", _random, _restore_random),
    _setting("default dtype", torch.get_default_dtype, torch.set_default_dtype),
    _setting("threads", torch.get_num_threads, torch.set_num_threads),
    _setting(
        "deterministic algorithms",
        _deterministic,
        lambda v: torch.use_deterministic_algorithms(v[0], warn_only=v[1]),
    ),
    _setting("anomaly detection", _anomaly, lambda v: torch.autograd.set_detect_anomaly(*v)),
    Kept("autocast", _autocast, _restore_autocast),
    _setting("autocast cache", torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
    Kept("precision of float32, by backend and operation", _precisions, _restore_precisions),
    Kept("switches of the backends", _switches, _restore_switches),
    _setting("warn always", torch.is_warn_always_enabled, torch.set_warn_always),
    _setting("denormal numbers", _flushes_denormals, torch.set_flush_denormal),
    Kept("print options", _printing, _restore_printing),
    Kept("hooks of all modules", _hooks, _restore_hooks),
    _setting(
        "sharing strategy",
        torch.multiprocessing.get_sharing_strategy,
        torch.multiprocessing.set_sharing_strategy,
    ),
    Kept("dispatch modes", _dispatch_modes, _restore_dispatch_modes),
    Kept("function modes", _function_modes, _restore_function_modes),
    Kept("default device", _default_device, _restore_default_device),
)
