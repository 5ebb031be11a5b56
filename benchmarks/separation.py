"""How far the losses of the zoo are from the form that they are recognised as, and from those that they are not.

Run ``python -m benchmarks.separation`` in the checkout. For every loss of tests/zoo/own_losses: the misfit, relative to
how much the loss varies, of each form that was tried. ``RECOGNISED`` of ``pytest_logits.allowances`` must lie between
the largest of those that fit and the least of those that do not, and ``EXACT`` above those of exact forms. Then how
far apart are the values that are asked to be equal, and how far a row is pulled from its label at equal scores, as a
share of the gradient's largest entry: what passes and what does not must lie on both sides of ``apart`` and of
``wrong_pull``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import pytest_logits
from pytest_logits import loss_forms
from pytest_logits.allowances import EXACT, RECOGNISED, apart, wrong_pull
from pytest_logits.loss_claims import claim_of
from pytest_logits.loss_probes import Probes
from pytest_logits.loss_subject import LossSubject
from pytest_logits.model import make_loss_spec
from pytest_logits.settings import Settings
from tests.zoo.own_losses.entry import FaultyLoss
from tests.zoo.own_losses.families import FAULTS, SOUND, TRAPS

Solved = tuple[Tensor, float, float]
SHOWN = 10


def main() -> None:
    """Print misfits, values and pulls in order of size, with what they belong to, and the gaps between them."""
    torch.set_num_threads(1)
    _forms()
    _values_and_pulls()


def _arguments(entry: Any) -> dict[str, Any]:
    given = entry.all_arguments if isinstance(entry, FaultyLoss) else entry.arguments
    return {"name": entry.name, **given}


def _forms() -> None:
    misfits: list[float] = []
    solve = loss_forms._least_squares

    def recording(columns: Tensor, value: Tensor, spread: float) -> Solved | None:
        loss_forms.RECOGNISED = math.inf
        found = solve(columns, value, spread)
        loss_forms.RECOGNISED = RECOGNISED
        assert found is not None
        misfits.append(found[2])
        return found if found[2] < RECOGNISED else None

    loss_forms._least_squares = recording
    table = []
    for entry in (*FAULTS, *SOUND, *TRAPS):
        spec = make_loss_spec(entry.loss, file=Path(__file__), line=0, arguments=_arguments(entry))
        loss = LossSubject.registered(spec, Settings())
        if loss.refusal is not None:
            continue
        misfits.clear()
        claim = claim_of(loss)
        fits = [m for m in misfits if m < RECOGNISED]
        table += [(m, m < RECOGNISED, entry.name) for m in (misfits if claim is None else fits)]
    loss_forms._least_squares = solve
    table.sort()
    below, above = [row for row in table if row[1]], [row for row in table if not row[1]]
    exact = [row for row in below if row[0] <= EXACT[torch.float64]]
    print(f"{len(below)} fits, {len(exact)} of them exact: at most {exact[-1][0]:.1e} ({exact[-1][2]})")
    _print(below[len(exact) :][:SHOWN])
    _print(below[-SHOWN:])
    print(f"{len(above)} misfits: at least {above[0][0]:.1e} ({above[0][2]})")
    _print(above[:SHOWN])


def _values_and_pulls() -> None:
    values: list[tuple[float, bool, str]] = []
    pulls: list[tuple[float, bool, str]] = []
    at, same = [""], Probes.same

    def recording(probes: Probes, a: float | None, b: float | None) -> bool:
        alike = same(probes, a, b)
        if a is not None and b is not None and math.isfinite(a) and math.isfinite(b) and a != b:
            values.append((abs(a - b) / (abs(a) + abs(b)), alike, at[0]))
        return alike

    Probes.same = recording  # type: ignore[method-assign]
    for entry in (*FAULTS, *SOUND, *TRAPS):
        at[0] = entry.name
        select = ["loss_matches_reference", "targets_fit_loss"]
        for result in pytest_logits.check_loss(entry.loss, select=select, profile="quick", **_arguments(entry)):
            evidence = result.verdict.evidence
            if evidence.get("largest"):
                pulls.append((evidence["toward"] / evidence["largest"], result.outcome == "passed", entry.name))
    print(f"values may be {apart(torch.float64):.1e} apart")
    _split(values)
    few, many = (wrong_pull(torch.float32, classes) for classes in (5, 1000))
    print(f"a wrong pull is {few:.1e} of 5 classes, {many:.1e} of 1000")
    _split(pulls)


def _split(rows: list[tuple[float, bool, str]]) -> None:
    below, above = sorted(row for row in rows if row[1]), sorted(row for row in rows if not row[1])
    print(f"{len(below)} below: at most {below[-1][0]:.1e}; {len(above)} above: at least {above[0][0]:.1e}")
    _print(below[-SHOWN:])
    _print(above[:SHOWN])


def _print(rows: Iterable[tuple[float, bool, str]]) -> None:
    for size, _, name in rows:
        print(f"  {size:.1e} {name}")


if __name__ == "__main__":
    main()
