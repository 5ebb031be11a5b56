"""How much a session may spend, and the seed it starts from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from pytest_logits.finding import Passes


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The passes through a model that a profile may make, as reports count them; tests/zoo/test_passes.py holds it.

    Attributes:
        exact: the most that one exact check makes.
        usual: the median of what all learning checks of a model make together, over a sample of sound and faulty
            models.
        learning: the most that they make on a model of that sample: a run that spends every step of the profile and a
            proof beside it, or steps of the user's own, which are the same in every profile.
    """

    exact: Passes
    usual: Passes
    learning: Passes


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A budget.

    ``examples`` bounds what an exact property draws, ``classifiers`` how many generated classifiers are drawn, and
    ``learning`` is a list of (step size, steps) that the training checks may try with Adam, in this order. With
    ``both_losses`` a model of two classes is also trained by either parameterisation of its loss: 90 passes. With
    ``screens`` losses are searched by Hypothesis only where a batch drawn without it goes wrong. ``budget``
    is what follows of it in passes; docs/explanation/cost.md says what that is in time.
    """

    name: str
    examples: int
    classifiers: int
    learning: tuple[tuple[float, int], ...]
    budget: Budget
    both_losses: bool = False
    screens: bool = True


PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile(
            name="quick",
            examples=20,
            classifiers=2,
            learning=((1e-2, 30), (1e-3, 30)),
            budget=Budget(
                exact=Passes(forward=48, backward=4),
                usual=Passes(forward=60, backward=40),
                learning=Passes(forward=180, backward=150),
            ),
        ),
        Profile(
            name="standard",
            examples=60,
            classifiers=5,
            learning=((1e-2, 40), (1e-3, 70), (1e-4, 38)),
            budget=Budget(
                exact=Passes(forward=48, backward=4),
                usual=Passes(forward=60, backward=40),
                learning=Passes(forward=200, backward=180),
            ),
        ),
        Profile(
            name="thorough",
            examples=400,
            classifiers=25,
            learning=((1e-2, 300), (1e-3, 300), (1e-4, 300)),
            budget=Budget(
                exact=Passes(forward=100, backward=90),
                usual=Passes(forward=60, backward=40),
                learning=Passes(forward=1000, backward=950),
            ),
            both_losses=True,
            screens=False,
        ),
    )
}
DEFAULT_PROFILE = "standard"
DEFAULT_SEED = 0
DEFAULT_DEVICE = "cpu"
# Seconds for one check in a pytest session. All checks of the slowest of 353 real models take less than 60 together,
# see docs/real-models.md.
DEFAULT_TIMEOUT = 300.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What every check of a session shares.

    At most ``threads`` threads compute; None: as many as torch is set to. ``device`` is where models and losses run, as
    torch.device names it. ``timeout`` is in seconds for one check, 0 for no limit.
    """

    seed: int = DEFAULT_SEED
    profile: Profile = PROFILES[DEFAULT_PROFILE]
    threads: int | None = None
    device: str = DEFAULT_DEVICE
    timeout: float = 0.0


@lru_cache(maxsize=1024)
def derive_seed(seed: int, *labels: str) -> int:
    """A 63-bit seed for one purpose, the same in every process and whatever ran before. Many are asked for again."""
    digest = hashlib.blake2b("\0".join([str(seed), *labels]).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
