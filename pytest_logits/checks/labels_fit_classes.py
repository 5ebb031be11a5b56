"""The labels of the user's own batches are what the loss takes."""

from __future__ import annotations

import math
from collections import Counter

import torch
from torch import Tensor

from pytest_logits.check_registry import check
from pytest_logits.copies import DoesNotApply, SubjectError, evaluating
from pytest_logits.finding import Verdict, not_applicable, passed
from pytest_logits.own_training import OwnTraining, fed_batches
from pytest_logits.subject import Subject
from pytest_logits.target_faults import against, finding, out_of_range, refused, unnormalised

# A false alarm in a million users whose data is shuffled.
UNLIKELY = 1e-6


@check(
    claim="the labels of your batches are what the loss takes, and lie in the declared classes",
    tags=("data",),
    needs="batches",
)
def labels_fit_classes(subject: Subject) -> Verdict:
    """The targets of the first eight batches go into the loss with equal scores for every class.

    The loss takes them; class indices lie in [0, K) or are the index to ignore; targets of BCE are in [0, 1]; soft rows
    sum to 1; rows with different targets get different gradients. Batches that hold one class each, where shuffled data
    of the same classes does so once in a million times, are advice.

    Causes: wrong_target_dtype, labels_out_of_range, signed_targets, unnormalised_targets, broadcast_targets.
    """
    if subject.has_single_column:
        return not_applicable("with one score per example no target fits cross entropy")
    model, kinds = evaluating(subject.fresh()), []
    for number, (x, y) in enumerate(fed_batches(subject), 1):
        if not isinstance(y, Tensor) or y.ndim == 0:
            kind = type(y).__name__ if not isinstance(y, Tensor) else "a tensor without a batch axis"
            return not_applicable(f"only targets that are tensors are looked at; batch {number} has {kind}")
        fault = _fault(subject, y, torch.zeros_like(subject.scores(model, x, purpose="labels")))
        if fault is not None and subject.spec.train_step is not None and _step_converts(subject):
            return not_applicable(f"your train_step converts the targets before its loss takes them: {fault.measured}")
        if fault is not None:
            return fault
        kinds.append(Counter(repr(row) for row in _rows(y).tolist()))
    seen = sum(kinds, Counter[str]())
    evidence = {"batches": len(kinds), "different_targets": len(seen)}
    if all(len(kind) == 1 for kind in kinds) and _chance_of_one_kind_each(kinds, seen) < UNLIKELY:
        return Verdict(
            outcome="advice",
            measured=f"each of your first {len(kinds)} batches has one and the same target in all its rows, "
            f"{len(seen)} different ones in all",
            expected="batches of several classes: shuffle the data",
            evidence=evidence,
        )
    batches = "1 batch" if len(kinds) == 1 else f"{len(kinds)} batches"
    return passed(f"the targets of {batches} fit; {len(seen)} different ones", evidence=evidence)


def _step_converts(subject: Subject) -> bool:
    """Whether the user's step goes through with targets that the registered loss refuses."""
    own = OwnTraining(subject)
    try:
        _ = own.fed
    except DoesNotApply:
        model = subject.to_train()
        try:
            own.step(model, own.optimizer_of(model), *own.batches[0])
        except Exception:
            # The step refuses them as well: the finding about the targets stands.
            return False
        return True
    return False


def _chance_of_one_kind_each(kinds: list[Counter[str]], seen: Counter[str]) -> float:
    """How likely rows drawn with these shares are to give batches of these sizes with one kind of target each."""
    shares = [count / seen.total() for count in seen.values()]
    return math.prod(sum(share ** kind.total() for share in shares) for kind in kinds)


def _fault(subject: Subject, targets: Tensor, zeros: Tensor) -> Verdict | None:
    scores = subject.nature.link(zeros)
    try:
        subject.loss_at(scores, targets)
    except SubjectError:
        raise
    except Exception as error:
        # Whatever the loss raises on equal scores is about the targets; torch's own words go into the finding.
        return refused(subject, scores, targets, error)
    fault = out_of_range(subject, scores, targets) or unnormalised(subject, scores, targets)
    return fault or _broadcast(subject, scores, targets)


def _broadcast(subject: Subject, scores: Tensor, targets: Tensor) -> Verdict | None:
    rows = _rows(targets)
    if bool((rows == rows[:1]).all()):
        return None
    # Away from zero: there the pull of a balanced batch on every row is nothing.
    leaf = (scores if subject.nature.takes == "probabilities" else scores + 1).requires_grad_()
    (gradient,) = torch.autograd.grad(subject.loss_at(leaf, targets), leaf)
    if not bool(gradient.any()) or bool((gradient != gradient[:1]).any()):
        return None
    said = f"{against(scores, targets)}: rows with different targets get the same gradient, so each is compared with "
    said += "all targets at once"
    return finding(subject, "broadcast_targets", said, "a gradient per row, by its own target", targets)


def _rows(targets: Tensor) -> Tensor:
    return targets.reshape(len(targets), -1)
