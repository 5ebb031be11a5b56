"""Negative controls as pytest nodes, ``<file>::<model or loss>::control[<cause>]``, and what is told of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import pytest

from pytest_logits.check_registry import Check
from pytest_logits.controls import controls_of
from pytest_logits.finding import Result, counted, listed
from pytest_logits.generated import NAME as GENERATED
from pytest_logits.items import LogitItem
from pytest_logits.limits import Limit
from pytest_logits.model import Spec
from pytest_logits.report import escaped
from pytest_logits.settings import Settings
from pytest_logits.subjects import Subjects

# What the verdict of a control is called in the reports.
CALLED = {"passed": "caught", "advice": "missed"}
CLAIM = "the checks catch {} where it is planted"


class ControlItem(LogitItem):
    """One fault, planted in one model or loss. Not to be caught is advice."""

    def __init__(self, *, words: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words = words

    def text_of(self, result: Result) -> str:
        """Which fault was missed, and what the checks said in its place."""
        rows = [("planted", self.words)]
        rows += [(one["check"], f"{_outcome(one)}: {one['measured']}") for one in result.verdict.evidence["said"]]
        rows.append(("rerun", result.reproduce))
        width = max(len(label) for label, _ in rows)
        title = f"{fault_of(result.check)}, planted in {self.model}, is not caught"
        return escaped("\n".join([title, "", *(f"  {label:<{width}}  {text}" for label, text in rows)]))


def control_record(result: Result, words: str) -> dict[str, Any]:
    """One entry of the JSON report's ``controls``; ``words`` say what was planted."""
    made = result.to_json()
    return {
        "nodeid": made["nodeid"],
        "model": made["model"],
        "fault": fault_of(result.check),
        "planted": words,
        "outcome": CALLED.get(result.outcome, result.outcome),
        "reason": "" if result.outcome in CALLED else made["measured"],
        "said": made["evidence"].get("said", []),
        "passes": made["passes"],
        "seconds": made["seconds"],
        "reproduce": made["reproduce"],
    }


def fault_of(name: str) -> str:
    """The cause in the name of a control: ``control[bounded_logits]``."""
    return name.partition("[")[2].rstrip("]")


def _outcome(said: Mapping[str, Any]) -> str:
    cause = f" ({said['cause']})" if said["cause"] else ""
    return f"{said['outcome'].replace('_', ' ')}{cause}"


def control_items(
    parent: pytest.Collector,
    spec: Spec,
    *,
    checks: Collection[Check],
    settings: Settings,
    subjects: Subjects,
    options: tuple[str, ...],
    strict: bool,
    limit: Limit,
) -> Iterator[ControlItem]:
    """An item for every fault that can be planted in some model, or in some loss."""
    for cause, words, control in controls_of(spec, checks=checks, settings=settings, subjects=subjects):
        claim = CLAIM.format(cause)
        yield ControlItem.from_parent(
            parent,
            words=words,
            name=f"control[{cause}]",
            check=Check(name=f"control[{cause}]", claim=claim, tags=("controls",), function=control.decide, doc=claim),
            model=spec.name,
            settings=settings,
            decide=control.decide,
            passes=lambda control=control: control.passes,
            spec=spec,
            options=(*options, "--logit-controls"),
            strict=strict,
            limit=limit,
        )


def told(controls: Iterable[Mapping[str, Any]], records: Collection[Mapping[str, Any]]) -> Iterator[str]:
    """The lines of the summary: of each model and loss, how many planted faults are caught, and which are not.

    First the positive control, the checks on generated classifiers, which are sound.
    """
    sound = [record for record in records if record["model"] == GENERATED]
    if sound:
        wrong = [record["check"] for record in sound if record["outcome"] in ("failed", "error")]
        found = f"{counted(len(wrong), 'check')} wrongly failed: {listed(wrong)}" if wrong else "no check fails"
        yield f"sound generated classifiers: {found}"
    by_model: dict[str, list[Mapping[str, Any]]] = {}
    for control in sorted(controls, key=lambda control: str(control["nodeid"])):
        by_model.setdefault(control["nodeid"].rpartition("::")[0], []).append(control)
    failing = Counter(r["nodeid"].rpartition("::")[0] for r in records if r["outcome"] in ("failed", "error"))
    for nodeid, entries in by_model.items():
        caught = sum(control["outcome"] == "caught" for control in entries)
        missed = [control for control in entries if control["outcome"] == "missed"]
        model = entries[0]["model"]
        # A fault hides behind another that was there before it.
        before = f", on a model that fails {counted(failing[nodeid], 'check')} as it is" if failing[nodeid] else ""
        yield f"{model}: {caught} of {counted(caught + len(missed), 'planted fault')} caught{before}"
        for control in missed:
            said = "; ".join(f"{one['check']} {_outcome(one)}" for one in control["said"])
            yield f"not caught on {model}: {control['fault']} ({control['planted']}): {said}"
        apart: dict[str, list[str]] = {}
        for control in entries:
            if control not in missed and control["outcome"] != "caught":
                apart.setdefault(control["reason"], []).append(control["fault"])
        for reason, faults in apart.items():
            yield f"not planted in {model}: {reason}: {listed(faults)}"
