"""The targets are what the loss takes, and each row of the loss looks at its own target."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_logits.check_registry import check
from pytest_logits.finding import Verdict, not_applicable, passed
from pytest_logits.locate import loss_place
from pytest_logits.losses import known_nature
from pytest_logits.subject import Subject, SubjectError

ROWS = 6
# A gradient of the wrong sign is compared with this share of the largest: rounding is far below it.
NEGLIGIBLE = 1e-3


@check(claim="the targets are what the loss takes, and each row is judged by its own", tags=("loss", "exact"))
def targets_fit_loss(subject: Subject) -> Verdict:
    """The loss accepts the targets, and pulls each row's score towards that row's own label.

    Equal scores for all rows and every label in turn: the gradient must be negative at the row's true class (raising
    that score lowers the loss), whatever the other rows' labels are. Targets that are broadcast give every row the same
    gradient; labels that start from 1 pull towards the next class; targets of -1 and 1 make BCE fall below 0.

    Causes: wrong_target_dtype, labels_out_of_range, signed_targets, broadcast_targets.
    """
    if subject.has_single_column:
        return not_applicable("with one score per example no target fits cross entropy")
    sample = subject.sample_logits
    if sample.ndim > 2 or subject.multilabel or subject.nature.takes == "probabilities":
        return not_applicable("only scores of one class per example are looked at, one row each")
    width = sample.shape[1] if sample.ndim > 1 else 1
    classes = max(width, 2)
    labels = torch.arange(max(ROWS, classes)) % classes
    scores = sample.new_zeros((len(labels), *sample.shape[1:]))
    targets = subject.targets(labels, scores)
    try:
        subject.loss(scores, labels)
    except SubjectError:
        raise
    except Exception as error:
        # Whatever the loss raises on zeros is about the targets; torch's own words go into the finding.
        return _refused(subject, targets, labels, classes, error)
    if _is_signed(subject, scores, labels):
        return _verdict(
            subject, "signed_targets", "BCE with logits falls below 0", "a loss of at least 0", targets, labels
        )
    return _judge_rows(subject, scores, labels, targets)


def _is_signed(subject: Subject, scores: Tensor, labels: Tensor) -> bool:
    """BCE with logits, known by name, on a confident right answer: 0 with targets 0 and 1, far below 0 with -1."""
    known = known_nature(subject.loss_object)
    if known is None or known.form != "bernoulli" or known.takes != "logits" or scores.numel() != len(labels):
        return False
    right = (20.0 * (2 * labels - 1)).to(scores.dtype).reshape(scores.shape)
    return float(subject.loss(right, labels)) < -1.0


def _gradient(subject: Subject, scores: Tensor, labels: Tensor) -> Tensor:
    leaf = scores.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(subject.loss(leaf, labels), leaf)
    return gradient


def _judge_rows(subject: Subject, scores: Tensor, labels: Tensor, targets: Tensor) -> Verdict:
    single = scores.numel() == len(labels)
    if single:
        # One positive row among negative ones: were every row paired with every label, it would be pulled down too.
        labels = torch.zeros_like(labels)
        labels[0] = 1
        targets = subject.targets(labels, scores)
        gradient = _gradient(subject, scores, labels).reshape(-1)
        toward = float(gradient[0])
        equal = bool((gradient == gradient[0]).all())
    else:
        gradient = _gradient(subject, scores, labels)
        pulls = gradient.gather(1, labels.unsqueeze(1)).squeeze(1)
        toward = float(pulls.max())
        equal = bool((gradient == gradient[:1]).all())
    largest = float(gradient.abs().max())
    numbers = {"gradient": gradient.reshape(len(labels), -1)[0].tolist()[:8], "largest": largest}
    if largest == 0 or not torch.isfinite(gradient).all():
        return not_applicable("the loss has no finite gradient at equal scores")
    if equal:
        said = "every row gets the same gradient, whatever its label: it is compared with all labels at once"
        return _verdict(
            subject, "broadcast_targets", said, "a gradient per row, by its own label", targets, labels, numbers
        )
    if toward <= NEGLIGIBLE * largest:
        return passed("each row is pulled towards its own label", evidence=numbers)
    if not single and subject.nature.takes != "unknown":
        row = int(gradient.gather(1, labels.unsqueeze(1)).squeeze(1).argmax())
        said = f"a row with label {int(labels[row])} is pulled towards class {int(gradient[row].argmin())}"
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
        counterexample={"labels": labels.tolist()[:8], "targets": targets.flatten().tolist()[:8]},
        evidence={"targets_shape": list(targets.shape), "targets_dtype": str(targets.dtype), **(numbers or {})},
    )
