"""What a check of the user's own says of a subject: its verdict, or what became of its assertions."""

from __future__ import annotations

import inspect
import linecache
import traceback
from pathlib import Path
from types import FrameType

from torch import nn

import pytest_logits
from pytest_logits.causes import cause_names
from pytest_logits.check_registry import Check
from pytest_logits.classifier import Classifier
from pytest_logits.finding import Location, Verdict, passed
from pytest_logits.subject import Subject
from pytest_logits.told import nearest

OURS = Path(pytest_logits.__file__).parent
# Calls of a module go through this file: what is raised below it is the model's.
CALLS = Path(inspect.getfile(nn.Module))
OUTCOMES = ("passed", "failed", "advice", "inconclusive", "not_applicable")


def own_verdict(check: Check, subject: Subject) -> Verdict:
    """Run a check of the user's own. An assertion of the check's that fails is a failure, any other raise an error.

    Raises:
        TypeError: the check returned neither a verdict nor None.
        ValueError: the verdict has an outcome that no check can give, or names a cause that there is not.
    """
    try:
        returned = check.function(Classifier(lambda: subject))
    except AssertionError as error:
        frames = _below(error, check)
        if any(_is_the_models(frame) for frame, _ in frames):
            raise
        return _failed(error, frames)
    if returned is None:
        return passed("every assertion of the check holds")
    if not isinstance(returned, Verdict):
        raise TypeError(f"check {check.name!r} must return a verdict or None; it returned {type(returned).__name__}")
    if returned.outcome not in OUTCOMES:
        raise ValueError(f"check {check.name!r} gave the outcome {returned.outcome!r}; {nearest('', OUTCOMES)}")
    if returned.cause is not None and returned.cause not in cause_names():
        raise ValueError(
            f"check {check.name!r} names the cause {returned.cause!r}; {nearest(returned.cause, cause_names())}"
        )
    return returned


def _below(error: AssertionError, check: Check) -> list[tuple[FrameType, int]]:
    """The frames from the check's function down to the raise, with their lines."""
    frames = list(traceback.walk_tb(error.__traceback__))
    code = inspect.unwrap(check.function).__code__
    start = next((i for i, (frame, _) in enumerate(frames) if frame.f_code is code), 0)
    return frames[start:]


def _is_the_models(frame: FrameType) -> bool:
    """Whether what this frame called was registered, or is a module."""
    file = Path(frame.f_code.co_filename)
    return file == CALLS or file.is_relative_to(OURS)


def _failed(error: AssertionError, frames: list[tuple[FrameType, int]]) -> Verdict:
    """The first line of the assertion's text, at the last line of the check's file; the whole text as evidence."""
    file = frames[0][0].f_code.co_filename
    line = [number for frame, number in frames if frame.f_code.co_filename == file][-1]
    code = linecache.getline(file, line).strip()
    text = str(error) or code
    # Hypothesis keeps its counterexample in the notes.
    said = [text.splitlines()[0], *getattr(error, "__notes__", [])]
    return Verdict(
        outcome="failed",
        measured="; ".join(" ".join(part.split()) for part in said),
        location=Location(file=str(Path(file).resolve()), line=line, code=code),
        evidence={"assertion": text},
    )
