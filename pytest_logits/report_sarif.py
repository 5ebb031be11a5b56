"""The report as SARIF 2.1.0, which code hosts show at the line of a pull request. Pure.

Of the results those that fail and advice are told; SARIF is a list of findings, not of all that was checked.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pytest_logits.causes import Cause, cause, cause_names
from pytest_logits.check_registry import all_checks
from pytest_logits.report_places import FAILURES, Place, place_of, sentence_of, title_of

VERSION = "2.1.0"
SCHEMA_URI = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "%SRCROOT%"
# Two runs that find the same cause by the same check on the same model in the same file find one thing.
FINGERPRINT = "logitFinding/v1"


def sarif_text(report: Mapping[str, Any], *, root: Path, registered: Mapping[str, Place]) -> str:
    """The findings of ``report``, at the line they name, else where the model is registered.

    Args:
        report: the JSON report.
        root: the folder that locations are relative to.
        registered: where each node id's model is registered.
    """
    told = [record for record in report["results"] if record["outcome"] in (*FAILURES, "advice")]
    rules = [*map(_rule_of_cause, map(cause, cause_names())), *_rules_of_checks(told)]
    index = {rule["id"]: number for number, rule in enumerate(rules)}
    log = {
        "$schema": SCHEMA_URI,
        "version": VERSION,
        "runs": [
            {
                "tool": {"driver": {"name": "pytest-logits", "version": version("pytest-logits"), "rules": rules}},
                "originalUriBaseIds": {ROOT: {"uri": _uri(f"{root.as_posix().rstrip('/')}/")}},
                "columnKind": "unicodeCodePoints",
                "properties": {key: report[key] for key in ("torch", "seed", "profile", "device", "seconds")},
                "results": [_result(record, index, registered) for record in told],
            }
        ],
    }
    return json.dumps(log, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _rule_id(record: Mapping[str, Any]) -> str:
    """The cause; where none is named, or it is not the finding, the check."""
    named = record["outcome"] not in ("error", "xpassed") and record["cause"] in cause_names()
    return str(record["cause"] if named else record["check"])


def _rule_of_cause(found: Cause) -> dict[str, Any]:
    code = "\n\n".join(
        f"{title}:\n\n```python\n{example.strip()}\n```"
        for title, example in (("Bad", found.bad), ("Use instead", found.good))
    )
    return {
        "id": found.name,
        "shortDescription": {"text": found.summary},
        "fullDescription": {"text": " ".join(found.text.split()) or found.summary},
        "help": {
            "text": found.page,
            "markdown": f"{found.summary}\n\n{found.text}\n\n{code}\n\n**Fix**: {found.fix}.\n",
        },
        "properties": {"tags": ["pytorch", "cause"]},
    }


def _rules_of_checks(told: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    """A rule for each check that has found something without a cause."""
    claims = {_rule_id(record): str(record["claim"]) for record in told if _rule_id(record) == record["check"]}
    docs = {check.name: inspect.cleandoc(check.doc) for check in all_checks()}
    for name, claim in sorted(claims.items()):
        yield {
            "id": name,
            "shortDescription": {"text": claim},
            "fullDescription": {"text": claim},
            "help": {"text": docs.get(name) or claim},
            "properties": {"tags": ["pytorch", "check"]},
        }


def _result(record: Mapping[str, Any], index: Mapping[str, int], registered: Mapping[str, Place]) -> dict[str, Any]:
    rule, place = _rule_id(record), place_of(record, registered)
    found: dict[str, Any] = {
        "ruleId": rule,
        "ruleIndex": index[rule],
        "level": "error" if record["outcome"] in FAILURES else "note",
        "message": {"text": f"{title_of(record)}: {sentence_of(record)}"},
        "locations": [],
        "partialFingerprints": {FINGERPRINT: _fingerprint(record, place)},
        "properties": {key: record[key] for key in ("nodeid", "model", "check", "outcome", "reproduce")},
    }
    if place is not None:
        found["locations"].append(
            {
                "physicalLocation": {"artifactLocation": _artifact(place.file), "region": {"startLine": place.line}},
                "logicalLocations": [{"name": record["model"], "fullyQualifiedName": record["nodeid"]}],
            }
        )
    return found


def _fingerprint(record: Mapping[str, Any], place: Place | None) -> str:
    """The same when lines move, so not of the line."""
    parts = [record["model"], record["check"], record["cause"] or "", place.file if place is not None else ""]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _artifact(file: str) -> dict[str, str]:
    if Path(file).is_absolute():
        return {"uri": _uri(Path(file).as_posix())}
    return {"uri": _quoted(file), "uriBaseId": ROOT}


def _uri(path: str) -> str:
    return f"file://{'' if path.startswith('/') else '/'}{_quoted(path)}"


def _quoted(path: str) -> str:
    """As a URI has it, also a path that is no Unicode."""
    return quote(os.fsencode(path), safe="/:")
