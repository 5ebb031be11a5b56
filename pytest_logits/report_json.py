"""The JSON report, schemas/report.schema.json, which the other reports are made from. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_logits.settings import DEFAULT_DEVICE

SCHEMA = 1


def report_of(
    records: Iterable[Mapping[str, Any]],
    *,
    torch_version: str,
    seed: int,
    profile: str,
    device: str = DEFAULT_DEVICE,
    seconds: float,
    controls: Iterable[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The report, schema 1, from the records of the results, in the order of their node ids.

    ``controls``, where they were run, are the records of the planted faults.
    """
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "torch": torch_version,
        "seed": seed,
        "profile": profile,
        "device": device,
        "seconds": round(seconds, 3),
        "results": sorted(records, key=lambda record: str(record["nodeid"])),
    }
    if controls is not None:
        report["controls"] = sorted(controls, key=lambda record: str(record["nodeid"]))
    return report


def json_text(report: Mapping[str, Any]) -> str:
    """The report as a file holds it.

    Raises:
        ValueError: a record has a number that JSON cannot hold, so it was not made by ``Result.to_json``.
    """
    return json.dumps(report, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
