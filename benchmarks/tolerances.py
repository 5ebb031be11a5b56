"""How close torch's losses come to the rounding bounds of ``pytest_logits.tolerances``, on 100,000 drawn batches.

Run ``python -m benchmarks.tolerances [cases]`` in the checkout. For each dtype, loss and reduction: the largest error
of value and gradient in units of its bound, which must lie between 1/50 and 1, or be 0 where the gradient is exact. The
last two columns are of the batches with 500 rows or classes and more.
"""

from __future__ import annotations

import sys
import time
from itertools import product

import torch

from tests.rounding import DTYPES, FAMILIES, REDUCTIONS, draw, ratios

LONG = 500


def main(cases: int) -> None:
    """Print the table, and each case that is outside its bound."""
    torch.set_num_threads(1)
    groups = list(product(DTYPES, FAMILIES, REDUCTIONS))
    each, started, broken = -(-cases // len(groups)), time.perf_counter(), 0
    print(f"{'dtype':15} {'loss':16} {'reduction':10} {'value':>8} {'gradient':>9} {'long':>8} {'long':>9}")
    for number, (dtype, family, reduction) in enumerate(groups):
        rng, most, most_long = torch.Generator().manual_seed(number), (0.0, 0.0), (0.0, 0.0)
        for _ in range(each):
            case = draw(family, dtype, reduction, rng)
            found = ratios(case)
            if not max(found) <= 1:
                broken += 1
                print("outside", dtype, family, case.kind, tuple(case.scores.shape), *found)
            most = max(most[0], found[0]), max(most[1], found[1])
            if max(case.scores.shape) >= LONG:
                most_long = max(most_long[0], found[0]), max(most_long[1], found[1])
        figures = f"{most[0]:8.3f} {most[1]:9.3f} {most_long[0]:8.3f} {most_long[1]:9.3f}"
        print(f"{str(dtype)[6:]:15} {family:16} {reduction:10} {figures}", flush=True)
    print(f"{each * len(groups)} cases in {time.perf_counter() - started:.0f} s, {broken} outside")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
