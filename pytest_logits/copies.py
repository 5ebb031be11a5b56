"""Fresh seeded copies of the registered model, as initialised or scattered, and what a look at one tells."""

from __future__ import annotations

import copy
import fnmatch
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_logits import data
from pytest_logits.conventions import Convention, convention_of, is_net, module_of, special_tokens
from pytest_logits.guard import seed_everything
from pytest_logits.initial_draws import InitialDraws
from pytest_logits.model import ModelSpec
from pytest_logits.placing import CPU
from pytest_logits.scattering import add_noise, size_of
from pytest_logits.settings import Settings, derive_seed
from pytest_logits.told import nearest

SMALL_MODEL = 1_000_000


class SubjectError(Exception):
    """The model, or a function registered with it, does not behave as declared. Says which and how to mend it."""


class DoesNotApply(Exception):
    """What a check needs is not to be had, for a reason that another check reports. Becomes not_applicable."""


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What one look at a copy tells, so that no copy is kept for it."""

    size: int
    has_parameters: bool
    dtype: torch.dtype
    convention: Convention
    special_tokens: frozenset[int]


def evaluating(model: nn.Module) -> nn.Module:
    """The model in eval mode. A user's own ``eval`` may return nothing."""
    model.eval()
    return model


def _has_weights(made: Any) -> bool:
    """Whether all are drawn. Lazy layers draw theirs later, from the random state that making them leaves."""
    model = module_of(made)
    return isinstance(model, nn.Module) and not any(map(is_lazy, model.parameters()))


class Copies(ABC):
    """The models of one registration. Nothing here is random but through the session's seed and the model's name."""

    def __init__(self, spec: ModelSpec, settings: Settings) -> None:
        self.spec = spec
        self.settings = settings
        self.name = spec.name
        self._draws = InitialDraws()
        self._sizes: dict[tuple[str, torch.Size], float] = {}
        # What the factory has made and nobody has used.
        self._spare: list[Any] = []

    @cached_property
    def device(self) -> torch.device:
        """Where the model and its loss run."""
        return torch.device(self.settings.device)

    def seed(self, purpose: str) -> int:
        """The seed for one purpose."""
        return derive_seed(self.settings.seed, self.name, purpose)

    # Models

    def fresh(self) -> nn.Module:
        """A fresh copy with the same initial weights each time, in train mode.

        Raises:
            SubjectError: the factory returns no module.
        """
        model = self._make()
        if any(is_lazy(p) for p in model.parameters()):
            model.train()
            self.materialise(model)
        model.train()
        return model

    def redrawn(self, number: int) -> nn.Module | None:
        """A copy with other initial weights, in train mode; None where the weights come with the registered object."""
        if self._shared is not None:
            return None
        seed_everything(self.seed(f"weights {number}"))
        model: nn.Module = module_of(self.spec.factory()).to(self.device)
        model.train()
        if any(is_lazy(p) for p in model.parameters()):
            self.materialise(model)
        return model

    @abstractmethod
    def materialise(self, model: nn.Module) -> None:
        """Pass something through a model whose lazy layers are waiting for it."""

    def _make(self) -> nn.Module:
        """A copy where there is one shared object, so that the user's own is never touched; else a new one."""
        shared = self._shared
        if shared is None:
            made = self._spare.pop() if self._spare else self._call_factory()
        else:
            made = copy.deepcopy(shared)
            # A net that is not initialised yet draws its weights now.
            seed_everything(self.seed("weights"))
        model = module_of(made)
        if not isinstance(model, nn.Module):
            raise SubjectError(
                f"the factory of {self.name!r} must return a torch.nn.Module; it returned {type(made).__name__}"
            )
        return model if self.device == CPU else model.to(self.device)

    @cached_property
    def _shared(self) -> Any:
        """The module that was registered itself, or the object that the factory hands out each time it is called."""
        if isinstance(self.spec.factory, nn.Module) or is_net(self.spec.factory):
            return self.spec.factory
        first, second = self._call_factory(), self._call_factory()
        if first is second:
            return first
        self._spare = [first, second] if _has_weights(first) else [second]
        return None

    def _call_factory(self) -> Any:
        seed_everything(self.seed("weights"))
        with self._draws.inside():
            return self.spec.factory()

    def forget_draws(self) -> None:
        """Give back the memory of the initial weights, of which copies are made."""
        self._draws.forget()

    def forget_spare(self) -> None:
        """Give back the memory of copies that nobody has used yet."""
        self._spare.clear()

    @property
    def convention(self) -> Convention:
        """What a library's conventions say where the registration says nothing."""
        return self._facts.convention

    @property
    def optimizer_factory(self) -> Callable[[nn.Module], Any] | None:
        """``optimizer=``, or what the model's library uses."""
        return self.spec.optimizer or self.convention.optimizer

    @property
    def train_step(self) -> Callable[..., Any] | None:
        """``train_step=``, or what the model's library does in a step."""
        return self.spec.train_step or self.convention.train_step

    def scattered(
        self, amount: float, variant: int = 0, *, mirrored: bool = False, head_only: bool = False
    ) -> nn.Module:
        """A fresh copy with noise of ``amount`` times each parameter's size added to it; another one per ``variant``.

        ``mirrored`` takes the same noise off: where a bias has decided everything, it now decides the other way.

        ``head_only`` leaves all but the last matrix and what is registered after it as initialised. The size is that of
        :func:`size_of`, taken of the parameters as initialised.
        """
        model = self.fresh()
        self.scatter(model, amount, variant, mirrored=mirrored, head_only=head_only)
        return model

    def scatter(
        self,
        model: nn.Module,
        amount: float,
        variant: int = 0,
        *,
        mirrored: bool = False,
        head_only: bool = False,
        made: Mapping[int, Tensor] | None = None,
    ) -> None:
        """Add the noise of :meth:`scattered` to a copy in place; to the values in ``made``, by the parameters' ids."""
        if not amount:
            return
        rng = data.generator(self.seed(f"scatter {amount} {variant}"))
        parameters = list(model.named_parameters())
        if head_only:
            matrices = [i for i, (_, p) in enumerate(parameters) if p.ndim > 1]
            parameters = parameters[matrices[-1] :] if matrices else []
        with torch.no_grad():
            for name, p in parameters:
                if p.is_floating_point():
                    start = made.get(id(p)) if made is not None else None
                    add_noise(p, self._size_of(name, p) * (-amount if mirrored else amount), rng, start=start)

    def _size_of(self, name: str, parameter: nn.Parameter) -> float:
        """The size of a parameter as initialised, which is the same in every copy."""
        key = name, parameter.shape
        if key not in self._sizes:
            self._sizes[key] = size_of(parameter)
        return self._sizes[key]

    def trainable(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """The parameters that require a gradient and are not declared frozen, by name."""
        return {name: p for name, p in model.named_parameters() if p.requires_grad and not self.is_frozen(name)}

    def is_frozen(self, name: str) -> bool:
        """Whether ``frozen=`` says that this parameter is meant not to train."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.spec.frozen)

    def require_frozen_names(self, names: Iterable[str]) -> None:
        """Say so where a pattern of ``frozen=`` matches no parameter.

        Raises:
            SubjectError: names the pattern and the nearest parameter.
        """
        known = list(names)
        for pattern in self.spec.frozen:
            if not fnmatch.filter(known, pattern):
                raise SubjectError(
                    f"frozen= of {self.name!r}: {pattern!r} matches no parameter; {nearest(pattern, known)}"
                )

    @property
    def has_parameters(self) -> bool:
        """Whether there is anything to scatter or to train."""
        return self._facts.has_parameters

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the model's first floating-point parameter, else the default."""
        return self._facts.dtype

    @property
    def is_small(self) -> bool:
        """Whether its weights take a few megabytes at most."""
        return self._facts.size < SMALL_MODEL

    @property
    def threads(self) -> int:
        """One for a small model, whose operations are too short to share; else what torch is set to, or less."""
        if self.is_small:
            return 1
        return min(torch.get_num_threads(), self.settings.threads or torch.get_num_threads())

    @cached_property
    def _facts(self) -> _Facts:
        model = self._make()
        parameters = list(model.parameters())
        if self._shared is None and _has_weights(model):
            self._spare.append(model)
        dtypes = (p.dtype for p in parameters if p.is_floating_point())
        return _Facts(
            size=sum(p.numel() for p in parameters if not is_lazy(p)),
            has_parameters=any(is_lazy(p) or p.numel() for p in parameters),
            dtype=next(dtypes, torch.get_default_dtype()),
            convention=convention_of(model),
            special_tokens=frozenset(special_tokens(model)),
        )
