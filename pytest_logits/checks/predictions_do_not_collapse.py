"""A trained model does not give every example the same class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from pytest_logits.check_registry import check
from pytest_logits.checks.predictions_match_logits import sure
from pytest_logits.copies import DoesNotApply
from pytest_logits.finding import Verdict, counted, inconclusive, not_applicable, passed
from pytest_logits.learning import FAINT, FINITE, LearningRun, learning_run
from pytest_logits.locate import activation_place
from pytest_logits.pooled import LUCK, is_clipped
from pytest_logits.scanning import BENT
from pytest_logits.subject import Subject

# Shares of what there is to learn that the loss is trained down to in turn, until the logits are sure of two classes:
# over at most 32 rows a mean loss of 3e-6 leaves none of them above 1e-4, which is a logit of 9.2. No further, since
# from -16.3 on float32 rounds a second sigmoid to one half, and a predict= may give another class for that.
CONFIDENT = ((1e-4, 0.1), (1e-5, 0.1), (3e-6, 0.5))
CONFIDENT_STEPS = 40


@check(claim="a model trained on separable data predicts more than one class", tags=("learning",))
def predictions_do_not_collapse(subject: Subject) -> Verdict:
    """Trained on balanced separable data, the model predicts at least two classes.

    It fails where one class is all that can come out: the decision is the same by construction (one column, or
    sigmoid outputs held against the threshold of logits), the outputs are the same for every input, or ``predict=``
    gives one class where the logits give the right ones with confidence. A model that still predicts one class after
    the budget, for no such reason, is inconclusive: deep nets start that way and some learn slowly. Where nothing
    trains, which other checks report, the predictions are those of the initial weights, and nothing is said of them.
    Nor of scores that are clipped at 0: what comes of them is a matter of the draw, and outputs_are_logits reports it.
    Nor where the loss or a logit is not finite before the first step, or different inputs give scores that agree to
    five digits as training starts, as in deep models without normalisation.

    Causes: single_column_cross_entropy, sigmoid_before_bce_with_logits, softmax_before_bce_with_logits,
    output_ignores_input, prediction_disagrees_with_logits.
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
    predicted = f"{most} of {run.batch.prototypes} classes predicted"
    if run.labels.ndim > 1:
        # A row of decisions is a map of classes, or a set of labels: more of them than patterns may come out.
        predicted = f"{counted(most, 'different prediction')} for {counted(run.batch.prototypes, 'pattern')}"
    measured = f"{predicted}, accuracy {run.best.accuracy:.2f}"
    bernoulli = subject.nature.takes == "logits" and subject.nature.form == "bernoulli"
    if most == 1 and subject.region in ("unit", "simplex") and bernoulli:
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
    if run.broken_start:
        return inconclusive(run.broken_start, expected=FINITE, evidence=evidence)
    if is_clipped(subject):
        return inconclusive(f"{measured}; {LUCK}", expected="at least 2 classes", evidence=evidence)
    if most == 1 and run.ignores_input:
        return Verdict(
            outcome="failed",
            cause="output_ignores_input",
            measured=f"{measured}; all {len(run.labels)} rows of the logits are identical throughout training",
            expected="logits that depend on the input",
            counterexample={"batch_size": len(run.labels)},
            evidence=evidence,
        )
    if not any(trace.gradient for trace in run.traces):
        return not_applicable("nothing trains, so the predictions are those of the initial weights")
    if run.faint:
        return inconclusive(f"{measured}; {FAINT}", expected="at least 2 classes", evidence=evidence)
    if most > 1:
        if subject.spec.predict is not None:
            return _judge_predict(subject, run, measured)
        return passed(measured, evidence=evidence)
    return inconclusive(measured, expected="at least 2 classes", evidence=evidence)


def _judge_predict(subject: Subject, run: LearningRun, measured: str) -> Verdict:
    """One class from ``predict=`` is a failure where the logits leave no doubt about several."""
    model = run.best.model
    assert model is not None
    predicted, _ = _predict(subject, model, run)
    classes = len(predicted.unique(dim=0))
    evidence: dict[str, Any] = {**run.evidence(), "classes_from_predict": classes}
    if classes > 1:
        return passed(f"{measured}; predict gives {classes} classes", evidence=evidence)
    sure_of = _sure_of_two(run)
    if sure_of is None or len(sure_of.predicted.unique(dim=0)) > 1:
        said = "predict gives one class at logits that are not confident yet; predictions_match_logits judges it"
        return passed(f"{measured}; {said}", evidence=evidence)
    return Verdict(
        outcome="failed",
        cause="prediction_disagrees_with_logits",
        measured=f"predict gives class {predicted[0].tolist()} for all {len(run.labels)} rows, and the logits of "
        f"{len(sure_of.decided)} rows are confident of {len(sure_of.decided.unique(dim=0))} classes",
        expected=f"{run.batch.prototypes} classes",
        counterexample={"batch_size": len(run.labels), "predicted": predicted[0].tolist()},
        evidence=evidence,
    )


@dataclass(frozen=True)
class _Sure:
    """What ``predict=`` gives for every row, and the decisions of the logits on the rows that they are sure of."""

    predicted: Tensor
    decided: Tensor


def _sure_of_two(run: LearningRun) -> _Sure | None:
    """The trained model after a few large steps more: at confident logits no threshold of one's own is an excuse.

    None where the logits do not get sure of two classes.
    """
    subject, model = run.subject, run.best.model
    assert model is not None
    trainable: list[Tensor] = list(subject.trainable(model).values())
    for share, step_size in CONFIDENT:
        model.train()
        run.train(
            run.as_written,
            step_size=step_size,
            steps=CONFIDENT_STEPS,
            goal=run.stakes.least + share * (run.stakes.at_zero - run.stakes.least),
            prepare=lambda _: (model, trainable),
        )
        predicted, logits = _predict(subject, model, run)
        decided = subject.decide(logits)
        rows = sure(subject, logits).reshape(len(decided), -1).all(dim=1)
        if len(decided[rows].unique(dim=0)) > 1:
            return _Sure(predicted, decided[rows])
    return None


def _predict(subject: Subject, model: nn.Module, run: LearningRun) -> tuple[Tensor, Tensor]:
    model.eval()
    logits = subject.scores(model, run.batch.inputs, purpose="collapse")
    predicted = subject.predict(model, run.batch.inputs)
    if not isinstance(predicted, Tensor) or predicted.shape != run.labels.shape:
        kind = tuple(predicted.shape) if isinstance(predicted, Tensor) else type(predicted).__name__
        raise DoesNotApply(
            f"predict= returns {kind} instead of {tuple(run.labels.shape)}, see predictions_match_logits"
        )
    return predicted, logits
