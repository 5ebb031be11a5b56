"""How far the losses of the zoo are from the form that they are recognised as, and from those that they are not.

Run ``python -m benchmarks.separation`` in the checkout. For every loss of tests/zoo/own_losses: the misfit, relative to
how much the loss varies, of each form that was tried. ``RECOGNISED`` of ``pytest_logits.allowances`` must lie between
the largest of those that fit and the least of those that do not, and ``EXACT`` above those of exact forms.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pytest_logits import loss_forms
from pytest_logits.allowances import EXACT, RECOGNISED
from pytest_logits.loss_claims import claim_of
from pytest_logits.loss_subject import LossSubject
from pytest_logits.model import make_loss_spec
from pytest_logits.settings import Settings
from tests.zoo.own_losses.entry import FaultyLoss
from tests.zoo.own_losses.families import FAULTS, SOUND, TRAPS

Solved = tuple[Tensor, float, float]


def main() -> None:
    """Print the misfits in order of size, with what they belong to, and the gaps between them."""
    torch.set_num_threads(1)
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
        arguments = entry.all_arguments if isinstance(entry, FaultyLoss) else dict(entry.arguments)
        spec = make_loss_spec(entry.loss, file=__file__, line=0, arguments={"name": entry.name, **arguments})
        loss = LossSubject.registered(spec, Settings())
        if loss.refusal is not None:
            continue
        misfits.clear()
        claim = claim_of(loss)
        fits = [m for m in misfits if m < RECOGNISED]
        table += [(m, m < RECOGNISED, entry.name) for m in (misfits if claim is None else fits)]
    table.sort()
    below, above = [row for row in table if row[1]], [row for row in table if not row[1]]
    exact = [row for row in below if row[0] <= EXACT[torch.float64]]
    print(f"{len(below)} fits, {len(exact)} of them exact: at most {exact[-1][0]:.1e} ({exact[-1][2]})")
    for misfit, _, name in [*below[len(exact) :][:10], *below[-10:]]:
        print(f"  {misfit:.1e} {name}")
    print(f"{len(above)} misfits: at least {above[0][0]:.1e} ({above[0][2]})")
    for misfit, _, name in above[:10]:
        print(f"  {misfit:.1e} {name}")


if __name__ == "__main__":
    main()
