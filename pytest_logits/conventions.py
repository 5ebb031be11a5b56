"""Conventions of the libraries that people train with: Lightning, skorch, Hugging Face. By duck typing, no imports.

A factory may return what such a library trains, in place of a bare module. What it says of the loss, the optimizer and
the training step then holds where the registration says nothing.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Loss = Callable[[Any, Any], Tensor]


@dataclass(frozen=True, kw_only=True)
class Convention:
    """What a library's conventions say of a model; None where they say nothing.

    ``loss`` is what the library hands the output and the targets to. ``own_loss(model, x, y)`` is the loss that the
    model computes itself.
    """

    name: str = ""
    loss: Loss | None = None
    optimizer: Callable[[nn.Module], Any] | None = None
    train_step: Callable[..., Any] | None = None
    own_loss: Callable[[nn.Module, Any, Any], Any] | None = None


PLAIN = Convention()
# Under this name a module keeps the net that it came from, as its optimizer and criterion belong to it. The two go
# together when nothing else holds them.
_NET = "_pytest_logits_net"


def module_of(made: Any) -> Any:
    """The module in what a factory returned: of a skorch net its ``module_``, initialised if need be; else itself."""
    if not is_net(made):
        return made
    if not getattr(made, "initialized_", False):
        made.initialize()
    made.module_.__dict__[_NET] = made
    return made.module_


def convention_of(module: nn.Module) -> Convention:
    """The convention that the module follows."""
    net = module.__dict__.get(_NET)
    if net is not None:
        return Convention(name="skorch", loss=net.get_loss, optimizer=lambda model: model.__dict__[_NET].optimizer_)
    if any(base.__name__ == "LightningModule" for base in type(module).__mro__):
        if not _has_training_step(module):
            return PLAIN
        manual = not getattr(module, "automatic_optimization", True)
        return Convention(
            name="Lightning",
            optimizer=None if manual else _lightning_optimizer,
            train_step=None if manual else _lightning_step,
            own_loss=_lightning_loss,
        )
    if hasattr(getattr(module, "config", None), "problem_type") and hasattr(module.config, "num_labels"):
        return Convention(name="Hugging Face", own_loss=_hugging_face_loss)
    return PLAIN


def special_tokens(module: nn.Module) -> set[int]:
    """Token ids with a meaning of their own: padding indices of embeddings, and ``*_token_id`` of a configuration."""
    found: list[Any] = [m.padding_idx for m in module.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)]
    config = getattr(module, "config", None)
    if config is not None and hasattr(config, "num_labels"):
        for name in dir(config):
            if name.endswith("_token_id"):
                token = getattr(config, name, None)
                # Several ends of a text are a list.
                found += token if isinstance(token, list | tuple) else [token]
    return {token for token in found if isinstance(token, int)}


def is_net(made: Any) -> bool:
    """Whether this is a skorch net: it holds a module, a criterion and an optimizer."""
    wanted = ("initialize", "get_loss", "module", "criterion")
    return not isinstance(made, nn.Module) and not isinstance(made, type) and all(hasattr(made, w) for w in wanted)


def _has_training_step(module: nn.Module) -> bool:
    """Whether a class of the user's defines one; Lightning's own does nothing."""
    owner = next((base for base in type(module).__mro__ if "training_step" in vars(base)), None)
    return owner is not None and owner.__name__ not in ("LightningModule", "ModelHooks")


def _lightning_optimizer(module: nn.Module) -> Any:
    """What ``configure_optimizers`` gives: an optimizer, alone or first of a list, a tuple, or a dict."""
    made = module.configure_optimizers()  # type: ignore[operator]
    while isinstance(made, Mapping | list | tuple):
        made = made.get("optimizer") if isinstance(made, Mapping) else (made[0] if made else None)
    return made


def _lightning_loss(module: nn.Module, x: Any, y: Any) -> Any:
    with warnings.catch_warnings():
        # self.log() says that there is no trainer.
        warnings.simplefilter("ignore")
        step = module.training_step
        takes_index = len(inspect.signature(step).parameters) > 1  # type: ignore[arg-type]
        made = step((x, y), 0) if takes_index else step((x, y))  # type: ignore[operator]
    return made.get("loss") if isinstance(made, Mapping) else made


def _lightning_step(module: nn.Module, optimizer: torch.optim.Optimizer, x: Any, y: Any) -> Any:
    """Automatic optimization, in Lightning's order."""
    loss = _lightning_loss(module, x, y)
    optimizer.zero_grad()
    if isinstance(loss, Tensor) and loss.requires_grad:
        loss.backward()
        optimizer.step()
    return loss


def _hugging_face_loss(module: nn.Module, x: Any, y: Any) -> Any:
    if isinstance(x, Mapping):
        output = module(**x, labels=y)
    else:
        output = module(*(x if isinstance(x, tuple) else (x,)), labels=y)
    return output["loss"] if isinstance(output, Mapping) else output.loss
