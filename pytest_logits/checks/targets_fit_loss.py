"""The targets are what the loss takes, and each row of the loss looks at its own target."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pytest_logits.check_registry import check
from pytest_logits.finding import Verdict, not_applicable, passed
from pytest_logits.locate import loss_place
from pytest_logits.losses import known_nature
from pytest_logits.regions import MATERIAL
from pytest_logits.subject import Subject, SubjectError

ROWS = 6
# A gradient of the wrong sign is compared with this share of the largest: rounding is far below it.
NEGLIGIBLE = 1e-3
# BCE with logits at scores of 20 is -10 with targets of -1 and 1, or of 1 and 2; a target of 1.1, as negative label
# smoothing makes it on purpose, gives -2.
BELOW_ZERO = -5.0


@check(claim="the targets are what the loss takes, and each row is judged by its own", tags=("loss", "exact"))
def targets_fit_loss(subject: Subject) -> Verdict:
    """The loss accepts the targets, and pulls each row's score towards that row's own label.

    Equal scores for all rows and every label in turn: the gradient must be negative at the row's true class (raising
    that score lowers the loss), whatever the other rows' labels are. Targets that are broadcast give every row the same
    gradient; labels that start from 1 pull towards the next class; targets of -1 and 1 make BCE fall below 0. Soft
    targets must sum to 1 in each row, since the loss asks for the probabilities target / sum; where the sums differ
    from class to class they may be class weights, which is advice.

    Causes: wrong_target_dtype, labels_out_of_range, signed_targets, broadcast_targets, unnormalised_targets.
    """
    if subject.has_single_column:
        return not_applicable("with one score per example no target fits cross entropy")
    sample = subject.sample_logits
    classes = max(sample.shape[1] if sample.ndim > 1 else 1, 2)
    count = max(ROWS, classes)
    zeros = sample.new_zeros((count, *sample.shape[1:]))
    labels = _every_label(subject, zeros, classes)
    scores = subject.nature.link(zeros)
    targets = subject.targets(labels, scores)
    try:
        subject.loss(scores, labels)
    except SubjectError:
        raise
    except Exception as error:
        # Whatever the loss raises on zeros is about the targets; torch's own words go into the finding.
        return _refused(subject, targets, labels, classes, error)
    outside = _outside(subject, scores, labels, targets)
    if outside is not None:
        return outside
    unnormalised = _unnormalised(subject, scores, labels, targets)
    return unnormalised or _judge_rows(subject, scores, labels, targets)


def _every_label(subject: Subject, scores: Tensor, classes: int) -> Tensor:
    """Labels that go through the classes along the rows and along the positions; multi-hot where multilabel."""
    rows = torch.arange(len(scores))
    if subject.multilabel:
        return (rows.unsqueeze(1) + torch.arange(scores.shape[1])) % 2
    dense = scores.shape[2:]
    positions = torch.arange(math.prod(dense)).reshape(dense)
    return (rows.view(-1, *(1 for _ in dense)) + positions) % classes


def _outside(subject: Subject, scores: Tensor, labels: Tensor, targets: Tensor) -> Verdict | None:
    """BCE with logits, known by name, at scores of 20 to the side that each target is on: 0 with targets 0 and 1."""
    known = known_nature(subject.loss_object)
    if known is None or known.form != "bernoulli" or known.takes != "logits" or scores.numel() != targets.numel():
        return None
    right = 20.0 * (2.0 * (targets > 0.5).to(scores.dtype) - 1).reshape(scores.shape)
    value = float(subject.loss(right, labels))
    if not value < BELOW_ZERO:
        return None
    signed = bool((targets < 0).any())
    return _verdict(
        subject,
        "signed_targets" if signed else "labels_out_of_range",
        f"{subject.loss_name} is {value:.4g} on confident right answers, with targets from {targets.min():g} "
        f"to {targets.max():g}",
        "targets of 0 and 1, with which it is never below 0",
        targets,
        labels,
    )


def _unnormalised(subject: Subject, scores: Tensor, labels: Tensor, targets: Tensor) -> Verdict | None:
    """Soft rows whose sum is not 1. One-hot rows times a number are weights, which move no minimum."""
    nature = subject.nature
    if nature.form != "categorical" or nature.takes == "unknown" or not targets.is_floating_point():
        return None
    if targets.shape != scores.shape:
        return None
    rows = targets.double().movedim(1, -1).reshape(-1, scores.shape[1])
    sums, soft = rows.sum(dim=1), (rows != 0).sum(dim=1) > 1
    off = soft & ((sums - 1).abs() > MATERIAL)
    if not bool(off.any()):
        return None
    row = int(off.nonzero()[0])
    true = int(labels.reshape(-1)[row])
    alike = bool((sums[off] - sums[row]).abs().max() <= MATERIAL)
    asked = f"; where the target says {rows[row, true]:.4g} the loss asks for {rows[row, true] / sums[row]:.4g}"
    verdict = _verdict(
        subject,
        "unnormalised_targets",
        f"the soft targets of a row sum to {sums[row]:.4g}" + (asked if sums[row] > 0 else ""),
        "rows of soft targets that sum to 1",
        targets,
        labels,
        {"row_sums": sums[off].tolist()[:8], "target": rows[row].tolist()[:8]},
    )
    return verdict if alike else replace(verdict, outcome="advice")


def _gradient(subject: Subject, scores: Tensor, labels: Tensor) -> Tensor:
    leaf = scores.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(subject.loss(leaf, labels), leaf)
    return gradient


def _judge_rows(subject: Subject, scores: Tensor, labels: Tensor, targets: Tensor) -> Verdict:
    single = scores.numel() == labels.numel()
    if single:
        # One positive row among negative ones: were every row paired with every label, it would be pulled down too.
        labels = torch.zeros_like(labels)
        labels.view(-1)[0] = 1
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
    numbers = {"gradient": rows[0].tolist()[:8], "largest": largest}
    if largest == 0 or not bool(torch.isfinite(rows).all()):
        return not_applicable("the loss has no finite gradient at equal scores")
    if bool((gradient == gradient[:1]).all()):
        said = "every row gets the same gradient, whatever its label: it is compared with all labels at once"
        return _verdict(
            subject, "broadcast_targets", said, "a gradient per row, by its own label", targets, labels, numbers
        )
    if toward <= NEGLIGIBLE * largest:
        return passed("each row is pulled towards its own label", evidence=numbers)
    if not single and subject.nature.takes != "unknown":
        row = int(pulls.argmax())
        said = f"a row with label {int(labels.reshape(-1)[row])} is pulled towards class {int(rows[row].argmin())}"
        return _verdict(
            subject, "labels_out_of_range", said, "each row pulled towards its label", targets, labels, numbers
        )
    return not_applicable(
        "the loss does not pull towards the true class at equal scores; see the checks of the loss itself"
    )


def _refused(subject: Subject, targets: Tensor, labels: Tensor, classes: int, error: Exception) -> Verdict:
    indices = not targets.is_floating_point()
    outside = indices and bool(((targets < 0) | (targets >= classes)).any())
    return _verdict(
        subject,
        "labels_out_of_range" if outside or isinstance(error, IndexError) else "wrong_target_dtype",
        f"{subject.loss_name} raises {type(error).__name__}: {str(error).splitlines()[0]}",
        f"class indices from 0 to {classes - 1}" if outside else "targets that the loss takes",
        targets,
        labels,
    )


def _verdict(
    subject: Subject,
    cause: str,
    measured: str,
    expected: str,
    targets: Tensor,
    labels: Tensor,
    numbers: dict[str, Any] | None = None,
) -> Verdict:
    return Verdict(
        outcome="failed",
        cause=cause,
        measured=f"{measured} (targets: {targets.dtype} {tuple(targets.shape)})",
        expected=expected,
        location=loss_place(subject) if callable(subject.loss_object) else None,
        counterexample={"labels": labels.flatten().tolist()[:8], "targets": targets.flatten().tolist()[:8]},
        evidence={"targets_shape": list(targets.shape), "targets_dtype": str(targets.dtype), **(numbers or {})},
    )
