"""What a check says of a loss of torch's does not depend on the model: it is found out once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pytest_logits.loss_subject import LossSubject
from pytest_logits.losses import plain

T = TypeVar("T")
_judged: dict[Any, Any] = {}


def judged_once(loss: LossSubject, what: str, judge: Callable[[LossSubject], T]) -> T:
    """``judge(loss)``. A plain loss of torch's is judged once for all models with such scores."""
    name = plain(loss.loss_object)
    if name is None or callable(loss.encoding) or loss.is_of_output:
        return judge(loss)
    key = (what, name, loss.trailing, loss.dtype, loss.encoding, loss.task, loss.reduction, loss.settings)
    if key not in _judged:
        _judged[key] = judge(loss)
    judged: T = _judged[key]
    return judged


def forget() -> None:
    """Let the next model be the first whose loss is looked at."""
    _judged.clear()
