"""1,000 drawn examples of each strategy keep its contract, and together reach every branch of its grammar."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import pytest
import torch
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from pytest_logits import strategies as st
from pytest_logits.strategies.classifiers import ACTIVATIONS, FAMILIES, HEADS, NORMALISATIONS
from pytest_logits.strategies.losses import LOSSES, REDUCTIONS
from pytest_logits.strategies.optimizers import OPTIMIZERS
from pytest_logits.strategies.transforms import TRANSFORMS

# Runs with seeds of their own: Hypothesis may leave a value out for a whole run.
RUNS, EACH = 5, 200


@dataclass(frozen=True)
class Contract:
    """``holds`` asserts the contract of one example; ``branches`` names what it reaches of ``all_branches``.

    ``each`` is the number of examples of a run, where the grammar has fewer than 200.
    """

    strategy: SearchStrategy[Any]
    holds: Callable[[Any], None]
    branches: Callable[[Any], Iterable[str]] = lambda example: ()
    all_branches: frozenset[str] = field(default_factory=frozenset)
    each: int = EACH


def is_rebuilt(made: Any) -> None:
    again = eval(repr(made), {**vars(st), "torch": torch})
    assert again == made
    assert repr(again) == repr(made)


def logits_hold(z: Tensor) -> None:
    assert z.dtype == torch.float32
    assert 1 <= len(z) <= 2
    assert 2 <= z.shape[1] <= 3
    assert z.shape[2:] == (2,)
    assert z.abs().max() <= 20


def batch_holds(batch: st.Batch) -> None:
    is_rebuilt(batch)
    assert batch.x.shape == (batch.size, *batch.input_shape)
    assert batch.x.isfinite().all()
    assert batch.labels.shape == (batch.size,)
    assert 0 <= int(batch.labels.min()) <= int(batch.labels.max()) < batch.num_classes
    if batch.vocab_size is not None:
        assert batch.x.dtype == torch.int64
        assert 0 <= int(batch.x.min()) <= int(batch.x.max()) < batch.vocab_size


def batch_branches(batch: st.Batch) -> Iterable[str]:
    kind = "floats" if batch.vocab_size is None else "tokens"
    yield f"{kind} of {len(batch.input_shape)} axes"
    yield f"scale {batch.scale}"


def separable_holds(batch: st.SeparableBatch) -> None:
    batch_holds(batch)
    assert batch.margin >= 1.5


def inseparable_holds(batch: st.InseparableBatch) -> None:
    batch_holds(batch)
    pairs = batch.size // 2
    # Tokens may be equal by chance, which only raises the floor.
    least = 2 * pairs / batch.size * math.log(2)
    assert batch.floor >= least - 1e-9
    if batch.vocab_size is None:
        assert batch.floor == pytest.approx(least)
        assert batch.most_correct == batch.size - pairs


def classifier_holds(classifier: st.GeneratedClassifier) -> None:
    is_rebuilt(classifier)
    model = classifier.build()
    logits = model(classifier.batch(2).x)
    shape = {
        "classes": (2, classifier.num_classes),
        "column": (2, 1),
        "flat": (2,),
        "dense": (2, classifier.num_classes, *classifier.input_shape[1:]),
        "tokens": (2, classifier.input_shape[0], classifier.num_classes),
    }
    assert logits.shape == shape[classifier.head]
    assert logits.isfinite().all()


def classifier_branches(classifier: st.GeneratedClassifier) -> Iterable[str]:
    yield classifier.family
    yield f"head: {classifier.head}"
    yield classifier.activation
    yield f"normalised: {classifier.normalisation}"
    yield f"dropout {classifier.dropout}"
    yield f"depth {classifier.depth}"


CLASSIFIER_BRANCHES = {
    *FAMILIES,
    *(f"head: {head}" for head in HEADS),
    "none",
    *ACTIVATIONS,
    *(f"normalised: {name}" for name in NORMALISATIONS),
    *(f"dropout {share}" for share in (0.0, 0.1, 0.5)),
    *(f"depth {depth}" for depth in range(4)),
}


def loss_holds(loss: st.GeneratedLoss) -> None:
    is_rebuilt(loss)
    scores = torch.tensor([[0.25, 0.5, 0.125], [0.5, 0.25, 0.25]])
    targets = torch.tensor([0, 2]) if loss.takes_indices else torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    value = loss.build()(scores, targets)
    assert (value.ndim == 0) == (loss.reduction != "none")
    # A mean over no row that counts is 0 / 0.
    assert value.isfinite().all() or loss.ignore_index in (0, 2)


def loss_branches(loss: st.GeneratedLoss) -> Iterable[str]:
    yield f"{loss.name} {loss.reduction}"
    for name in ("weight", "pos_weight"):
        yield f"{loss.name} {name} {getattr(loss, name) is not None}"
    yield f"{loss.name} ignores {loss.ignore_index >= 0}"
    yield f"{loss.name} smooths {loss.label_smoothing > 0}"
    yield f"{loss.name} p {loss.p}"


LOSS_BRANCHES = {
    *(f"{name} {reduction}" for name in LOSSES for reduction in REDUCTIONS),
    *(f"{name} weight {given}" for name in LOSSES for given in (True, False)),
    *(f"{name} pos_weight False" for name in LOSSES),
    "bce_with_logits pos_weight True",
    *(f"{name} ignores False" for name in LOSSES),
    "cross_entropy ignores True",
    "nll_loss ignores True",
    *(f"{name} smooths False" for name in LOSSES),
    "cross_entropy smooths True",
    *(f"{name} p 1" for name in LOSSES),
    "multi_margin p 2",
}


def labels_hold(y: Tensor) -> None:
    assert y.dtype == torch.int64
    assert len(y) >= 4
    assert set(y.tolist()) <= {0, 1, 2}


def balanced_hold(y: Tensor) -> None:
    labels_hold(y)
    counts = y.bincount(minlength=3)
    assert counts.max() - counts.min() <= 1


def imbalanced_hold(y: Tensor) -> None:
    labels_hold(y)
    assert y.bincount().max() == min(math.ceil(0.75 * len(y)), len(y) - 1)


def single_class_holds(y: Tensor) -> None:
    labels_hold(y)
    assert len(y.unique()) == 1


def missing_classes_hold(y: Tensor) -> None:
    labels_hold(y)
    assert len(y.unique()) < 3


def ignoring_holds(y: Tensor) -> None:
    labels_hold(y[y != -100].repeat(4)[:4])
    assert int((y != -100).sum()) >= 1


def dense_labels_hold(y: Tensor) -> None:
    assert y.shape[1:] == (2, 1)
    labels_hold(y.flatten().repeat(4)[:4])


def shares_hold(y: Tensor) -> None:
    assert y.dtype == torch.float32
    assert y.shape[1:] == (3, 2)
    assert torch.allclose(y.sum(dim=1), torch.ones(len(y), 2))
    assert y.min() >= 0


def onehot_holds(y: Tensor) -> None:
    shares_hold(y)
    assert set(y.flatten().tolist()) == {0.0, 1.0}


def smoothed_holds(y: Tensor) -> None:
    shares_hold(y)
    assert torch.allclose(y.max(dim=1).values, torch.tensor(0.8))
    assert torch.allclose(y.min(dim=1).values, torch.tensor(0.1))


def multihot_holds(y: Tensor) -> None:
    assert y.shape[1:] == (3,)
    assert set(y.flatten().tolist()) <= {0.0, 1.0}


def weights_hold(weights: Tensor) -> None:
    assert weights.shape == (3,)
    assert weights.dtype == torch.float32
    assert 0 <= weights.min() <= weights.max() <= 8
    assert weights.any()


def drawn_labels(**arguments: Any) -> SearchStrategy[Any]:
    return st.labels(**{"min_size": 4, "max_size": 8, "num_classes": 3, **arguments})


SMALL: dict[str, Any] = {"min_size": 1, "max_size": 4, "dense_shape": (2,)}
PRESENT = frozenset({"0", "1", "2"})


def present(y: Tensor) -> Iterable[str]:
    return (str(label) for label in y[y != -100].flatten().tolist())


def optimizer_holds(made: st.GeneratedOptimizer) -> None:
    is_rebuilt(made)
    model = torch.nn.Linear(1, 1)
    model.weight.requires_grad_(False)
    optimizer = made(model)
    assert type(optimizer).__name__ == made.name
    assert [p for group in optimizer.param_groups for p in group["params"]] == [model.bias]
    assert optimizer.param_groups[0]["lr"] == made.lr


def optimizer_branches(made: st.GeneratedOptimizer) -> Iterable[str]:
    yield f"{made.name} {made.lr}"
    yield f"decay {made.weight_decay}"
    yield f"{made.name} momentum {made.momentum} {made.nesterov}"


OPTIMIZER_BRANCHES = {
    *(f"{name} {rate}" for name in OPTIMIZERS for rate in (1e-2, 1e-3)),
    *(f"decay {decay}" for decay in (0.0, 1e-4, 1e-2)),
    *(f"{name} momentum 0.0 False" for name in OPTIMIZERS),
    "SGD momentum 0.9 False",
    "SGD momentum 0.9 True",
    "RMSprop momentum 0.9 False",
}


def pair_holds(pair: st.EquivalentPair) -> None:
    is_rebuilt(pair)
    two, one = pair.two_logits.requires_grad_(), pair.one_logit.requires_grad_()
    first, second = pair.cross_entropy(two, pair.labels), pair.bce_with_logits(one, pair.targets)
    assert torch.allclose(first, second, rtol=1e-12, atol=1e-12)
    slope, other = torch.autograd.grad(first.sum(), two)[0][:, 1], torch.autograd.grad(second.sum(), one)[0]
    assert torch.allclose(slope, other, rtol=1e-12, atol=1e-12)


def transform_holds(transform: st.Transform) -> None:
    is_rebuilt(transform)
    x, labels = torch.arange(6.0).reshape(3, 2), torch.tensor([0, 1, 1])
    changed, named = transform(x, labels)
    assert len(changed) == len(named)
    inputs, classes = sorted(changed.unique().tolist()), sorted(named.unique().tolist())
    if transform.kind == "relabelling":
        assert torch.equal(changed, x)
        assert named.bincount().sort().values.tolist()[-2:] == [1, 2]
    elif transform.kind in ("shift", "scale"):
        back = changed - transform.amount if transform.kind == "shift" else changed / transform.amount
        assert torch.equal(back, x)
        assert torch.equal(named, labels)
        tokens, _ = transform(x.long(), labels)
        assert torch.equal(tokens, x.long())
    else:
        assert (inputs, classes) == (x.flatten().tolist(), [0, 1])
        assert len(changed) == 3 * (transform.amount if transform.kind == "duplication" else 1)


def faulty_holds(faulty: st.FaultyClassifier) -> None:
    is_rebuilt(faulty)
    x, model = faulty.classifier.batch(2).x, faulty.build()
    assert torch.allclose(model(x).sum(dim=1), torch.ones(2), atol=1e-5)


CONTRACTS = {
    "logits": Contract(st.logits(max_batch_size=2, max_classes=3, dense_shape=(2,)), logits_hold),
    "labels": Contract(drawn_labels(), labels_hold, present, PRESENT),
    "labels_balanced": Contract(drawn_labels(balance="balanced"), balanced_hold, present, PRESENT),
    "labels_imbalanced": Contract(drawn_labels(balance="imbalanced", share=0.75), imbalanced_hold, present, PRESENT),
    "labels_single_class": Contract(
        drawn_labels(balance="single_class", max_size=80), single_class_holds, present, PRESENT
    ),
    "labels_missing_classes": Contract(drawn_labels(balance="missing_classes"), missing_classes_hold, present, PRESENT),
    "labels_ignoring": Contract(drawn_labels(ignore_index=-100), ignoring_holds, present, PRESENT),
    "labels_dense": Contract(
        drawn_labels(min_size=1, max_size=3, dense_shape=(2, 1)), dense_labels_hold, present, PRESENT
    ),
    "labels_onehot": Contract(drawn_labels(encoding="onehot", **SMALL), onehot_holds),
    "labels_smoothed": Contract(drawn_labels(encoding="smoothed", smoothing=0.3, **SMALL), smoothed_holds),
    "labels_soft": Contract(drawn_labels(encoding="soft", **SMALL), shares_hold),
    "labels_multihot": Contract(drawn_labels(encoding="multihot"), multihot_holds),
    "class_weights": Contract(
        st.class_weights(num_classes=3, min_weight=0, max_weight=8),
        weights_hold,
        lambda w: ("zero" if (w == 0).any() else "none zero", "equal" if len(w.unique()) == 1 else "unequal"),
        frozenset({"zero", "none zero", "equal", "unequal"}),
    ),
    "batches": Contract(
        hypothesis.strategies.one_of(st.batches(), st.batches(vocab_size=7)),
        batch_holds,
        batch_branches,
        frozenset(
            {*(f"floats of {axes} axes" for axes in (1, 2, 3)), "tokens of 1 axes"}
            | {f"scale {scale}" for scale in (1.0, 10.0, 0.1, 100.0)}
        ),
    ),
    "separable_batches": Contract(st.separable_batches(max_size=4, max_classes=3, min_margin=1.5), separable_holds),
    "inseparable_batches": Contract(
        hypothesis.strategies.one_of(st.inseparable_batches(), st.inseparable_batches(vocab_size=3)), inseparable_holds
    ),
    "classifiers": Contract(
        st.classifiers(heads=HEADS, max_width=8), classifier_holds, classifier_branches, frozenset(CLASSIFIER_BRANCHES)
    ),
    "losses": Contract(st.losses(num_classes=3), loss_holds, loss_branches, frozenset(LOSS_BRANCHES)),
    "optimizers": Contract(
        st.optimizers(learning_rates=(1e-2, 1e-3)),
        optimizer_holds,
        optimizer_branches,
        frozenset(OPTIMIZER_BRANCHES),
        each=72,
    ),
    "equivalent_pairs": Contract(
        st.equivalent_pairs(max_size=2),
        pair_holds,
        lambda pair: (f"{pair.reduction} weighted {pair.weight != 1}", *(f"class {c}" for c in pair.classes)),
        frozenset(
            {"mean weighted False", "class 0", "class 1"}
            | {f"{r} weighted {w}" for r, w in itertools.product(("sum", "none"), (True, False))}
        ),
    ),
    "transforms": Contract(
        st.transforms(), transform_holds, lambda transform: (transform.kind,), frozenset(TRANSFORMS)
    ),
    "faulty_classifiers": Contract(
        st.faulty_classifiers(cause="softmax_before_cross_entropy", max_width=8),
        faulty_holds,
        lambda faulty: (faulty.classifier.family,),
        frozenset(FAMILIES),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTRACTS)
def test_a_thousand_examples_keep_the_contract_and_reach_every_branch(name: str):
    contract = CONTRACTS[name]
    reached: set[str] = set()
    drawn: list[Any] = []
    for seed in range(RUNS):

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=EACH,
            database=None,
            deadline=None,
            phases=(hypothesis.Phase.generate,),
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(contract.strategy)
        def draw(example: Any) -> None:
            drawn.append(example)
            contract.holds(example)
            reached.update(contract.branches(example))

        draw()
    assert len(drawn) >= RUNS * contract.each
    assert contract.all_branches - reached == set()
    assert reached - contract.all_branches == set()
