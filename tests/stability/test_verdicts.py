"""Which verdicts count as changed, and that a run goes on where it was stopped. What is slow is run by tox."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pytest_logits.finding import Result
from tests.stability import run as script
from tests.stability.subjects import SUITES, Subject, subjects
from tests.stability.verdicts import changes, highest_rate, table, too_many

EXACT = frozenset({"outputs_are_logits"})


def made(seed: int, subject: str = "net", **verdicts: list[str]) -> dict[str, Any]:
    return {"suite": "zoo", "subject": subject, "seed": seed, "verdicts": verdicts}


def test_the_most_frequent_verdict_is_the_usual_one():
    runs = [made(seed, loss_reaches_its_minimum=["failed" if seed == 1 else "passed", ""]) for seed in range(3)]
    found = changes(runs, EXACT)
    assert found["kinds"] == {"exact": {"verdicts": 0, "changes": 0}, "other": {"verdicts": 3, "changes": 1}}
    assert [(c["seed"], c["found"], c["usual"]) for c in found["changed"]] == [(1, ("failed", ""), ("passed", ""))]


def test_another_cause_is_a_change():
    runs = [made(0, outputs_are_logits=["failed", "a"]), made(1, outputs_are_logits=["failed", "b"])]
    assert changes(runs, EXACT)["kinds"]["exact"] == {"verdicts": 2, "changes": 1}


def test_of_two_seeds_the_lower_has_the_usual_verdict():
    runs = [made(1, outputs_are_logits=["failed", "b"]), made(0, outputs_are_logits=["passed", ""])]
    (changed,) = changes(runs, EXACT)["changed"]
    assert (changed["seed"], changed["usual"]) == (1, ("passed", ""))


def test_a_single_seed_says_nothing():
    found = changes([made(0, outputs_are_logits=["passed", ""])], EXACT)
    assert (found["checks"], too_many(found)) == ({}, False)


@pytest.mark.parametrize(
    ("check", "seeds", "allowed"),
    [("outputs_are_logits", 20_000, False), ("learns", 9_999, False), ("learns", 10_000, True)],
)
def test_an_exact_check_may_change_none_and_the_others_one_in_ten_thousand(check: str, seeds: int, allowed: bool):
    runs = [made(seed, **{check: ["passed" if seed else "failed", ""]}) for seed in range(seeds)]
    assert too_many(changes(runs, EXACT)) is not allowed


def test_what_was_run_twice_for_a_seed_counts_once():
    runs = [made(seed, calm=["passed", ""]) for seed in (0, 1, 1)]
    assert changes(runs, frozenset())["checks"] == {"calm": {"verdicts": 2, "changes": 0}}


def test_the_table_has_the_counts_and_the_changes():
    runs = [made(seed, outputs_are_logits=["failed" if seed else "passed", "cause"[: seed * 9]]) for seed in range(2)]
    assert table(changes(runs, EXACT), EXACT).splitlines() == [
        "check                                        verdicts  changes  at most, with 95 % confidence",
        "outputs_are_logits                  exact           2        1  1 in 1",
        "all exact checks                                    2        1  1 in 1",
        "all other checks                                    0        0  -",
        "changed: zoo net outputs_are_logits seed 1: failed (cause), not passed",
    ]


@pytest.mark.parametrize(("changed", "mean"), [(0, 2.9957), (1, 4.7439), (2, 6.2958), (10, 16.9622)])
def test_the_highest_rate_is_that_of_tables_of_the_poisson_distribution(changed: int, mean: float):
    """Half the upper quantiles of chi-squared with 2 (changed + 1) degrees of freedom."""
    assert highest_rate(changed, 10_000) == pytest.approx(mean / 10_000, rel=1e-4)


def test_a_rate_is_no_more_than_one():
    assert (highest_rate(0, 0), highest_rate(1, 2)) == (1.0, 1.0)


def test_a_share_is_drawn_for_each_seed_and_is_always_the_same():
    whole = [Subject("zoo", str(number), lambda seed, select: []) for number in range(100)]
    drawn = [[one.name for one in script.share_of(whole, "zoo", seed, 0.05)] for seed in range(200)]
    assert drawn == [[one.name for one in script.share_of(whole, "zoo", seed, 0.05)] for seed in range(200)]
    assert {len(set(names)) for names in drawn} == {5}
    assert all(names == sorted(names, key=int) for names in drawn)
    # Each with a probability of 3.5e-5 in none: 1 - 0.95 ** 200.
    assert {name for names in drawn for name in names} == {one.name for one in whole}


@pytest.mark.parametrize(("suite", "share", "taken"), [("examples", 0.05, 3), ("zoo", 1.0, 3), ("zoo", 1e-9, 1)])
def test_examples_are_never_drawn_and_of_the_others_there_is_at_least_one(suite: str, share: float, taken: int):
    whole = [Subject(suite, str(number), lambda seed, select: []) for number in range(3)]
    assert len(script.share_of(whole, suite, 0, share)) == taken


@pytest.mark.parametrize("suite", ["examples", "zoo", "losses"])
def test_the_names_of_a_suite_are_unique_and_always_the_same(suite: str):
    names = [one.name for one in subjects(suite)]
    assert len(set(names)) == len(names) > 0
    assert names == [one.name for one in subjects(suite)]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What is run of a suite of three, of which one raises."""
    seen: list[tuple[str, int]] = []

    def subject(name: str) -> Any:
        def run(seed: int, select: Iterable[str]) -> list[Result]:
            seen.append((name, seed))
            if name == "raises":
                raise KeyError("mine")
            return []

        return name, run

    monkeypatch.setitem(SUITES, "zoo", lambda: iter([subject("one"), subject("raises"), subject("three")]))
    return seen


def start(path: Path, *arguments: str) -> int:
    return script.main(["--out", str(path), "--suite", "zoo", *arguments])


def test_a_run_that_was_stopped_goes_on(tmp_path: Path, ran: list[tuple[str, int]]):
    out = tmp_path / "out.jsonl"
    assert start(out, "--seeds", "0", "1") == 0
    with out.open("a") as file:
        file.write('{"suite": "zo')
    ran.clear()
    assert start(out, "--seeds", "0", "2") == 0
    assert ran == [("one", 1), ("raises", 1), ("three", 1)]
    assert [json.loads(line)["seed"] for line in out.read_text().splitlines()] == [0, 0, 0, 1, 1, 1]


def test_what_was_run_before_for_other_seeds_is_summed_up_too(
    tmp_path: Path, ran: list[tuple[str, int]], capsys: pytest.CaptureFixture[str]
):
    start(tmp_path / "out.jsonl", "--seeds", "0", "1")
    start(tmp_path / "out.jsonl", "--seeds", "1", "2", "--share", "0.4")
    # Two of three are drawn; the raising one gives the verdict of the run.
    assert len(ran) == 5
    start(tmp_path / "out.jsonl", "--seeds", "1", "2")
    assert "run                                                 2        0" in capsys.readouterr().out


def test_some_checks_are_run_beside_what_was_run_whole(tmp_path: Path, ran: list[tuple[str, int]]):
    out = tmp_path / "out.jsonl"
    start(out, "--seeds", "0", "1")
    ran.clear()
    for _ in range(2):
        start(out, "--seeds", "0", "1", "--select", "learning", "--select", "data")
    assert ran == [("one", 0), ("raises", 0), ("three", 0)]
    runs = [json.loads(line)["select"] for line in out.read_text().splitlines()]
    assert runs == [[]] * 3 + [["learning", "data"]] * 3


def test_the_parts_make_the_whole(tmp_path: Path, ran: list[tuple[str, int]], capsys: pytest.CaptureFixture[str]):
    for part in range(2):
        start(tmp_path / f"{part}.jsonl", "--seeds", "0", "2", "--part", f"{part}/2")
    assert sorted(ran) == [(name, seed) for name in ("one", "raises", "three") for seed in (0, 1)]
    capsys.readouterr()
    script.main(["--read", *(str(path) for path in sorted(tmp_path.iterdir())), "--json", str(tmp_path / "sum.json")])
    assert "run                                                 2        0" in capsys.readouterr().out
    assert json.loads((tmp_path / "sum.json").read_text())["changed"] == []


def test_runs_of_another_torch_are_refused(tmp_path: Path, ran: list[tuple[str, int]]):
    out = tmp_path / "out.jsonl"
    out.write_text(json.dumps({**made(0, run=["passed", ""]), "torch": "1.0"}) + "\n")
    with pytest.raises(SystemExit, match=r"out\.jsonl holds runs of torch 1\.0; name another file"):
        start(out)
