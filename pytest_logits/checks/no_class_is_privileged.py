"""Every class can win, and every class counts in the loss."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pytest_logits.averages import average_of_others, may_be_average
from pytest_logits.behind import FEW_CLASSES, below, clear_rows, never_above, told_by_enough, winners
from pytest_logits.check_registry import check
from pytest_logits.feeding import SCAN_ROWS
from pytest_logits.finding import Verdict, inconclusive, not_applicable, passed
from pytest_logits.learning import learning_run
from pytest_logits.losses import treats_classes_alike
from pytest_logits.regions import ROOM
from pytest_logits.reused import Scattered
from pytest_logits.scanning import BENT
from pytest_logits.subject import Subject

SETTINGS = 8
# A pair of free classes is in the same order in n independent settings with probability 2 ** (1 - n). With this many
# settings the chance that any of K * K / 2 pairs is, is two in a million: n = 19 + 2 log2 K. Settings are independent
# where the noise outweighs the weights that all of them share, hence BENT.
CERTAIN = 19
# Settings in which all rows are tied, as a clamp ties them, or NaN tell nothing. No more passes than these are spent,
# where as many are enough to be certain.
MOST_PASSES = 48
# Scores this far apart give the right class .9999 of 2 classes, and a wrong row a loss far above every right one's.
HARD = 10.0
# Each is looked at by itself.
MOST_IGNORED = 20
# Settings that are added at once, since to ask what they show takes as long as they do where there are many classes.
STEP = 4

WINS = "every class has the highest score somewhere"


@check(claim="every class can be predicted, and every class counts in the loss", tags=("learning", "exact"))
def no_class_is_privileged(subject: Subject) -> Verdict:
    """No class's score stays below another's in every setting of the parameters, and no class's rows are ignored.

    Copies with scattered parameters give the scores of sixteen random inputs each. Those of outputs_are_logits will do
    where they leave nothing to ask, or they, the scores that the shared training run comes to, and a few more. Classes
    that win somewhere are done with. Another whose score never exceeds that of some other class, there or in training
    while no score is above 64, and is below it in 19 + 2 log2 K settings of fresh copies, cannot be predicted: by
    chance that happens to two models in a million. Nor can one whose score is in every row an average of the others',
    with weights that hold in settings that they were not found in. A score that is the same constant everywhere is a
    mask, and a class that the loss ignores may be padding: both are advice.

    Causes: unreachable_class, wrong_loss_weights (advice).
    """
    shape = subject.sample_logits.shape
    if subject.multilabel or len(shape) < 2 or shape[1] < 2:
        return not_applicable("only scores of several classes, of which one is chosen, are looked at")
    if not subject.has_parameters:
        return not_applicable("the model has no parameters to draw, and one setting says nothing of others")
    classes = shape[1]
    found = _looked_at(subject)
    settings, behind, average = found.settings, found.behind, found.average
    scores = torch.cat(settings)
    if len(scores) == 0:
        return inconclusive("no row of the scores is without NaN; see outputs_stay_finite")
    masked = [c for c in behind if bool((scores[:, c] == scores[0, c]).all())]
    unreachable = {c: d for c, d in behind.items() if c not in masked}
    evidence = {"rows": len(scores), "unreachable": list(unreachable)[:20], "masked": masked[:20]}
    if unreachable:
        c, d = next(iter(unreachable.items()))
        # Scores that cannot grow, as cosines, may be kept apart by a prior on purpose.
        free = float(scores[scores.isfinite()].abs().max()) > ROOM
        return Verdict(
            outcome="failed" if free else "advice",
            cause="unreachable_class",
            measured=f"the score of class {c} is at most that of class {d} in all {len(scores)} rows, from "
            f"{len(settings)} random settings of the parameters"
            + (f". So is that of {len(unreachable) - 1} more below another's" if len(unreachable) > 1 else ""),
            expected=WINS,
            counterexample={"class": c, "never_above": d, "scores": scores[0].tolist()[:8]},
            evidence=evidence,
        )
    if average is not None:
        return Verdict(
            outcome="failed",
            cause="unreachable_class",
            measured=f"the score of class {average} is an average of the others' with the same weights in all rows, "
            f"from {len(settings)} random settings of the parameters, so another class's score is always as high",
            expected=WINS,
            counterexample={"class": average, "scores": scores[0].tolist()[:8]},
            evidence=evidence | {"unreachable": [average]},
        )
    ignored = _ignored(subject)
    if masked or ignored:
        told = [f"the score of class {c} is {scores[0, c]:g} whatever the input" for c in masked[:1]]
        told += [
            f"rows of class {c} have no effect on {subject.loss_name}: the class is never learnt" for c in ignored[:1]
        ]
        return Verdict(
            outcome="advice",
            cause="wrong_loss_weights" if ignored else None,
            measured="; ".join(told),
            expected=f"{classes} classes that can be learnt; padding or masked classes are fine, if they are meant",
            evidence={**evidence, "ignored": ignored[:20]},
        )
    return passed(f"each of {classes} classes can win over each other, and counts in the loss", evidence=evidence)


@dataclass(frozen=True)
class _Found:
    """The scores of each setting, the classes that are never above another, and the class that is an average."""

    settings: list[Tensor]
    behind: dict[int, int]
    average: int | None


def _looked_at(subject: Subject) -> _Found:
    """What the scan, training and some settings of one copy show, where that is nothing; else what fresh ones do."""
    with suppress(Exception):
        settings, found = list[Tensor](), None
        for more in _settings(subject):
            settings += more
            found = _never_above(settings, found)
            if found is not None and not below(found) and not may_be_average(settings):
                return _Found(settings, {}, None)
    return _found(subject)


def _settings(subject: Subject) -> Iterator[list[Tensor]]:
    """The scores of more and more settings, as long as they are asked for: the cheapest first."""
    # Further scattered, a class wins that is kept down by a number of thousands.
    yield subject.scan.settings(BENT)
    yield _trained(subject)
    inputs, most = _inputs(subject), _further(subject)
    step = 1 if subject.sample_logits.shape[1] <= FEW_CLASSES else STEP
    # The scan has looked at variant 0.
    for first in range(1, most + 1, step):
        variants = range(first, min(first + step, most + 1))
        yield [_scores(subject, subject.reused.scattered, variant, inputs).double() for variant in variants]


def _trained(subject: Subject) -> list[Tensor]:
    """Scores in which classes win that the shared training run has come to; none where the model is not trained."""
    with suppress(Exception):
        return learning_run(subject).won
    return []


def _never_above(settings: list[Tensor], among: Collection[int] | None) -> dict[int, int | None] | None:
    """See :func:`never_above`; None where too little has been looked at to say."""
    if not any(map(len, settings)):
        return None
    scores = torch.cat(settings)
    # Of many classes some are behind others in few settings by chance, and to ask which takes long.
    if scores.shape[1] > FEW_CLASSES and len(settings) < SETTINGS and len(winners(scores)) < scores.shape[1]:
        return None
    return never_above(scores, among)


def _found(subject: Subject) -> _Found:
    """What fresh copies show, until every class that is behind another is told by enough of them, or none is."""
    inputs, settings = _inputs(subject), list[Tensor]()
    certain = math.ceil(CERTAIN + 2 * math.log2(subject.sample_logits.shape[1]))
    most = max(certain, MOST_PASSES - _further(subject))
    found: dict[int, int | None] | None = None
    while True:
        variants = range(len(settings), min(len(settings) + STEP, most) if settings else SETTINGS)
        settings += [_scores(subject, subject.scattered, variant, inputs) for variant in variants]
        any_rows = any(map(len, settings))
        found = never_above(torch.cat(settings), found) if any_rows else None
        behind = below(found or {})
        told = told_by_enough(settings, behind, certain)
        if (any_rows and len(told) == len(behind)) or len(settings) == most:
            average = average_of_others(settings) if any_rows else None
            if not told and average is None:
                return _Found(settings, {}, None)
            return _after_training(subject, _Found(settings, told, average), certain)


def _after_training(subject: Subject, found: _Found, certain: int) -> _Found:
    """What is left of it: training may reach what no random setting has, and then that is no fault."""
    settings, rows = found.settings, [*found.settings, *_trained(subject)]
    behind = below(never_above(torch.cat(rows), found.behind))
    average = None if found.average is None else average_of_others(rows)
    return _Found(settings, told_by_enough(settings, behind, certain), average)


def _further(subject: Subject) -> int:
    """How many settings of one copy are looked at beside the scan's.

    With the four of those, 4 + 2 log2 K, a pair of free classes is in the same order in all of them in one model of 16.
    """
    return math.ceil(2 * math.log2(subject.sample_logits.shape[1]))


def _inputs(subject: Subject) -> Any:
    """The same for all settings: what is independent from one to the next are the parameters."""
    return subject.inputs(SCAN_ROWS, "privileged")


def _scores(subject: Subject, scattered: Scattered, variant: int, inputs: Any) -> Tensor:
    """Rows (N, K) of the scores of one scattered copy on random inputs, without those that have NaN."""
    # In train mode, where BatchNorm keeps what scattered weights give finite.
    scores = subject.scores(scattered(BENT, variant), inputs, purpose="privileged")
    return clear_rows(scores)


def _ignored(subject: Subject) -> list[int]:
    """Classes whose row gets no gradient: of equal scores, where it alone is wrong, and where it alone is right.

    A loss of the hardest rows, or of all but the hardest, gives some rows none; but not one that is hard and easy.
    """
    if subject.refusal is not None or subject.nature.form != "categorical":
        return []
    if treats_classes_alike(subject.loss_object):
        return []
    sample = subject.sample_logits
    classes = sample.shape[1]
    dense = sample.shape[2:]
    labels = torch.arange(classes).view(-1, *(1 for _ in dense)).expand(-1, *dense)
    equal = sample.new_zeros((classes, *sample.shape[1:]))
    without = _without_gradient(subject, equal, labels)
    if not without or len(without) == classes:
        return []
    right = HARD * F.one_hot(labels, classes).movedim(-1, 1).to(sample)
    found = []
    for c in without[:MOST_IGNORED]:
        scores = right.clone()
        scores[c] *= -1
        if all(c in _without_gradient(subject, sign * scores, labels) for sign in (1, -1)):
            found.append(c)
    return found


def _without_gradient(subject: Subject, scores: Tensor, labels: Tensor) -> list[int]:
    """The rows of scores (K, K, ...), one for each class, at which the gradient of the loss is exactly zero."""
    leaf = subject.nature.link(scores).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(subject.loss(leaf, labels), leaf, allow_unused=True)
    return [] if gradient is None else (~gradient.flatten(1).any(dim=1)).nonzero().flatten().tolist()
