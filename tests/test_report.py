from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_logits.causes import cause
from pytest_logits.finding import Location, Passes, Proof, Result, Verdict
from pytest_logits.report import failure_text, write_whole

VERDICT = Verdict(
    outcome="failed",
    cause="softmax_before_cross_entropy",
    measured="the outputs are probabilities",
    expected="scores without bound",
    proof=Proof(undone="loss on log(output)", as_written=0.56789, with_fix=0.19111, goal=0.44, steps=12),
    location=Location(file="spam/net.py", line=14, code="return self.net(x).softmax(1)", note="softmax()"),
    counterexample={"batch_size": 1, "loss": 0.123456789},
)
RESULT = Result(
    nodeid="conftest.py::spam_filter::outputs_are_logits",
    model="spam_filter",
    check="outputs_are_logits",
    outcome="failed",
    claim="the outputs are what the loss takes",
    verdict=VERDICT,
    fix="return the scores",
    passes=Passes(forward=3, backward=1),
    seconds=0.1,
    reproduce="pytest --logit-checks conftest.py::spam_filter::outputs_are_logits",
)


def with_verdict(**changes: Any) -> Result:
    return replace(RESULT, verdict=replace(VERDICT, **changes))


# The text of a failure.


def test_the_first_line_names_the_cause_and_the_place():
    assert failure_text(RESULT).splitlines()[0] == "softmax_before_cross_entropy at spam/net.py:14"


def test_without_a_place_the_first_line_names_the_model():
    assert failure_text(with_verdict(location=None)).splitlines()[0] == "softmax_before_cross_entropy in spam_filter"


def test_without_a_cause_the_first_line_names_the_check():
    text = failure_text(with_verdict(cause=None, location=None))
    assert text.splitlines()[0] == "outputs_are_logits does not hold in spam_filter"
    assert "why" not in text


def test_everything_a_reader_needs_is_there():
    text = " ".join(failure_text(RESULT, width=200).split())
    for part in (
        cause("softmax_before_cross_entropy").summary,
        RESULT.claim,
        VERDICT.measured,
        VERDICT.expected,
        "spam/net.py:14 (softmax())",
        "return self.net(x).softmax(1)",
        "as written 0.5679, with the cause undone 0.1911 after 12 steps (loss on log(output))",
        "batch_size=1, loss=0.123457",
        RESULT.fix,
        RESULT.reproduce,
        'declare it: expected_failures={"outputs_are_logits": "the reason"}',
    ):
        assert part in text


def test_what_there_is_none_of_has_no_row():
    text = failure_text(with_verdict(proof=None, counterexample=None, expected="", location=None))
    labels = {line.split()[0] for line in text.splitlines()[2:] if not line.startswith("   ")}
    assert labels == {"why", "claim", "measured", "fix", "rerun", "intended?"}


@pytest.mark.parametrize("width", [60, 100])
def test_lines_keep_to_the_width_but_for_those_to_be_copied(width: int):
    text = failure_text(with_verdict(measured="measured " * 40, expected="expected " * 40), width=width)
    copied = ("  rerun", "  intended?", "                return")
    assert all(len(line) <= width for line in text.splitlines() if not line.startswith(copied))


def test_what_is_to_be_copied_is_on_one_line():
    nodeid = "tests/" + "a" * 150 + ".py::net::outputs_are_logits"
    text = failure_text(replace(RESULT, reproduce=f"pytest --logit-checks {nodeid}"), width=60)
    assert f"  rerun     pytest --logit-checks {nodeid}" in text.splitlines()


def test_a_long_counterexample_is_cut_short():
    text = failure_text(with_verdict(counterexample={"logits": [0.5] * 1000}), width=10_000)
    (row,) = (line for line in text.splitlines() if line.startswith("  example"))
    assert row.endswith("...")
    assert len(row) < 200


CURVE = {"loss_curve": [0.8, 0.6, 0.4], "loss_curve_undone": [0.8, 0.0], "least_possible": 0.0, "floor": 0.4}


def curve_rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("  loss ", "  floor ", "  undone "))]


def test_a_curve_is_drawn_with_its_floor_between_place_and_proof():
    text = failure_text(with_verdict(evidence=CURVE))
    rows = ["  loss      0.8000 █▆▅ 0.4000", "  floor            ▅▅▅ 0.4000", "  undone    0.8000 █▁ 0.0000"]
    assert curve_rows(text) == rows
    assert text.index("return self.net") < text.index(rows[0]) < text.index("  proof ")


def test_without_blocks_a_curve_is_ascii():
    assert failure_text(with_verdict(evidence=CURVE), blocks=False).isascii()


@pytest.mark.parametrize("evidence", [{}, {"loss_curve": "mine"}, {"loss_curve": [0.5, 0.4]}])
def test_evidence_of_another_form_is_not_drawn(evidence: dict[str, Any]):
    assert curve_rows(failure_text(with_verdict(evidence=evidence))) == []


# Writing.


def test_a_file_is_written_and_nothing_beside_it(tmp_path: Path):
    path = tmp_path / "out.json"
    write_whole(path, "first\n")
    write_whole(path, "second\n")
    assert path.read_text(encoding="utf-8") == "second\n"
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]


@pytest.mark.parametrize("stage", ["chmod", "replace", "write"])
def test_a_failure_leaves_the_old_file_and_nothing_beside_it(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "out.json"
    path.write_text("old\n", encoding="utf-8")

    def fails(*args: Any, **kwargs: Any) -> Any:
        raise OSError("disk full")

    if stage != "write":
        monkeypatch.setattr(Path, stage, fails)
    # What is no text cannot be written, once the file beside is open.
    text: Any = b"new" if stage == "write" else "new\n"
    with pytest.raises(TypeError if stage == "write" else OSError, match=r"must be str|disk full"):
        write_whole(path, text)
    monkeypatch.undo()
    assert path.read_text(encoding="utf-8") == "old\n"
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "missing" / "out.json", "text")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_report_may_be_read_by_whom_the_umask_lets(tmp_path: Path):
    # A temporary file is for its owner alone; a report is a file like any other.
    path = tmp_path / "out.json"
    before = os.umask(0o027)
    try:
        write_whole(path, "text")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    finally:
        os.umask(before)
