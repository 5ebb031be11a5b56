"""The targets are what the loss takes, and each row of the loss looks at its own target."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_logits.allowances import wrong_pull
from pytest_logits.check_registry import check
from pytest_logits.copies import SubjectError
from pytest_logits.finding import Verdict, not_applicable, passed
from pytest_logits.loss_probes import Probes, gathers_over_rows
from pytest_logits.loss_subject import LossSubject, as_loss
from pytest_logits.subject import Subject
from pytest_logits.target_faults import (
    against,
    every_label,
    few_zeros,
    finding,
    out_of_range,
    refused,
    unnormalised,
)

ROWS = 6
# Scores for a row with each label, up to so many numbers: all labels of 2,048 classes, 419 of 10,000.
MOST_NUMBERS = 2**22
# Of rows that show targets which are broadcast: at 0 their gradients may cancel.
SCORES = (0.0, 1.0)


@check(
    claim="the targets are what the loss takes, and each row is judged by its own",
    tags=("loss", "exact"),
    root=True,
    subjects=("model", "loss"),
)
def targets_fit_loss(subject: Subject | LossSubject) -> Verdict:
    """The loss accepts the targets, and pulls each row's score towards that row's own label.

    Equal scores for all rows and every label in turn: the gradient must be negative at the row's true class (raising
    that score lowers the loss), whatever the other rows' labels are. Targets that are broadcast give every row the same
    gradient; labels that start from 1 pull towards the next class; targets of -1 and 1 make BCE fall below 0. Soft
    targets must sum to 1 in each row, since the loss asks for the probabilities target / sum; where the sums differ
    from class to class they may be class weights, which is advice.

    Causes: wrong_target_dtype, labels_out_of_range, signed_targets, broadcast_targets, unnormalised_targets,
    gather_over_wrong_dim, scores_out_of_order, labels_have_no_effect.
    """
    if subject.has_single_column:
        return not_applicable("with one score per example no target fits cross entropy")
    sample = subject.sample_logits
    classes = max(sample.shape[1] if sample.ndim > 1 else 1, 2)
    count = max(ROWS, min(classes, MOST_NUMBERS // sample[0].numel()))
    zeros = sample.new_zeros((count, *sample.shape[1:]))
    labels = every_label(subject, zeros, classes, spread=True)
    scores = subject.nature.link(zeros)
    targets = subject.targets(labels, scores)
    try:
        subject.loss(scores, labels)
    except SubjectError:
        raise
    except Exception as error:
        # Whatever the loss raises on zeros is about the targets; torch's own words go into the finding.
        return refused(subject, scores, targets, error)
    fault = out_of_range(subject, scores, targets) or unnormalised(subject, scores, targets)
    return fault or _judge_rows(subject, scores, labels, targets)


def _gradient(subject: Subject | LossSubject, scores: Tensor, labels: Tensor) -> Tensor:
    leaf = scores.clone().requires_grad_()
    loss = subject.loss(leaf, labels)
    gradient = torch.autograd.grad(loss, leaf, allow_unused=True)[0] if loss.requires_grad else None
    return torch.zeros_like(leaf) if gradient is None else gradient


def _one_positive(labels: Tensor) -> Tensor:
    """One positive row among negative ones: were every row paired with every label, it would be pulled down too."""
    found = torch.zeros_like(labels)
    found.view(-1)[0] = 1
    return found


def _rows_alike(subject: Subject | LossSubject) -> dict[str, Any] | None:
    """Two rows with equal scores and unlike labels that get the same gradient, and not 0; None where there are none."""
    zeros = few_zeros(subject, 2)
    if zeros is None:
        return None
    for score in SCORES:
        scores = zeros + score
        labels = every_label(subject, scores, max(scores.shape[1] if scores.ndim > 1 else 1, 2))
        if scores.numel() == labels.numel():
            labels = _one_positive(labels)
        try:
            gradient = _gradient(subject, subject.nature.link(scores), labels)
        except (RuntimeError, ValueError, IndexError):
            return None
        if bool((gradient == gradient[:1]).all()) and bool((gradient != 0).any()):
            return {"logits": scores.tolist(), "labels": labels.tolist(), "gradient": gradient.tolist()}
    return None


def _judge_rows(subject: Subject | LossSubject, scores: Tensor, labels: Tensor, targets: Tensor) -> Verdict:
    single = scores.numel() == labels.numel()
    if single:
        labels = _one_positive(labels)
        targets = subject.targets(labels, scores)
        gradient = _gradient(subject, scores, labels)
        rows = gradient.reshape(-1, 1)
        toward = float(rows[0])
    else:
        gradient = _gradient(subject, scores, labels)
        rows = gradient.movedim(1, -1).reshape(-1, scores.shape[1])
        pulls = rows.gather(1, labels.reshape(-1, 1)).squeeze(1)
        toward = float(pulls.max())
    largest = float(rows.abs().max())
    numbers = {"gradient": rows[0].tolist()[:8], "largest": largest, "toward": toward}
    if largest == 0 or not bool(torch.isfinite(rows).all()):
        return not_applicable("the loss has no finite gradient at equal scores")
    if bool((targets == targets[:1]).all()):
        said = "all targets are equal, though the labels are not"
        return finding(subject, "labels_out_of_range", said, "a target for each label", targets, numbers)
    if bool((gradient == gradient[:1]).all()):
        if Probes(as_loss(subject)).ignores_labels():
            said = f"{subject.loss_name} is the same for all labels"
            return finding(
                subject, "labels_have_no_effect", said, "a loss that depends on the labels", targets, numbers
            )
        said = f"{against(scores, targets)}: every row gets the same gradient, whatever its label, so it is compared "
        said += "with all labels at once"
        expected, example = "a gradient per row, by its own label", _rows_alike(subject)
        return finding(subject, "broadcast_targets", said, expected, targets, numbers, example)
    wrong_way = wrong_pull(scores.dtype, max(rows.shape[1], 2)) * largest
    if toward <= wrong_way:
        return passed("each row is pulled towards its own label", evidence=numbers)
    if not single and subject.nature.takes != "unknown":
        wrong = pulls > wrong_way
        others = rows.scatter(1, labels.reshape(-1, 1), -torch.inf).amax(dim=1)[wrong]
        if float(others.max()) <= wrong_way:
            return not_applicable("a row is pushed away from its own label; see loss_prefers_the_true_class")
        loss = as_loss(subject)
        if gathers_over_rows(loss):
            said = "one row with label 1 raises, and more rows do not: labels index rows"
            return finding(subject, "gather_over_wrong_dim", said, "labels as indices of classes", targets, numbers)
        if len(loss.trailing) > 1 and Probes(loss).moves_labels():
            said = "the scores of a position are pulled towards the label of another"
            return finding(subject, "scores_out_of_order", said, "each position with its own label", targets, numbers)
        if Probes(loss).pulls_to_the_largest():
            said = "a row is pulled towards the class with its largest score, whatever its label"
            return finding(subject, "labels_have_no_effect", said, "a row pulled towards its label", targets, numbers)
        row = int(pulls.argmax())
        said = f"a row with label {int(labels.reshape(-1)[row])} is pulled towards class {int(rows[row].argmin())}"
        return finding(subject, "labels_out_of_range", said, "each row pulled towards its label", targets, numbers)
    return not_applicable(
        "the loss does not pull towards the true class at equal scores; see the checks of the loss itself"
    )
