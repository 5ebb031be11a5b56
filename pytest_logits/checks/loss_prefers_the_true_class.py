"""The true class never costs more with the higher score than with the lower one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor

from pytest_logits.allowances import LARGEST_SCORE, SHARES, apart
from pytest_logits.check_registry import check
from pytest_logits.finding import Verdict, not_applicable, passed
from pytest_logits.judged_once import judged_once
from pytest_logits.locate import loss_place
from pytest_logits.loss_claims import Claim, claim_of
from pytest_logits.loss_draws import Draw, batches, plainest
from pytest_logits.loss_probes import Probes, gathers_over_rows, toward
from pytest_logits.loss_screen import is_plain, screen
from pytest_logits.loss_subject import LossSubject, as_loss
from pytest_logits.loss_weights import jumps_with_prediction, of_scores
from pytest_logits.losses import known_nature
from pytest_logits.search import smallest
from pytest_logits.subject import Subject

Link: TypeAlias = Callable[[Tensor], Tensor]

# From twice as many classes on, every other one is exchanged, and so on. A plain loss of torch's treats them alike.
MOST_EXCHANGED, FEW_EXCHANGED = 1000, 2
# Where a row alone has no loss (pairs of rows, the hardest share of them), it is repeated so often.
COPIES = (1, 4)
MARGINS = (0.5, 1.0, 2.0, 4.0, 8.0)
# How far the true class is behind. Nearer to the others a penalty of large scores may weigh as much as the loss.
BEHIND = (8.0, 4.0, 2.0, 1.0)
# What depends on which class is predicted changes where two classes nearly tie, and few drawn rows are there: a margin
# m taken off the predicted class in place of the true one is cheaper after an exchange only where it leads by less.
NEAR = (1 / 4, 1 / 2)
LABELS = (0, 1)


@check(
    claim="a row costs no more when its true class has the higher score",
    tags=("loss", "exact"),
    subjects=("model", "loss"),
)
def loss_prefers_the_true_class(subject: Subject | LossSubject) -> Verdict:
    """Exchanging the score of the true class with a lower one never makes a row cheaper.

    For a loss that treats classes alike this is the same as: for every posterior over the classes, the scores that
    minimise the expected loss have their largest at the posterior's largest. For exchanging the scores of classes a and
    b changes the expected loss by (q_a - q_b) times the difference of the losses of the labels a and b. It holds for
    cross entropy with weights and label smoothing, focal and other losses that are not proper, hinges, margins by class
    and Dice. For a single score the exchange is of its sign. Scores and labels are drawn, and where one goes
    wrong Hypothesis searches for the smallest. Of a loss of torch's without weights a few rows are enough: that it
    equals its reference, of which this follows, is what loss_matches_reference holds.

    A loss written by hand is also followed as the true score rises from 8 below the others, which are equal, to 1
    below: it does not rise, and a step against its gradient does not lower the true score. Beyond the others a sound
    loss may rise: past the optimum of label smoothing, or where scores are kept small.

    A loss that is not recognised may be one of probabilities. Unless its first argument is called logits, it fails only
    where it does so on probabilities as well.

    A loss that prefers another class at every margin is turned round: a minus too many, or the labels of other classes.
    One that does so in places pays less for some rows that are badly wrong than for rows that are nearly right.

    Causes: loss_is_maximised, loss_rewards_mistakes, labels_out_of_range, wrong_loss_weights.
    """
    loss = as_loss(subject)
    loss.require_targets()
    if loss.is_of_output:
        return not_applicable("the loss takes the whole output, of which the scores are a part")
    return judged_once(loss, "loss_prefers_the_true_class", _judge)


def _judge(loss: LossSubject) -> Verdict:
    if loss.has_single_column:
        return not_applicable("with one score per example there is no true class to prefer")
    if known_nature(loss.loss_object) is None:
        loss.require_function()
    if callable(loss.encoding):
        return not_applicable("targets= makes the targets, so which class is the true one is not known")
    if gathers_over_rows(loss):
        return not_applicable("labels index rows, see loss_matches_reference")
    if len(loss.trailing) > 1 and Probes(loss).moves_labels():
        return not_applicable("positions are held against the labels of others, see loss_matches_reference")
    copies = next((count for count in COPIES if _says_something(loss, count)), None)
    if copies is None:
        return not_applicable(f"{loss.loss_name} of rows with the same label does not depend on their scores")
    examples = loss.settings.profile.examples
    seed = loss.seed("prefers")
    screened = screen(loss, count=examples, seed=seed, magnitude=LARGEST_SCORE, max_rows=1, dtype=loss.wide)
    if screened is not None:
        examples = len(screened)
    rows = examples + len(NEAR) * len(LABELS)
    found = _cheaper(loss, copies, loss.nature.link, examples, screened)
    if found is not None and loss.may_take_probabilities:
        found = _cheaper(loss, copies, _probabilities(loss), examples, screened)
        if found is None:
            return passed(
                f"on probabilities, which {loss.loss_name} may take, exchanging that of the true class with a lower "
                f"one never lowers it, on {rows} rows",
                evidence={"examples": examples, "taken": "probabilities"},
            )
    if found is not None:
        return _finding(loss, found, copies)
    return _while_rising(loss, copies) or passed(
        f"exchanging the score of the true class with a lower one never lowers {loss.loss_name}, on {rows} rows",
        evidence={"examples": examples},
    )


def _cheaper(
    loss: LossSubject, copies: int, link: Link, examples: int, screened: Iterable[Draw] | None
) -> dict[str, Any] | None:
    """The smallest drawn exchange that makes a row cheaper, else one of two classes that nearly tie."""
    found = smallest(
        lambda: batches(loss, magnitude=LARGEST_SCORE, max_rows=1, dtype=loss.wide),
        lambda draw: _exchange(loss, *draw, copies, link) is not None,
        seed=loss.seed("prefers"),
        examples=examples,
        screen=screened,
        plain=plainest(loss, max_rows=1, dtype=loss.wide),
    )
    if found is not None:
        return _exchange(loss, *found, copies, link)
    near = (_exchange(loss, *_one_sided(loss, label, margin), copies, link) for margin in NEAR for label in LABELS)
    return next((numbers for numbers in near if numbers is not None), None)


def _probabilities(loss: LossSubject) -> Link:
    return replace(loss.nature, takes="probabilities").link


def _while_rising(loss: LossSubject, copies: int) -> Verdict | None:
    """A finding where a true score behind the others costs more as it rises, or is pushed back by the gradient."""
    if known_nature(loss.loss_object) is not None or loss.may_take_probabilities:
        return None
    for label in LABELS:
        rows = [_one_sided(loss, label, -margin) for margin in BEHIND]
        values = [_value(loss, *row, copies) for row in rows]
        pushes = [_push(loss, *row, copies) for row in rows]
        rises = [
            i
            for i, (a, b) in enumerate(pairwise(values))
            if a is not None and b is not None and math.isfinite(a) and b > a + apart(loss.wide) * (1 + abs(a))
        ]
        backwards = all(push is not None and push > apart(loss.wide) for push in pushes)
        if rises:
            a, b = rises[0], rises[0] + 1
            said = f"rises from {values[a]:.4g} to {values[b]:.4g} as the true score rises from {BEHIND[a]:g} to "
            said += f"{BEHIND[b]:g} below the others"
        elif backwards:
            said = "has a gradient that pushes the true score down where it is 1 to 8 below the others"
        else:
            continue
        if Probes(loss).ignores_labels():
            # loss_matches_reference says so: there is no true class.
            return None
        return _verdict(loss, said, "no more with a higher true score, and a gradient that raises it", rows[-1])
    return None


def _push(loss: LossSubject, scores: Tensor, labels: Tensor, copies: int) -> float | None:
    """The part of the gradient along the true score, relative to its largest entry; None where there is none."""
    leaf = scores.clone().requires_grad_()
    labels = labels.repeat(copies, *(1 for _ in labels.shape[1:]))
    try:
        value = loss.loss(loss.nature.link(leaf.repeat(copies, *(1 for _ in leaf.shape[1:]))), labels)
        (gradient,) = torch.autograd.grad(value, leaf)
    except (RuntimeError, ValueError, IndexError):
        return None
    loss.count(backward=1)
    largest = float(gradient.abs().max())
    if not 0 < largest < math.inf:
        return None
    direction = toward(labels[: len(scores)], loss.trailing, loss.wide)
    return float((gradient * direction).sum()) / (largest * float(direction.abs().sum()))


def _says_something(loss: LossSubject, copies: int) -> bool:
    """Whether the loss of rows that are alike is finite and depends on their scores."""
    values = []
    for margin in (1.0, -1.0, 3.0):
        for label in LABELS:
            scores, labels = _one_sided(loss, label, margin)
            value = _value(loss, scores, labels, copies)
            if value is None or not math.isfinite(value):
                return False
            values.append(value)
    return max(values) - min(values) > apart(loss.wide)


def _one_sided(loss: LossSubject, label: int, margin: float) -> tuple[Tensor, Tensor]:
    """A row whose true class leads by the margin, and its label."""
    shape = loss.trailing
    if loss.multilabel:
        return torch.full((1, *shape), (2 * label - 1) * margin, dtype=loss.wide), torch.full((1, *shape), label)
    labels = torch.full((1, *shape[1:]), label)
    if not shape or shape[0] == 1:
        return torch.full((1, *shape), (2 * label - 1) * margin, dtype=loss.wide), torch.tensor([label])
    scores = torch.zeros((1, *shape), dtype=loss.wide)
    scores[:, label] = margin
    return scores, labels


def _value(loss: LossSubject, scores: Tensor, labels: Tensor, copies: int, link: Link | None = None) -> float | None:
    # A loss may write into what it is given.
    scores, labels = (
        t.clone() if copies == 1 else t.repeat(copies, *(1 for _ in t.shape[1:])) for t in (scores, labels)
    )
    try:
        return float(loss.loss((link or loss.nature.link)(scores), labels).detach())
    except (RuntimeError, ValueError, IndexError):
        return None


def _exchange(loss: LossSubject, scores: Tensor, labels: Tensor, copies: int, link: Link) -> dict[str, Any] | None:
    """The numbers of an exchange that makes the row cheaper; None where there is none.

    Of several labels all scores are right before and wrong after, and of one size: a softmax over the labels shares
    what there is among the true ones, so that a score which towers over theirs may well cost more than a wrong one.
    """
    if _is_of_labels(loss, scores, labels):
        scores = (2 * labels - 1).reshape(scores.shape) * scores.abs().amax()
    before = _value(loss, scores, labels, copies, link)
    if before is None or not math.isfinite(before):
        return None
    for other in _exchanged(loss, scores, labels):
        after = _value(loss, other, labels, copies, link)
        if after is None or not math.isfinite(after):
            continue
        # ``scores`` has the true class in front.
        if after < before - apart(loss.wide) * (1 + abs(before)):
            return {
                "logits": scores.tolist(),
                "exchanged": other.tolist(),
                "labels": labels.tolist(),
                "loss": before,
                "loss_exchanged": after,
            }
    return None


def _is_of_labels(loss: LossSubject, scores: Tensor, labels: Tensor) -> bool:
    """Whether each score has a label of its own."""
    return scores.shape == labels.shape or not loss.trailing or loss.trailing[0] == 1


def _exchanged(loss: LossSubject, scores: Tensor, labels: Tensor) -> list[Tensor]:
    """The row with the true class's score exchanged with each lower one; in dense rows at every position alike.

    Each exchange costs a loss of the whole row. Of very many classes, so that the cost is not the square of their
    number, it is every so many'th one, from a first that moves with the label.
    Of labels that have scores of their own, with every sign turned.
    """
    if _is_of_labels(loss, scores, labels):
        return [-scores] if bool(scores.any()) else []
    index = labels.unsqueeze(1)
    true = scores.gather(1, index)
    classes, found = scores.shape[1], []
    step = max(1, classes // (FEW_EXCHANGED if is_plain(loss) else MOST_EXCHANGED))
    for k in range(int(labels.sum()) % step, classes, step):
        column = scores[:, k : k + 1]
        lower = column < true
        if bool(lower.any()):
            other = scores.clone()
            other[:, k : k + 1] = torch.where(lower, true, column)
            found.append(other.scatter(1, index, torch.where(lower, column, true)))
    return found


def _finding(loss: LossSubject, numbers: dict[str, Any], copies: int) -> Verdict:
    claim = claim_of(loss)
    turned = _turned_round(loss, copies)
    harmless = not turned and claim is not None and not claim.form.gamma and _has_weights(claim)
    cause, beside = "loss_is_maximised" if turned else "loss_rewards_mistakes", ""
    if turned and claim is not None and _other_class(claim):
        cause = "labels_out_of_range"
    if not turned and claim is None:
        beside = _of_weights(Probes(loss))
        cause = "wrong_loss_weights" if beside else cause
    copied = f" (each of {copies} equal rows)" if copies > 1 else ""
    return Verdict(
        outcome="advice" if harmless else "failed",
        cause="wrong_loss_weights" if harmless else cause,
        measured=f"{loss.loss_name} is {numbers['loss']:.4g} at logits {numbers['logits']}, label {numbers['labels']}, "
        f"and {numbers['loss_exchanged']:.4g} with the true class's score exchanged for a lower one{copied}"
        + ("; so it is at every margin" if turned else beside),
        expected="no less with the lower score",
        location=loss_place(loss) if callable(loss.loss_object) else None,
        counterexample=numbers,
        evidence={"at_every_margin": turned},
    )


def _of_weights(probes: Probes) -> str:
    """What of a mistake is the weights', "" where nothing is."""
    if jumps_with_prediction(probes):
        return "; it jumps where two wrong classes change places as the predicted one"
    weights = of_scores(probes)
    return f"; its weight follows the score: {weights}" if weights is not None else ""


def _verdict(loss: LossSubject, said: str, expected: str, row: tuple[Tensor, Tensor]) -> Verdict:
    claim = claim_of(loss)
    harmless = claim is not None and not claim.form.gamma and _has_weights(claim)
    return Verdict(
        outcome="advice" if harmless else "failed",
        cause="wrong_loss_weights" if harmless else "loss_rewards_mistakes",
        measured=f"{loss.loss_name} {said}",
        expected=expected,
        location=loss_place(loss) if callable(loss.loss_object) else None,
        counterexample={"logits": row[0].tolist(), "labels": row[1].tolist()},
        evidence={"behind": list(BEHIND)},
    )


def _turned_round(loss: LossSubject, copies: int) -> bool:
    """Whether both labels cost more with the true class in front, at every margin, and more than with equal scores."""
    for label in LABELS:
        level, ahead = (_value(loss, *_one_sided(loss, label, margin), copies) for margin in (0.0, MARGINS[-1]))
        if level is None or ahead is None or ahead < level:
            return False
        for margin in MARGINS:
            scores, labels = _one_sided(loss, label, margin)
            after = [_value(loss, other, labels, copies) for other in _exchanged(loss, scores, labels)]
            before = _value(loss, scores, labels, copies)
            if before is None or not after or any(a is None or not a < before for a in after):
                return False
    return True


def _has_weights(claim: Claim) -> bool:
    """Whether class weights beside label smoothing give another class the larger share, as torch's own then does."""
    form = claim.form
    return form.over_classes and bool((form.table.diagonal() > 0).all())


def _other_class(claim: Claim) -> bool:
    """Whether the loss is that of other classes, and no minus is in it."""
    return bool((claim.form.table >= -SHARES).all())
