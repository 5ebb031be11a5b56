"""How many verdicts change from seed to seed: ``python -m tests.stability.run --out verdicts.jsonl``.

Each subject and seed is a line of the file as soon as it is run, and what stands in the file is not run again, so a run
may be stopped and goes on; what stands there for other seeds is summed up with the rest. ``--part 0/8`` takes every
eighth subject, for as many machines; ``--read`` sums up the files that they wrote. ``--share 0.05`` takes, for each
seed, its own twentieth of every suite but the examples, drawn by the seed and the names. ``--select learning`` runs
only the checks with that name or tag, which takes a fraction of the time. The exit code is 1 where a
verdict of an exact check changes, or more than one in 10,000 of the others.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from pytest_logits.check_registry import all_checks
from pytest_logits.settings import derive_seed
from tests.stability.subjects import SUITES, Subject, subjects
from tests.stability.verdicts import Run, changes, table, too_many

DEFAULT_SUITES = ("examples", "zoo", "losses")
# They are few, and users start from them: every seed has them all.
NEVER_DRAWN = ("examples",)


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing, and tell what changed."""
    options = _options(arguments)
    runs = [run for path in options.read for run in lines(path)] if options.read else measured(options)
    exact = frozenset(check.name for check in all_checks() if "exact" in check.tags)
    found = changes(runs, exact)
    print(table(found, exact))
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(too_many(found))


def measured(options: argparse.Namespace) -> list[Run]:
    """All runs in the file, after those that were asked for and missing in it."""
    known = {
        (run["suite"], run["subject"], run["seed"], tuple(run.get("select", ()))): run for run in lines(options.out)
    }
    others = {run["torch"] for run in known.values()} - {torch.__version__}
    if others:
        raise SystemExit(f"{options.out.name} holds runs of torch {', '.join(sorted(others))}; name another file")
    all_of = {suite: subjects(suite) for suite in options.suite or DEFAULT_SUITES}
    part, parts = options.part
    for seed in range(*options.seeds):
        drawn = [one for suite, whole in all_of.items() for one in share_of(whole, suite, seed, options.share)]
        for subject in drawn[part::parts]:
            key = (subject.suite, subject.name, seed, tuple(options.select))
            if key not in known:
                known[key] = measure(subject, seed, options.select)
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(known[key]) + "\n")
        print(f"seed {seed}: {len(drawn[part::parts])} subjects", flush=True)
    return list(known.values())


def share_of(whole: list[Subject], suite: str, seed: int, share: float) -> list[Subject]:
    """Those that are drawn for a seed, in the order of the suite: at least one, the same in every process."""
    if suite in NEVER_DRAWN or share >= 1:
        return whole
    order = sorted(range(len(whole)), key=lambda number: derive_seed(seed, suite, whole[number].name))
    return [whole[number] for number in sorted(order[: math.ceil(share * len(whole))])]


def measure(subject: Subject, seed: int, select: Sequence[str] = ()) -> dict[str, Any]:
    """One run. An exception is a verdict of its own, for the next subject is to be run whatever this one raises."""
    started = time.perf_counter()
    try:
        verdicts = {result.check: [result.outcome, result.verdict.cause or ""] for result in subject.run(seed, select)}
    except Exception as error:
        verdicts = {"run": ["raised", f"{type(error).__name__}: {error}"]}
    return {
        "suite": subject.suite,
        "subject": subject.name,
        "seed": seed,
        "torch": torch.__version__,
        "select": list(select),
        "seconds": round(time.perf_counter() - started, 2),
        "verdicts": verdicts,
    }


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The runs in a file. A last line that was cut off when the run was stopped is cut away."""
    if not path.exists():
        return
    whole = path.read_bytes()
    kept = whole[: whole.rfind(b"\n") + 1]
    if kept != whole:
        path.write_bytes(kept)
    for line in kept.splitlines():
        yield json.loads(line)


def _part(text: str) -> tuple[int, int]:
    part, parts = map(int, text.split("/"))
    if not 0 <= part < parts:
        raise ValueError(text)
    return part, parts


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.stability.run")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, help="the file of the runs, one JSON object a line; is continued")
    what.add_argument("--read", type=Path, nargs="+", help="sum up these files and run nothing")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 200), metavar=("FIRST", "END"))
    parser.add_argument("--part", type=_part, default=(0, 1), metavar="I/N", help="every N-th subject")
    parser.add_argument("--share", type=float, default=1.0, help="so much of each suite, drawn for each seed")
    parser.add_argument("--select", action="append", default=[], help="names or tags of the checks; all by default")
    parser.add_argument("--suite", action="append", choices=SUITES, help="examples, zoo and losses are the default")
    parser.add_argument("--json", type=Path, help="write the counts and the changes to this file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
