"""What models take and return: tensors, tuples, mappings, dataclasses; and where in them the scores are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor


def repeats(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors hold the same numbers. NaN equals nothing, itself included, but is no sign of randomness."""
    return torch.equal(first.nan_to_num(), second.nan_to_num())


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


def no_scores(found: Tensor) -> str:
    """What a tensor is that holds no numbers to look at, or no floats; "" for scores."""
    if found.is_meta:
        return "a tensor on the meta device"
    if found.layout != torch.strided:
        return "a sparse tensor"
    return "" if found.is_floating_point() else f"a {found.dtype} tensor"


def called(model: Callable[..., Any], inputs: Any) -> Any:
    """The model's output for a batch, of which it gets a copy: it may write into what it is given."""
    return handed(model, copied(inputs))


def copied(inputs: Any) -> Any:
    """The same batch in tensors of its own, with their graph."""
    return mapped(inputs, Tensor.clone)


def handed(model: Callable[..., Any], inputs: Any) -> Any:
    """The model's output for the very tensors of a batch: a mapping is passed as keywords, a tuple by position."""
    if isinstance(inputs, Tensor):
        return model(inputs)
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


# Parts of an output with such names hold no scores, though they may have as many columns.
FEATURES = ("feat", "embed", "hidden", "represent", "attention", "pool")


def mapped(held: Any, change: Callable[[Tensor], Tensor], *, but: Collection[str] = ()) -> Any:
    """The same tuple, list, mapping or dataclass with every tensor changed; whatever else it holds stays.

    Parts whose name contains one of ``but`` stay too. A mapping of a kind that cannot be made from keywords becomes a
    dict.
    """

    if isinstance(held, Tensor):
        return change(held)

    def made_of(name: Any, part: Any) -> Any:
        stays = isinstance(name, str) and any(word in name.lower() for word in but)
        return part if stays else mapped(part, change, but=but)

    if isinstance(held, Mapping):
        made = {key: made_of(key, value) for key, value in held.items()}
        try:
            return made if type(held) is dict else type(held)(**made)
        except TypeError:
            return made
    if isinstance(held, tuple | list):
        names = getattr(held, "_fields", range(len(held)))
        parts = [made_of(name, part) for name, part in zip(names, held, strict=True)]
        return type(held)(*parts) if hasattr(held, "_fields") else type(held)(parts)
    if dataclasses.is_dataclass(held) and not isinstance(held, type):
        fields = {f.name: made_of(f.name, getattr(held, f.name)) for f in dataclasses.fields(held) if f.init}
        return dataclasses.replace(held, **fields)
    return held


def index_rows(held: Any, index: Tensor, count: int) -> Any:
    """The rows ``index`` of every tensor, in a batch or an output, that has ``count`` rows."""
    return mapped(held, lambda t: t[index] if t.ndim and len(t) == count else t)


def replaced(output: Any, like: Tensor, by: Tensor) -> Any:
    """``output`` with ``by`` in the place of every tensor that has the trailing shape of ``like``: of all heads.

    Features that are called so stay, also where there are as many as classes.
    """
    return mapped(output, lambda t: by if t.shape[1:] == like.shape[1:] and t.is_floating_point() else t, but=FEATURES)
