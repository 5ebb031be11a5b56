"""The checks outside pytest: ``check_classifier`` and ``check_loss`` return a report to print or raise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_logits.check_registry import SubjectKind
from pytest_logits.finding import Result
from pytest_logits.loss_subject import LossSubject
from pytest_logits.model import caller, make_loss_spec, make_spec, nearest
from pytest_logits.report import failure_text
from pytest_logits.runner import decide, run_check
from pytest_logits.selection import selected_checks
from pytest_logits.settings import DEFAULT_PROFILE, DEFAULT_SEED, PROFILES, Settings
from pytest_logits.subject import Subject


class ChecksFailed(AssertionError):
    """At least one check failed or raised; the message holds every finding."""


@dataclass(frozen=True)
class Report:
    """The results of all checks on one model, in order. Iterable; ``str`` is a table with the failures below it."""

    results: tuple[Result, ...]

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __str__(self) -> str:
        table = [f"{r.outcome:<15}{r.check:<36}{r.verdict.cause or r.verdict.measured}" for r in self.results]
        return "\n".join([*table, *(f"\n{failure_text(r)}" for r in self._failures)])

    @property
    def _failures(self) -> list[Result]:
        return [r for r in self.results if r.outcome in ("failed", "error")]

    def raise_for_failures(self) -> None:
        """Raise :class:`ChecksFailed` if a check failed or the model raised; advice and skips are no failures."""
        if self._failures:
            raise ChecksFailed("\n\n".join(failure_text(r) for r in self._failures))


def check_classifier(
    model_or_factory: Any,
    /,
    *,
    seed: int = DEFAULT_SEED,
    profile: str = DEFAULT_PROFILE,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    **arguments: Any,
) -> Report:
    """Run the checks on one model and return a report.

    Args:
        model_or_factory: an ``nn.Module``, which is copied and never changed, or a factory as for ``register``.
        seed: the seed that everything random is derived from.
        profile: ``"quick"``, ``"standard"`` or ``"thorough"``.
        select: names or tags of the checks to run; by default all.
        ignore: names or tags of the checks to leave out.
        **arguments: the arguments of :func:`pytest_logits.register`.

    Raises:
        RegistrationError: an argument of ``register`` is wrong.
        ValueError: profile, select or ignore name something unknown.
    """
    file, line = caller(1)
    if getattr(model_or_factory, "__name__", "") == "<lambda>":
        arguments = {"name": "model", **arguments}
    settings = _settings(seed, profile)
    subject = Subject(make_spec(model_or_factory, file=file, line=line, arguments=arguments), settings)
    return _report(subject, "model", "check_classifier", select=select, ignore=ignore)


def check_loss(
    loss: Any,
    /,
    *,
    seed: int = DEFAULT_SEED,
    profile: str = DEFAULT_PROFILE,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    **arguments: Any,
) -> Report:
    """Run the checks of losses on one loss and return a report.

    Args:
        loss: ``(logits, targets) -> scalar or rows``, or a module, which is copied and never changed.
        seed: the seed that everything random is derived from.
        profile: ``"quick"``, ``"standard"`` or ``"thorough"``.
        select: names or tags of the checks to run; by default all that look at losses.
        ignore: names or tags of the checks to leave out.
        **arguments: the arguments of :func:`pytest_logits.register_loss`.

    Raises:
        RegistrationError: an argument of ``register_loss`` is wrong.
        ValueError: profile, select or ignore name something unknown.
    """
    file, line = caller(1)
    if getattr(loss, "__name__", "") == "<lambda>":
        arguments = {"name": "loss", **arguments}
    settings = _settings(seed, profile)
    subject = LossSubject.registered(make_loss_spec(loss, file=file, line=line, arguments=arguments), settings)
    return _report(subject, "loss", "check_loss", select=select, ignore=ignore)


def _settings(seed: int, profile: str) -> Settings:
    if profile not in PROFILES:
        raise ValueError(f"profile={profile!r} is not known; {nearest(profile, PROFILES)}")
    return Settings(seed=seed, profile=PROFILES[profile])


def _report(
    subject: Subject | LossSubject,
    kind: SubjectKind,
    function: str,
    *,
    select: Iterable[str],
    ignore: Iterable[str],
) -> Report:
    seed, profile = subject.settings.seed, subject.settings.profile.name
    results = []
    for check in selected_checks(select=select, ignore=ignore):
        if kind not in check.subjects:
            continue
        run = run_check(
            check,
            lambda check=check: decide(check, subject),  # type: ignore[misc]
            lambda: subject.passes,
            model=subject.name,
            nodeid=f"{subject.name}::{check.name}",
            root=Path.cwd(),
            rerun=f"{function}(..., select=[{check.name!r}], seed={seed}, profile={profile!r})",
        )
        results.append(run.result)
    return Report(tuple(results))
