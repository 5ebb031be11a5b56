"""The predictions are the decisions that the loss trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from pytest_logits.check_registry import check
from pytest_logits.copies import evaluating
from pytest_logits.feeding import SCAN_ROWS
from pytest_logits.finding import Location, Verdict, inconclusive, not_applicable, passed
from pytest_logits.locate import definition
from pytest_logits.structures import index_rows
from pytest_logits.subject import Subject

# A decision this far from any other, in logits, is the same at every threshold between .0001 and .9999.
CONFIDENT = 9.2
AMOUNTS = (1.0, 4.0, 16.0, 64.0)
VARIANTS = 2
# A decision that changes at logit .5, to this much, takes logits for probabilities; as a probability it would be .6225.
THRESHOLD = 0.5
WIDTH = 0.005
SWEEP = 128
# So many labels of a multi-label head are followed.
COLUMNS = 3
ZOOMS = 5


@check(claim="predict gives the class that the logits and the loss imply", tags=("outputs", "exact"))
def predictions_match_logits(subject: Subject) -> Verdict:
    """``predict=`` agrees with argmax over the classes, or with a logit above 0, wherever the logits are confident.

    Copies with scattered parameters give logits of every size on random inputs. Only rows are compared whose decision
    is the same at any threshold between .0001 and .9999, so a threshold of the user's own is no disagreement. A single
    logit is also followed across 0: a decision that changes at logit 0.5 takes the logit for a probability.

    Causes: prediction_disagrees_with_logits, model_left_in_wrong_mode.
    """
    if subject.spec.predict is None:
        return not_applicable("no predict= is registered")
    if subject.has_single_column:
        return not_applicable("with one score per example the loss implies no decision")
    if subject.nature.takes != "unknown":
        return _compare(subject)
    alone = _row_by_row(subject)
    if alone is None:
        return not_applicable(f"the decision that {subject.loss_name} implies is not known")
    verdict = _compare(alone)
    subject.count(forward=alone.passes.forward, backward=alone.passes.backward)
    return verdict


def _row_by_row(subject: Subject) -> Subject | None:
    """The same model with its loss asked about each row by itself; None where that tells no decision either.

    Targets that are broadcast against the scores hide what the loss is of one row, and so the decision it implies.
    """
    loss = subject.spec.loss
    if isinstance(loss, str) or loss is None or subject.spec.loss_takes != "logits":
        return None

    def mean_of_rows(scores: Tensor, targets: Tensor) -> Tensor:
        return torch.stack([loss(scores[i : i + 1], targets[i : i + 1]) for i in range(len(scores))]).mean()

    alone = Subject(replace(subject.spec, loss=mean_of_rows), subject.settings)
    try:
        return alone if alone.nature.takes != "unknown" else None
    except Exception:
        # A loss of whole batches may refuse a row in any way.
        return None


def _compare(subject: Subject) -> Verdict:
    compared, classes = 0, set[Any]()
    looks_like, disagreement = set(_SLIPS), None
    for amount in AMOUNTS:
        for variant in range(VARIANTS):
            model = evaluating(subject.scattered(amount, variant))
            inputs = subject.inputs(SCAN_ROWS, f"predict {variant}")
            logits = subject.scores(model, inputs, purpose="predict")
            first = amount == AMOUNTS[0] and variant == 0
            if first and bool((logits != subject.scores(model, inputs, purpose="predict again")).any()):
                return not_applicable("evaluation is random, so a prediction may differ from another pass")
            decided = subject.decide(logits)
            before = [module.training for module in model.modules()]
            predicted = subject.predict(model, inputs)
            if [module.training for module in model.modules()] != before:
                return _left_in_train_mode(subject)
            if not isinstance(predicted, Tensor) or predicted.shape != decided.shape:
                return _wrong_shape(subject, predicted, decided)
            confident = sure(subject, logits)
            compared += int(confident.sum())
            classes |= set(decided[confident].flatten().tolist())
            wrong = confident & (predicted != decided)
            looks_like &= _matching_slips(logits, predicted, decided)
            if bool(wrong.any()) and disagreement is None:
                disagreement = (model, inputs, logits, predicted, decided, wrong)
    if disagreement is not None:
        return _disagrees(subject, *disagreement, looks_like=looks_like)
    if compared == 0 or len(classes) < 2:
        return inconclusive(f"{compared} confident rows, of {len(classes)} classes; two classes are needed")
    threshold = _threshold(subject)
    if threshold is not None and _is_half(threshold):
        return _half(subject, *threshold)
    followed = "" if threshold is None else f"; it changes at logit {threshold[1]:.3f}"
    return passed(
        f"predict agrees with the logits on {compared} confident decisions{followed}",
        evidence={"compared": compared, "threshold": threshold},
    )


def _threshold(subject: Subject) -> tuple[float, float] | None:
    """Where the first of a few logits changes its decision: the highest predicted 0 and the lowest predicted 1.

    None where it cannot be followed: the inputs are no floats, the decision is between classes, or the logits of the
    inputs at hand do not reach from below 0 to above 0.5. Of several thresholds the first at 0.5 counts.
    """
    inputs = subject.inputs(SCAN_ROWS, "predict 0")
    columns = 1 if subject.sample_logits.numel() == SCAN_ROWS else 0
    if subject.multilabel and subject.sample_logits.ndim == 2:
        columns = min(subject.sample_logits.shape[1], COLUMNS)
    if subject.nature.takes != "logits" or not isinstance(inputs, Tensor) or not inputs.is_floating_point():
        return None
    found = [side for column in range(columns) if (side := _follow(subject, inputs, column)) is not None]
    return next((sides for sides in found if _is_half(sides)), found[0] if found else None)


def _is_half(sides: tuple[float, float]) -> bool:
    return all(abs(side - THRESHOLD) < WIDTH for side in sides)


def _follow(subject: Subject, inputs: Tensor, column: int) -> tuple[float, float] | None:
    """The change of one column's decision on a line between two inputs, followed to a hair."""
    for amount, variant in product(AMOUNTS, range(VARIANTS)):
        model = evaluating(subject.scattered(amount, variant))

        def logits_of(batch: Tensor, model: nn.Module = model) -> Tensor:
            return subject.scores(model, batch, purpose="predict").reshape(len(batch), -1)[:, column]

        logits = logits_of(inputs)
        if logits.min() >= 0 or logits.max() <= 2 * THRESHOLD:
            continue
        start, end = inputs[logits.argmin()], inputs[logits.argmax()]
        for _ in range(ZOOMS):
            steps = torch.linspace(0, 1, SWEEP, dtype=inputs.dtype).view(-1, *(1 for _ in start.shape))
            line = start + steps * (end - start)
            on = subject.predict(model, line).reshape(len(line), -1)[:, column] > 0
            logits = logits_of(line)
            if not bool(on.any()) or bool(on.all()):
                return None
            if float(logits[on].min() - logits[~on].max()) < WIDTH / 2:
                break
            start, end = line[~on][logits[~on].argmax()], line[on][logits[on].argmin()]
        return float(logits[~on].max()), float(logits[on].min())
    return None


def sure(subject: Subject, logits: Tensor) -> Tensor:
    """Decisions, in the shape of ``decide``, that lie far from any other, in logits."""
    scores = logits.double()
    if subject.nature.takes == "probabilities":
        scores = scores.log() if subject.nature.form == "categorical" else torch.logit(scores, eps=1e-12)
    if not subject.multilabel and scores.ndim > 1 and scores.shape[1] > 1:
        top = scores.topk(2, dim=1).values
        return (top[:, 0] - top[:, 1]) > CONFIDENT
    far = scores.abs() > CONFIDENT
    return far if subject.multilabel or far.ndim < 2 else far.squeeze(1)


def _place(subject: Subject) -> Location | None:
    return definition(subject.spec.predict, "predict= is defined here")


_SLIPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sigmoid applied twice, which is hardly ever below .5": lambda z, decided: (z.sigmoid().sigmoid() > 0.5).long(),
    "argmax over a single column, which is always 0": lambda z, decided: torch.zeros_like(decided),
    "argmax over the batch axis": lambda z, decided: z.argmax(dim=0),
    "the opposite of the logits' decision": lambda z, decided: 1 - decided,
}


def _matching_slips(logits: Tensor, predicted: Tensor, decided: Tensor) -> set[str]:
    """The slips that give exactly these predictions."""
    found = set()
    for words, make in _SLIPS.items():
        made = make(logits, decided)
        made = made.squeeze(1) if made.ndim > decided.ndim else made
        if made.shape == predicted.shape and bool((made == predicted).all()):
            found.add(words)
    return found


def _disagrees(
    subject: Subject,
    model: nn.Module,
    inputs: Any,
    logits: Tensor,
    predicted: Tensor,
    decided: Tensor,
    wrong: Tensor,
    *,
    looks_like: set[str],
) -> Verdict:
    row = int(wrong.reshape(len(wrong), -1).any(dim=1).nonzero()[0])
    alone = index_rows(inputs, torch.tensor([row]), len(wrong))
    counterexample: dict[str, Any] = {
        "logits": logits[row].flatten().tolist()[:8],
        "predicted": predicted[row].tolist(),
        "implied": decided[row].tolist(),
    }
    try:
        counterexample["predicted_alone"] = subject.predict(model, alone).tolist()
    except (RuntimeError, ValueError, IndexError):
        # A batch of one is for the reader's convenience; the finding stands without it.
        counterexample["predicted_alone"] = None
    return Verdict(
        outcome="failed",
        cause="prediction_disagrees_with_logits",
        measured=f"predict is wrong on {int(wrong.sum())} of {wrong.numel()} decisions, where logits leave no doubt"
        + "".join(f"; this is what it looks like: {words}" for words in sorted(looks_like)),
        expected="argmax over the class axis" if logits.ndim > 1 and logits.shape[1] > 1 else "class 1 above logit 0",
        location=_place(subject),
        counterexample=counterexample,
        evidence={"wrong": int(wrong.sum()), "compared": int(wrong.numel())},
    )


def _half(subject: Subject, off: float, on: float) -> Verdict:
    return Verdict(
        outcome="failed",
        cause="prediction_disagrees_with_logits",
        measured=f"predict changes from 0 to 1 at logit {(off + on) / 2:.3f}, where the probability is .62",
        expected="a change at logit 0, which is probability 0.5",
        location=_place(subject),
        counterexample={"logits": [off], "predicted": 0, "implied": 1},
        evidence={"highest_predicted_0": off, "lowest_predicted_1": on},
    )


def _wrong_shape(subject: Subject, predicted: Any, decided: Tensor) -> Verdict:
    kind = f"shape {tuple(predicted.shape)}" if isinstance(predicted, Tensor) else type(predicted).__name__
    hint = "; argmax without dim= gives one index for the whole batch" if getattr(predicted, "ndim", 1) == 0 else ""
    return Verdict(
        outcome="failed",
        cause="prediction_disagrees_with_logits",
        measured=f"predict returns {kind} for a batch of {SCAN_ROWS}{hint}",
        expected=f"shape {tuple(decided.shape)}: a class for each example",
        location=_place(subject),
        counterexample={"batch_size": SCAN_ROWS},
    )


def _left_in_train_mode(subject: Subject) -> Verdict:
    return Verdict(
        outcome="failed",
        cause="model_left_in_wrong_mode",
        measured="the model was in eval mode before predict and is in train mode after it",
        expected="predict leaves the model in eval mode",
        location=_place(subject),
        counterexample={"batch_size": SCAN_ROWS},
    )
