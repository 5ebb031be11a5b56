"""One check on one model as a pytest item, however pytest is asked to show or run it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_logits.finding import Verdict, passed
from pytest_logits.model_registry import isolated
from pytest_logits.subject import Subject

SHAPE = "output_shape_is_stable"
Decides = Callable[[str, Callable[[Subject], Verdict]], None]


def failed(subject: Subject) -> Verdict:
    return Verdict(outcome="failed", cause="bounded_logits", measured="it is 3", expected="4")


@pytest.fixture
def net(pytester: pytest.Pytester, decides: Decides) -> pytest.Pytester:
    """A model with one check, which passes without looking at it."""
    decides(SHAPE, lambda subject: passed("it is 4"))
    pytester.makeini(f"[pytest]\nlogit_checks = true\nlogit_select = {SHAPE}")
    pytester.makeconftest(
        """
        import torch
        import pytest_logits

        @pytest_logits.register(input_shape=(4,), num_classes=2)
        def net():
            return torch.nn.Linear(4, 2)
        """
    )
    return pytester


class Items:
    """A plugin that keeps the items of a run."""

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items = session.items


def items(pytester: pytest.Pytester, *args: str) -> list[Any]:
    plugin = Items()
    with isolated():
        pytester.inline_run("--co", "-q", *args, plugins=[plugin])
    return plugin.items


def test_an_item_carries_the_marker(net: pytest.Pytester):
    (item,) = items(net)
    assert item.get_closest_marker("logit_checks") is not None


def test_an_item_is_found_by_file_model_and_check(net: pytest.Pytester):
    (item,) = items(net)
    assert {"conftest.py", "net", SHAPE} <= set(item.keywords)


def test_an_item_has_no_result_before_it_has_run(net: pytest.Pytester):
    (item,) = items(net)
    assert item.result is None


def test_an_item_is_located_at_the_registration(net: pytest.Pytester):
    (item,) = items(net)
    path, line, domain = item.reportinfo()
    assert (Path(path).name, line, domain) == ("conftest.py", 3, f"net::{SHAPE}")


def test_an_item_of_a_generated_model_has_no_line(pytester: pytest.Pytester):
    (item,) = items(pytester, "--logit-checks", f"--logit-select={SHAPE}")
    assert item.reportinfo()[1] is None


def test_items_keep_hypothesis_plugin_away(net: pytest.Pytester):
    """It looks at items that have a function."""
    (item,) = items(net)
    assert not hasattr(item, "obj")


def test_the_tree_shows_file_model_and_check(net: pytest.Pytester):
    lines = [line.strip() for line in net.runpytest_inprocess("--co").outlines]
    assert [line for line in lines if line.startswith(("<Logit", "<Model"))] == [
        "<LogitFile conftest.py>",
        "<ModelCollector net>",
        f"<LogitItem {SHAPE}>",
    ]


def test_verbose_shows_the_id(net: pytest.Pytester):
    net.runpytest_inprocess("-v").stdout.fnmatch_lines(f"conftest.py::net::{SHAPE} PASSED*")


def test_a_failure_is_headed_by_model_and_check(net: pytest.Pytester, decides: Decides):
    decides(SHAPE, failed)
    net.runpytest_inprocess().stdout.fnmatch_lines(f"*____ net::{SHAPE} ____*")


@pytest.mark.parametrize(
    "args",
    [
        ["--tb=long"],
        ["--tb=short"],
        ["--tb=line"],
        ["--tb=native"],
        ["--tb=no"],
        ["--full-trace"],
        ["--showlocals"],
        ["--setup-show"],
        ["--durations=3"],
        ["--runxfail"],
        ["-vv"],
        ["-qq"],
        ["-rA"],
        ["-s"],
        ["-p", "no:cacheprovider"],
        ["-p", "no:terminal"],
        ["-p", "no:warnings"],
        ["-p", "no:skipping"],
        ["-p", "no:hypothesispytest"],
        ["-p", "no:xdist"],
        ["--import-mode=importlib"],
    ],
    ids=" ".join,
)
def test_a_failure_is_a_failure_with_any_option_of_pytest(net: pytest.Pytester, decides: Decides, args: list[str]):
    decides(SHAPE, failed)
    assert net.runpytest_inprocess(*args).ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("style", ["long", "short", "native"])
def test_a_failure_reads_the_same_in_each_style(net: pytest.Pytester, decides: Decides, style: str):
    decides(SHAPE, failed)
    net.runpytest_inprocess(f"--tb={style}").stdout.fnmatch_lines(
        ["bounded_logits*", "*measured  it is 3", "*expected  4", "*fix *", "*rerun *"]
    )


def test_a_failure_shows_no_traceback(net: pytest.Pytester, decides: Decides):
    decides(SHAPE, failed)
    assert "LogitFailure" not in net.runpytest_inprocess().stdout.str()


def test_the_short_summary_names_the_cause(net: pytest.Pytester, decides: Decides):
    decides(SHAPE, failed)
    net.runpytest_inprocess().stdout.fnmatch_lines(f"FAILED conftest.py::net::{SHAPE} - bounded_logits*")


def test_what_a_model_prints_is_captured(net: pytest.Pytester, decides: Decides):
    def talkative(subject: Subject) -> Verdict:
        print("printed by the model")
        return passed("it is 4")

    decides(SHAPE, talkative)
    assert "printed by the model" not in net.runpytest_inprocess().stdout.str()


def test_what_a_failing_model_prints_is_shown(net: pytest.Pytester, decides: Decides):
    def talkative(subject: Subject) -> Verdict:
        print("printed by the model")
        return failed(subject)

    decides(SHAPE, talkative)
    net.runpytest_inprocess().stdout.fnmatch_lines(["*Captured stdout call*", "printed by the model"])
