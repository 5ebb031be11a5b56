"""Different inputs give different logits."""

from __future__ import annotations

from typing import Any

from pytest_logits.check_registry import check
from pytest_logits.copies import evaluating
from pytest_logits.feeding import SCAN_ROWS
from pytest_logits.finding import Verdict, not_applicable, passed
from pytest_logits.reused import Scattered
from pytest_logits.scanning import BENT
from pytest_logits.structures import tensors_in
from pytest_logits.subject import Subject

# A ReLU on one logit may be off for every input in several settings; the last six are other draws of the same noise.
SETTINGS = ((0.0, 0), (1.0, 0), *((BENT, variant) for variant in range(6)))


@check(claim="different inputs give different logits", tags=("outputs", "exact"))
def outputs_depend_on_inputs(subject: Subject) -> Verdict:
    """For some setting of the parameters, two of sixteen random inputs get different logits.

    A last layer of zeros or a ReLU that is off for every input gives equal rows as initialised; with scattered
    parameters they differ. A model that drops its input gives equal rows for every setting.

    Causes: output_ignores_input, bounded_logits.
    """
    subject.require_rows()
    inputs = subject.inputs(SCAN_ROWS, "depend")
    rows = [t for t in tensors_in(inputs) if t.ndim and len(t) == SCAN_ROWS]
    if not any(bool((t != t[:1]).any()) for t in rows):
        return not_applicable("inputs= gives sixteen equal examples")
    return subject.in_one_copy(lambda scattered: _judge(subject, inputs, scattered))


def _judge(subject: Subject, inputs: Any, scattered: Scattered) -> Verdict:
    spreads = []
    for amount, variant in SETTINGS if subject.has_parameters else SETTINGS[:1]:
        logits = subject.scores(evaluating(scattered(amount, variant)), inputs, purpose="depend")
        spreads.append(float((logits - logits[:1]).abs().max()))
        if bool((logits != logits[:1]).any()):
            return passed(f"the logits of {SCAN_ROWS} inputs differ by up to {spreads[-1]:.3g}")
    return Verdict(
        outcome="failed",
        cause="bounded_logits" if subject.region == "nonnegative" else "output_ignores_input",
        measured=f"all {SCAN_ROWS} rows of the logits are equal, with the parameters as initialised and scattered at "
        "random",
        expected="at least two rows that differ",
        counterexample={"batch_size": SCAN_ROWS, "first_row": logits[0].flatten().tolist()[:8]},
        evidence={"spreads": spreads},
    )
