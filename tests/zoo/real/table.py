"""Turn the results of a run into a page: ``python -m tests.zoo.real.table results.json docs/real-models.md``."""

from __future__ import annotations

import argparse
import collections
import json
import statistics
from pathlib import Path
from typing import Any

from tests.zoo.real.run import amiss, passes

MADE = "<!-- Made by tests/zoo/real/table.py from the results of tests/zoo/real/run.py. -->"
OUTCOMES = ("passed", "not_applicable", "advice", "inconclusive", "failed", "error")


def page(results: dict[str, Any]) -> str:
    """The whole page in Markdown."""
    models = results["models"]
    sound = [model for model in models if not model["mistakes"]]
    mistaken = [model for model in models if model["mistakes"]]
    packages = {model["package"] for model in models}
    learning = [passes(model, "learning") for model in sound if model["checks"]]
    every = [passes(model) for model in sound if model["checks"]]
    lines = [
        MADE,
        "# Real models",
        "",
        f"The checks on {len(sound)} sound classifiers of {len({model['family'] for model in sound})} architecture "
        f"families from {len(packages)} packages, small and with random weights: torch {results['torch']}, seed "
        f"{results['seed']}, profile {results['profile']}, on a CPU with one thread. Run it with `tox -e zoo`.",
        "",
        f"- models on which a check failed: {_count(sound, 'failed')}",
        f"- models on which a check raised: {_count(sound, 'error') + sum(bool(m['error']) for m in sound)}",
        f"- models with an inconclusive check: {_count(sound, 'inconclusive')}",
        f"- models with advice: {_count(sound, 'advice')}",
        f"- passes of the learning checks together: {_spread(learning)}",
        f"- passes of all checks together: {_spread(every)}",
        f"- models above 60 forward or 40 backward passes in the learning checks: "
        f"{sum(forward > 60 or backward > 40 for forward, backward in learning)}",
        f"- seconds per model: median {statistics.median(m['seconds'] for m in sound):.2f}, "
        f"most {max(m['seconds'] for m in sound):.1f}",
    ]
    if results.get("planted"):
        lines += _planted(results["planted"])
    if mistaken:
        lines += ["", "## Mistakes found in released packages", ""]
        lines += ["These models are wrong as their package builds them, and are not counted above.", ""]
        lines += ["| model | package | check | cause | measured |", "| --- | --- | --- | --- | --- |"]
        lines += [
            _row(f"{m['family']} (`{m['name']}`)", m["package"], c["check"], c["cause"] or "", c["measured"])
            for m in mistaken
            for c in m["checks"]
            if c["check"] in m["mistakes"]
        ]
    for title, outcomes in (("Failed or raised", ("failed", "error")), ("Inconclusive", ("inconclusive",))):
        found = [(m, c) for m in sound for c in m["checks"] if c["outcome"] in outcomes]
        if found:
            lines += ["", f"## {title}", "", "| model | check | measured | expected |", "| --- | --- | --- | --- |"]
            lines += [_row(f"`{m['name']}`", c["check"], c["measured"], c["expected"]) for m, c in found]
    lines += ["", "## All models", ""]
    lines += [_row("model", "family", "package", "parameters", "verdicts", "learning", "all", "seconds")]
    lines += ["| --- | --- | --- | ---: | --- | ---: | ---: | ---: |"]
    lines += [_model(model) for model in models]
    lines += ["", "*learning* and *all* are forward/backward passes of the checks with that tag, and of all checks."]
    return "\n".join(lines) + "\n"


def _planted(faults: list[dict[str, Any]]) -> list[str]:
    """Which planted faults were found, by kind."""
    kinds = collections.defaultdict(list)
    for fault in faults:
        kinds[fault["name"].removeprefix(f"{fault['model']}-")].append(fault)
    found = sum(fault["found"] == fault["cause"] for fault in faults)
    models = len({fault["model"] for fault in faults})
    lines = [
        "",
        "## Planted faults",
        "",
        f"{found} of {len(faults)} faults planted in {models} of the models are found.",
        "",
    ]
    lines += ["| fault | planted | found with its cause | otherwise |", "| --- | --- | --- | --- |"]
    for kind, planted in kinds.items():
        missed = [f for f in planted if f["found"] != f["cause"]]
        told = "; ".join(f"`{f['model']}`: {f['found']}" for f in missed)
        lines.append(_row(kind, str(len(planted)), str(len(planted) - len(missed)), told))
    return lines


def _count(models: list[dict[str, Any]], outcome: str) -> int:
    return sum(any(check["outcome"] == outcome for check in model["checks"]) for model in models)


def _spread(counted: list[tuple[int, int]]) -> str:
    forward, backward = zip(*counted, strict=True)
    return (
        f"median {statistics.median(forward):.0f} forward and {statistics.median(backward):.0f} backward, "
        f"most {max(forward)} and {max(backward)}"
    )


def _model(model: dict[str, Any]) -> str:
    counts = collections.Counter(check["outcome"] for check in model["checks"])
    verdicts = ", ".join(f"{counts[name]} {name}" for name in OUTCOMES if counts[name]) or model["error"]
    if model["mistakes"] and not amiss(model):
        verdicts += " (rightly)"
    learning, every = passes(model, "learning"), passes(model)
    return _row(
        f"`{model['name']}`",
        model["family"],
        model["package"],
        f"{model['parameters']:,}",
        verdicts,
        f"{learning[0]}/{learning[1]}",
        f"{every[0]}/{every[1]}",
        f"{model['seconds']:.2f}",
    )


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.zoo.real.table")
    parser.add_argument("results", type=Path)
    parser.add_argument("page", type=Path)
    options = parser.parse_args()
    results = json.loads(options.results.read_text(encoding="utf-8"))
    options.page.write_text(page(results), encoding="utf-8")


if __name__ == "__main__":
    main()
