"""The README tells the truth: its output is a run's, its snippets run, its tables are the code's."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from pytest_logits.check_registry import all_checks
from pytest_logits.model import ARGUMENTS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """A run outside this repository."""
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)


def test_shown_output_is_the_output_of_a_run(pytester: pytest.Pytester):
    """In a process of its own, as a user has it."""
    pytester.copy_example("docs/examples/article")
    result = pytester.run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--logit-checks")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    shown = blocks("text")[0].replace("docs/examples/article/", "")
    assert shown in result.stdout.str() + "\n"


def test_registration_snippet_gives_a_clean_run(pytester: pytest.Pytester):
    pytester.makeconftest(blocks("python")[0])
    result = run(pytester, "--logit-checks", "--logit-profile=quick")
    result.assert_outcomes(passed=17, skipped=6)


def test_pyproject_snippet_registers_the_model(pytester: pytest.Pytester):
    folder = pytester.mkpydir("spam")
    (folder / "net.py").write_text("from torch import nn\n\n\ndef SpamNet():\n    return nn.Linear(10, 2)\n")
    pytester.makepyprojecttoml(blocks("toml")[0])
    result = run(pytester, "--logit-checks", "--co", "-q")
    result.stdout.fnmatch_lines(["pyproject.toml::spam_filter::outputs_are_logits"])


def test_model_option_snippet_checks_the_model(pytester: pytest.Pytester):
    folder = pytester.mkpydir("spam")
    (folder / "net.py").write_text("from torch import nn\n\n\ndef SpamNet():\n    return nn.Linear(10, 2)\n")
    (command,) = (block for block in blocks("console") if "--logit-model" in block)
    result = run(pytester, *command.split()[1:], "--co", "-q")
    result.stdout.fnmatch_lines(["spam/net.py::SpamNet::outputs_are_logits"])


def test_script_snippet_prints_a_report(capsys: pytest.CaptureFixture[str]):
    exec(compile(blocks("python")[1], "README.md", "exec"), {})
    assert "loss_reaches_its_minimum" in capsys.readouterr().out


def test_loss_snippet_is_found(pytester: pytest.Pytester):
    pytester.makeconftest(blocks("python")[2])
    result = run(pytester, "--logit-checks", "--logit-select=loss_matches_reference")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*unnormalised_targets at conftest.py:*", "*They sum to 1.4*"])


def test_every_python_block_is_one_of_those_above():
    assert len(blocks("python")) == 3
    assert len(blocks("text")) == 1
    assert len(blocks("toml")) == 1


def test_ci_runs_the_printed_test_command():
    (command,) = (block.strip() for block in blocks("console") if "-n 2" in block)
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_checks_are_listed_by_their_first_tag_in_the_order_of_a_run():
    rows = re.findall(r"^- \*\*(\w+):\*\* (.*(?:\n  .*)*)$", README.partition("## The checks")[2], re.MULTILINE)
    listed = [(tag, name) for tag, names in rows for name in re.findall(r"`(\w+)`", names)]
    assert listed == [(c.tags[0], c.name) for c in all_checks()]


def test_argument_table_names_every_argument():
    table = README.partition("| argument |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", "\n".join(row.split("|")[1] for row in table.splitlines()[2:]))) == set(ARGUMENTS)


def test_option_table_names_every_option(pytester: pytest.Pytester):
    listed = set(re.findall(r"--logit-[\w-]+", README.partition("## Options")[2]))
    text = run(pytester, "--help").stdout.str()
    assert listed == set(re.findall(r"(?<=^  )--logit-[\w-]+", text, re.MULTILINE))
