"""The checks outside pytest: ``check_classifier`` and ``check_loss`` return a report to print or raise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_logits.check_registry import all_checks
from pytest_logits.finding import Outcome, Result
from pytest_logits.model import LossSpec, Spec, caller, make_loss_spec, make_spec, nearest, require_known_checks
from pytest_logits.placing import device_of
from pytest_logits.report import failure_text
from pytest_logits.runner import decide, run_check
from pytest_logits.selection import selected_checks
from pytest_logits.settings import DEFAULT_DEVICE, DEFAULT_PROFILE, DEFAULT_SEED, PROFILES, Settings
from pytest_logits.subjects import Subjects

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
        return "\n".join([*table, *(f"\n{failure_text(r)}" for r in self._failures)])

    @property
    def _failures(self) -> list[Result]:
        return [r for r in self.results if r.outcome in ("failed", "error", "xpassed")]

    def raise_for_failures(self) -> None:
        """Raise :class:`ChecksFailed` if a check failed or the model raised; advice and skips are no failures.

        A check of ``expected_failures`` may fail, and must not pass.
        """
        __tracebackhide__ = True
        if self._failures:
            raise ChecksFailed("\n\n".join(failure_text(r) for r in self._failures))


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
        RegistrationError: an argument of ``register`` is wrong.
        ValueError: profile, device, select or ignore name something unknown.
    """
    file, line = caller(1)
    if getattr(model_or_factory, "__name__", "") == "<lambda>":
        arguments = {"name": "model", **arguments}
    settings = _settings(seed, profile, device)
    spec = make_spec(model_or_factory, file=file, line=line, arguments=arguments)
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
        RegistrationError: an argument of ``register_loss`` is wrong.
        ValueError: profile, device, select or ignore name something unknown.
    """
    file, line = caller(1)
    if getattr(loss, "__name__", "") == "<lambda>":
        arguments = {"name": "loss", **arguments}
    settings = _settings(seed, profile, device)
    spec = make_loss_spec(loss, file=file, line=line, arguments=arguments)
    return _report(spec, settings, "check_loss", select=select, ignore=ignore)


def _settings(seed: int, profile: str, device: str) -> Settings:
    if profile not in PROFILES:
        raise ValueError(f"profile={profile!r} is not known; {nearest(profile, PROFILES)}")
    try:
        device_of(device)
    except ValueError as error:
        raise ValueError(f"device={error}") from None
    return Settings(seed=seed, profile=PROFILES[profile], device=device)


def _report(spec: Spec, settings: Settings, function: str, *, select: Iterable[str], ignore: Iterable[str]) -> Report:
    require_known_checks(spec, [check.name for check in all_checks()])
    subject = Subjects(settings).of(spec)
    kind, seed, profile = "loss" if isinstance(spec, LossSpec) else "model", settings.seed, settings.profile.name
    place = "" if settings.device == DEFAULT_DEVICE else f", device={settings.device!r}"
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
            rerun=f"{function}(..., select=[{check.name!r}], seed={seed}, profile={profile!r}{place})",
        )
        expected = OF_EXPECTED if check.name in spec.expected_failures else {}
        results.append(replace(run.result, outcome=expected.get(run.result.outcome, run.result.outcome)))
    return Report(tuple(results))
