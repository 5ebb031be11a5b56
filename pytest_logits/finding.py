"""What a check says: verdicts, findings, and the record that every report is made from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["passed", "failed", "advice", "inconclusive", "not_applicable", "error", "xfailed", "xpassed"]


class LogitFailure(AssertionError):
    """A check failed. Not raised for exceptions of the model, so that a crash is never an expected failure."""


@dataclass(frozen=True, kw_only=True)
class Location:
    """A place in the user's code.

    ``file`` is an absolute path until a report makes it relative; ``code`` is the line itself, ``note`` what happens
    there, such as ``"Softmax(dim=1), module net.1"``.
    """

    file: str
    line: int
    code: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The same measurement with the cause undone.

    ``undone`` says how, ``as_written`` and ``with_fix`` are the two losses, ``goal`` the loss that only the second
    gets below.
    """

    undone: str
    as_written: float
    with_fix: float
    goal: float
    steps: int | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The answer of one check on one subject, before it is tied to a test item.

    ``measured`` and ``expected`` are sentences with numbers, ``evidence`` the same numbers as data.
    """

    outcome: Outcome
    measured: str
    expected: str = ""
    cause: str | None = None
    proof: Proof | None = None
    location: Location | None = None
    counterexample: Mapping[str, Any] | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


def passed(measured: str, *, expected: str = "", evidence: Mapping[str, Any] | None = None) -> Verdict:
    """The property holds."""
    return Verdict(outcome="passed", measured=measured, expected=expected, evidence=evidence or {})


def inconclusive(measured: str, *, expected: str = "", evidence: Mapping[str, Any] | None = None) -> Verdict:
    """The evidence does not decide."""
    return Verdict(outcome="inconclusive", measured=measured, expected=expected, evidence=evidence or {})


def failed(
    measured: str,
    *,
    expected: str = "",
    cause: str | None = None,
    counterexample: Mapping[str, Any] | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> Verdict:
    """The property does not hold."""
    return Verdict(
        outcome="failed",
        measured=measured,
        expected=expected,
        cause=cause,
        counterexample=counterexample,
        evidence=evidence or {},
    )


def advice(
    measured: str, *, expected: str = "", cause: str | None = None, evidence: Mapping[str, Any] | None = None
) -> Verdict:
    """True and worth saying, and no failure unless ``--logit-strict`` makes it one."""
    return Verdict(outcome="advice", measured=measured, expected=expected, cause=cause, evidence=evidence or {})


def not_applicable(reason: str) -> Verdict:
    """The property says nothing about this subject."""
    return Verdict(outcome="not_applicable", measured=reason)


@dataclass(frozen=True, kw_only=True)
class Passes:
    """Forward and backward passes of the model under check."""

    forward: int = 0
    backward: int = 0

    def __sub__(self, other: Passes) -> Passes:
        return Passes(forward=self.forward - other.forward, backward=self.backward - other.backward)


@dataclass(frozen=True, kw_only=True)
class Result:
    """One check on one model, as the reports need it. ``to_json`` is one entry of the JSON report's ``results``."""

    nodeid: str
    model: str
    check: str
    outcome: Outcome
    claim: str
    verdict: Verdict
    fix: str
    passes: Passes
    seconds: float
    reproduce: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values only; numbers that JSON cannot hold become the strings "nan", "inf" and "-inf"."""
        verdict = self.verdict
        location = verdict.location and {"file": verdict.location.file, "line": verdict.location.line}
        proof = verdict.proof and {
            "undone": verdict.proof.undone,
            "as_written": verdict.proof.as_written,
            "with_fix": verdict.proof.with_fix,
            "goal": verdict.proof.goal,
            "steps": verdict.proof.steps,
        }
        record = {
            "nodeid": self.nodeid,
            "model": self.model,
            "check": self.check,
            "outcome": self.outcome,
            "cause": verdict.cause,
            "claim": self.claim,
            "measured": verdict.measured,
            "expected": verdict.expected,
            "fix": self.fix,
            "proof": proof,
            "location": location,
            "counterexample": verdict.counterexample,
            "evidence": verdict.evidence,
            "passes": {"forward": self.passes.forward, "backward": self.passes.backward},
            "seconds": round(self.seconds, 4),
            "reproduce": self.reproduce,
        }
        plain: dict[str, Any] = as_json(record)
        return plain


def as_json(value: Any) -> Any:
    """``value`` with tuples as lists, unknown objects as their ``repr`` and non-finite floats as strings."""
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return repr(value)


def proof_text(proof: Mapping[str, Any]) -> str:
    """The two losses of a record's ``proof`` and how the cause is undone, in words; a loss may be "nan" or "inf"."""
    written, undone = (f"{float(proof[key]):.4f}" for key in ("as_written", "with_fix"))
    ran = f" after {counted(proof['steps'], 'step')}" if proof["steps"] is not None else ""
    return f"as written {written}, with the cause undone {undone}{ran} ({proof['undone']})"


def counted(number: int, noun: str) -> str:
    """``1 step``, ``2 steps``; ``1 loss``, ``2 losses``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}{'es' if noun.endswith('s') else 's'}"


def listed(names: Sequence[str], most: int = 3) -> str:
    """``a, b, c and 2 more``."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def four_digits(value: float) -> str:
    """A loss to four digits after the point; what rounds to 0 is ``0``."""
    return f"{value:.4f}" if abs(value) >= 5e-5 else "0"
