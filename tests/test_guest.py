"""A user's own tests give the same results with the checks and without them: outcomes, texts, numbers, warnings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_logits.guard import preserved_state
from pytest_logits.model_registry import isolated

CHECKS = "output_shape_is_stable,evaluation_is_deterministic,loss_decreases_on_separable_data"
INI = """
[pytest]
filterwarnings =
    default::UserWarning
    error::DeprecationWarning
    ignore:nobody:UserWarning
"""
# The second model meddles with all that the tests look at, the third raises, the fourth is an object that a test uses.
CONFTEST = """
import json
import os
import random
import sys
import warnings

import numpy
import pytest
import torch
import pytest_logits

random.seed(0)
numpy.random.seed(0)
torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
net = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.BatchNorm1d(2)).eval()
given = dict(input_shape=(4,), num_classes=2)


@pytest_logits.register(**given)
def plain():
    return torch.nn.Linear(4, 2)


class Net(torch.nn.Linear):
    def forward(self, x):
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(2)
        torch.set_grad_enabled(False)
        random.seed(1)
        numpy.random.seed(1)
        warnings.simplefilter("ignore")
        warnings.warn("of the model", stacklevel=1)
        os.environ["MEDDLED"] = "1"
        os.chdir("..")
        sys.path.insert(0, "nowhere")
        print("from the model")
        return super().forward(x.to(self.weight.dtype))


pytest_logits.register(lambda: Net(4, 2), name="meddling", **given)
pytest_logits.register(lambda: 1 / 0, name="raising", **given)
pytest_logits.register(net, name="object", **given)
seen, warned = [], []


def pytest_runtest_logreport(report):
    if "test_own" in report.nodeid:
        seen.append([report.nodeid, report.when, report.outcome, report.sections, report.longreprtext])


def pytest_warning_recorded(warning_message, when, nodeid):
    if "test_own" in nodeid:
        warned.append([str(warning_message.message), when, nodeid])


def pytest_sessionfinish(session, exitstatus):
    with open(session.config.rootpath / "seen.json", "w") as file:
        json.dump({"reports": seen, "warnings": warned, "failed": session.testsfailed}, file)
"""
OWN = """
import gc
import logging
import os
import random
import signal
import sys
import threading
import warnings

import numpy
import pytest
import torch
from hypothesis import given, settings, strategies as st

AT_IMPORT = torch.rand(2).tolist(), random.random(), numpy.random.rand()


def draw():
    print(torch.rand(2).tolist(), random.random(), numpy.random.rand(), torch.randn(1).dtype)


def test_draws_at_import(): print(AT_IMPORT)


def test_draws(): draw()


class TestMore:
    @pytest.mark.parametrize("number", range(3))
    def test_draws_again(self, number): draw()


def test_fails():
    drawn = torch.rand(2).tolist(), random.random()
    assert drawn == 0


def test_trains():
    model = torch.nn.Linear(4, 2)
    torch.nn.functional.cross_entropy(model(torch.rand(3, 4)), torch.tensor([0, 1, 0])).backward()
    print(model.weight.grad.tolist())


def test_uses_the_registered_object():
    from conftest import net
    print([value.tolist() for value in net.state_dict().values()], [m.training for m in net.modules()])
    print(net(torch.rand(2, 4)).tolist(), net[0].weight.grad)


def test_state():
    print(torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(), torch.initial_seed())
    print(os.getcwd() == os.path.dirname(__file__), sorted(os.environ.items() - {"PYTEST_CURRENT_TEST": 0}.items()))
    print(sys.path, warnings.filters, logging.root.level, logging.root.handlers == [], gc.isenabled(), sys.gettrace())
    print([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)])
    print([thread.name for thread in threading.enumerate()])


def test_warns(): warnings.warn("of the test", UserWarning)


def test_warns_of_nobody(): warnings.warn("nobody hears this", UserWarning)


def test_warns_of_what_is_an_error(): warnings.warn("old", DeprecationWarning)


@settings(derandomize=True, max_examples=5, database=None)
@given(st.integers())
def test_draws_by_hypothesis(number): print(number)


@pytest.fixture
def broken(): raise OSError("of the fixture")


def test_with_a_broken_fixture(broken): pass


@pytest.mark.skip(reason="not now")
def test_skipped(): pass


@pytest.mark.xfail(strict=True)
def test_expected_to_fail(): assert False


def test_captures(capsys, caplog, monkeypatch, tmp_path):
    logging.getLogger("own").warning("logged")
    monkeypatch.setenv("OWN", "1")
    print("heard")
    print(capsys.readouterr(), caplog.messages, list(tmp_path.iterdir()))
"""


def results(pytester: pytest.Pytester, *args: str) -> tuple[dict[str, Any], int]:
    """What becomes of the user's tests, and how many items of the plugin's have failed."""
    with preserved_state(), isolated():
        result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:randomly", *args)
    found = json.loads((pytester.path / "seen.json").read_text(encoding="utf-8"))
    assert "test_own.py::test_warns" in result.stdout.str()
    return found, found.pop("failed")


def test_the_users_tests_give_the_same_results_with_and_without_the_checks(pytester: pytest.Pytester):
    pytester.makeini(INI)
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_own=OWN)
    without, failed_without = results(pytester)
    with_checks, failed_with = results(pytester, "--logit-checks", "--logit-profile=quick", f"--logit-select={CHECKS}")
    assert failed_with > failed_without
    assert len({nodeid for nodeid, *_ in without["reports"]}) == 17
    assert [text for text, *_ in without["warnings"]] == ["of the test"]
    assert with_checks == without
