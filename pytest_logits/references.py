"""What a reference like ``"pkg.mod:name"`` in an option, the ini file or pyproject.toml leads to. Imports no torch."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from pytest_logits.model import RegistrationError
from pytest_logits.told import nearest, one_paragraph, shown

# pytest leaves the frames of this module out: a mistake is told at the user's own line.
__tracebackhide__ = True


def load_module(module: str, rootpath: Path, *, reference: str = "") -> Any:
    """Import ``module``, looking also in ``rootpath``, where the user's pyproject.toml lies.

    ``reference`` is what asked for it, for the error. The path stays, as pytest leaves the folder of a root
    conftest.py: a factory may import more when it is called.

    Raises:
        RegistrationError: the import raises anything; its words are kept.
    """
    if str(rootpath) not in sys.path:
        sys.path.insert(0, str(rootpath))
    try:
        return importlib.import_module(module)
    except RegistrationError:
        raise
    except (Exception, SystemExit) as error:
        prefix = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        wanted = f" for {shown(reference)}" if reference else ""
        raise RegistrationError(f"cannot import {shown(module)}{wanted}: {prefix}{one_paragraph(error)}") from error


def load_factory(reference: str, rootpath: Path) -> Any:
    """The object that ``"pkg.mod:name"`` names.

    Raises:
        RegistrationError: the reference has another form, the module cannot be imported, or lacks the name.
    """
    module, colon, attribute = reference.partition(":")
    if not colon or not module or not attribute:
        raise RegistrationError(f"{shown(reference)} is no factory: it must look like 'pkg.mod:factory'")
    found = load_module(module, rootpath, reference=reference)
    for part in attribute.split("."):
        if not hasattr(found, part):
            public = [name for name in getattr(found, "__dict__", ()) if not name.startswith("_")]
            hint = f"; {nearest(part, public)}" if public else ""
            raise RegistrationError(f"module {module!r} has no {shown(attribute)} (wanted by {shown(reference)}){hint}")
        found = getattr(found, part)
    return found
