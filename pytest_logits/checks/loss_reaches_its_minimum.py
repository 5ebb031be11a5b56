"""What the model can learn by heart, its loss can reach."""

from __future__ import annotations

from pytest_logits.check_registry import check
from pytest_logits.finding import Verdict, counted, four_digits, inconclusive, not_applicable, passed
from pytest_logits.learning import FAINT, FINITE, LearningRun, learning_run
from pytest_logits.locate import activation_place
from pytest_logits.pooled import LUCK, is_clipped
from pytest_logits.regions import Region
from pytest_logits.scanning import BENT
from pytest_logits.subject import Subject
from pytest_logits.trace import curve

IN_WORDS: dict[Region, str] = {
    "simplex": "softmax outputs",
    "unit": "sigmoid outputs",
    "sphere": "normalised outputs",
    "stretched": "outputs stretched to [0, 1]",
    "symmetric": "outputs in [-1, 1]",
    "bounded": "outputs within their bound",
    "nonnegative": "outputs that are never negative",
}


@check(claim="the loss comes near its minimum on data the model can learn by heart", tags=("learning",))
def loss_reaches_its_minimum(subject: Subject) -> Verdict:
    """On separable data the loss gets below the floor that a stray activation would leave it at.

    The least the loss can be on the labels in hand is found with free logits; the floors behind a softmax, sigmoid
    or tanh with free logits confined by it. Double softmax cannot get below log(1 + (K-1)/e): .3133 at K = 2,
    3.6222 at K = 100, however well the model classifies. A loss below .8 of the way up to that floor passes, which ends
    the run at once. A model that is kept above its floor fails, and the same training with the activation undone is
    the proof. A loss that is merely slow is inconclusive, and so is one of scores that are clipped at 0: a ReLU has no
    floor, whether training gets by is a matter of the draw, and outputs_are_logits reports it. Nothing is said
    where the loss or a logit is not finite before the first step, or where different inputs give scores that agree to
    five digits as training starts, as in deep models without normalisation.

    Causes: softmax_before_cross_entropy, sigmoid_before_cross_entropy, sigmoid_before_bce_with_logits,
    softmax_before_bce_with_logits, bounded_logits, probabilities_into_nll_loss, logits_into_nll_loss.
    """
    if subject.nature.takes == "unknown":
        return not_applicable(f"the suite cannot find the minimum of {subject.loss_name} with free logits")
    if subject.has_single_column:
        return not_applicable("with one score per example the loss is at its minimum whatever the model does")
    run = learning_run(subject)
    best, evidence = run.best, run.evidence()
    lowest = f"the lowest {'mean loss of 8 steps' if best.is_noisy else 'loss'} is {best.least:.4f}"
    measured = f"{lowest} at accuracy {best.accuracy:.2f}, after {counted(run.steps, 'step')}"
    if best.least < run.goals.impossible:
        return _below_minimum(subject, run, measured)
    if run.broken_start:
        return inconclusive(run.broken_start, expected=FINITE, evidence=evidence)
    region = _confining_region(subject, run)
    if region is None and is_clipped(subject):
        return inconclusive(f"{measured}; {LUCK}", expected=f"below {run.goal:.4f}", evidence=evidence)
    if region is None and not any(trace.gradient for trace in run.traces):
        return not_applicable("nothing trains, so the loss is that of the initial weights")
    if region is None and run.faint:
        return inconclusive(f"{measured}; {FAINT}", expected=f"below {run.goal:.4f}", evidence=evidence)
    if best.least < run.goal:
        return passed(measured, expected=f"below {run.goal:.4f}", evidence=evidence)
    expected = f"below {run.goal:.4f}; the least any scores can reach is {four_digits(run.stakes.least)}"
    if region is None:
        return inconclusive(measured, expected=expected, evidence=evidence)
    proof, floor = run.prove(region), run.goals.floors[region]
    if proof is None and region != subject.region:
        return inconclusive(measured, expected=expected, evidence=evidence)
    undone = curve(run.losses_of_proof) if proof is not None else []
    return Verdict(
        outcome="failed",
        cause=cause_of(subject, region),
        measured=measured,
        expected=f"{expected}, the least {IN_WORDS[region]} can reach is {floor:.4f}",
        proof=proof,
        location=activation_place(subject, amount=0.0 if region in ("simplex", "sphere") else BENT),
        counterexample={"batch_size": len(run.labels), "floor": floor, "lowest_loss": best.lowest},
        evidence={**evidence, "floor": floor, "loss_curve_undone": undone},
    )


def cause_of(subject: Subject, region: Region) -> str:
    """The cause that an activation's region is named by, for the family of the loss."""
    suffix = "cross_entropy" if subject.nature.form == "categorical" else "bce_with_logits"
    return {"simplex": f"softmax_before_{suffix}", "unit": f"sigmoid_before_{suffix}"}.get(region, "bounded_logits")


def _confining_region(subject: Subject, run: LearningRun) -> Region | None:
    """The region that keeps the loss up, where it cannot be chance that the outputs lie in it."""
    if subject.nature.takes != "logits":
        return None
    floors, stakes = run.goals.floors, run.stakes
    if "simplex" in floors and run.holds("simplex"):
        return "simplex" if stakes.is_material(floors["simplex"]) else None
    if subject.region in floors and stakes.is_material(floors[subject.region]):
        return subject.region
    # What does not move stays small whatever it is: only outputs that training has moved can be kept so.
    moves = any(trace.gradient for trace in run.traces)
    if moves and subject.stays_small and run.holds("symmetric") and stakes.is_material(floors["symmetric"]):
        return "symmetric"
    return None


def _below_minimum(subject: Subject, run: LearningRun, measured: str) -> Verdict:
    least = run.stakes.least
    expected = f"at least {four_digits(least)}, the least that {subject.loss_name} can be on what it takes"
    if subject.nature.takes != "log_probabilities":
        return inconclusive(measured, expected=expected, evidence=run.evidence())
    # Over a few steps logits may lie in [0, 1] by chance, over the scan not.
    squashed = subject.region in ("simplex", "unit") and run.holds("unit")
    return Verdict(
        outcome="failed",
        cause="probabilities_into_nll_loss" if squashed else "logits_into_nll_loss",
        measured=measured,
        expected=expected,
        location=activation_place(subject, amount=0.0) if squashed else None,
        counterexample={"batch_size": len(run.labels), "lowest_loss": run.best.lowest},
        evidence=run.evidence(),
    )
