"""How much a session may spend, and the seed it starts from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A budget.

    ``examples`` bounds what an exact property draws, ``classifiers`` how many generated classifiers are drawn, and
    ``learning`` is a list of (step size, steps) that the training checks may try with Adam, in this order. With
    ``both_losses`` a model of two classes is also trained by either parameterisation of its loss: 90 passes.
    """

    name: str
    examples: int
    classifiers: int
    learning: tuple[tuple[float, int], ...]
    both_losses: bool = False


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(name="quick", examples=20, classifiers=2, learning=((1e-2, 30), (1e-3, 30))),
        Profile(name="standard", examples=60, classifiers=5, learning=((1e-2, 40), (1e-3, 70), (1e-4, 40))),
        Profile(
            name="thorough",
            examples=400,
            classifiers=25,
            learning=((1e-2, 300), (1e-3, 300), (1e-4, 300)),
            both_losses=True,
        ),
    )
}
DEFAULT_PROFILE = "standard"
DEFAULT_SEED = 0
DEFAULT_DEVICE = "cpu"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every check of a session shares. ``workers`` processes share the machine's threads.

    ``device`` is where models and losses run, as torch.device names it.
    """

    seed: int = DEFAULT_SEED
    profile: Profile = PROFILES[DEFAULT_PROFILE]
    workers: int = 1
    device: str = DEFAULT_DEVICE


def derive_seed(seed: int, *labels: str) -> int:
    """A 63-bit seed for one purpose, the same in every process and whatever ran before."""
    digest = hashlib.blake2b("\0".join([str(seed), *labels]).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
