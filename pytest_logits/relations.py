"""Metamorphic relations: what must stay the same, or change in a known way, when a batch or a loss is changed.

Each function raises an AssertionError with the numbers where its relation does not hold. A relation needs no expected
value: it compares a model, or a loss, with itself.

Tolerances. Losses of the same scores in another arrangement may differ by rounding only. With u the unit roundoff of
the dtype, M the largest score and K classes, a row of cross entropy or of BCE with logits is good to
u (8 M + 8 log K + K + 3), however it is written: log-probabilities are at most 2 M + log K in size, the logarithm of
the sum M + log K, and each of the few operations on them errs by u of its result (Higham, Accuracy and Stability of
Numerical Algorithms, chapters 2 to 4). A sum over N rows errs by N times as much, and by N u of itself. Two losses are
compared, so twice that is allowed; it bounds the error of a mean as well. Logits of a model are compared to half the
digits of their dtype, at the size of the largest: its kernels may add in another order.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pytest_logits.structures import called, find_logits, index_rows, tensors_in

Loss = Callable[[Tensor, Tensor], Tensor]
# The exact test goes through all 2**runs ways to swap the two runs of a pair.
MOST_RUNS = 16


# Models


def assert_order_of_batch_does_not_matter(
    model: nn.Module, x: Any, *, logits: Callable[[Any], Tensor] = find_logits, seed: int = 0
) -> None:
    """In eval mode, the logits of a batch in another order are the logits in that order.

    Args:
        model: is called in eval mode and left in the mode that it was in.
        x: a batch as the model takes it: a tensor (N, ...), a tuple or a mapping of such.
        logits: where the scores are in the output.
        seed: of the order.
    """
    __tracebackhide__ = True
    count = _rows_of(x)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    with _evaluating(model):
        expected = _scores(logits, model, x, count)[order]
        found = _scores(logits, model, index_rows(x, order, count), count)
    _same_logits(expected, found, f"the logits of {count} examples in the order {order.tolist()}")


def assert_batch_can_be_split(
    model: nn.Module, x: Any, *, size: int = 1, logits: Callable[[Any], Tensor] = find_logits
) -> None:
    """In eval mode, the logits of a batch are those of its parts of ``size`` examples, one after the other.

    This finds what mixes examples, and what loses the axis of a batch of one. Arguments as above.
    """
    __tracebackhide__ = True
    count = _rows_of(x)
    parts = torch.arange(count).split(size)
    with _evaluating(model):
        expected = _scores(logits, model, x, count)
        found = [_scores(logits, model, index_rows(x, part, count), len(part)) for part in parts]
    for part, piece in zip(parts, found, strict=True):
        _same_logits(expected[part], piece, f"the logits of examples {part.tolist()} of {count}, taken by themselves,")


def assert_permuted_head_permutes_logits(
    model: nn.Module, head: str, x: Any, *, logits: Callable[[Any], Tensor] = find_logits, seed: int = 0
) -> None:
    """In eval mode, the same model with the rows of its last layer in another order gives the columns in that order.

    So nothing after the head, and no loss of these logits, prefers a class by its index. Exact but for rounding; it is
    the relation between classes that needs no training.

    Args:
        model: stays as it is; a copy is changed.
        head: the name of the layer that makes the logits, as in ``model.named_modules()``.
        x: a batch as the model takes it.
        logits: where the scores (N, K, ...) are in the output.
        seed: of the order.
    """
    __tracebackhide__ = True
    twin = copy.deepcopy(model)
    layer = twin.get_submodule(head)
    parameters = [p for p in (layer.weight, layer.bias) if isinstance(p, Tensor)]
    order = torch.randperm(len(parameters[0]), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(parameter[order])
    with _evaluating(model), _evaluating(twin):
        expected, found = logits(called(model, x))[:, order], logits(called(twin, x))
    _same_logits(expected, found, f"with the rows of {head!r} in the order {order.tolist()}, the logits")


# Losses


def assert_constant_shift_changes_nothing(loss: Loss, logits: Tensor, targets: Tensor, *, shift: float = 1.0) -> None:
    """A constant added to all scores of a row leaves the loss as it is: softmax does not see it.

    Args:
        loss: ``(logits, targets) -> scalar`` over classes: cross entropy, and what is made of it.
        logits: (N, K, ...).
        targets: as the loss takes them.
        shift: is added to every score.
    """
    __tracebackhide__ = True
    before, after = loss(logits, targets), loss(logits + shift, targets)
    allowed = _rounding(logits, before, after, more=abs(shift))
    _same_loss(before, after, allowed, f"with {shift:g} added to every score")


def assert_duplicate_rows_keep_the_mean_loss(loss: Loss, logits: Tensor, targets: Tensor, *, times: int = 2) -> None:
    """A batch with every row ``times`` times has the same mean loss; arguments as above."""
    __tracebackhide__ = True
    before = loss(logits, targets)
    after = loss(torch.cat([logits] * times), torch.cat([targets] * times))
    _same_loss(before, after, times * _rounding(logits, before, after), f"with every row {times} times")


def assert_order_of_rows_does_not_matter(loss: Loss, logits: Tensor, targets: Tensor, *, seed: int = 0) -> None:
    """A batch in another order has the same loss; arguments as above, and the seed of the order."""
    __tracebackhide__ = True
    order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(seed))
    before, after = loss(logits, targets), loss(logits[order], targets[order])
    _same_loss(before, after, _rounding(logits, before, after), f"with rows in the order {order.tolist()}")


def assert_relabelling_changes_nothing(loss: Loss, logits: Tensor, labels: Tensor, *, seed: int = 0) -> None:
    """With classes renamed, in the labels and in the columns, the loss is the same.

    It does not hold, and need not, for a loss with class weights or an ignored class.

    Args:
        loss: ``(logits, labels) -> scalar``.
        logits: (N, K, ...).
        labels: class indices, int64 (N, ...).
        seed: of the new names.
    """
    __tracebackhide__ = True
    new_names = torch.randperm(logits.shape[1], generator=torch.Generator().manual_seed(seed))
    before = loss(logits, labels)
    after = loss(logits[:, new_names.argsort()], new_names[labels])
    told = f"with classes {list(range(len(new_names)))} renamed to {new_names.tolist()}"
    _same_loss(before, after, _rounding(logits, before, after), told)


def assert_weights_scale(
    make_loss: Callable[[Tensor], Loss],
    weight: Tensor,
    logits: Tensor,
    targets: Tensor,
    *,
    factor: float = 2.0,
    normalised: bool = True,
) -> None:
    """Weights ``factor`` times as large leave a normalised loss as it is, and multiply any other by ``factor``.

    Args:
        make_loss: ``(weight) -> loss``, such as ``lambda w: nn.CrossEntropyLoss(weight=w)``.
        weight: of the classes, (K,).
        logits: (N, K, ...).
        targets: as the loss takes them.
        factor: above 0.
        normalised: whether the loss divides by the sum of the weights, as the mean of cross entropy of class indices
            does. The mean of BCE, that of soft targets, and sums do not.
    """
    __tracebackhide__ = True
    before, after = make_loss(weight)(logits, targets), make_loss(weight * factor)(logits, targets)
    expected = before if normalised else before * factor
    largest = 1.0 if normalised else float(weight.abs().max()) * max(1.0, factor)
    allowed = _rounding(logits, expected, after) * max(1.0, largest)
    _same_loss(expected, after, allowed, f"with weights {factor:g} times as large")


# Training


def assert_relabelling_permutes_logits_in_distribution(
    train: Callable[[Tensor, int], Tensor],
    labels: Tensor,
    *,
    num_classes: int,
    runs: int = 12,
    false_alarm: float = 1e-3,
    seed: int = 0,
) -> None:
    """Training on renamed classes gives logits of the renamed classes, in distribution: no index is preferred.

    ``runs`` pairs are trained, the second of each on renamed labels, all with seeds of their own. Let d be the mean
    logit of each class in the first less that in the second, whose columns are named back. Where no index is preferred
    the two of a pair are drawn alike, so that each sign of d is as likely as the other. The sum of d over the pairs, at
    the class where it is largest, is held against that of all 2**runs choices of signs: an exact test, which rejects
    with probability at most ``false_alarm``.

    Args:
        train: ``(labels, seed) -> logits (N, K)`` of the trained model on the inputs that it was trained on. All that
            is random in it must follow from the seed.
        labels: class indices, int64 (N,).
        num_classes: K.
        runs: pairs; at most 16. The least probability that the test can tell is 2 / 2**runs.
        false_alarm: the probability of raising where nothing is wrong.
        seed: of the new names, and the first of the seeds given to ``train``.

    Raises:
        ValueError: with so few runs the test cannot reject at this rate.
    """
    __tracebackhide__ = True
    if not 1 <= runs <= MOST_RUNS or 2.0 / 2**runs > false_alarm:
        needed = math.ceil(math.log2(2 / false_alarm))
        raise ValueError(f"runs={runs} must be from {needed}, which false_alarm={false_alarm:g} needs, to {MOST_RUNS}")
    # A rotation leaves no class its name.
    turn = 1 + seed % max(1, num_classes - 1)
    new_names = (torch.arange(num_classes) + turn) % num_classes
    differences = []
    for run in range(runs):
        first = train(labels, seed + 2 * run)
        second = train(new_names[labels], seed + 2 * run + 1)[:, new_names]
        differences.append((first - second).detach().double().mean(dim=0))
    table = torch.stack(differences)
    signs = torch.tensor(list(itertools.product((1.0, -1.0), repeat=runs)), dtype=torch.float64)
    sums = (signs @ table).abs().amax(dim=1)
    # Equal sums count, up to the order of addition.
    share = float((sums >= sums[0] * (1 - 1e-9)).double().mean())
    if share <= false_alarm:
        means = [round(value, 4) for value in table.mean(dim=0).tolist()]
        raise AssertionError(
            f"an index of a class is preferred: over {runs} pairs of runs, the mean logits of the classes less those "
            f"after renaming are {means}; signs alone make sums as large with probability {share:.2g}, "
            f"below {false_alarm:g}"
        )


# Comparison


def _rows_of(x: Any) -> int:
    sizes = [len(tensor) for tensor in tensors_in(x) if tensor.ndim]
    if not sizes:
        raise ValueError("x must be a tensor, tuple or mapping with one row for each example")
    return sizes[0]


def _scores(logits: Callable[[Any], Tensor], model: nn.Module, x: Any, count: int) -> Tensor:
    __tracebackhide__ = True
    found = logits(called(model, x))
    if found.shape[:1] != (count,):
        raise AssertionError(f"the logits of a batch of {count} have shape {tuple(found.shape)}: not one row for each")
    return found


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _same_logits(expected: Tensor, found: Tensor, told: str) -> None:
    __tracebackhide__ = True
    if expected.shape != found.shape:
        raise AssertionError(f"{told} have shape {tuple(found.shape)}, not {tuple(expected.shape)}")
    if not expected.numel():
        return
    allowed = math.sqrt(torch.finfo(expected.dtype).eps) * float(torch.maximum(expected.abs(), found.abs()).max())
    gaps = (expected - found).abs()
    if not bool((gaps <= allowed).all()):
        row = int((gaps > allowed).flatten(1).any(dim=1).long().argmax()) if gaps.ndim > 1 else int(gaps.argmax())
        raise AssertionError(
            f"{told} differ by {float(gaps.max()):.4g}, where rounding explains {allowed:.2g}; row {row} is "
            f"{_shown(found[row])}, not {_shown(expected[row])}"
        )


def _shown(row: Tensor) -> list[float]:
    return [float(f"{value:.6g}") for value in row.flatten().tolist()[:8]]


def _rounding(logits: Tensor, *values: Tensor, more: float = 0.0) -> float:
    """What two losses of these scores may differ by; see the module's docstring. Scores may be ``more`` larger."""
    u, classes = torch.finfo(logits.dtype).eps / 2, logits.shape[1] if logits.ndim > 1 else 1
    rows = max(1, logits.numel() // classes)
    largest = float(logits.detach().abs().max()) + more
    each = 8 * largest + 8 * math.log(classes + 1) + classes + 3
    size = max(abs(float(value.detach())) for value in values)
    return 2 * rows * u * (each + (size if math.isfinite(size) else 0.0))


def _same_loss(expected: Tensor, found: Tensor, allowed: float, told: str) -> None:
    __tracebackhide__ = True
    before, after = float(expected.detach()), float(found.detach())
    if not (before == after or abs(before - after) <= allowed):
        raise AssertionError(
            f"{told} the loss is {after:.8g}, not {before:.8g}: {abs(after - before):.3g} apart, where rounding "
            f"explains {allowed:.2g}"
        )
