"""The fixtures in users' own tests, with and without --logit-checks."""

from __future__ import annotations

from typing import Any

import pytest

CONFTEST = """
    import pytest_logits

    @pytest_logits.register(input_shape=(4,), num_classes=3)
    def small():
        import torch
        return torch.nn.Linear(4, 3)

    @pytest_logits.register(input_shape=(6,), num_classes=2)
    def large():
        import torch
        return torch.nn.Linear(6, 2)
"""
LEARNS = """
    import torch

    def test_learns(logit_classifier):
        model = logit_classifier.make()
        x, y = logit_classifier.separable_batch()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        for _ in range(50):
            optimizer.zero_grad()
            loss = logit_classifier.loss(logit_classifier.logits(model, x), y)
            loss.backward()
            optimizer.step()
        assert loss < 0.1
"""
ASKS = "def test_asks(logit_classifier): print('name', logit_classifier.name)\n"


@pytest.fixture
def two(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest(CONFTEST)
    return pytester


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*args)


def ids(pytester: pytest.Pytester, *args: str) -> list[str]:
    return [line for line in run(pytester, "--co", "-q", *args).outlines if "::test" in line]


# logit_classifier


def test_a_test_runs_once_for_each_model(two: pytest.Pytester):
    two.makepyfile(test_own=LEARNS)
    assert ids(two) == ["test_own.py::test_learns[small]", "test_own.py::test_learns[large]"]


@pytest.mark.parametrize("option", [(), ("--logit-checks", "test_own.py", "-m", "not logit_checks")], ids=str)
def test_a_test_trains_its_model(two: pytest.Pytester, option: tuple[str, ...]):
    two.makepyfile(test_own=LEARNS)
    run(two, *option).assert_outcomes(passed=2, deselected=2 * (len(_checks()) if option else 0))


def _checks() -> Any:
    from pytest_logits.check_registry import all_checks

    return all_checks()


def test_an_id_pasted_back_is_that_test_alone(two: pytest.Pytester):
    two.makepyfile(test_own=ASKS)
    run(two, "test_own.py::test_asks[large]").assert_outcomes(passed=1)


def test_without_a_model_it_is_skipped_with_the_reason(pytester: pytest.Pytester):
    pytester.makepyfile(test_own=ASKS)
    result = run(pytester, "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED * no model is registered: register one in conftest.py with *"])


def test_models_of_pyproject_and_the_ini_file_are_known(pytester: pytest.Pytester):
    pytester.makepyfile(
        test_own=ASKS,
        more=CONFTEST,
        nets="import torch\n\ndef net(): return torch.nn.Linear(4, 2)\n",
    )
    pytester.makepyprojecttoml("""
        [tool.pytest.ini_options]
        logit_models = ["more"]

        [tool.pytest-logits.models.table]
        factory = "nets:net"
        num_classes = 2
        input_shape = [4]
    """)
    assert ids(pytester) == [f"test_own.py::test_asks[{name}]" for name in ("small", "large", "table")]


def test_a_model_of_the_command_line_is_known(pytester: pytest.Pytester):
    pytester.makepyfile(test_own=ASKS, nets="import torch\n\ndef net(): return torch.nn.Linear(4, 2)\n")
    options = ("--logit-model=nets:net", "--logit-input-shape=4", "--logit-classes=2")
    assert ids(pytester, *options) == ["test_own.py::test_asks[net]"]


def test_models_are_known_where_their_files_may_hold_tests(pytester: pytest.Pytester):
    pytester.makeconftest(CONFTEST.replace("small", "in_conftest").replace("large", "in_conftest_too"))
    pytester.makepyfile(test_own=ASKS, more=CONFTEST, nets="import torch\n\ndef net(): return torch.nn.Linear(4, 2)\n")
    pytester.makeini("[pytest]\npython_files = conftest.py more.py nets.py test_*.py\nlogit_models = more")
    options = ("--logit-model=nets:net", "--logit-input-shape=4", "--logit-classes=2", "test_own.py")
    names = ("in_conftest", "in_conftest_too", "small", "large", "net")
    assert ids(pytester, *options) == [f"test_own.py::test_asks[{name}]" for name in names]


def test_models_of_another_test_module_are_left_out(pytester: pytest.Pytester):
    # Whether they are loaded depends on what else is collected.
    pytester.makepyfile(test_a=CONFTEST, test_b=ASKS)
    assert ids(pytester) == ["test_b.py::test_asks[none]"]


def test_models_of_its_own_module_are_known(pytester: pytest.Pytester):
    pytester.makepyfile(test_a=CONFTEST + f"\n    {ASKS}")
    assert ids(pytester) == ["test_a.py::test_asks[small]", "test_a.py::test_asks[large]"]


def test_the_order_of_tests_is_that_of_the_file(two: pytest.Pytester):
    two.makepyfile(test_own=f"{ASKS}\ndef test_next(logit_classifier): pass")
    assert [line.partition("::")[2] for line in ids(two)] == [
        "test_asks[small]",
        "test_asks[large]",
        "test_next[small]",
        "test_next[large]",
    ]


def test_a_fixture_may_ask_for_it(two: pytest.Pytester):
    two.makepyfile(
        test_own="""
        import pytest

        @pytest.fixture
        def model(logit_classifier):
            return logit_classifier.make()

        @pytest.mark.parametrize("count", [1, 2])
        def test_shape(model, count):
            assert model.in_features in (4, 6)
    """
    )
    run(two).assert_outcomes(passed=4)


def test_asked_for_by_name_at_run_time_it_says_how(two: pytest.Pytester):
    two.makepyfile(test_own="def test_own(request): request.getfixturevalue('logit_classifier')")
    result = run(two)
    result.stdout.fnmatch_lines(["*logit_classifier must be an argument of the test or of a fixture it uses"])


def test_it_goes_with_hypothesis(two: pytest.Pytester):
    two.makepyfile(
        test_own="""
        import torch
        from hypothesis import given, settings, strategies as st

        @settings(max_examples=5)
        @given(shift=st.floats(-10, 10))
        def test_a_constant_on_all_logits_changes_nothing(logit_classifier, shift):
            x, y = logit_classifier.separable_batch()
            logits = logit_classifier.logits(logit_classifier.make(), x)
            torch.testing.assert_close(
                logit_classifier.loss(logits + shift, y), logit_classifier.loss(logits, y), rtol=1e-4, atol=1e-5
            )
    """
    )
    run(two, "-p", "no:cacheprovider").assert_outcomes(passed=2)


PROFILE = """
    from hypothesis import settings

    settings.register_profile("short", max_examples=7)
"""
GIVEN = """
    from hypothesis import given, strategies as st

    @given(number=st.integers())
    def test_given(logit_classifier, number):
        pass

    def test_seed(logit_seed):
        print("seed", logit_seed)
"""


@pytest.mark.parametrize("option", [(), ("--logit-checks", "--logit-select=output_shape_is_stable")], ids=str)
def test_statistics_of_hypothesis_are_those_of_the_users_tests(two: pytest.Pytester, option: tuple[str, ...]):
    two.makeconftest(CONFTEST + PROFILE)
    two.makepyfile(test_own=GIVEN)
    # In a process of its own: a profile is loaded for good.
    shown = two.runpytest_subprocess("--hypothesis-show-statistics", "--hypothesis-profile=short", *option).stdout.str()
    statistics = shown.partition("Hypothesis Statistics")[2]
    assert [line for line in statistics.splitlines() if line.endswith(":") and "::" in line] == [
        "test_own.py::test_given[small]:",
        "test_own.py::test_given[large]:",
    ]
    assert statistics.count("7 passing") == 2


def test_the_seed_of_hypothesis_changes_no_verdict_of_ours(two: pytest.Pytester):
    def report() -> list[str]:
        text = (two.path / "out.json").read_text(encoding="utf-8")
        return [line for line in text.splitlines() if "seconds" not in line]

    options = ("--logit-checks", "--logit-select=outputs", "--logit-report=out.json")
    # In a process of its own: the seed is set for good.
    two.runpytest_subprocess(*options, "--hypothesis-seed=1")
    seeded = report()
    two.runpytest_inprocess(*options)
    assert report() == seeded


# check_classifier


CHECKS = """
    from torch import nn

    def test_own(check_classifier):
        report = check_classifier(nn.Linear(4, 2), input_shape=(4,), num_classes=2, select=["{name}"])
        (result,) = report
        print("reproduce", result.reproduce, result.verdict.evidence)
        report.raise_for_failures()
"""


def test_check_classifier_has_the_sessions_seed_and_profile(pytester: pytest.Pytester):
    # Of torch's own losses, fewer rows are drawn.
    by_hand = "num_classes=2, loss=lambda logits, targets: nn.functional.cross_entropy(logits, targets)"
    pytester.makepyfile(CHECKS.format(name="loss_prefers_the_true_class").replace("num_classes=2", by_hand))
    result = run(pytester, "-s", "--logit-seed=7", "--logit-profile=quick")
    result.stdout.fnmatch_lines(["*reproduce *seed=7, profile='quick') {*'examples': 20*"])


def test_check_classifier_takes_another_seed(pytester: pytest.Pytester):
    pytester.makepyfile(CHECKS.format(name="output_shape_is_stable").replace("num_classes=2", "num_classes=2, seed=9"))
    run(pytester, "-s", "--logit-seed=7").stdout.fnmatch_lines(["*reproduce *seed=9, *"])


def test_a_failure_of_check_classifier_is_the_finding(pytester: pytest.Pytester):
    faulty = "nn.Sequential(nn.Linear(4, 2), nn.Softmax(1))"
    pytester.makepyfile(CHECKS.format(name="outputs_are_logits").replace("nn.Linear(4, 2)", faulty))
    result = run(pytester)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([">       report.raise_for_failures()", "E * softmax_before_cross_entropy in *"])


def test_a_wrong_argument_has_the_line_of_the_test(pytester: pytest.Pytester):
    pytester.makepyfile(test_own=CHECKS.format(name="outputs").replace("num_classes", "num_class"))
    run(pytester).stdout.fnmatch_lines(["E *RegistrationError: cannot register 'Linear' (*test_own.py:4): unknown *"])


# separable_batch


BATCH = """
    import torch

    def test_own(separable_batch):
        x, y = separable_batch({arguments})
        again = separable_batch({arguments})
        assert torch.equal(x, again[0]) and torch.equal(y, again[1])
        print("batch", tuple(x.shape), x.dtype, tuple(y.shape), y.dtype)
"""


@pytest.mark.parametrize(
    ("arguments", "shapes"),
    [
        ("input_shape=(10,), num_classes=3", "(16, 10) torch.float32 (16,) torch.int64"),
        ("input_shape=(2, 5), num_classes=12", "(22, 2, 5) torch.float32 (22,) torch.int64"),
        ("input_shape=(7,), vocab_size=50, num_classes=2", "(16, 7) torch.int64 (16,) torch.int64"),
        ("input_shape=(10,), num_classes=3, task='multilabel'", "(16, 10) torch.float32 (16, 3) torch.int64"),
        (
            "inputs=lambda n, rng: torch.randn(n, 3, generator=rng), num_classes=2",
            "(16, 3) torch.float32 (16,) torch.int64",
        ),
    ],
)
def test_a_separable_batch_is_as_asked_for(pytester: pytest.Pytester, arguments: str, shapes: str):
    pytester.makepyfile(BATCH.format(arguments=arguments))
    result = run(pytester, "-s")
    assert f"batch {shapes}" in result.stdout.str()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("input_shape=(10,), num_clases=3", "unknown argument 'num_clases'; did you mean 'num_classes'?"),
        ("input_shape=(10,), num_classes=3, loss='bce'", "unknown argument 'loss'; it is one of: num_classes, task, "),
        ("num_classes=3", "argument 'input_shape' is required"),
    ],
)
def test_a_wrong_argument_of_separable_batch_is_told_with_the_line(
    pytester: pytest.Pytester, arguments: str, said: str
):
    pytester.makepyfile(test_own=BATCH.format(arguments=arguments))
    shown = run(pytester).stdout.str()
    assert "test_own.py:4): " + said in shown


# logit_seed


def test_a_seed_belongs_to_the_test_and_the_session(pytester: pytest.Pytester):
    pytester.makepyfile(
        test_own="""
        import pytest

        @pytest.mark.parametrize("number", [1, 2])
        def test_seed(logit_seed, number):
            assert 0 <= logit_seed < 2**63
            print("seed", logit_seed)
    """
    )
    seeds = [
        [line.split()[-1].strip(".") for line in run(pytester, "-s", *args).outlines if "seed" in line and "." in line]
        for args in ((), (), ("--logit-seed=1",))
    ]
    numbers = [line for line in seeds[0] if line.isdigit()]
    assert len(set(numbers)) == 2
    assert seeds[1] == seeds[0] != seeds[2]


def test_the_seed_imports_no_torch(pytester: pytest.Pytester):
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("import sys\n\ndef test_own(logit_seed): assert 'torch' not in sys.modules")
    pytester.runpytest_subprocess("-p", "no:hypothesispytest").assert_outcomes(passed=1)


def test_fixtures_are_documented(pytester: pytest.Pytester):
    shown = run(pytester, "--fixtures", "-q").stdout.str()
    for name in ("logit_classifier", "check_classifier", "separable_batch", "logit_seed"):
        assert name in shown
