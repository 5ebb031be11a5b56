"""The two examples on each cause's page, run: the bad one is found by its own cause alone, the good one is sound."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import pytest_logits
from pytest_logits.causes import cause, cause_names
from pytest_logits.finding import Result
from pytest_logits.loss_subject import LossSubject
from pytest_logits.model import LossSpec
from pytest_logits.model_registry import isolated, registered
from pytest_logits.runner import decide, run_check
from pytest_logits.selection import selected_checks
from pytest_logits.settings import DEFAULT_PROFILE, DEFAULT_SEED, PROFILES, Settings
from pytest_logits.subject import Subject

NAMES = cause_names()
# True and worth saying, but no failure.
ADVICE = {
    "log_probabilities_into_cross_entropy",
    "regression_head",
    "unscaled_inputs",
    "wrong_loss_weights",
}
SOUND = ("passed", "not_applicable", "inconclusive")
# What other checks say of the same mistake: BCELoss raises an error on scores outside [0, 1].
ALSO: dict[str, set[tuple[str, str | None]]] = {
    "logits_into_bce_loss": {("error", None)},
}


def results_of(example: str, folder: Path) -> list[Result]:
    """Every check on the one model or loss that the example registers, run as the user's file that it stands for."""
    file = folder / "example.py"
    file.write_text(example, encoding="utf-8")
    known: dict[str, Any] = {"torch": torch, "F": F, "nn": nn, "pytest_logits": pytest_logits, "__name__": "example"}
    with isolated():
        exec(compile(example, str(file), "exec"), known)
        (spec,) = registered()
    settings = Settings(seed=DEFAULT_SEED, profile=PROFILES[DEFAULT_PROFILE])
    by_itself = isinstance(spec, LossSpec)
    subject = LossSubject.registered(spec, settings) if isinstance(spec, LossSpec) else Subject(spec, settings)
    return [
        run_check(
            check,
            lambda check=check: decide(check, subject),
            lambda: subject.passes,
            model=spec.name,
            nodeid=f"example.py::{spec.name}::{check.name}",
            root=folder,
            rerun="",
        ).result
        for check in selected_checks()
        if ("loss" if by_itself else "model") in check.subjects
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_bad_example_is_found_by_its_cause(name: str, tmp_path: Path):
    outcome = "advice" if name in ADVICE else "failed"
    found = {(r.outcome, r.verdict.cause) for r in results_of(cause(name).bad, tmp_path) if r.outcome not in SOUND}
    assert (outcome, name) in found
    assert found - ALSO.get(name, set()) == {(outcome, name)}


@pytest.mark.parametrize("name", NAMES)
def test_the_good_example_is_sound(name: str, tmp_path: Path):
    results = results_of(cause(name).good, tmp_path)
    assert [(r.check, r.outcome, r.verdict.measured) for r in results if r.outcome not in SOUND] == []
    assert any(r.outcome == "passed" for r in results)


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_differ_in_little(name: str):
    """The fault and nothing else: one line, which both have."""
    bad, good = cause(name).bad.splitlines(), cause(name).good.splitlines()
    assert len(bad) == len(good)
    assert sum(one != other for one, other in zip(bad, good, strict=True)) == 1


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_fit_the_page(name: str):
    for example in (cause(name).bad, cause(name).good):
        assert len(re.findall(r"@pytest_logits\.register(_loss\b|\()", example)) == 1
        assert "import" not in example
        assert max(map(len, example.splitlines())) <= 116


@pytest.mark.parametrize("name", NAMES)
def test_where_it_was_seen_is_an_issue_and_a_phrase(name: str):
    for where, what in cause(name).seen:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", where)
        assert what
        assert not what.endswith(".")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_its_parts_in_order(name: str):
    found = cause(name)
    parts = [found.summary, found.text, "Bad:", "Use instead:", f"Fix: {found.fix}."]
    parts += ["Seen in the wild:", *(where for where, _ in found.seen)] if found.seen else []
    places = [found.page.find(part) for part in parts]
    assert -1 not in places
    assert places == sorted(places)
