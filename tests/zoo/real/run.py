"""Run the checks on the real models, one after the other: ``python -m tests.zoo.real.run --out results.json``.

The results are written after each model, and a model whose results are in the file already is not run again.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

import pytest_logits
from pytest_logits.check_registry import all_checks
from tests.zoo.real import entries
from tests.zoo.real.entry import Real
from tests.zoo.real.planted import found_in, planted

QUIET = ("passed", "not_applicable")


def main() -> None:
    options = _options()
    wanted = [
        entry
        for entry in entries()
        if (not options.names or entry.name in options.names) and options.package in (None, entry.package)
    ]
    results = _resume(options.out, {"torch": torch.__version__, "seed": options.seed, "profile": options.profile})
    warnings.simplefilter("ignore")
    for entry in wanted:
        if entry.name in {model["name"] for model in results["models"]}:
            continue
        model = measure(entry, seed=options.seed, profile=options.profile)
        print(line(model), flush=True)
        results["models"].append(model)
        _write(options.out, results)
    if options.planted:
        _plant(wanted, results, options)
    wrong = {model["name"]: said for model in results["models"] if (said := amiss(model))}
    if wrong:
        raise SystemExit("\n".join(["not as it should be:", *(f"  {name}: {said}" for name, said in wrong.items())]))


def _plant(wanted: list[Real], results: dict[str, Any], options: argparse.Namespace) -> None:
    """Plant every fault in the first models of ``--planted`` families, one of each, and note what was found."""
    known = results.setdefault("planted", [])
    done, families = {fault["name"] for fault in known}, set()
    for entry in wanted:
        if entry.mistakes or entry.family in families or len(families) == options.planted:
            continue
        families.add(entry.family)
        for fault in planted(entry):
            if fault.name not in done:
                found = found_in(fault, seed=options.seed)
                known.append({"name": fault.name, "model": entry.name, "cause": fault.cause, "found": found})
                print(f"{fault.name:<48} {'found' if found == fault.cause else f'MISSED: {found}'}", flush=True)
                _write(options.out, results)


def amiss(model: dict[str, Any]) -> str:
    """What the checks should not have said of a model: a sound one fails nothing, a mistaken one its own mistakes."""
    if model["error"]:
        return str(model["error"])
    failed = {c["check"]: c["cause"] or c["measured"] for c in model["checks"] if c["outcome"] in ("failed", "error")}
    if model["mistakes"]:
        missed = {check: cause for check, cause in model["mistakes"].items() if failed.get(check) != cause}
        return f"missed {missed}" if missed else ""
    return f"failed {failed}" if failed else ""


def measure(entry: Real, *, seed: int, profile: str) -> dict[str, Any]:
    """What the checks say of one model. An exception in its factory is its ``error``."""
    known = {"name": entry.name, "family": entry.family, "package": entry.package, "mistakes": entry.mistakes}
    started = time.perf_counter()
    try:
        model = entry.factory()
        parameters = sum(p.numel() for p in model.parameters())
        started = time.perf_counter()
        report = pytest_logits.check_classifier(
            entry.factory, name=entry.name, seed=seed, profile=profile, **entry.arguments
        )
    except Exception:
        # The next model is to be run whatever this one raises.
        last = traceback.format_exc().strip().splitlines()[-1]
        return {**known, "parameters": 0, "seconds": time.perf_counter() - started, "checks": [], "error": last}
    tags = {check.name: list(check.tags) for check in all_checks()}
    checks = [
        {
            "check": result.check,
            "tags": tags[result.check],
            "outcome": result.outcome,
            "cause": result.verdict.cause,
            "measured": result.verdict.measured,
            "expected": result.verdict.expected,
            "passes": {"forward": result.passes.forward, "backward": result.passes.backward},
            "seconds": round(result.seconds, 4),
        }
        for result in report
    ]
    return {
        **known,
        "parameters": parameters,
        "seconds": round(time.perf_counter() - started, 3),
        "checks": checks,
        "error": None,
    }


def passes(model: dict[str, Any], tag: str | None = None) -> tuple[int, int]:
    """Forward and backward passes of a model's checks, or of those with one tag."""
    counted = [check["passes"] for check in model["checks"] if tag is None or tag in check["tags"]]
    return sum(p["forward"] for p in counted), sum(p["backward"] for p in counted)


def line(model: dict[str, Any]) -> str:
    """One line for the model, and one more for each check that is not quiet."""
    if model["error"]:
        return f"{model['name']:<32} ERROR {model['error']}"
    counts = collections.Counter(check["outcome"] for check in model["checks"])
    forward, backward = passes(model)
    learning = passes(model, "learning")
    lines = [
        f"{model['name']:<32} {model['parameters']:>9} params {model['seconds']:>7.2f} s "
        f"{forward:>5} forward {backward:>4} backward (learning {learning[0]}/{learning[1]})  "
        + ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
    ]
    lines += [
        f"    {c['check']}: {c['outcome']}: {c['cause'] or '-'}: {c['measured']}"
        + (f" [expected {c['expected']}]" if c["expected"] else "")
        for c in model["checks"]
        if c["outcome"] not in QUIET
    ]
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.zoo.real.run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--profile", default="standard")
    parser.add_argument("--names", type=lambda text: text.split(","), default=[], help="names, separated by commas")
    parser.add_argument("--package")
    parser.add_argument("--planted", type=int, default=0, help="plant faults in one model of so many families")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def _resume(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    if not path.exists():
        return {**settings, "models": []}
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    found = {key: results[key] for key in settings}
    if found != settings:
        raise SystemExit(f"{path.name} holds results of another run, {found} instead of {settings}; remove it first")
    return results


def _write(path: Path, results: dict[str, Any]) -> None:
    """Whole or not at all: a run that is stopped leaves the results up to the last model."""
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)


if __name__ == "__main__":
    main()
