"""parametrize_with_checks: a test of the user's own for each model and each check."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import pytest_logits
from pytest_logits import RegistrationError
from pytest_logits.check_registry import all_checks

MODULE = """
    import pytest
    import pytest_logits
    from torch import nn

    class Small(nn.Linear):
        def __init__(self): super().__init__(4, 3)

    class Faulty(Small):
        def forward(self, x): return super().forward(x).softmax(1)

    class Raises(Small):
        def forward(self, x): raise KeyError("my own mistake")

    @pytest_logits.parametrize_with_checks([{models}], input_shape=(4,), num_classes=3{more})
    def test_checks(classifier, check):
        {body}
"""


@pytest.fixture
def module(pytester: pytest.Pytester) -> Any:
    def make(models: str, more: str = "", body: str = "check(classifier)") -> pytest.Pytester:
        pytester.makepyfile(test_own=MODULE.format(models=models, more=more, body=body))
        return pytester

    return make


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*args)


def ids(pytester: pytest.Pytester) -> list[str]:
    return [line.partition("::")[2] for line in run(pytester, "--co", "-q").outlines if "::" in line]


SHAPE = ', select=["output_shape_is_stable"]'


def test_a_test_runs_for_each_model_and_check(module: Any):
    assert ids(module("Small, Faulty")) == [
        f"test_checks[{model}-{check.name}]" for model in ("Small", "Faulty") for check in all_checks()
    ]


@pytest.mark.parametrize(
    ("models", "names"),
    [
        ("Small()", ["Small"]),
        ("lambda: Small()", ["model"]),
        ("Small, Small, Faulty, Small()", ["Small", "Small_2", "Faulty", "Small_3"]),
    ],
)
def test_ids_are_readable(module: Any, models: str, names: list[str]):
    assert ids(module(models, SHAPE)) == [f"test_checks[{name}-output_shape_is_stable]" for name in names]


def test_one_model_may_be_named(module: Any):
    assert ids(module("Small", SHAPE + ', name="net"')) == ["test_checks[net-output_shape_is_stable]"]


def test_an_id_pasted_back_is_that_test_alone(module: Any):
    run(module("Small"), "test_own.py::test_checks[Small-output_shape_is_stable]").assert_outcomes(passed=1)


@pytest.mark.parametrize("option", ["", "--logit-checks"])
def test_verdicts_become_outcomes(module: Any, option: str):
    chosen = ', select=["outputs_are_logits", "output_shape_is_stable", "predictions_match_logits"]'
    result = run(module("Small, Faulty", chosen), "test_own.py", *option.split(), "-k", "test_checks")
    result.assert_outcomes(passed=3, failed=1, skipped=2)


def test_a_failure_is_the_finding_at_the_users_line(module: Any):
    shown = run(module("Faulty", ', select=["outputs_are_logits"]')).stdout
    shown.fnmatch_lines(
        [
            ">       check(classifier)",
            "E       pytest_logits.finding.LogitFailure: softmax_before_cross_entropy at test_own.py:9",
            "test_own.py:16: LogitFailure",
        ]
    )


def test_a_skip_has_the_line_of_the_test(module: Any):
    shown = run(module("Small", ', select=["predictions_match_logits"]'), "-rs").stdout
    shown.fnmatch_lines(["SKIPPED [[]1[]] test_own.py:14: not applicable: no predict= is registered"])


def test_an_exception_of_the_model_is_shown(module: Any):
    result = run(module("Raises", SHAPE))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E * KeyError: 'my own mistake'"])


def test_a_check_returns_its_result(module: Any):
    pytester = module("Small", SHAPE, body="assert check(classifier).outcome == 'passed' and check.name in repr(check)")
    run(pytester).assert_outcomes(passed=1)


def test_learning_checks_share_a_run(module: Any):
    body = "result = check(classifier); print('passes', result.passes.backward)"
    shown = run(module("Small", ', select=["learning"], ignore=["exact"]', body=body), "-s").stdout.str()
    counts = [int(line.split()[-1]) for line in shown.splitlines() if line.startswith((".passes", "passes", "s"))]
    assert sum(count > 0 for count in counts) <= 1


EXPECTED = ', select=["outputs_are_logits"], expected_failures={"outputs_are_logits": "known"}'


def test_an_expected_failure_is_xfail(module: Any):
    result = run(module("Faulty", EXPECTED), "-rx")
    result.assert_outcomes(xfailed=1)
    result.stdout.fnmatch_lines(["XFAIL test_own.py::test_checks[[]Faulty-outputs_are_logits[]] - known"])


def test_an_expected_failure_that_passes_fails(module: Any):
    run(module("Small", EXPECTED)).assert_outcomes(failed=1)


def test_a_crash_is_never_an_expected_failure(module: Any):
    result = run(module("Raises", EXPECTED))
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E * KeyError: 'my own mistake'"])


@pytest.mark.parametrize("outcome", ["advice", "inconclusive", "not_applicable"])
def test_what_does_not_decide_is_neither_expected_nor_unexpected(module: Any, decides: Any, outcome: str):
    decides("outputs_are_logits", lambda subject: getattr(pytest_logits, outcome)("it is 3"))
    result = run(module("Small", EXPECTED), "-rs")
    result.assert_outcomes(skipped=1)
    assert f"{outcome.replace('_', ' ')}: it is 3" in result.stdout.str()


def test_the_sessions_seed_and_profile_hold(module: Any):
    body = "print('evidence', check(classifier).verdict.evidence, classifier.seed('x'))"
    # Of torch's own losses, fewer rows are drawn.
    by_hand = "loss=lambda logits, targets: nn.functional.cross_entropy(logits, targets)"
    pytester = module("nn.Linear(4, 2)", f', select=["loss_prefers_the_true_class"], {by_hand}', body=body)
    pytester.path.joinpath("test_own.py").write_text(
        pytester.path.joinpath("test_own.py").read_text(encoding="utf-8").replace("num_classes=3", "num_classes=2"),
        encoding="utf-8",
    )
    shown = [run(pytester, "-s", "--logit-profile=quick", *args).stdout.str() for args in ((), ("--logit-seed=1",))]
    found = [next(line for line in text.splitlines() if "evidence" in line) for text in shown]
    assert "'examples': 20" in found[0]
    assert found[0] != found[1]


def test_checks_of_the_users_own_take_part(module: Any):
    pytester = module("Small", ', select=["own"]')
    pytester.makeconftest("""
        import pytest_logits

        @pytest_logits.check(claim="there are three classes")
        def three_classes(classifier):
            assert classifier.num_classes == 3
    """)
    assert ids(pytester) == ["test_checks[Small-three_classes]"]
    run(pytester).assert_outcomes(passed=1)


def test_markers_and_fixtures_of_the_users_go_with_it(pytester: pytest.Pytester):
    text = MODULE.format(models="Small", more=SHAPE, body="check(classifier); assert number in (1, 2)")
    text = text.replace("(classifier, check)", "(classifier, check, number, tmp_path)")
    head = '@pytest.mark.slow\n    @pytest.mark.parametrize("number", [1, 2])\n    @pytest_logits.parametrize_with'
    pytester.makepyfile(text.replace("@pytest_logits.parametrize_with", head))
    pytester.makeini("[pytest]\nmarkers = slow")
    run(pytester, "-m", "slow", "--strict-markers").assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (', select=["output_shape"]', "'output_shape' is neither a check nor a tag; did you mean"),
        (', select="outputs"', "select='outputs' must be a list of names and tags"),
        (', expected_failures={"output_shape": "known"}', "expected_failures names 'output_shape', which is no check"),
    ],
)
def test_a_wrong_name_is_told_at_collection(module: Any, more: str, said: str):
    result = run(module("Small", more))
    result.assert_outcomes(errors=1)
    assert f"parametrize_with_checks: {said}" in result.stdout.str() or said in result.stdout.str()


def test_a_test_without_the_two_arguments_is_told(pytester: pytest.Pytester):
    pytester.makepyfile(
        MODULE.format(models="Small", more=SHAPE, body="pass").replace("(classifier, check)", "(check)")
    )
    run(pytester).stdout.fnmatch_lines(["*function uses no *'classifier'*"])


@pytest.mark.parametrize(
    ("models", "arguments", "said"),
    [
        ([nn.Linear], {"input_shape": (4,)}, "argument 'num_classes' is required"),
        ([nn.Linear], {"input_shape": (4,), "num_clases": 2}, "unknown argument 'num_clases'; did you mean"),
        ([3], {"input_shape": (4,), "num_classes": 2}, "the factory must be callable"),
        ([], {"input_shape": (4,), "num_classes": 2}, "it takes a list of factories or modules, such as"),
        (nn.Linear, {"input_shape": (4,), "num_classes": 2}, "it takes a list of factories or modules"),
        ([nn.Linear] * 2, {"name": "net", "input_shape": (4,), "num_classes": 2}, "name= is for one model"),
    ],
)
def test_a_wrong_argument_is_told_with_the_line_of_the_call(models: Any, arguments: dict[str, Any], said: str):
    with pytest.raises(RegistrationError) as raised:
        pytest_logits.parametrize_with_checks(models, **arguments)
    assert said in str(raised.value)
    assert f"{__file__}:" in str(raised.value)


def test_nothing_is_built_when_the_test_is_declared():
    def factory() -> torch.nn.Module:
        raise AssertionError("built")

    pytest_logits.parametrize_with_checks([factory], input_shape=(4,), num_classes=2)
