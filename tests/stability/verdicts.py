"""Whether verdicts change from seed to seed: the counts, their table, and what is allowed. Pure."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

# One run of the checks on one subject for one seed, as it stands in the file.
Run = Mapping[str, Any]
# Of the verdicts that no exact check gives, so many may change.
ALLOWED = 1e-4


def changes(runs: Iterable[Run], exact: frozenset[str]) -> dict[str, Any]:
    """Which verdicts (outcome, cause) change.

    The verdict of a check on a subject is the most frequent one over the seeds, of equally frequent ones that of the
    lowest seed; every other one is a change. A subject that was run for one seed only says nothing and is left out.
    What was run twice for one seed, as with other checks beside it, counts once.
    """
    by_place: dict[tuple[str, str, str], dict[int, tuple[str, ...]]] = defaultdict(dict)
    for run in runs:
        for check, verdict in run["verdicts"].items():
            by_place[run["suite"], run["subject"], check][run["seed"]] = tuple(verdict)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    changed = []
    for (suite, subject, check), by_seed in sorted(by_place.items(), key=lambda item: item[0]):
        found = sorted(by_seed.items())
        if len(found) < 2:
            continue
        usual = Counter(verdict for _, verdict in found).most_common(1)[0][0]
        others = [(seed, verdict) for seed, verdict in found if verdict != usual]
        counts[check].update(verdicts=len(found), changes=len(others))
        changed += [
            {"suite": suite, "subject": subject, "check": check, "seed": seed, "usual": usual, "found": verdict}
            for seed, verdict in others
        ]
    kinds = {
        kind: {
            each: sum(counts[check][each] for check in counts if (check in exact) == (kind == "exact"))
            for each in ("verdicts", "changes")
        }
        for kind in ("exact", "other")
    }
    return {"kinds": kinds, "checks": {check: dict(counts[check]) for check in sorted(counts)}, "changed": changed}


def highest_rate(changed: int, of: int) -> float:
    """The rate of changes below which it lies with 95 % confidence, for ``changed`` changes in ``of`` verdicts.

    The Poisson mean that gives so few changes one time in 20: 3 for none, the rule of three; 4.74 for one. Of verdicts
    that are independent, which those of one subject over several seeds are not.
    """

    def chance_of_so_few(mean: float) -> float:
        return sum(math.exp(number * math.log(mean) - mean - math.lgamma(number + 1)) for number in range(changed + 1))

    low, high = 1e-9, 10.0 + 3 * changed
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if chance_of_so_few(middle) > 0.05 else (low, middle)
    return min(1.0, high / of) if of else 1.0


def table(found: Mapping[str, Any], exact: frozenset[str]) -> str:
    """The counts by check, the two kinds of checks below them, and each verdict that changed."""
    rows = [(check, "exact" if check in exact else "", counts) for check, counts in found["checks"].items()]
    rows += [(f"all {kind} checks", "", counts) for kind, counts in found["kinds"].items()]
    lines = [f"{'check':<36}{'':<7}{'verdicts':>10}{'changes':>9}  at most, with 95 % confidence"]
    for name, kind, counts in rows:
        most = highest_rate(counts["changes"], counts["verdicts"])
        said = f"1 in {math.floor(1 / most):,}" if counts["verdicts"] else "-"
        lines.append(f"{name:<36}{kind:<7}{counts['verdicts']:>10,}{counts['changes']:>9,}  {said}")
    for one in found["changed"]:
        place = f"{one['suite']} {one['subject']} {one['check']} seed {one['seed']}"
        lines.append(f"changed: {place}: {_said(one['found'])}, not {_said(one['usual'])}")
    return "\n".join(lines)


def too_many(found: Mapping[str, Any]) -> bool:
    """Whether an exact check changed a verdict, or the others more than one in 10,000."""
    exact, other = found["kinds"]["exact"], found["kinds"]["other"]
    return bool(exact["changes"] or other["changes"] > ALLOWED * other["verdicts"])


def _said(verdict: Iterable[str]) -> str:
    outcome, cause = verdict
    return f"{outcome} ({cause})" if cause else outcome
