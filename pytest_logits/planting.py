"""Known faults, planted in what is registered: the negative controls of the checks, and the faults of strategies.

``plants()[cause](factory, arguments)`` gives a factory and arguments of ``register`` with the fault in one of them, or
None where the fault cannot be had in this model. ``plants_of_losses()[cause](case)`` gives a loss with the fault, or
None. What was given stays as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType

from pytest_logits.plant import Plant, Planted
from pytest_logits.planted_alone import LossCase, LossPlant, alone_plants
from pytest_logits.planted_losses import loss_plants
from pytest_logits.planted_outputs import output_plants
from pytest_logits.planted_training import training_plants

__all__ = ["LossCase", "LossPlant", "Plant", "Planted", "plants", "plants_of_losses"]


@functools.cache
def plants() -> Mapping[str, Plant]:
    """Every plant of models by its cause, in a fixed order."""
    found = (*output_plants(), *loss_plants(), *training_plants())
    return MappingProxyType({plant.cause: plant for plant in found})


@functools.cache
def plants_of_losses() -> Mapping[str, LossPlant]:
    """Every plant of losses that are registered by themselves, by its cause, in a fixed order."""
    return MappingProxyType({plant.cause: plant for plant in alone_plants()})
