"""What the zoo is made of: faulty models, each with a sound twin, and traps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

Factory = Callable[[], nn.Module]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A registered model with a planted cause, and the same model without it.

    Attributes:
        name: of the model, unique in the zoo.
        words: the style of the fault, for the page.
        cause: what is planted; the root of all that is reported, so the first to be.
        factory: makes the faulty model.
        arguments: it is registered with.
        twin: makes the sound model; the same factory where the fault lies in the arguments.
        twin_arguments: those that the twin is registered with, where they differ.
        located: whether the cause is a line of the user's code. The line ends in a comment that says ``FAULT``.
        also: further causes in the same model.
        harmless: a cause that is advice and no failure.
        twin_advice: checks that give advice on the twin.
    """

    name: str
    words: str
    cause: str
    factory: Factory
    arguments: Mapping[str, Any]
    twin: Factory | None = None
    twin_arguments: Mapping[str, Any] = field(default_factory=dict)
    located: bool = True
    also: tuple[str, ...] = ()
    harmless: bool = False
    twin_advice: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.twin is None and not self.twin_arguments:
            raise ValueError(f"{self.name} has no twin that differs from it")

    @property
    def sound(self) -> Trap:
        """The twin as a sound model. A twin's argument that is None is left to its default."""
        factory = self.twin or self.factory
        return Trap(
            # Twins of one name and the same arguments share their run.
            name=getattr(factory, "name", f"{self.name}_twin"),
            words=f"the twin of {self.name}",
            factory=factory,
            arguments={k: v for k, v in {**self.arguments, **self.twin_arguments}.items() if v is not None},
            advice=self.twin_advice,
        )


@dataclass(frozen=True, kw_only=True)
class Trap:
    """A registered model that is right, though naive checks fail it; ``advice`` names the checks that give some."""

    name: str
    words: str
    factory: Factory
    arguments: Mapping[str, Any]
    advice: tuple[str, ...] = ()
