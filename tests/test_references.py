"""References like "pkg.mod:name" lead to what they name, or say why not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_logits.model import RegistrationError
from pytest_logits.references import load_factory, load_module

# Factories by name


def test_a_factory_may_be_nested(modules: Path):
    found = load_factory("nets:Net.small", modules)
    assert found == sys.modules["nets"].Net.small


@pytest.mark.parametrize("reference", ["nets", "nets:", ":Net", ""])
def test_a_reference_of_another_form_is_an_error(modules: Path, reference: str):
    with pytest.raises(RegistrationError, match=r"must look like 'pkg\.mod:factory'"):
        load_factory(reference, modules)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("nots:Net", "cannot import 'nots' for 'nots:Net': No module named 'nots'"),
        ("needs:Net", "cannot import 'needs' for 'needs:Net': No module named 'there_is_no_such_module'"),
        ("nets:Not", "module 'nets' has no 'Not' (wanted by 'nets:Not')"),
        ("nets:Net.large", "module 'nets' has no 'Net.large' (wanted by 'nets:Net.large')"),
        # The user's own mistake, with its type: a message without it would read "division by zero".
        ("broken:Net", "cannot import 'broken' for 'broken:Net': ZeroDivisionError: division by zero"),
        ("wrong:Net", "cannot import 'wrong' for 'wrong:Net': SyntaxError"),
    ],
)
def test_a_factory_that_cannot_be_had_is_an_error(modules: Path, reference: str, said: str):
    with pytest.raises(RegistrationError) as raised:
        load_factory(reference, modules)
    assert said in str(raised.value)


def test_a_name_in_the_module_that_is_near_is_named(modules: Path):
    with pytest.raises(RegistrationError, match="did you mean 'Net'"):
        load_factory("nets:Nett", modules)


def test_what_a_loaded_module_imports_later_is_found_too(modules: Path):
    """A factory may import its model when it is called, which the plugin recommends."""
    (modules / "lazy.py").write_text("def net():\n    import nets\n    return nets.Net()\n", encoding="utf-8")
    assert type(load_module("lazy", modules).net()).__name__ == "Net"
