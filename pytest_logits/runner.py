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
from pytest_logits.guard import Reading, limited_threads
from pytest_logits.limits import Limit, OutOfTime
from pytest_logits.loss_subject import LossSubject
from pytest_logits.model import Spec
from pytest_logits.own_verdicts import own_verdict
from pytest_logits.placing import full_precision
from pytest_logits.raised import is_raised_by_hand, raised_at, said
from pytest_logits.settings import DEFAULT_DEVICE, DEFAULT_PROFILE, DEFAULT_SEED, Settings
from pytest_logits.subject import Subject


@dataclass(frozen=True)
class Run:
    """A result, with the exception where the model raised one."""

    result: Result
    error: BaseException | None = None


def inapplicable(check: Check, spec: Spec | None) -> Verdict | None:
    """The verdict on what the check has nothing to look at in, known without any of the user's code; else None."""
    if check.needs is None or spec is None or getattr(spec, check.needs, None) is not None:
        return None
    return not_applicable(f"no {check.needs}= is registered")


def run_check(
    check: Check,
    verdict_of: Callable[[], Verdict],
    passes: Callable[[], Passes],
    *,
    spec: Spec | None = None,
    reading: Reading | None = None,
    model: str,
    nodeid: str,
    root: Path,
    rerun: str,
    limit: Limit | None = None,
) -> Run:
    """``verdict_of()`` with the process left as it was. An exception becomes the outcome ``error``, never a verdict.

    Args:
        check: whose claim the result carries.
        verdict_of: gives the verdict.
        passes: the passes counted so far; what ``verdict_of`` adds is the check's.
        spec: what is checked; where the check has nothing to look at in it, ``verdict_of`` is not asked.
        reading: what the process was like, where nothing but checks has run since; it is read again without.
        model: the model's name.
        nodeid: the item's id.
        root: locations are given relative to this folder.
        rerun: what to type to run this check again.
        limit: how long the checks of this model may take; without one, for ever.

    Raises:
        KeyboardInterrupt: Ctrl-C, or what cannot be told from it.
    """
    spent, started = Passes(), time.perf_counter()
    error: BaseException | None = None
    verdict = inapplicable(check, spec)
    try:
        if verdict is None:
            with (reading or Reading()).preserved(), (limit or Limit()).of(check.name):
                before = passes()
                try:
                    verdict = verdict_of()
                finally:
                    spent = passes() - before
    except BaseException as raised:
        # The model's own mistakes come through here, sys.exit() among them; whoever asked shows their traceback.
        error, verdict = _error(raised)
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
        passes=spent,
        seconds=time.perf_counter() - started,
        reproduce=rerun,
    )
    return Run(result, error)


def _error(raised: BaseException) -> tuple[BaseException, Verdict]:
    """What to raise in its place, and the verdict ``error`` with the exception's words and the user's line."""
    place, words, shown = raised_at(raised), said(raised), raised
    if isinstance(raised, OutOfTime):
        what, why = raised.args
        where = f" at {Path(place.file).name}:{place.line} {place.note}" if place is not None else ""
        words = f"{what}{where}{why}"
        shown = TimeoutError(words)
    elif isinstance(raised, KeyboardInterrupt):
        if not is_raised_by_hand(raised):
            raise raised
        # pytest would end the session for the thing itself.
        shown = RuntimeError(words)
    return shown.with_traceback(raised.__traceback__), Verdict(outcome="error", measured=words, location=place)


def decide(check: Check, subject: Subject | LossSubject) -> Verdict:
    """The check's verdict on the subject, computed with the threads that suit the model."""
    known = inapplicable(check, subject.spec if isinstance(subject, Subject) else None)
    if known is not None:
        return known
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
