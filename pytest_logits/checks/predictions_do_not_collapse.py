"""A trained model does not give every example the same class."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pytest_logits.check_registry import check
from pytest_logits.finding import Verdict, inconclusive, passed
from pytest_logits.learning import LearningRun, Trace, learning_run
from pytest_logits.locate import activation_place
from pytest_logits.subject import BENT, DoesNotApply, Subject

# Learnt so well that every true class has probability .99 and more (a mean of 3e-4 log 2 over at most 32 rows leaves
# the worst of them .0067): a threshold of the user's own is no excuse then.
CONFIDENT = 3e-4
CONFIDENT_STEP_SIZES = (1e-1, 1e-2, 1e-3)
CONFIDENT_STEPS = 300


@check(claim="a model trained on separable data predicts more than one class", tags=("learning",))
def predictions_do_not_collapse(subject: Subject) -> Verdict:
    """Trained on balanced separable data, the model predicts at least two classes.

    It fails where one class is all that can come out: the decision is the same by construction (one column, or
    sigmoid outputs held against the threshold of logits), the outputs are the same for every input, or ``predict=``
    gives one class where the logits give the right ones with confidence. A model that still predicts one class after
    the budget, for no such reason, is inconclusive: deep nets start that way and some learn slowly.

    Causes: single_column_cross_entropy, sigmoid_before_bce_with_logits, softmax_before_bce_with_logits,
    output_ignores_input, bounded_logits, prediction_disagrees_with_logits.
    """
    if subject.has_single_column:
        return Verdict(
            outcome="failed",
            cause="single_column_cross_entropy",
            measured="with one score per example, argmax over the classes is 0 for every input",
            expected=f"{subject.num_classes} scores per example",
            evidence={"logits_shape": list(subject.sample_logits.shape)},
        )
    run = learning_run(subject)
    evidence = run.evidence()
    most = evidence["classes_predicted"]
    measured = f"{most} of {run.batch.prototypes} classes predicted, accuracy {run.best.accuracy:.2f}"
    if most > 1:
        return _judge_predict(subject, run) if subject.spec.predict is not None else passed(measured, evidence=evidence)
    bernoulli = subject.nature.takes == "logits" and subject.nature.form == "bernoulli"
    if subject.region in ("unit", "simplex") and bernoulli:
        squash = "sigmoid" if subject.region == "unit" else "softmax"
        return Verdict(
            outcome="failed",
            cause=f"{squash}_before_bce_with_logits",
            measured=f"{measured}; no output is below 0, so sigmoid(output) is at least 0.5 for every input",
            expected="outputs of both signs; class 1 where the logit is above 0",
            location=activation_place(subject, amount=BENT if squash == "sigmoid" else 0.0),
            counterexample={"batch_size": len(run.labels), "predicted": "class 1 for every row"},
            evidence=evidence,
        )
    if run.batch.distinct and not any(trace.rows_differ for trace in run.traces) and _stays_alike(subject, run):
        clipped = subject.region == "nonnegative"
        return Verdict(
            outcome="failed",
            cause="bounded_logits" if clipped else "output_ignores_input",
            location=activation_place(subject, amount=BENT) if clipped else None,
            measured=f"{measured}; all {len(run.labels)} rows of the logits are identical at each of {run.steps} steps",
            expected="logits that depend on the input",
            counterexample={"batch_size": len(run.labels)},
            evidence=evidence,
        )
    return inconclusive(measured, expected="at least 2 classes", evidence=evidence)


def _stays_alike(subject: Subject, run: LearningRun) -> bool:
    """Whether scattered parameters give equal rows too: weights of zeros do so as initialised only."""
    logits = subject.scores(subject.scattered(1.0).eval(), run.batch.inputs, purpose="alike")
    return not bool((logits != logits[:1]).any())


def _judge_predict(subject: Subject, run: LearningRun) -> Verdict:
    predicted, decided = _predict(subject, run, run.best)
    evidence: dict[str, Any] = {**run.evidence(), "classes_from_predict": len(predicted.unique(dim=0))}
    if len(predicted.unique(dim=0)) > 1:
        return passed(f"predict gives {evidence['classes_from_predict']} classes", evidence=evidence)
    confident = _train_to_confidence(run)
    if confident is not None:
        predicted, decided = _predict(subject, run, confident)
        if len(predicted.unique(dim=0)) == 1 and bool((decided == run.labels).all()):
            return Verdict(
                outcome="failed",
                cause="prediction_disagrees_with_logits",
                measured=f"predict gives class {predicted[0].tolist()} for all {len(run.labels)} rows, "
                "and the logits are right on every row",
                expected=f"{run.batch.prototypes} classes: the training loss is {confident.least:.2g}",
                counterexample={"batch_size": len(run.labels), "predicted": predicted[0].tolist()},
                evidence=evidence,
            )
    return inconclusive("predict gives one class, and the logits are not yet confident", evidence=evidence)


def _train_to_confidence(run: LearningRun) -> Trace | None:
    goal = run.stakes.least + CONFIDENT * (run.stakes.at_zero - run.stakes.least)
    for step_size in CONFIDENT_STEP_SIZES:
        trace = run.train(run.scores, step_size=step_size, steps=CONFIDENT_STEPS, goal=goal)
        if trace.reached:
            return trace
    return None


def _predict(subject: Subject, run: LearningRun, trace: Trace) -> tuple[Tensor, Tensor]:
    model = trace.model
    assert model is not None
    model.eval()
    decided = subject.decide(subject.scores(model, run.batch.inputs, purpose="collapse"))
    predicted = subject.predict(model, run.batch.inputs)
    if not isinstance(predicted, Tensor) or predicted.shape != run.labels.shape:
        kind = tuple(predicted.shape) if isinstance(predicted, Tensor) else type(predicted).__name__
        raise DoesNotApply(
            f"predict= returns {kind} instead of {tuple(run.labels.shape)}, see predictions_match_logits"
        )
    return predicted, decided
