"""One row of scores per example, whatever the size of the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from pytest_logits.check_registry import check
from pytest_logits.checks.examples_are_independent import tolerance
from pytest_logits.copies import SubjectError, evaluating
from pytest_logits.feeding import SCAN_ROWS
from pytest_logits.finding import Verdict, counted, passed
from pytest_logits.locate import reshape_place
from pytest_logits.reused import Scattered
from pytest_logits.structures import index_rows
from pytest_logits.subject import Subject

LARGEST_BATCH = 9
# How torch refuses a batch of one where BatchNorm takes its statistics from the batch, which in eval mode it must not.
BATCH_STATISTICS = "Expected more than 1 value per channel when training"


@check(claim="the logits are (batch_size, num_classes, ...) for every batch size", tags=("outputs", "exact"))
def output_shape_is_stable(subject: Subject) -> Verdict:
    """The shape of the logits follows the batch, and nothing else.

    Batches of 1 to 9 examples are passed through a copy in eval mode. Each must give one row of scores per
    example, with the same shape otherwise. ``squeeze()`` without a dimension drops the batch axis of a batch of one;
    the last batch of an epoch is where it bites.

    Causes: output_shape_depends_on_batch, examples_leak_across_batch, wrong_number_of_outputs,
    single_column_cross_entropy.
    """
    return subject.in_one_copy(lambda scattered: _judge(subject, scattered))


def _judge(subject: Subject, scattered: Scattered) -> Verdict:
    model = evaluating(scattered(0.0, 0))
    rows = subject.inputs(SCAN_ROWS, "shape")
    seen: dict[int, _Observed] = {}

    def observe(count: int) -> _Observed:
        if count not in seen:
            # inputs= may make another batch of each size, padded to its longest example perhaps.
            inputs = rows[:count] if subject.spec.inputs is None else subject.inputs(count, "shape")
            seen[count] = _observe(subject, model, inputs)
        return seen[count]

    reference = observe(SCAN_ROWS)
    if reference.error is not None:
        raise reference.error
    if reference.shape[:1] != (SCAN_ROWS,):
        return _failed(subject, SCAN_ROWS, reference, f"({SCAN_ROWS}, ...)", seen)
    rest = reference.shape[1:]

    # All of them are looked at, for the report shows what each gives.
    count = min((n for n in range(1, LARGEST_BATCH + 1) if observe(n).shape != (n, *rest)), default=None)
    if count is not None:
        return _failed(subject, count, observe(count), str((count, *rest)), seen)

    evidence = {"shapes": {str(n): list(seen[n].shape) for n in sorted(seen)}}
    wanted = _wanted_columns(subject)
    columns = rest[0] if rest else 1
    if columns != wanted:
        return Verdict(
            outcome="failed",
            cause="single_column_cross_entropy" if subject.has_single_column else "wrong_number_of_outputs",
            measured=f"{counted(columns, 'score')} per example: logits of shape {reference.shape}",
            expected=f"{counted(wanted, 'score')} per example, for num_classes={subject.spec.num_classes} and "
            f"task={subject.spec.task!r}",
            counterexample={"batch_size": SCAN_ROWS, "logits_shape": list(reference.shape)},
            evidence=evidence,
        )
    return passed(f"{counted(columns, 'score')} per example for batches of {sorted(seen)}", evidence=evidence)


@dataclass(frozen=True)
class _Observed:
    shape: tuple[int, ...]
    error: Exception | None = None


def _observe(subject: Subject, model: torch.nn.Module, inputs: Any) -> _Observed:
    try:
        return _Observed(tuple(subject.scores(model, inputs, purpose="shape").shape))
    except SubjectError:
        raise
    except Exception as error:
        # A model that runs for one batch size and raises for another is a finding; one that never runs, an error.
        return _Observed((), error)


def _wanted_columns(subject: Subject) -> int:
    if subject.spec.task == "binary":
        return 2 if subject.nature.form == "categorical" else 1
    return subject.num_classes


def _failed(subject: Subject, count: int, observed: _Observed, expected: str, seen: dict[int, _Observed]) -> Verdict:
    got = (
        f"raised {type(observed.error).__name__}: {observed.error}"
        if observed.error
        else f"gave logits of shape {observed.shape}"
    )
    counterexample: dict[str, Any] = {"batch_size": count, "logits_shape": list(observed.shape)}
    if observed.error is not None:
        counterexample = {"batch_size": count, "exception": f"{type(observed.error).__name__}: {observed.error}"}
    # Group and instance normalisation raise the same of a single value, and mix no examples.
    leaks = BATCH_STATISTICS in got and _first_depends_on_second(subject)
    return Verdict(
        outcome="failed",
        cause="examples_leak_across_batch" if leaks else "output_shape_depends_on_batch",
        measured=f"a batch of {count} {got}",
        expected=f"logits of shape {expected}",
        location=reshape_place(subject, count),
        counterexample=counterexample,
        evidence={"shapes": {str(n): list(seen[n].shape) for n in sorted(seen)}},
    )


def _first_depends_on_second(subject: Subject) -> bool:
    """Whether another second example changes the logits of the first."""
    model, rows = evaluating(subject.fresh()), subject.inputs(SCAN_ROWS, "shape")
    first, other = (
        subject.scores(model, index_rows(rows, torch.tensor([0, second, 3]), SCAN_ROWS), purpose="shape")[0]
        for second in (1, 2)
    )
    return float((first - other).abs().max()) > tolerance(first.dtype, float(first.abs().max()))
