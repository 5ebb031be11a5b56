"""The checks outside pytest: ``check_classifier`` and ``check_loss`` return a report to print or raise."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_logits.check_registry import all_checks
from pytest_logits.finding import Outcome, Result
from pytest_logits.guard import Reading
from pytest_logits.model import (
    LossSpec,
    RegistrationError,
    Spec,
    caller,
    make_loss_spec,
    make_spec,
    require_known_checks,
)
from pytest_logits.placing import device_of
from pytest_logits.report import failure_text
from pytest_logits.runner import decide, run_check
from pytest_logits.selection import selected_checks
from pytest_logits.settings import DEFAULT_DEVICE, DEFAULT_PROFILE, DEFAULT_SEED, PROFILES, Settings
from pytest_logits.sparkline import shows_blocks
from pytest_logits.subjects import Subjects
from pytest_logits.told import kind, nearest, shown

# What becomes of the outcome of a check that is expected to fail; a verdict that does not decide stays what it is.
OF_EXPECTED: Mapping[Outcome, Outcome] = {"failed": "xfailed", "passed": "xpassed"}


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
        return "\n".join([*table, *(f"\n{failure_text(r, blocks=shows_blocks())}" for r in self._failures)])

    @property
    def _failures(self) -> list[Result]:
        return [r for r in self.results if r.outcome in ("failed", "error", "xpassed")]

    def raise_for_failures(self) -> None:
        """Raise :class:`ChecksFailed` if a check failed or the model raised; advice and skips are no failures.

        A check of ``expected_failures`` may fail, and must not pass.
        """
        __tracebackhide__ = True
        if self._failures:
            raise ChecksFailed("\n\n".join(failure_text(r, blocks=shows_blocks()) for r in self._failures))


def check_classifier(
    model_or_factory: Any,
    /,
    *,
    seed: int = DEFAULT_SEED,
    profile: str = DEFAULT_PROFILE,
    device: str = DEFAULT_DEVICE,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    **arguments: Any,
) -> Report:
    """Run the checks on one model and return a report. Checks of your own take part where they have been declared.

    Args:
        model_or_factory: an ``nn.Module``, which is copied and never changed, or a factory as for ``register``.
        seed: the seed that everything random is derived from.
        profile: ``"quick"``, ``"standard"`` or ``"thorough"``.
        device: where it runs, as torch.device names it.
        select: names or tags of the checks to run; by default all.
        ignore: names or tags of the checks to leave out.
        **arguments: the arguments of :func:`pytest_logits.register`.

    Raises:
        RegistrationError: an argument is wrong, or profile, device, select or ignore name something unknown; says
            which, with the caller's file and line.
    """
    __tracebackhide__ = True
    file, line = caller(1)
    settings = _settings(f"check_classifier ({file}:{line})", seed, profile, device)
    spec = _declared(make_spec, model_or_factory, "model", arguments, file=file, line=line)
    return _report(spec, settings, "check_classifier", select=select, ignore=ignore)


def check_loss(
    loss: Any,
    /,
    *,
    seed: int = DEFAULT_SEED,
    profile: str = DEFAULT_PROFILE,
    device: str = DEFAULT_DEVICE,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    **arguments: Any,
) -> Report:
    """Run the checks of losses on one loss and return a report.

    Args:
        loss: ``(logits, targets) -> scalar or rows``, or a module, which is copied and never changed.
        seed: the seed that everything random is derived from.
        profile: ``"quick"``, ``"standard"`` or ``"thorough"``.
        device: where it runs, as torch.device names it.
        select: names or tags of the checks to run; by default all that look at losses.
        ignore: names or tags of the checks to leave out.
        **arguments: the arguments of :func:`pytest_logits.register_loss`.

    Raises:
        RegistrationError: an argument is wrong, or profile, device, select or ignore name something unknown; says
            which, with the caller's file and line.
    """
    __tracebackhide__ = True
    file, line = caller(1)
    settings = _settings(f"check_loss ({file}:{line})", seed, profile, device)
    spec = _declared(make_loss_spec, loss, "loss", arguments, file=file, line=line)
    return _report(spec, settings, "check_loss", select=select, ignore=ignore)


def _declared(
    make: Callable[..., Spec], what: Any, called: str, arguments: Mapping[str, Any], *, file: Path, line: int
) -> Spec:
    """The spec of a model or a loss, declared where the asking function was called; a lambda is named by its kind."""
    __tracebackhide__ = True
    if getattr(what, "__name__", "") == "<lambda>":
        arguments = {"name": called, **arguments}
    return make(what, file=file, line=line, arguments=arguments)


def _settings(where: str, seed: Any, profile: Any, device: Any) -> Settings:
    __tracebackhide__ = True
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise RegistrationError(f"{where}: seed= must be an integer; got {kind(seed)}")
    if not isinstance(profile, str) or profile not in PROFILES:
        raise RegistrationError(f"{where}: profile={shown(profile)} is not known; {nearest(profile, PROFILES)}")
    if not isinstance(device, str):
        raise RegistrationError(f"{where}: device= must be a device's name, such as 'cpu'; got {kind(device)}")
    try:
        device_of(device)
    except ValueError as error:
        raise RegistrationError(f"{where}: device={error}") from None
    return Settings(seed=seed, profile=PROFILES[profile], device=device)


def _report(spec: Spec, settings: Settings, function: str, *, select: Iterable[str], ignore: Iterable[str]) -> Report:
    __tracebackhide__ = True
    require_known_checks(spec, [check.name for check in all_checks()])
    try:
        checks = selected_checks(select=select, ignore=ignore)
    except ValueError as error:
        raise RegistrationError(f"{function} ({spec.file}:{spec.line}): {error}") from None
    subject = Subjects(settings).of(spec)
    kind, seed, profile = "loss" if isinstance(spec, LossSpec) else "model", settings.seed, settings.profile.name
    place = "" if settings.device == DEFAULT_DEVICE else f", device={settings.device!r}"
    results, root, reading = [], Path.cwd(), Reading()
    for check in checks:
        if kind not in check.subjects:
            continue
        run = run_check(
            check,
            lambda check=check: decide(check, subject),  # type: ignore[misc]
            lambda: subject.passes,
            spec=spec,
            reading=reading,
            model=subject.name,
            nodeid=f"{subject.name}::{check.name}",
            root=root,
            rerun=f"{function}(..., select=[{check.name!r}], seed={seed}, profile={profile!r}{place})",
        )
        result = run.result
        if check.name in spec.expected_failures:
            result = replace(result, outcome=OF_EXPECTED.get(result.outcome, result.outcome))
        results.append(result)
    return Report(tuple(results))
