"""A check of the user's own: how it is declared, and how it takes part in a run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pytest_logits
from pytest_logits import RegistrationError
from pytest_logits.check_registry import Check, all_checks
from pytest_logits.own_checks import check
from tests import versions

CONFTEST = """
    import torch
    import pytest_logits

    @pytest_logits.register(input_shape=(4,), num_classes=3)
    def net():
        return torch.nn.Linear(4, 3)
"""
OWN = (
    CONFTEST
    + """
    @pytest_logits.check(claim="the logits are small", tags=("own", "size"))
    def logits_are_small(classifier):
        '''Scores of a fresh copy are below {limit}.'''
        logits = classifier.logits(classifier.make(), classifier.inputs(8))
        largest = round(float(logits.abs().max().detach()), 4)
        assert largest < {limit}
"""
)


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("--logit-checks", *args)


def record(pytester: pytest.Pytester, *args: str) -> dict[str, Any]:
    run(pytester, "--logit-select=own", "--logit-report=out.json", *args)
    (only,) = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))["results"]
    return dict(only)


@pytest.fixture
def declared(pytester: pytest.Pytester) -> Callable[[str], pytest.Pytester]:
    """A repository with one model and one check of its own, whose last lines are given."""

    def make(body: str) -> pytest.Pytester:
        lines = "\n".join(f"        {line}" for line in body.splitlines())
        head = '\n    @pytest_logits.check(claim="it holds")\n    def own_check(classifier):\n'
        pytester.makeconftest(CONFTEST + head + lines)
        return pytester

    return make


# Declaring


def declare(name: str = "own_check", doc: str | None = None, **arguments: Any) -> Check:
    def function(classifier: Any) -> None:
        return None

    function.__name__, function.__doc__ = name, doc
    check(**{"claim": "it holds", **arguments})(function)
    return {c.name: c for c in all_checks()}[name]


def test_the_decorator_returns_the_function():
    def own_check(classifier: Any) -> None:
        return None

    assert check(claim="it holds")(own_check) is own_check


def test_a_declared_check_is_one_of_all():
    made = declare(doc="Its page.", tags=("own", "size"))
    assert (made.name, made.claim, made.tags, made.doc) == ("own_check", "it holds", ("own", "size"), "Its page.")


def test_a_declared_check_knows_its_place():
    place = declare().declared
    assert place is not None
    assert place[0] == Path(__file__)


def test_without_a_docstring_the_claim_is_the_page():
    assert declare().doc == "It holds."


def test_one_tag_needs_no_tuple():
    assert declare(tags="size").tags == ("size",)


def test_the_tag_is_own_where_none_is_given():
    assert declare().tags == ("own",)


def test_it_comes_after_those_that_ship():
    declare()
    assert all_checks()[-1].name == "own_check"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "outputs_are_logits"}, "a check that ships has this name"),
        ({"name": "softmax_before_cross_entropy"}, "neither a cause nor a tag"),
        ({"name": "learning"}, "neither a cause nor a tag"),
        ({"name": "<lambda>"}, "the name must be a word"),
        ({"claim": " "}, "claim= must say in words what holds"),
        ({"claim": 3}, "claim= must say in words what holds"),
        ({"tags": ()}, "tags= must be words"),
        ({"tags": ("two words",)}, "tags= must be words, such as ('own',); got ('two words',)"),
        ({"tags": "a,b"}, "tags= must be words"),
        ({"tags": ("own", "outputs_are_logits")}, "the tag 'outputs_are_logits' is the name of a check"),
    ],
    ids=str,
)
def test_a_wrong_declaration_is_told(arguments: dict[str, Any], said: str):
    with pytest.raises(RegistrationError) as raised:
        declare(**arguments)
    assert said in str(raised.value)


def test_a_wrong_declaration_is_told_with_its_place():
    with pytest.raises(RegistrationError) as raised:
        declare("outputs_are_logits")
    assert f"cannot declare check 'outputs_are_logits' ({__file__}:" in str(raised.value)


def test_a_function_takes_one_argument():
    with pytest.raises(RegistrationError, match="must take one argument, the classifier"):

        @check(claim="it holds")
        def own_check() -> None:
            return None


def test_a_name_is_taken_by_another_function():
    declare()
    with pytest.raises(RegistrationError, match=r"the name is taken by .*test_own_checks\.py"):

        @check(claim="it holds")
        def own_check(classifier: Any) -> None:
            return None


def test_a_module_that_is_imported_twice_declares_once():
    declare(doc="First.")
    declare(doc="Second.")
    assert [c.doc for c in all_checks() if c.name == "own_check"] == ["Second."]


def test_it_is_offered_at_the_top():
    assert pytest_logits.check is check


# Taking part


def test_it_is_an_item_of_each_model(pytester: pytest.Pytester):
    pytester.makeconftest(OWN.format(limit=100))
    lines = run(pytester, "--co", "-q").outlines
    assert "conftest.py::net::logits_are_small" in lines


def test_an_id_pasted_back_is_that_item_alone(pytester: pytest.Pytester):
    pytester.makeconftest(OWN.format(limit=100))
    run(pytester, "conftest.py::net::logits_are_small").assert_outcomes(passed=1)


@pytest.mark.parametrize("word", ["logits_are_small", "size"])
def test_it_is_selected_by_name_and_tag(pytester: pytest.Pytester, word: str):
    pytester.makeconftest(OWN.format(limit=100))
    run(pytester, f"--logit-select={word}").assert_outcomes(passed=1)


def test_it_is_ignored_by_name(pytester: pytest.Pytester):
    pytester.makeconftest(OWN.format(limit=100))
    assert "logits_are_small" not in run(pytester, "--co", "-q", "--logit-ignore=size").stdout.str()


def test_it_is_listed(pytester: pytest.Pytester):
    pytester.makeconftest(OWN.format(limit=100))
    result = pytester.runpytest_inprocess("--logit-list")
    result.stdout.fnmatch_lines(["own", "  logits_are_small  the logits are small", "*data, own, size."])


def test_it_is_explained(pytester: pytest.Pytester):
    pytester.makeconftest(OWN.format(limit=100))
    result = pytester.runpytest_inprocess("--logit-explain", "logits_are_small")
    result.stdout.fnmatch_lines(["claims that the logits are small", "Scores of a fresh copy are below 100."])


def test_one_of_a_module_that_the_ini_file_names_is_listed(pytester: pytest.Pytester):
    pytester.makepyfile(more=OWN.format(limit=100))
    pytester.makeini("[pytest]\nlogit_models = more")
    pytester.runpytest_inprocess("--logit-list").stdout.fnmatch_lines(["  logits_are_small *"])


def test_one_of_a_module_that_the_ini_file_names_runs(pytester: pytest.Pytester):
    pytester.makepyfile(more=OWN.format(limit=100))
    pytester.makeini("[pytest]\nlogit_models = more")
    run(pytester, "--logit-select=logits_are_small").assert_outcomes(passed=1)


def test_one_of_a_plugin_runs(pytester: pytest.Pytester):
    pytester.makeconftest(CONFTEST)
    pytester.syspathinsert()
    pytester.makepyfile(own_plugin=OWN.format(limit=100).replace(CONFTEST, "    import pytest_logits\n"))
    run(pytester, "-p", "own_plugin", "--logit-select=logits_are_small").assert_outcomes(passed=1)


def test_one_that_is_declared_after_the_start_is_an_error(pytester: pytest.Pytester):
    pytester.makepyfile(test_late=OWN.format(limit=100))
    result = run(pytester)
    result.stderr.fnmatch_lines(
        ["ERROR: check 'logits_are_small' (*test_late.py:*) is declared too late to take part; *"]
    )


def test_one_that_ships_is_not_shadowed(pytester: pytest.Pytester):
    pytester.makeconftest(OWN.format(limit=100).replace("def logits_are_small", "def outputs_are_logits"))
    result = run(pytester)
    assert "a check that ships has this name; give the function another" in result.stderr.str()


def test_without_models_it_runs_on_generated_ones(pytester: pytest.Pytester):
    pytester.makeconftest(OWN.format(limit="float('inf')").replace(CONFTEST, "    import pytest_logits\n"))
    run(pytester, "logits::generated::logits_are_small", "--logit-profile=quick").assert_outcomes(passed=1)


def test_its_failure(pytester: pytest.Pytester, snapshot: Any):
    pytester.makeconftest(OWN.format(limit=0.5))
    result = run(pytester, "--logit-select=size")
    text = result.stdout.str()
    assert text[text.index("logits_are_small does not") : text.index("\n=====", text.index("rerun"))] == snapshot


def test_its_failure_is_in_the_json_report(pytester: pytest.Pytester):
    pytester.makeconftest(OWN.format(limit=0.5))
    found = record(pytester)
    assert (found["check"], found["outcome"], found["claim"]) == ("logits_are_small", "failed", "the logits are small")
    assert found["location"] == {"file": "conftest.py", "line": 13}


def test_its_failure_may_be_expected(pytester: pytest.Pytester):
    expected = 'num_classes=3, expected_failures={"logits_are_small": "known"}'
    pytester.makeconftest(OWN.format(limit=0.5).replace("num_classes=3", expected))
    run(pytester, "--logit-select=size").assert_outcomes(xfailed=1)


def test_an_expected_failure_that_no_check_has_is_an_error(pytester: pytest.Pytester):
    expected = 'num_classes=3, expected_failures={"logits_are_smal": "known"}'
    pytester.makeconftest(OWN.format(limit=0.5).replace("num_classes=3", expected))
    result = run(pytester)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert "expected_failures names 'logits_are_smal', which is no check; did you mean 'logits_are_small'?" in (
        result.stdout.str()
    )


def test_outside_pytest_it_takes_part(pytester: pytest.Pytester):
    declare()
    (result,) = pytest_logits.check_classifier(_linear, input_shape=(4,), num_classes=2, select=["own_check"])
    assert result.outcome == "passed"


def _linear() -> Any:
    import torch

    return torch.nn.Linear(4, 2)


# Verdicts


@pytest.mark.parametrize(
    ("body", "outcome", "measured"),
    [
        ("pass", "passed", "every assertion of the check holds"),
        ("return pytest_logits.passed('it is 4')", "passed", "it is 4"),
        ("return pytest_logits.failed('it is 3', expected='4')", "failed", "it is 3"),
        ("return pytest_logits.failed('it is 3', cause='bounded_logits')", "failed", "it is 3"),
        ("return pytest_logits.advice('it is 3')", "advice", "it is 3"),
        ("return pytest_logits.inconclusive('it is 3.5')", "inconclusive", "it is 3.5"),
        ("return pytest_logits.not_applicable('it has none')", "not_applicable", "it has none"),
        ("assert 3 == 4", "failed", "assert 3 == 4"),
        ("assert 3 == 4, 'three'", "failed", "three"),
        ("raise AssertionError", "failed", "raise AssertionError"),
        ("return 3", "error", "TypeError: check 'own_check' must return a verdict or None; it returned int"),
        (
            "return pytest_logits.failed('it is 3', cause='bounded_logit')",
            "error",
            "ValueError: check 'own_check' names the cause 'bounded_logit'; did you mean 'bounded_logits'?",
        ),
        (
            "return pytest_logits.Verdict(outcome='xpassed', measured='')",
            "error",
            "ValueError: check 'own_check' gave the outcome 'xpassed'; "
            "it is one of: passed, failed, advice, inconclusive, not_applicable",
        ),
        ("raise KeyError('own')", "error", "KeyError: 'own'"),
        ("import pytest; pytest.skip('not today')", "not_applicable", "not today"),
    ],
)
def test_what_it_says_becomes_the_outcome(
    declared: Callable[[str], pytest.Pytester], body: str, outcome: str, measured: str
):
    found = record(declared(body))
    assert (found["outcome"], found["measured"]) == (outcome, measured)


def test_the_whole_text_of_an_assertion_is_evidence(declared: Callable[[str], pytest.Pytester]):
    found = record(declared("assert classifier.num_classes == 4"))
    assert found["measured"] == "assert 3 == 4"
    assert "where 3 = <Classifier net>.num_classes" in found["evidence"]["assertion"]


def test_the_counterexample_of_hypothesis_is_told(declared: Callable[[str], pytest.Pytester]):
    # Hypothesis adds the line to reproduce where CI is set, and not elsewhere.
    body = (
        "from hypothesis import given, settings, strategies as st\n"
        "@settings(database=None, derandomize=True, print_blob=False)\n"
        "@given(st.integers(0, 9))\n"
        "def holds(number):\n"
        "    assert number < 7\n"
        "holds()"
    )
    found = record(declared(body))
    assert found["outcome"] == "failed"
    # What this version explains as well depends on what else it has traced.
    explained = "(; Explanation:.*)?" if versions.HYPOTHESIS_6_100 else ""
    assert re.fullmatch(rf"assert 7 < 7; .*: holds\( number=7, \){explained}", found["measured"])
    assert found["location"]["line"] == 14


ASSERTING = CONFTEST.replace(
    "return torch.nn.Linear(4, 3)",
    """
        class Net(torch.nn.Linear):
            def forward(self, x):
                assert x.ndim == 3, "the model's own"
                return super().forward(x)
        return Net(4, 3)
""",
)


@pytest.mark.parametrize(
    "call", ["classifier.logits(model, classifier.inputs())", "model(classifier.inputs())"], ids=["ours", "its own"]
)
def test_an_assertion_of_the_models_is_an_error(pytester: pytest.Pytester, call: str):
    check = f"""
    @pytest_logits.check(claim="it holds")
    def own_check(classifier):
        model = classifier.make()
        {call}
"""
    pytester.makeconftest(ASSERTING + check)
    found = record(pytester)
    assert (found["outcome"], found["measured"].splitlines()[0]) == ("error", "AssertionError: the model's own")
