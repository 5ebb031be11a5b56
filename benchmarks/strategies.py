"""What drawing costs: a batch against ``torch.randn`` of its size, a classifier against building it, in pairs.

Run ``python benchmarks/strategies.py [pairs]``. Inside a test of Hypothesis each pair draws one example, tensors or
module included, and makes the same without Hypothesis. The medians of both and of the paired excess are printed: for
batches over 3 times ``torch.randn`` plus 1 ms, for classifiers over 2 times ``build()`` plus 2 ms, so that a number
below 0 keeps the bound.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import hypothesis
import torch
from hypothesis.strategies import SearchStrategy

from pytest_logits import strategies as st


def seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    made = function()
    return time.perf_counter() - started, made


def tensors(batch: st.Batch) -> Any:
    return batch.x, batch.labels


def plain_tensors(batch: st.Batch) -> Any:
    return torch.randn(batch.size, *batch.input_shape)


def module(classifier: st.GeneratedClassifier) -> Any:
    return classifier.build()


CASES: dict[str, tuple[SearchStrategy[Any], Callable[[Any], Any], Callable[[Any], Any], float, float]] = {
    "batches": (st.batches(), tensors, plain_tensors, 3, 1e-3),
    "batches of tokens": (st.batches(vocab_size=50), tensors, plain_tensors, 3, 1e-3),
    "batches of 64 images": (
        st.batches(min_size=64, max_size=64, input_shape=(3, 64, 64)),
        tensors,
        plain_tensors,
        3,
        1e-3,
    ),
    "separable_batches": (st.separable_batches(), tensors, plain_tensors, 3, 1e-3),
    "inseparable_batches": (st.inseparable_batches(), tensors, plain_tensors, 3, 1e-3),
    "classifiers": (st.classifiers(), module, module, 2, 2e-3),
    "classifiers from width 8": (st.classifiers(min_width=8), module, module, 2, 2e-3),
}


def main(pairs: int) -> None:
    torch.set_num_threads(1)
    print(f"{'':26}{'drawn':>10}{'without':>10}{'excess over the bound':>24}   (medians of {pairs} pairs, ms)")
    for name, (strategy, make, plain, factor, more) in CASES.items():
        drawn, without = measure(strategy, make, plain, pairs)
        excess = [1e3 * (a - factor * b - more) for a, b in zip(drawn, without, strict=True)]
        print(
            f"{name:26}{1e3 * statistics.median(drawn):>10.3f}{1e3 * statistics.median(without):>10.3f}"
            f"{statistics.median(excess):>24.3f}"
        )


def measure(
    strategy: SearchStrategy[Any], make: Callable[[Any], Any], plain: Callable[[Any], Any], pairs: int
) -> tuple[list[float], list[float]]:
    drawn: list[float] = []
    without: list[float] = []
    order = random.Random(0)

    @hypothesis.seed(0)
    @hypothesis.settings(
        max_examples=pairs,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.generate,),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(data=hypothesis.strategies.data())
    def pair(data: hypothesis.strategies.DataObject) -> None:
        # What the plain one is to make is known only once it is drawn, so the drawn one comes first; whether the plain
        # one is warmed up by an equal one is left to chance.
        taken, example = seconds(lambda: data.draw(strategy))
        made, _ = seconds(lambda: make(example))
        if order.random() < 0.5:
            plain(example)
        drawn.append(taken + made)
        without.append(seconds(lambda: plain(example))[0])

    pair()
    return drawn, without


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
