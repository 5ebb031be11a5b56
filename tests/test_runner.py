from __future__ import annotations

import dataclasses
import random
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_logits import runner
from pytest_logits.causes import cause
from pytest_logits.check_registry import Check
from pytest_logits.finding import Location, Passes, Verdict, passed
from pytest_logits.limits import Limit
from pytest_logits.model import make_spec
from pytest_logits.runner import Run, decide, relative, reproduce, run_check
from pytest_logits.settings import PROFILES, Settings
from pytest_logits.subject import Subject
from tests.zoo import sound

CHECK = Check(name="a_check", claim="the claim", tags=("outputs",), function=lambda subject: passed("m"), doc="Doc.")


def run(verdict_of: Any, *, root: Path = Path("/root"), passes: Any = Passes, **arguments: Any) -> Run:
    options: dict[str, Any] = {"model": "net", "nodeid": "conftest.py::net::a_check", "rerun": "pytest"}
    return run_check(CHECK, verdict_of, passes, root=root, **{**options, **arguments})


def test_a_verdict_becomes_a_result():
    verdict = Verdict(outcome="failed", cause="bounded_logits", measured="measured")
    made = run(lambda: verdict)
    assert made.error is None
    result = made.result
    assert (result.nodeid, result.model, result.check) == ("conftest.py::net::a_check", "net", "a_check")
    assert (result.claim, result.outcome, result.verdict) == ("the claim", "failed", verdict)
    assert result.fix == cause("bounded_logits").fix
    assert result.seconds >= 0


def test_without_a_cause_there_is_no_fix():
    assert run(lambda: passed("all is well")).result.fix == ""


@pytest.mark.parametrize("error", [RuntimeError("shapes"), SystemExit(3), AssertionError("mine")])
def test_an_exception_is_an_error_and_no_verdict(error: BaseException):
    def raises() -> Verdict:
        raise error

    made = run(raises)
    assert made.error is error
    assert made.result.outcome == "error"
    assert made.result.verdict.cause is None
    assert made.result.verdict.measured == f"{type(error).__name__}: {error}"


def test_an_interrupt_is_not_swallowed():
    with pytest.raises(KeyboardInterrupt):
        run(lambda: signal.raise_signal(signal.SIGINT))


def test_an_interrupt_that_the_model_raises_is_an_error():
    def raises() -> Verdict:
        raise KeyboardInterrupt("mine")

    made = run(raises)
    assert (made.result.outcome, made.result.verdict.measured) == ("error", "KeyboardInterrupt: mine")
    assert isinstance(made.error, RuntimeError)


def test_an_error_has_the_users_line():
    def raises() -> Verdict:
        raise ZeroDivisionError

    place = run(raises, root=Path(__file__).parent).result.verdict.location
    assert place is not None
    assert (place.file, place.note) == (Path(__file__).name, "in raises")


def test_what_does_not_finish_is_an_error_with_the_users_line():
    def spins() -> Verdict:
        while True:
            pass

    made = run(spins, limit=Limit(0.05))
    lines = [spins.__code__.co_firstlineno + 1, spins.__code__.co_firstlineno + 2]
    words = [f"did not finish in 0.05 s at test_runner.py:{line} in spins" for line in lines]
    assert made.result.outcome == "error"
    assert made.result.verdict.measured in words
    assert isinstance(made.error, TimeoutError)


def test_passes_that_cannot_be_counted_are_an_error():
    """A loss that cannot be made raises where its passes are asked for."""

    def passes() -> Passes:
        raise ZeroDivisionError("mine")

    assert run(lambda: passed("m"), passes=passes).result.verdict.measured == "ZeroDivisionError: mine"


def unasked() -> Any:
    raise AssertionError("the model is asked")


def test_where_what_the_check_needs_is_not_registered_nothing_is_asked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(runner, "Reading", unasked)
    needing = dataclasses.replace(CHECK, needs="predict")
    arguments: dict[str, Any] = {"num_classes": 2, "input_shape": (4,)}
    spec = make_spec(unasked, file=Path("conftest.py"), line=1, arguments=arguments)
    limit = Limit(1e-9)
    made = run_check(
        needing, unasked, unasked, spec=spec, model="net", nodeid="id", root=Path("/root"), rerun="", limit=limit
    )
    assert (made.result.outcome, made.result.verdict.measured) == ("not_applicable", "no predict= is registered")
    assert made.result.passes == Passes()
    assert decide(needing, Subject(spec, Settings())) == made.result.verdict
    with_predict = dataclasses.replace(spec, predict=unasked)
    assert runner.inapplicable(needing, with_predict) is None


@pytest.mark.parametrize("fails", [False, True])
def test_the_process_is_left_as_it_was(fails: bool):
    def verdict_of() -> Verdict:
        torch.manual_seed(1)
        random.seed(1)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        if fails:
            raise ZeroDivisionError
        return passed("m")

    before = torch.random.get_rng_state(), random.getstate()
    run(verdict_of)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert (torch.is_grad_enabled(), torch.get_default_dtype()) == (True, torch.float32)


def test_the_passes_are_those_of_this_check():
    counted = iter([Passes(forward=5, backward=2), Passes(forward=12, backward=3)])
    assert run(lambda: passed("m"), passes=lambda: next(counted)).result.passes == Passes(forward=7, backward=1)


def test_a_location_below_the_root_is_relative(tmp_path: Path):
    place = Location(file=str(tmp_path / "spam" / "net.py"), line=3, code="x", note="n")
    result = run(lambda: Verdict(outcome="failed", measured="m", location=place), root=tmp_path).result
    assert result.verdict.location == Location(file="spam/net.py", line=3, code="x", note="n")


def test_a_file_elsewhere_stays_as_it_is(tmp_path: Path):
    assert relative("/usr/lib/net.py", tmp_path) == "/usr/lib/net.py"
    assert relative(str(tmp_path / "net.py"), tmp_path) == "net.py"


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        (Settings(), []),
        (Settings(seed=7), ["--logit-seed=7"]),
        (Settings(profile=PROFILES["quick"]), ["--logit-profile=quick"]),
        (Settings(seed=7, profile=PROFILES["thorough"]), ["--logit-seed=7", "--logit-profile=thorough"]),
        (Settings(threads=4), []),
    ],
)
def test_the_command_runs_one_item_with_the_same_settings(settings: Settings, options: list[str]):
    assert shlex.split(reproduce("a.py::net::x", settings)) == ["pytest", "--logit-checks", "a.py::net::x", *options]


@pytest.mark.parametrize("nodeid", ["my models/conftest.py::net::x", "a.py::net::x[1 & 2]", "a.py::'$net'::x"])
def test_the_command_can_be_pasted(nodeid: str):
    assert shlex.split(reproduce(nodeid, Settings()))[2] == nodeid


def test_the_command_names_the_id_to_paste_and_what_else_it_needs():
    command = reproduce("logits::generated::a_check", Settings(), ("--logit-model=a:b",))
    assert command == "pytest --logit-checks logits::generated::a_check --logit-model=a:b"


def test_a_result_carries_the_command_that_it_was_given():
    result = run(lambda: passed("m"), rerun="pytest --logit-checks here").result
    assert (result.nodeid, result.reproduce) == ("conftest.py::net::a_check", "pytest --logit-checks here")


def test_a_check_is_decided_with_the_threads_that_suit_the_model():
    spec = make_spec(
        lambda: sound.MLP(2),
        file=Path(__file__),
        line=1,
        arguments={"input_shape": (10,), "num_classes": 2} | {"name": "net"},
    )
    seen: list[int] = []

    def function(subject: Subject) -> Verdict:
        seen.append(torch.get_num_threads())
        return passed("m")

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        check = Check(name="a_check", claim="c", tags=("outputs",), function=function, doc="Doc.")
        assert runner.decide(check, Subject(spec, Settings())).outcome == "passed"
        assert (seen, torch.get_num_threads()) == ([1], 3)
    finally:
        torch.set_num_threads(before)
