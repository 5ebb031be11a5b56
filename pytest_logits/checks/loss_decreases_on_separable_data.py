"""The loss falls when the model trains on data it can separate."""

from __future__ import annotations

from pytest_logits.check_registry import check
from pytest_logits.finding import Verdict, counted, four_digits, inconclusive, not_applicable, passed
from pytest_logits.learning import FAINT, FINITE, LearningRun, learning_run
from pytest_logits.parameters import strays
from pytest_logits.pooled import LUCK, is_clipped
from pytest_logits.subject import Subject


@check(claim="training on separable data lowers the loss", tags=("learning",))
def loss_decreases_on_separable_data(subject: Subject) -> Verdict:
    """With the best of a few step sizes, the loss falls by at least a tenth of what there is to gain.

    It fails where learning is impossible, not where it is slow: no trainable parameter gets a gradient that is not
    exactly zero. A loss that falls by less than a tenth within the budget is inconclusive, and so is one of scores that
    are clipped at 0, where learning is a matter of the draw. Behind an activation, what there is to gain ends at its
    floor. Nothing is said where the loss or a logit is not finite before the first step, or where different inputs
    give scores that agree to five digits as training starts, as in deep models without normalisation.

    Causes: single_column_cross_entropy, frozen_parameters, unregistered_parameters, detached_graph,
    degenerate_initialisation.
    """
    if subject.has_single_column:
        return Verdict(
            outcome="failed",
            cause="single_column_cross_entropy",
            measured="softmax over one score is 1, so the loss is the same for every score and has no gradient",
            expected="a loss that depends on the scores",
            evidence={"logits_shape": list(subject.sample_logits.shape)},
        )
    if not subject.has_parameters and not strays(subject, subject.fresh()):
        return not_applicable("the model has no parameters to train")
    run = learning_run(subject)
    first, lowest = run.traces[0].losses[0], run.lowest
    if run.broken_start:
        return inconclusive(run.broken_start, expected=FINITE, evidence=run.evidence())
    if not any(trace.gradient for trace in run.traces):
        return _no_gradient(subject, run)
    measured = f"the loss went from {first:.4f} to {lowest:.4f} in {counted(run.steps, 'step')}"
    expected = f"a fall of at least a tenth of the way to {four_digits(run.goals.within_reach)}"
    if is_clipped(subject):
        return inconclusive(f"{measured}; {LUCK}", expected=expected, evidence=run.evidence())
    if run.faint:
        return inconclusive(f"{measured}; {FAINT}", expected=expected, evidence=run.evidence())
    if lowest < run.goals.fallen(first):
        return passed(measured, expected=expected, evidence=run.evidence())
    return inconclusive(measured, expected=expected, evidence=run.evidence())


def _no_gradient(subject: Subject, run: LearningRun) -> Verdict:
    model = subject.fresh()
    parameters = dict(model.named_parameters())
    trainable = [name for name, p in parameters.items() if p.requires_grad]
    hidden = strays(subject, model)
    if hidden:
        cause, why = (
            "unregistered_parameters",
            f"{counted(len(hidden), 'trainable tensor')} in the graph, none in parameters()",
        )
    elif parameters and not trainable:
        cause, why = "frozen_parameters", f"no parameter requires a gradient, of {len(parameters)} in all"
    elif not subject.logits_of(model, run.batch.inputs).requires_grad:
        cause, why = (
            "detached_graph",
            "the logits have no graph, so no gradient comes back to a parameter",
        )
    elif is_clipped(subject):
        return inconclusive(
            f"every output is 0; {LUCK}", expected="a gradient that is not zero", evidence=run.evidence()
        )
    else:
        cause, why = (
            "degenerate_initialisation",
            f"the gradient of every trainable parameter is exactly zero, of {len(trainable)} in all",
        )
    return Verdict(
        outcome="failed",
        cause=cause,
        measured=f"{why}; the loss stays at {run.traces[0].losses[0]:.4f}",
        expected="a gradient that is not zero for at least one parameter",
        counterexample={"batch_size": len(run.labels), "trainable": trainable[:10]},
        evidence={**run.evidence(), "parameters": len(parameters), "trainable": len(trainable), "strays": len(hidden)},
    )
