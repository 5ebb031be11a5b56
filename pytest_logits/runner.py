"""Run one check on one subject: restore what it touched, count its passes, turn its verdict into a result."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_logits.causes import cause
from pytest_logits.check_registry import Check
from pytest_logits.copies import DoesNotApply
from pytest_logits.finding import Passes, Result, Verdict, not_applicable
from pytest_logits.guard import limited_threads, preserved_state
from pytest_logits.loss_subject import LossSubject
from pytest_logits.own_verdicts import own_verdict
from pytest_logits.placing import full_precision
from pytest_logits.settings import DEFAULT_DEVICE, DEFAULT_PROFILE, DEFAULT_SEED, Settings
from pytest_logits.subject import Subject


@dataclass(frozen=True)
class Run:
    """A result, with the exception where the model raised one."""

    result: Result
    error: BaseException | None = None


def run_check(
    check: Check,
    verdict_of: Callable[[], Verdict],
    passes: Callable[[], Passes],
    *,
    model: str,
    nodeid: str,
    root: Path,
    rerun: str,
) -> Run:
    """``verdict_of()`` with the process left as it was. An exception becomes the outcome ``error``, never a verdict.

    Args:
        check: whose claim the result carries.
        verdict_of: gives the verdict.
        passes: the passes counted so far; what ``verdict_of`` adds is the check's.
        model: the model's name.
        nodeid: the item's id.
        root: locations are given relative to this folder.
        rerun: what to type to run this check again.
    """
    before, started = passes(), time.perf_counter()
    error: BaseException | None = None
    try:
        with preserved_state():
            verdict = verdict_of()
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as raised:
        # The model's own mistakes come through here, sys.exit() among them; whoever asked shows their traceback.
        error = raised
        verdict = Verdict(outcome="error", measured=f"{type(raised).__name__}: {raised}")
    if verdict.location is not None:
        file = relative(verdict.location.file, root)
        verdict = replace(verdict, location=replace(verdict.location, file=file))
    result = Result(
        nodeid=nodeid,
        model=model,
        check=check.name,
        outcome=verdict.outcome,
        claim=check.claim,
        verdict=verdict,
        fix=cause(verdict.cause).fix if verdict.cause else "",
        passes=passes() - before,
        seconds=time.perf_counter() - started,
        reproduce=rerun,
    )
    return Run(result, error)


def decide(check: Check, subject: Subject | LossSubject) -> Verdict:
    """The check's verdict on the subject, computed with the threads that suit the model."""
    with limited_threads(subject.threads), full_precision(subject.device):
        try:
            if check.declared is not None and isinstance(subject, Subject):
                return own_verdict(check, subject)
            verdict: Verdict = check.function(subject)
            return verdict
        except DoesNotApply as reason:
            return not_applicable(str(reason))


def relative(file: str, root: Path) -> str:
    """``file`` below ``root`` as a relative path with forward slashes, any other as it is."""
    path = Path(file)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else file


def reproduce(nodeid: str, settings: Settings, options: tuple[str, ...] = ()) -> str:
    """The command that runs one item again with the same settings."""
    words = ["pytest", "--logit-checks", nodeid, *options]
    if settings.seed != DEFAULT_SEED:
        words.append(f"--logit-seed={settings.seed}")
    if settings.profile.name != DEFAULT_PROFILE:
        words.append(f"--logit-profile={settings.profile.name}")
    if settings.device != DEFAULT_DEVICE:
        words.append(f"--logit-device={settings.device}")
    return shlex.join(words)
