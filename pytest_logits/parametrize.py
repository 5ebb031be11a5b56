"""``parametrize_with_checks``: a test of the user's own for each model and each check."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_logits.check_registry import Check, all_checks
from pytest_logits.classifier import Classifier
from pytest_logits.finding import LogitFailure, Result
from pytest_logits.limits import Limit
from pytest_logits.model import ModelSpec, RegistrationError, caller, make_spec, require_known_checks
from pytest_logits.report import failure_text, skip_reason
from pytest_logits.runner import decide, run_check
from pytest_logits.selection import selected_checks
from pytest_logits.settings import Settings
from pytest_logits.sparkline import shows_blocks
from pytest_logits.subjects import Subjects


class CheckOfTest:
    """A check as a parametrized test gets it, to be called with the classifier."""

    def __init__(self, check: Check, limit: Limit) -> None:
        self._check = check
        self._limit = limit
        self.name = check.name

    def __repr__(self) -> str:
        return f"<check {self.name}>"

    def __call__(self, classifier: Classifier) -> Result:
        """Run the check and return its result, where it has passed or has advice.

        Raises:
            LogitFailure: the check has failed; the finding is the message.
            pytest.skip.Exception: the evidence does not decide, or the property says nothing about the classifier.
            Exception: whatever the model raised.
        """
        __tracebackhide__ = True
        subject = classifier.subject
        run = run_check(
            self._check,
            lambda: decide(self._check, subject),
            lambda: subject.passes,
            spec=subject.spec,
            model=subject.name,
            nodeid=f"{subject.name}::{self.name}",
            root=Path.cwd(),
            rerun="",
            limit=self._limit,
        )
        if run.error is not None:
            raise run.error
        if run.result.outcome == "failed":
            raise LogitFailure(failure_text(run.result, blocks=shows_blocks()))
        # Advice is neither the failure that was expected nor its absence.
        undecided = run.result.outcome == "advice" and self.name in subject.spec.expected_failures
        if undecided or run.result.outcome in ("inconclusive", "not_applicable"):
            raise pytest.skip.Exception(skip_reason(run.result), _use_item_location=True)
        return run.result


def parametrize_with_checks(
    models: Sequence[Any], /, *, select: Iterable[str] = (), ignore: Iterable[str] = (), **arguments: Any
) -> pytest.MarkDecorator:
    """Parametrize a test with classifiers and the checks that are to hold of them.

    The test takes two arguments of these names and calls one with the other::

        @pytest_logits.parametrize_with_checks([SmallNet, LargeNet], input_shape=(10,), num_classes=2)
        def test_checks(classifier, check):
            check(classifier)

    It runs once for each model and check, ``test_checks[SmallNet-outputs_are_logits]``, with the session's seed and
    profile, checks of your own included. A check that fails raises ``LogitFailure``; one that does not decide or apply
    is a skip. Those of ``expected_failures`` are xfail, strictly.

    Args:
        models: factories as for ``register``, or modules, which are copied and never changed.
        select: names or tags of the checks to run; by default all.
        ignore: names or tags of the checks to leave out.
        **arguments: the arguments of :func:`pytest_logits.register`, the same for each model.

    Raises:
        RegistrationError: an argument is wrong; says which, with the caller's file and line.
    """
    __tracebackhide__ = True
    file, line = caller(1)
    if not isinstance(models, list | tuple) or not models:
        raise RegistrationError(
            f"parametrize_with_checks ({file}:{line}): it takes a list of factories or modules, such as [SmallNet]"
        )
    if "name" in arguments and len(models) > 1:
        raise RegistrationError(f"parametrize_with_checks ({file}:{line}): name= is for one model; there are several")
    specs: list[ModelSpec] = []
    named: Counter[str] = Counter()
    for model in models:
        default = {"name": "model"} if getattr(model, "__name__", "") == "<lambda>" else {}
        spec = make_spec(model, file=file, line=line, arguments={**default, **arguments})
        named[spec.name] += 1
        number = named[spec.name]
        specs.append(spec if number == 1 else dataclasses.replace(spec, name=f"{spec.name}_{number}"))
    return pytest.mark.logit_parametrize(specs=specs, select=select, ignore=ignore)


def parameters(
    settings: Settings, *, specs: Iterable[ModelSpec], select: Iterable[str], ignore: Iterable[str]
) -> list[Any]:
    """The parameter sets (classifier, check) of one test.

    Raises:
        ValueError: select, ignore or expected_failures name a check that there is not.
    """
    checks = [check for check in selected_checks(select=select, ignore=ignore) if "model" in check.subjects]
    known = [check.name for check in all_checks()]
    subjects, made = Subjects(settings), []
    for spec in specs:
        require_known_checks(spec, known)
        classifier, limit = Classifier(functools.partial(subjects.of, spec)), Limit(settings.timeout)
        for check in checks:
            reason = spec.expected_failures.get(check.name)
            marks = []
            if reason is not None:
                marks.append(pytest.mark.xfail(reason=reason, raises=LogitFailure, strict=True))
            made.append(
                pytest.param(classifier, CheckOfTest(check, limit), id=f"{spec.name}-{check.name}", marks=marks)
            )
    return made
