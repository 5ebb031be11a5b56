"""Draw a model's large initial weights once: whoever makes it again from the same random state gets copies.

Nothing is assumed of the factory. Where it fills a tensor with random numbers, and the random state, the shape and the
arguments were met before, the numbers are those that were drawn then, and the state goes on from where it was after.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter, init
from torch.overrides import TorchFunctionMode

# Below, it takes about as long to keep the random state and to put it back as to draw: 1 of 14 of this many, measured.
LEAST = 16_384
# To look at a call of torch's takes as long as to draw so many numbers: 4 to 10 us against 3.6 ns each, measured.
PER_CALL = 2048
# Each fills a whole tensor. The other random functions of torch.nn.init come to these.
FILLING = (Tensor.uniform_, Tensor.normal_, init.uniform_, init.normal_, init.kaiming_uniform_)


@dataclass(frozen=True)
class _Draw:
    """What was drawn, and the random states before and after."""

    before: Tensor
    values: Tensor
    after: Tensor


class InitialDraws(TorchFunctionMode):
    """Inside, large tensors on the CPU are filled with the numbers that would be drawn, which are kept."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[Hashable, list[_Draw]] = defaultdict(list)
        self._calls = self._numbers = 0
        self._is_idle = False

    def inside(self) -> AbstractContextManager[object]:
        """Itself; or nothing, where a model was made inside that is drawn sooner than its calls are looked at.

        Two linear layers of few numbers take 0.15 ms, and 0.37 inside.
        """
        return nullcontext() if self._is_idle else self

    def __enter__(self) -> InitialDraws:
        self._calls = self._numbers = 0
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        self._is_idle = self._numbers <= PER_CALL * self._calls
        if self._is_idle:
            self.forget()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        self._calls += 1
        if func not in FILLING:
            return func(*args, **kwargs)
        rest = dict(kwargs)
        target, others = (args[0], args[1:]) if args else (rest.pop("tensor", None), ())
        if not _is_plain(target) or rest.get("generator") is not None:
            return func(*args, **kwargs)
        same = self._kept[func, tuple(target.shape), target.stride(), target.dtype, repr((others, rest))]
        self._numbers += target.numel()
        before = torch.random.get_rng_state()
        for draw in same:
            if torch.equal(draw.before, before):
                with torch.no_grad():
                    target.copy_(draw.values)
                torch.random.set_rng_state(draw.after)
                return target
        filled = func(*args, **kwargs)
        same.append(_Draw(before, target.detach().clone(), torch.random.get_rng_state()))
        return filled

    def forget(self) -> None:
        """Give back the memory of what is kept: as much as the tensors take that were filled."""
        self._kept.clear()


def _is_plain(target: Any) -> bool:
    """Whether it is an ordinary tensor in memory, and large."""
    ordinary = type(target) in (Tensor, Parameter) and target.layout == torch.strided and target.device.type == "cpu"
    return ordinary and target.numel() >= LEAST
