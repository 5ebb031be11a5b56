"""What models take and return: tensors, tuples, mappings, dataclasses; and where in them the scores are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor


def find_logits(output: Any) -> Any:
    """The scores in an output: itself, ``.logits``, ``["logits"]``, the first of a tuple or of a dataclass."""
    if isinstance(output, Tensor):
        return output
    if getattr(output, "logits", None) is not None:
        return output.logits
    if isinstance(output, Mapping):
        return output.get("logits")
    if isinstance(output, tuple | list) and output:
        return output[0]
    if dataclasses.is_dataclass(output):
        return next((v for f in dataclasses.fields(output) if isinstance(v := getattr(output, f.name), Tensor)), None)
    return output


def called(model: Callable[..., Any], inputs: Any) -> Any:
    """The model's output for a batch: a mapping is passed as keywords, a tuple by position."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, tuple):
        return model(*inputs)
    return model(inputs)


def tensors_in(inputs: Any) -> list[Tensor]:
    """The tensors of a batch: of a tensor, tuple, list or mapping."""
    if isinstance(inputs, Tensor):
        return [inputs]
    parts = inputs.values() if isinstance(inputs, Mapping) else inputs if isinstance(inputs, tuple | list) else ()
    return [tensor for part in parts for tensor in tensors_in(part)]


def index_rows(inputs: Any, index: Tensor, count: int) -> Any:
    """The rows ``index`` of every tensor in a batch that has ``count`` rows; whatever else it holds stays."""
    if isinstance(inputs, Tensor):
        return inputs[index] if inputs.ndim and len(inputs) == count else inputs
    if isinstance(inputs, Mapping):
        return {key: index_rows(value, index, count) for key, value in inputs.items()}
    if isinstance(inputs, tuple | list):
        return tuple(index_rows(value, index, count) for value in inputs)
    return inputs


def replaced(output: Any, like: Tensor, by: Tensor) -> Any:
    """``output`` with ``by`` in the place of every tensor that has the trailing shape of ``like``: of all heads."""
    if isinstance(output, Tensor):
        return by if output.shape[1:] == like.shape[1:] and output.is_floating_point() else output
    if isinstance(output, Mapping):
        made = {key: replaced(value, like, by) for key, value in output.items()}
        return made if type(output) is dict else type(output)(**made)
    if isinstance(output, tuple | list):
        parts = [replaced(part, like, by) for part in output]
        return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        fields = {f.name: replaced(getattr(output, f.name), like, by) for f in dataclasses.fields(output) if f.init}
        return dataclasses.replace(output, **fields)
    return output
