"""What can be wrong with targets as the loss gets them: refused, out of range, rows that do not sum to 1."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pytest_logits.copies import SubjectError
from pytest_logits.finding import Verdict
from pytest_logits.locate import loss_place
from pytest_logits.loss_subject import LossSubject
from pytest_logits.losses import known_nature
from pytest_logits.regions import MATERIAL
from pytest_logits.subject import Subject

# BCE with logits at scores of 20 is -10 with targets of -1 and 1, or of 1 and 2; a target of 1.1, as negative label
# smoothing makes it on purpose, gives -2.
BELOW_ZERO = -5.0
# Scores that a counterexample shows, at most.
FEW = 64


def refused(subject: Subject | LossSubject, scores: Tensor, targets: Tensor, error: Exception) -> Verdict:
    """The loss raises on these targets: in torch's words, with what was expected."""
    classes = scores.shape[1] if scores.ndim > 1 else 2
    indices = not targets.is_floating_point() and subject.nature.form == "categorical"
    outside = indices and bool(((targets < 0) | (targets >= classes)).any())
    return finding(
        subject,
        "labels_out_of_range" if outside or _is_of_range(error) else "wrong_target_dtype",
        f"{subject.loss_name} raises {type(error).__name__}: {str(error).splitlines()[0]}",
        f"class indices from 0 to {classes - 1}" if outside else _taken(subject, scores),
        targets,
        example=_refused_row(subject, error),
    )


def _is_of_range(error: Exception) -> bool:
    """Whether an index is too large; torch's gather says so in a RuntimeError."""
    return isinstance(error, IndexError) or "out of bounds" in str(error)


def every_label(subject: Subject | LossSubject, scores: Tensor, classes: int, *, spread: bool = False) -> Tensor:
    """Labels that go through the classes along the rows and along the positions; multi-hot where multilabel.

    Where the rows are fewer than the classes, they have the first of them, or with ``spread`` some from first to last.
    """
    rows = torch.arange(len(scores))
    if spread and len(scores) < classes:
        rows = rows * (classes - 1) // (len(scores) - 1)
    if subject.multilabel:
        return (rows.unsqueeze(1) + torch.arange(scores.shape[1])) % 2
    dense = scores.shape[2:]
    positions = torch.arange(math.prod(dense)).reshape(dense)
    return (rows.view(-1, *(1 for _ in dense)) + positions) % classes


def few_zeros(subject: Subject | LossSubject, rows: int) -> Tensor | None:
    """Scores of 0 for a counterexample; None where they are many."""
    zeros = subject.sample_logits.new_zeros((rows, *subject.sample_logits.shape[1:]))
    return zeros if zeros.numel() <= FEW else None


def _refused_row(subject: Subject | LossSubject, error: Exception) -> dict[str, Any] | None:
    """A single row that the loss refuses with the same error: of the first two labels or the last, if any.

    Of two classes where their number is not said, though a loss that refuses its targets may be made for another.
    """
    zeros = few_zeros(subject, 1)
    if zeros is None:
        return None
    few = [zeros[:, :2]] if isinstance(subject, LossSubject) and subject.says_no_classes else []
    for scores in (*few, zeros):
        classes = max(scores.shape[1] if scores.ndim > 1 else 1, 2)
        labels = every_label(subject, scores.expand(classes, *scores.shape[1:]), classes)
        for row in sorted({0, 1, classes - 1}):
            one = labels[row : row + 1]
            try:
                subject.loss(subject.nature.link(scores), one)
            except SubjectError:
                raise
            except Exception as again:
                if _words(again) == _words(error):
                    targets = subject.targets(one, scores)
                    return {"logits": scores.tolist(), "labels": one.tolist(), "targets": targets.tolist()}
    return None


def _words(error: Exception) -> str:
    """What an error says, but for its numbers."""
    return re.sub(r"\d+", "", f"{type(error).__name__}: {error}")


def _taken(subject: Subject | LossSubject, scores: Tensor) -> str:
    """What the loss takes, in dtype and shape."""
    nature, dense = subject.nature, scores.ndim > 2
    if nature.form == "bernoulli":
        return f"floats in the shape of the logits, {tuple(scores.shape)}"
    if nature.takes == "unknown":
        return "targets that the loss takes"
    indices = f"int64 class indices {'(N, ...)' if dense else '(N,)'}"
    shares = f", or float probabilities {'(N, K, ...)' if dense else '(N, K)'}"
    return indices + ("" if nature.takes == "log_probabilities" else shares)


def against(scores: Tensor, targets: Tensor) -> str:
    """The two shapes that are broadcast."""
    return f"logits {tuple(scores.shape)} against targets {tuple(targets.shape)}"


def out_of_range(subject: Subject | LossSubject, scores: Tensor, targets: Tensor) -> Verdict | None:
    """BCE with logits, known by name, at scores of 20 to the side that each target is on: 0 with targets 0 and 1."""
    known = known_nature(subject.loss_object)
    if known is None or known.form != "bernoulli" or known.takes != "logits" or scores.numel() != targets.numel():
        return None
    right = 20.0 * (2.0 * (targets > 0.5).to(scores.dtype) - 1).reshape(scores.shape)
    value = float(subject.loss_at(right, targets))
    if not value < BELOW_ZERO:
        return None
    return finding(
        subject,
        "signed_targets" if bool((targets < 0).any()) else "labels_out_of_range",
        f"{subject.loss_name} is {value:.4g} on confident right answers, with targets from {targets.min():g} "
        f"to {targets.max():g}",
        "targets of 0 and 1, with which it is never below 0",
        targets,
    )


def unnormalised(subject: Subject | LossSubject, scores: Tensor, targets: Tensor) -> Verdict | None:
    """Soft rows whose sum is not 1. One-hot rows times a number are weights, which move no minimum.

    Sums that differ from row to row may be weights as well: advice.
    """
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
    largest, total = float(rows[row].max()), float(sums[row])
    alike = bool((sums[off] - sums[row]).abs().max() <= MATERIAL)
    asked = f"; where the target says {largest:.4g} the loss asks for {largest / total:.4g}" if total > 0 else ""
    verdict = finding(
        subject,
        "unnormalised_targets",
        f"the soft targets of a row sum to {total:.4g}{asked}",
        "rows of soft targets that sum to 1",
        targets,
        {"row_sums": sums[off].tolist()[:8], "target": rows[row].tolist()[:8]},
    )
    return verdict if alike else replace(verdict, outcome="advice")


def finding(
    subject: Subject | LossSubject,
    cause: str,
    measured: str,
    expected: str,
    targets: Tensor,
    numbers: Mapping[str, Any] | None = None,
    example: Mapping[str, Any] | None = None,
) -> Verdict:
    """A failure about these targets, with their dtype and shape; the counterexample, else the first of them."""
    return Verdict(
        outcome="failed",
        cause=cause,
        measured=f"{measured} (targets: {targets.dtype} {tuple(targets.shape)})",
        expected=expected,
        location=loss_place(subject) if callable(subject.loss_object) else None,
        counterexample=example or {"targets": targets.flatten().tolist()[:8]},
        evidence={"targets_shape": list(targets.shape), "targets_dtype": str(targets.dtype), **(numbers or {})},
    )
