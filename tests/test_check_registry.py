"""A check declares itself, and what it lacks is told when it is declared."""

from __future__ import annotations

import dataclasses
import re

import pytest

from pytest_logits import check_registry
from pytest_logits.causes import cause_names
from pytest_logits.check_registry import Check, all_checks, check
from pytest_logits.finding import Verdict, passed
from pytest_logits.model import ARGUMENTS, builtin_check_names

NAMES = re.compile(r"[a-z]+(_[a-z]+)*")


@pytest.fixture(autouse=True)
def no_checks_left(monkeypatch: pytest.MonkeyPatch):
    """What a test declares is forgotten."""
    monkeypatch.setattr(check_registry, "_checks", dict(check_registry._checks))


def declared(name: str) -> Check:
    return {c.name: c for c in all_checks()}[name]


def declare(name: str, *, doc: str | None = "Its page.", claim: str = "it holds", tags: tuple[str, ...] = ("own",)):
    def function(subject) -> Verdict:
        return passed("")

    function.__name__, function.__doc__ = name, doc
    return check(claim=claim, tags=tags)(function)


def test_the_decorator_returns_the_function():
    def function(subject) -> Verdict:
        """Its page."""
        return passed("")

    assert check(claim="it holds", tags=("own",))(function) is function


def test_a_check_is_what_its_function_says():
    function = declare("own_check", doc="First line.\n\n    More.\n    ", claim="it holds", tags=("outputs", "own"))
    assert declared("own_check") == Check(
        name="own_check", claim="it holds", tags=("outputs", "own"), function=function, doc="First line.\n\nMore."
    )


def test_the_summary_is_the_first_line_of_the_page():
    declare("own_check", doc="First line.\n\nMore.")
    assert declared("own_check").summary == "First line."


def test_what_a_check_needs_is_an_argument_of_the_registration():
    needed = {found.needs for found in all_checks()} - {None}
    assert needed == {"predict", "batches", "equivalent_to"}
    assert needed <= set(ARGUMENTS)


@pytest.mark.parametrize("doc", [None, "", "  \n "])
def test_a_check_without_a_page_is_refused(doc: str | None):
    with pytest.raises(ValueError, match="check 'own_check' has no docstring"):
        declare("own_check", doc=doc)


@pytest.mark.parametrize("missing", [{"claim": ""}, {"tags": ()}])
def test_a_check_without_claim_or_tags_is_refused(missing):
    with pytest.raises(ValueError, match="check 'own_check' needs a claim and at least one tag"):
        declare("own_check", **missing)


def test_a_refused_check_is_not_declared():
    with pytest.raises(ValueError, match="docstring"):
        declare("own_check", doc=None)
    assert "own_check" not in [c.name for c in all_checks()]


def test_a_checks_fields_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        all_checks()[0].claim = "another"  # type: ignore[misc]


def test_the_order_is_that_of_the_first_tag_then_the_roots_then_the_name():
    for name, tag in (("zz", "outputs"), ("aa", "own"), ("bb", "data"), ("cc", "learning"), ("dd", "loss")):
        declare(name, tags=(tag,))
    order = {"outputs": 0, "loss": 1, "learning": 2, "data": 3}
    names = [c.name for c in all_checks()]
    assert names == [c.name for c in sorted(all_checks(), key=lambda c: (order.get(c.tags[0], 4), not c.root, c.name))]


def test_the_order_does_not_depend_on_the_order_of_declaration(monkeypatch: pytest.MonkeyPatch):
    before = all_checks()
    monkeypatch.setattr(check_registry, "_checks", dict(reversed(check_registry._checks.items())))
    assert all_checks() == before


# The checks that ship


def test_every_file_declares_the_check_of_its_name():
    assert sorted(c.name for c in all_checks()) == list(builtin_check_names())


@pytest.mark.parametrize("name", builtin_check_names())
def test_a_builtin_check_belongs_to_one_group_first(name: str):
    assert declared(name).tags[0] in ("outputs", "loss", "learning", "data")


@pytest.mark.parametrize("name", builtin_check_names())
def test_a_builtin_check_is_named_in_snake_case(name: str):
    assert NAMES.fullmatch(name)


@pytest.mark.parametrize("name", builtin_check_names())
def test_a_builtin_checks_summary_is_a_sentence(name: str):
    assert declared(name).summary.endswith(".")


@pytest.mark.parametrize("name", builtin_check_names())
def test_a_builtin_checks_claim_reads_after_claims_that(name: str):
    claim = declared(name).claim
    assert (claim[0].islower() or claim[:2].isupper(), claim[-1] != ".") == (True, True)


@pytest.mark.parametrize("name", builtin_check_names())
def test_the_causes_a_page_names_exist(name: str):
    assert declared(name).causes
    assert set(declared(name).causes) <= set(cause_names())


def test_the_causes_of_a_page_are_those_of_its_sentence():
    declare(
        "own_check", doc="Not unstable_loss.\n\nCauses: bounded_logits,\nbroadcast_targets (advice). See other_page."
    )
    assert declared("own_check").causes == ("bounded_logits", "broadcast_targets")


def test_a_page_may_name_no_cause():
    declare("own_check", doc="Not unstable_loss.")
    assert declared("own_check").causes == ()


def test_no_tag_is_also_a_checks_name():
    assert {tag for c in all_checks() for tag in c.tags} & {c.name for c in all_checks()} == set()
