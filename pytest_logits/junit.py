"""A result as properties of pytest's JUnit XML. Pure."""

from __future__ import annotations

from pytest_logits.finding import Result


def properties_of(result: Result) -> list[tuple[str, str]]:
    """Pairs for ``Item.user_properties``, which ``--junitxml`` writes; what there is none of has no pair."""
    verdict = result.verdict
    place = f"{verdict.location.file}:{verdict.location.line}" if verdict.location is not None else ""
    pairs = [
        ("logit_outcome", result.outcome),
        ("logit_model", result.model),
        ("logit_check", result.check),
        ("logit_cause", verdict.cause or ""),
        ("logit_measured", verdict.measured),
        ("logit_expected", verdict.expected),
        ("logit_location", place),
        ("logit_fix", result.fix),
        ("logit_reproduce", result.reproduce),
    ]
    return [(name, value) for name, value in pairs if value]
