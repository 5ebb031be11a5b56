"""The example repositories give their verdicts for other seeds and on two workers too; for ``tox -e stability``."""

from __future__ import annotations

import pytest

from tests.test_examples import EXAMPLES, failures, report


@pytest.mark.parametrize("arguments", [("--logit-seed=1",), ("--logit-seed=2",), ("-n", "2")], ids=" ".join)
@pytest.mark.parametrize(("folder", "expected"), EXAMPLES)
def test_example_gives_its_verdicts(
    pytester: pytest.Pytester, folder: str, expected: dict[tuple[str, str], str], arguments: tuple[str, ...]
):
    pytester.copy_example(f"docs/examples/{folder}")
    code, results = report(pytester, *arguments)
    assert failures(results) == expected
    assert code == pytest.ExitCode.TESTS_FAILED
