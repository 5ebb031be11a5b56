"""Each relation holds for what is sound, and is broken, with numbers, by a planted fault."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as hypothesis_st
from torch import Tensor, nn

from pytest_logits import relations
from pytest_logits import strategies as st

DTYPES = [torch.float64, torch.float32, torch.bfloat16]
FEW = settings(derandomize=True, database=None, deadline=None, max_examples=30)


class Net(nn.Module):
    """Batch statistics and dropout, which eval mode turns off; ``after`` is what becomes of the scores."""

    def __init__(self, after: Callable[[Tensor], Tensor] = lambda z: z) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(8, 3)
        self.after = after

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.head(self.body(x)))


@pytest.fixture
def net() -> Callable[..., Net]:
    def make(*arguments: Any) -> Net:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return Net(*arguments)

    return make


X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
Z = 3 * torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
Y = torch.tensor([0, 1, 2, 2, 1, 0])


def breaks(message: str) -> Any:
    return pytest.raises(AssertionError, match=message)


# Models.


def test_models_that_keep_rows_apart_keep_every_relation(net: Any):
    model = net()
    relations.assert_order_of_batch_does_not_matter(model, X)
    relations.assert_batch_can_be_split(model, X)
    relations.assert_batch_can_be_split(model, X, size=2)
    relations.assert_permuted_head_permutes_logits(model, "head", X)
    assert all(module.training for module in model.modules())


@FEW
@given(classifier=st.classifiers(min_width=8, heads=("classes", "column", "flat", "dense", "tokens")))
def test_generated_classifiers_keep_them(classifier: st.GeneratedClassifier):
    model, x = classifier.build(), classifier.batch(4, seed=1).x
    relations.assert_order_of_batch_does_not_matter(model, x)
    relations.assert_batch_can_be_split(model, x)
    if classifier.head == "classes":
        relations.assert_permuted_head_permutes_logits(model, "head", x)


def test_modes_are_left_as_they_were(net: Any):
    model = net()
    model.body.eval()
    relations.assert_order_of_batch_does_not_matter(model, X)
    assert model.training
    assert not model.body[3].training


def test_scores_that_depend_on_their_place_break_the_order(net: Any):
    model = net(lambda z: z + torch.arange(len(z)).unsqueeze(1))
    with breaks(r"in the order \[.*\] differ by [\d.]+, where rounding explains [\d.e-]+; row \d is \["):
        relations.assert_order_of_batch_does_not_matter(model, X)


def test_rows_that_are_mixed_alike_keep_the_order_and_break_the_split(net: Any):
    model = net(lambda z: z - z.mean(dim=0))
    relations.assert_order_of_batch_does_not_matter(model, X)
    with breaks(r"the logits of examples \[0\] of 5, taken by themselves, differ by"):
        relations.assert_batch_can_be_split(model, X)


def test_a_squeeze_breaks_the_split(net: Any):
    with breaks(r"the logits of a batch of 1 have shape \(3,\): not one row for each"):
        relations.assert_batch_can_be_split(net(torch.squeeze), X)


def test_a_preferred_class_breaks_the_permutation_of_the_head(net: Any):
    model = net(lambda z: z + torch.tensor([1.0, 0.0, 0.0]))
    before = model.head.weight.clone()
    with breaks("with the rows of 'head' in the order .* differ by 1"):
        relations.assert_permuted_head_permutes_logits(model, "head", X)
    assert torch.equal(model.head.weight, before)


def test_batches_of_several_inputs_and_outputs_in_a_mapping(net: Any):
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def forward(self, *, first: Tensor, second: Tensor) -> dict[str, Tensor]:
            return {"scores": self.net(first + second)}

    batch = {"first": X, "second": X.flip(0)}
    relations.assert_order_of_batch_does_not_matter(Two(), batch, logits=lambda output: output["scores"])


def test_a_batch_without_rows_is_refused(net: Any):
    with pytest.raises(ValueError, match="one row for each example"):
        relations.assert_order_of_batch_does_not_matter(net(), "text")


def test_nan_is_no_agreement(net: Any):
    with breaks("differ by nan"):
        relations.assert_order_of_batch_does_not_matter(net(lambda z: z * torch.nan), X)


# Losses.


def hand_written(logits: Tensor, targets: Tensor) -> Tensor:
    return -(logits - logits.logsumexp(dim=1, keepdim=True)).gather(1, targets.unsqueeze(1)).mean()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("loss", [F.cross_entropy, hand_written])
@FEW
@given(data=hypothesis_st.data())
def test_cross_entropy_keeps_every_relation(loss: Any, dtype: torch.dtype, data: hypothesis_st.DataObject):
    z = data.draw(st.logits(max_magnitude=50.0, dtype=dtype))
    y = data.draw(st.labels(num_classes=z.shape[1], min_size=len(z), max_size=len(z)))
    seed = data.draw(hypothesis_st.integers(0, 9))
    relations.assert_constant_shift_changes_nothing(loss, z, y, shift=seed - 4.0)
    relations.assert_duplicate_rows_keep_the_mean_loss(loss, z, y, times=3)
    relations.assert_order_of_rows_does_not_matter(loss, z, y, seed=seed)
    relations.assert_relabelling_changes_nothing(loss, z, y, seed=seed)


@FEW
@given(loss=st.losses(num_classes=3, names=("cross_entropy", "nll_loss", "multi_margin"), reductions=("mean",)))
def test_torchs_losses_do_not_mind_the_order(loss: st.GeneratedLoss):
    if loss.ignore_index < 0:
        relations.assert_order_of_rows_does_not_matter(loss.build(), Z, Y)
        relations.assert_duplicate_rows_keep_the_mean_loss(loss.build(), Z, Y)


def test_a_loss_of_probabilities_breaks_the_shift():
    with breaks(r"with 1 added to every score the loss is -?[\d.]+, not -?[\d.]+: 1 apart"):
        relations.assert_constant_shift_changes_nothing(F.nll_loss, Z, Y)


def test_a_sum_breaks_the_mean_of_duplicates():
    with breaks("with every row 2 times the loss is"):
        relations.assert_duplicate_rows_keep_the_mean_loss(nn.CrossEntropyLoss(reduction="sum"), Z, Y)


def test_a_loss_that_minds_its_first_row_breaks_the_order():
    with breaks(re.escape("with rows in the order [")):
        relations.assert_order_of_rows_does_not_matter(lambda z, y: F.cross_entropy(z[:1], y[:1]), Z, Y)


def test_an_ignored_class_breaks_the_relabelling():
    with breaks(r"with classes \[0, 1, 2\] renamed to \[.*\] the loss is"):
        relations.assert_relabelling_changes_nothing(nn.CrossEntropyLoss(ignore_index=1), Z, Y, seed=2)


W = torch.tensor([1.0, 10.0, 0.1])


@pytest.mark.parametrize("factor", [2.0, 0.1])
def test_weights_scale(factor: float):
    relations.assert_weights_scale(lambda w: nn.CrossEntropyLoss(weight=w), W, Z, Y, factor=factor)
    summed: Any = lambda w: nn.CrossEntropyLoss(weight=w, reduction="sum")  # noqa: E731
    relations.assert_weights_scale(summed, W, Z, Y, factor=factor, normalised=False)
    targets = F.one_hot(Y, 3).float()
    relations.assert_weights_scale(
        lambda w: nn.BCEWithLogitsLoss(weight=w), W, Z, targets, factor=factor, normalised=False
    )


def test_weights_that_are_not_divided_out_are_told():
    def divided_by_rows(weight: Tensor) -> Any:
        return lambda z, y: F.cross_entropy(z, y, weight=weight, reduction="sum") / len(y)

    with breaks("with weights 2 times as large the loss is"):
        relations.assert_weights_scale(divided_by_rows, W, Z, Y)


# Training.

INPUTS = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(9) % 3


def train(labels: Tensor, seed: int, *, favour: float = 0.0) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Linear(4, 3)
    with torch.no_grad():
        model.bias[0] += favour
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(model(INPUTS), labels).backward()
        optimizer.step()
    return model(INPUTS)


def test_training_that_prefers_no_index_passes():
    relations.assert_relabelling_permutes_logits_in_distribution(train, LABELS, num_classes=3)


def test_an_initial_bias_to_an_index_is_found():
    with breaks(r"an index of a class is preferred: over 12 pairs of runs.*with probability 0\.000\d+, below 0\.001"):
        relations.assert_relabelling_permutes_logits_in_distribution(
            lambda labels, seed: train(labels, seed, favour=3.0), LABELS, num_classes=3
        )


def test_runs_that_cannot_reach_the_rate_are_refused():
    with pytest.raises(ValueError, match=r"runs=5 must be from 11, which false_alarm=0\.001 needs, to 16"):
        relations.assert_relabelling_permutes_logits_in_distribution(train, LABELS, num_classes=3, runs=5)


def test_false_alarms_are_as_rare_as_stated():
    # At a rate of .05 the number of alarms in 200 tries exceeds 22 with probability below 1e-3.
    def drawn(labels: Tensor, seed: int) -> Tensor:
        return torch.randn(4, 2, generator=torch.Generator().manual_seed(seed))

    alarms = 0
    for start in range(200):
        try:
            relations.assert_relabelling_permutes_logits_in_distribution(
                drawn, torch.tensor([0, 1, 0, 1]), num_classes=2, runs=6, false_alarm=0.05, seed=1000 * start
            )
        except AssertionError:
            alarms += 1
    assert alarms <= 22
