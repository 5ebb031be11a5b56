"""Fixtures for users' own tests. They work without ``--logit-checks``, and import torch only where one is used."""

from __future__ import annotations

import fnmatch
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pytest_logits.api import Report
    from pytest_logits.classifier import Classifier
    from pytest_logits.model import ModelSpec
    from pytest_logits.settings import Settings

NO_MODEL = "no model is registered: register one in conftest.py with @pytest_logits.register(...)"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test for each registered model, or for each check, where it asks for them."""
    if "logit_classifier" in metafunc.fixturenames:
        specs = _models_for(metafunc)
        if specs:
            # A scope of its own keeps the order of the tests; the fixture's, which Hypothesis looks at, is the session.
            metafunc.parametrize(
                "logit_classifier", specs, ids=[spec.name for spec in specs], indirect=True, scope="function"
            )
        else:
            nothing = pytest.param(None, id="none", marks=pytest.mark.skip(reason=NO_MODEL))
            metafunc.parametrize("logit_classifier", [nothing], indirect=True, scope="function")
    for mark in metafunc.definition.iter_markers("logit_parametrize"):
        from pytest_logits.parametrize import parameters

        try:
            metafunc.parametrize(("classifier", "check"), parameters(_settings(metafunc.config), **mark.kwargs))
        except ValueError as error:
            spec = mark.kwargs["specs"][0]
            pytest.fail(f"parametrize_with_checks ({spec.file}:{spec.line}): {error}", pytrace=False)


def _models_for(metafunc: pytest.Metafunc) -> list[ModelSpec]:
    """The models that the ini file names, that a conftest.py has registered, and those of the test's own module.

    Those of other test modules are left out: whether they are loaded depends on what else is collected.
    """
    from pytest_logits.model_registry import registered_models
    from pytest_logits.options import load_models

    config = metafunc.config
    try:
        by_option = load_models(config)
    except pytest.UsageError as error:
        pytest.fail(str(error), pytrace=False)
    named = [getattr(sys.modules.get(name), "__file__", None) for name in config.getini("logit_models")]
    whole = {Path(file).resolve() for file in named if file} | {metafunc.definition.path.resolve()}
    patterns = config.getini("python_files")

    def is_known_to_every_test(spec: ModelSpec) -> bool:
        if id(spec) in by_option or spec.file in whole or spec.file.name == "conftest.py":
            return True
        return not any(fnmatch.fnmatch(spec.file.name, pattern) for pattern in patterns)

    return [spec for spec in registered_models() if is_known_to_every_test(spec)]


def _settings(config: pytest.Config) -> Settings:
    """The session's settings; what is wrong with them is the failure of whoever asks."""
    from pytest_logits.options import settings_of

    try:
        return settings_of(config)
    except pytest.UsageError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def logit_classifier(request: pytest.FixtureRequest) -> Classifier:
    """A registered classifier, a ``pytest_logits.Classifier``; the test runs once for each registered model."""
    from pytest_logits.classifier import Classifier
    from pytest_logits.subject import Subject

    spec = getattr(request, "param", None)
    if spec is None:
        pytest.fail("logit_classifier must be an argument of the test or of a fixture it uses", pytrace=False)
    subject = Subject(spec, _settings(request.config))
    return Classifier(lambda: subject)


@pytest.fixture(scope="session")
def check_classifier(pytestconfig: pytest.Config) -> Callable[..., Report]:
    """``pytest_logits.check_classifier`` with the session's seed and profile, where none is given."""
    import functools

    from pytest_logits import api

    settings = _settings(pytestconfig)
    return functools.partial(api.check_classifier, seed=settings.seed, profile=settings.profile.name)


@pytest.fixture(scope="session")
def separable_batch(pytestconfig: pytest.Config) -> Callable[..., tuple[Any, Tensor]]:
    """A function: ``separable_batch(input_shape=(10,), num_classes=3)`` gives inputs and labels that can be told apart.

    It takes the arguments of ``register`` that say what the inputs are, ``num_classes`` and ``task``, and gives what
    ``pytest_logits.Classifier.separable_batch`` gives: inputs in the default dtype, and labels, int64 (N,) or multi-hot
    (N, K). The same arguments give the same batch; the session's seed gives another.
    """
    from pytest_logits.classifier import separable_batch_of
    from pytest_logits.model import caller

    settings = _settings(pytestconfig)

    def separable_batch(**arguments: Any) -> tuple[Any, Tensor]:
        __tracebackhide__ = True
        file, line = caller(1)
        return separable_batch_of(settings, arguments, file=file, line=line)

    return separable_batch


@pytest.fixture
def logit_seed(request: pytest.FixtureRequest) -> int:
    """A seed below 2**63 for this test, derived from the session's seed and the test's id."""
    from pytest_logits.settings import derive_seed

    return derive_seed(_settings(request.config).seed, request.node.nodeid)
