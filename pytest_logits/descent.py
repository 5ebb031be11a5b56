"""torch's own optimizers for the suite's own training, made and stepped without importing ``torch._dynamo``.

torch keeps its compiler away from a few methods of every optimizer, and imports it for that when the first optimizer is
made: Nothing is compiled here. The methods below are
torch's, without the wrapper that imports; the arithmetic is not touched. Where a torch wraps them in another way the
wrapper stays on, and all that is lost is the time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.optim import Optimizer


@cache
def plain(kind: type[Optimizer], *, watched: bool = False) -> Callable[..., Optimizer]:
    """The same optimizer, as a subclass, for steps that nothing compiles; hooks see them where they are ``watched``."""
    own = {name: inspect.unwrap(getattr(Optimizer, name)) for name in ("add_param_group", "zero_grad")}
    step: Any = torch.no_grad()(inspect.unwrap(kind.step))
    # To a step that does not say so torch adds hooks, and what notes it for its profiler: a third of a small one.
    step.hooked = not watched
    own["step"] = step
    return type(kind.__name__, (kind,), {**own, "__doc__": kind.__doc__, "__module__": __name__})
