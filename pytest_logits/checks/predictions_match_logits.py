"""The predictions are the decisions that the loss trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from pytest_logits.check_registry import check
from pytest_logits.copies import evaluating
from pytest_logits.feeding import SCAN_ROWS
from pytest_logits.finding import Location, Verdict, inconclusive, not_applicable, passed
from pytest_logits.locate import definition
from pytest_logits.structures import index_rows, repeats
from pytest_logits.subject import Subject

# A decision this far from any other, in logits, is the same at every threshold between .0001 and .9999.
CONFIDENT = 9.2
AMOUNTS = (1.0, 4.0, 16.0, 64.0)
# Lines between inputs that are compared too.
LINES = 3
# So many times the distance of the two inputs they go on, at either end.
REACH = 4
# A decision that changes at logit .5, to this much, takes logits for probabilities; as a probability it would be .6225.
THRESHOLD = 0.5
WIDTH = 0.005
SWEEP = 128
# So many labels of a multi-label head are followed.
COLUMNS = 3
ZOOMS = 5


@check(claim="predict gives the class that the logits and the loss imply", tags=("outputs", "exact"), needs="predict")
def predictions_match_logits(subject: Subject) -> Verdict:
    """``predict=`` agrees with argmax over the classes, or with a logit above 0, wherever the logits are confident.

    Copies with scattered parameters give logits of every size on random inputs. Only rows are compared whose decision
    is the same at any threshold between .0001 and .9999, so a threshold of the user's own is no disagreement. A single
    logit is also followed across 0: a decision that changes at logit 0.5 takes the logit for a probability.

    Causes: prediction_disagrees_with_logits, model_left_in_wrong_mode.
    """
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


@dataclass(frozen=True)
class _Setting:
    """A scattered copy, its logits on a batch, and what is predicted from them."""

    make: Callable[[], nn.Module]
    inputs: Any
    logits: Tensor
    predicted: Tensor


class _Comparison:
    """Decisions held against predictions, batch by batch."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.compared = 0
        self.classes: set[Any] = set()
        self.looks_like = set(_SLIPS)
        self.disagreement: tuple[Any, ...] | None = None

    def look(self, make: Callable[[], nn.Module], model: nn.Module, inputs: Any, logits: Tensor) -> _Setting | Verdict:
        """Compare one batch; a verdict where no comparison is possible."""
        decided = self.subject.decide(logits)
        before = [module.training for module in model.modules()]
        predicted = self.subject.predict(model, inputs)
        if [module.training for module in model.modules()] != before:
            return _left_in_train_mode(self.subject)
        if not isinstance(predicted, Tensor) or predicted.shape != decided.shape:
            return _wrong_shape(self.subject, predicted, decided)
        confident = sure(self.subject, logits)
        self.compared += int(confident.sum())
        self.classes |= set(decided[confident].flatten().tolist())
        wrong = confident & (predicted != decided)
        self.looks_like &= _matching_slips(logits, predicted, decided)
        if bool(wrong.any()) and self.disagreement is None:
            self.disagreement = (model, inputs, logits, predicted, decided, wrong)
        return _Setting(make, inputs, logits, predicted)


def _compare(subject: Subject) -> Verdict:
    seen = _Comparison(subject)
    settings: list[_Setting] = []
    for amount, mirrored in product(AMOUNTS, (False, True)):
        make = partial(_scattered, subject, amount, mirrored)
        model, inputs = make(), subject.inputs(SCAN_ROWS, f"predict {int(mirrored)}")
        logits = subject.scores(model, inputs, purpose="predict")
        if not settings and not repeats(logits, subject.scores(model, inputs, purpose="predict again")):
            return not_applicable("evaluation is random, so a prediction may differ from another pass")
        found = seen.look(make, model, inputs, logits)
        if isinstance(found, Verdict):
            return found
        settings.append(found)
    lines: list[_Setting] = []
    for remake, line in _lines(subject, settings):
        model = remake()
        found = seen.look(remake, model, line, subject.scores(model, line, purpose="predict"))
        if isinstance(found, Verdict):
            return found
        lines.append(found)
    if seen.disagreement is not None:
        return _disagrees(subject, *seen.disagreement, looks_like=seen.looks_like)
    compared, classes = seen.compared, seen.classes
    if compared == 0 or len(classes) < 2:
        return inconclusive(f"{compared} confident rows, of {len(classes)} classes; two classes are needed")
    threshold = _threshold(subject, lines)
    if threshold is not None and _is_half(threshold):
        return _half(subject, *threshold)
    followed = "" if threshold is None else f"; it changes at logit {threshold[1]:.3f}"
    return passed(
        f"predict agrees with the logits on {compared} confident decisions{followed}",
        evidence={"compared": compared, "threshold": threshold},
    )


def _lines(subject: Subject, settings: list[_Setting]) -> Iterator[tuple[Callable[[], nn.Module], Tensor]]:
    """Inputs on lines through two that are far apart in a score, and beyond: on them logits of all sizes follow.

    Taken are the settings with logits about as large as a confident decision needs.
    """
    able = [s for s in settings if isinstance(s.inputs, Tensor) and s.inputs.is_floating_point()]
    sizes = [max(float(s.logits.abs().max()), 1e-3) for s in able]
    for index in sorted(range(len(able)), key=lambda i: abs(math.log(sizes[i] / CONFIDENT)))[:LINES]:
        inputs, scores = able[index].inputs, able[index].logits.double()
        if scores.ndim > 1 and scores.shape[1] > 1 and not subject.multilabel:
            scores = scores - scores.mean(dim=1, keepdim=True)
        score = scores.reshape(SCAN_ROWS, -1)[:, 0]
        start, end = inputs[score.argmin()], inputs[score.argmax()]
        yield able[index].make, _line(start - REACH * (end - start), end + REACH * (end - start))


def _line(start: Tensor, end: Tensor) -> Tensor:
    steps = torch.linspace(0, 1, SWEEP, dtype=start.dtype).view(-1, *(1 for _ in start.shape))
    return start + steps * (end - start)


def _scattered(subject: Subject, amount: float, mirrored: bool) -> nn.Module:
    return evaluating(subject.scattered(amount, mirrored=mirrored))


def _threshold(subject: Subject, lines: list[_Setting]) -> tuple[float, float] | None:
    """Where the first of a few logits changes its decision: the highest predicted 0 and the lowest predicted 1.

    None where it cannot be followed: the inputs are no floats, the decision is between classes, or the logits on the
    lines do not reach from below 0 to above 0.5. Of several thresholds the first at 0.5 counts.
    """
    columns = 1 if subject.sample_logits.numel() == SCAN_ROWS else 0
    if subject.multilabel and subject.sample_logits.ndim == 2:
        columns = min(subject.sample_logits.shape[1], COLUMNS)
    if subject.nature.takes != "logits":
        return None
    found = [side for column in range(columns) if (side := _follow(subject, lines, column)) is not None]
    return next((sides for sides in found if _is_half(sides)), found[0] if found else None)


def _is_half(sides: tuple[float, float]) -> bool:
    return all(abs(side - THRESHOLD) < WIDTH for side in sides)


def _follow(subject: Subject, lines: list[_Setting], column: int) -> tuple[float, float] | None:
    """The change of one column's decision on a line of inputs, followed to a hair."""
    for setting in lines:
        line, logits = setting.inputs, setting.logits.reshape(SWEEP, -1)[:, column]
        on = setting.predicted.reshape(SWEEP, -1)[:, column] > 0
        if logits.min() >= 0 or logits.max() <= 2 * THRESHOLD or bool(on.any()) == bool(on.all()):
            continue
        model = setting.make()
        for _ in range(ZOOMS):
            if float(logits[on].min() - logits[~on].max()) < WIDTH / 2:
                break
            line = _line(line[~on][logits[~on].argmax()], line[on][logits[on].argmin()])
            on = subject.predict(model, line).reshape(SWEEP, -1)[:, column] > 0
            logits = subject.scores(model, line, purpose="predict").reshape(SWEEP, -1)[:, column]
            if not bool(on.any()) or bool(on.all()):
                return None
        return float(logits[~on].max()), float(logits[on].min())
    return None


def sure(subject: Subject, logits: Tensor) -> Tensor:
    """Decisions, in the shape of ``decide``, that lie far from any other, in logits."""
    return _margins(subject, logits) > CONFIDENT


def _margins(subject: Subject, logits: Tensor) -> Tensor:
    """How far each decision lies from any other, in logits."""
    scores = logits.double()
    if subject.nature.takes == "probabilities":
        scores = scores.log() if subject.nature.form == "categorical" else torch.logit(scores, eps=1e-12)
    if not subject.multilabel and scores.ndim > 1 and scores.shape[1] > 1:
        top = scores.topk(2, dim=1).values
        return top[:, 0] - top[:, 1]
    far = scores.abs()
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
