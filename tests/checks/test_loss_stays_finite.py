from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pytest_logits
from pytest_logits.finding import Result
from pytest_logits.settings import PROFILES
from tests.checks.planted import blamed, found, result_of
from tests.zoo import sound

CHECK = "loss_stays_finite"
UNSTABLE = ("failed", "unstable_loss")


def of_loss(loss: Any, **arguments: Any) -> Result:
    (result,) = pytest_logits.check_loss(loss, **{"name": "planted", "select": [CHECK], **arguments})
    return result


# Planted faults. The line that is named ends in FAULT.


def log_of_softmax(z: Tensor, y: Tensor) -> Tensor:
    log_p = torch.log(torch.softmax(z, dim=1))  # FAULT
    return F.nll_loss(log_p, y)


def exponentials(z: Tensor, y: Tensor) -> Tensor:
    e = torch.exp(z)
    total = e.sum(dim=1)  # FAULT
    return -torch.log(e.gather(1, y.unsqueeze(1)).squeeze(1) / total).mean()


def log_of_sigmoid(z: Tensor, y: Tensor) -> Tensor:
    p = torch.sigmoid(z)
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()  # FAULT


def log1p_of_exp(z: Tensor, y: Tensor) -> Tensor:
    return (torch.log1p(torch.exp(z)) - z * y).mean()  # FAULT


def p_log_p(z: Tensor, y: Tensor) -> Tensor:
    p = torch.softmax(z, dim=1)
    return F.cross_entropy(z, y) + 0.1 * (p * p.log()).sum(dim=1).mean()  # FAULT


def root_of_scores(z: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(z, y) + 0.1 * z.square().sum(dim=1).sqrt().mean()  # FAULT


def root_of_loss(z: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(z, y, reduction="none").sqrt().mean()  # FAULT


def focal_with_root(z: Tensor, y: Tensor) -> Tensor:
    ce = F.cross_entropy(z, y, reduction="none")
    return ((1 - torch.exp(-ce)) ** 0.5 * ce).mean()  # FAULT


def summed_first(z: Tensor, y: Tensor) -> Tensor:
    each = F.binary_cross_entropy_with_logits(z, y, reduction="none")
    return each.sum() / each.numel()  # FAULT


def smallest_scores_only(z: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(z, y, reduction="none").topk(len(y) // 2).values.mean()  # FAULT


CATEGORICAL: dict[str, Any] = {"task": "multiclass", "num_classes": 3}
BINARY: dict[str, Any] = {"task": "binary"}


@pytest.mark.parametrize(
    ("loss", "arguments"),
    [
        (log_of_softmax, CATEGORICAL),
        (exponentials, CATEGORICAL),
        (log_of_sigmoid, BINARY),
        (log1p_of_exp, BINARY),
        (p_log_p, CATEGORICAL),
        (root_of_scores, CATEGORICAL),
        (root_of_loss, CATEGORICAL),
        (focal_with_root, CATEGORICAL),
        (smallest_scores_only, CATEGORICAL),
    ],
)
def test_planted_fault_is_found_with_its_line(loss: Any, arguments: dict[str, Any]):
    result = of_loss(loss, **arguments)
    assert found(result) == UNSTABLE
    assert blamed(result).endswith("# FAULT")


def test_a_sum_that_overflows_float16_before_it_is_divided_is_found():
    def head() -> nn.Module:
        return nn.Linear(10, 32).half()

    arguments: dict[str, Any] = {"task": "multilabel", "num_classes": 32, "name": "halved"}
    result = result_of(CHECK, head, loss=summed_first, **arguments)
    assert found(result) == UNSTABLE
    assert blamed(result).endswith("# FAULT")
    assert result_of(CHECK, head, loss="bce_with_logits", **arguments).outcome == "passed"


def test_the_finding_has_the_smallest_margin_and_a_small_counterexample():
    verdict = of_loss(log_of_softmax, task="multiclass", num_classes=2).verdict
    # 1 / p overflows in the gradient at log of the largest float32, a little before p is 0.
    assert verdict.evidence["margin"] == pytest.approx(88.7228, abs=1e-3)
    assert verdict.evidence["dtype"] == "float32"
    assert "at a margin of 89, a wrong class ahead, in float32; it is finite below 88.72" in verdict.measured
    assert "torch's own is 89" in verdict.expected
    assert verdict.counterexample == {"logits": [[0.0, 89.0]], "labels": [0], "loss": pytest.approx(89)}


# Sound losses.


def by_logsumexp(z: Tensor, y: Tensor) -> Tensor:
    return (z.logsumexp(dim=1) - z.gather(1, y.unsqueeze(1)).squeeze(1)).mean()


def by_log_softmax(z: Tensor, y: Tensor) -> Tensor:
    return -F.log_softmax(z, dim=1).gather(1, y.unsqueeze(1)).mean()


def by_clamp(z: Tensor, y: Tensor) -> Tensor:
    return F.nll_loss(torch.log(torch.softmax(z, dim=1).clamp(min=1e-7)), y)


def by_softplus(z: Tensor, y: Tensor) -> Tensor:
    return (F.softplus(z) - z * y).mean()


def focal_with_epsilon(z: Tensor, y: Tensor) -> Tensor:
    p = torch.softmax(z, dim=1).gather(1, y.unsqueeze(1)) + 1e-7
    return -((1 - p).clamp(min=0) ** 2 * torch.log(p)).mean()


def with_norm(z: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(z, y) + 0.1 * z.norm(dim=1).mean()


def exponential(z: Tensor, y: Tensor) -> Tensor:
    return torch.exp(-(2 * y - 1) * z).mean()


@pytest.mark.parametrize(
    ("loss", "arguments"),
    [
        (by_logsumexp, CATEGORICAL),
        (by_log_softmax, CATEGORICAL),
        (by_clamp, CATEGORICAL),
        (by_softplus, BINARY),
        (focal_with_epsilon, CATEGORICAL),
        (with_norm, CATEGORICAL),
        (exponential, BINARY),
    ],
)
def test_sound_loss_passes(loss: Any, arguments: dict[str, Any]):
    assert of_loss(loss, **arguments).outcome == "passed"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    ("loss", "arguments"),
    [
        (nn.CrossEntropyLoss(), CATEGORICAL),
        (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 0.0, 100.0])), CATEGORICAL),
        (nn.CrossEntropyLoss(label_smoothing=0.1, reduction="sum"), CATEGORICAL),
        (nn.CrossEntropyLoss(reduction="none"), CATEGORICAL),
        (nn.CrossEntropyLoss(ignore_index=0), CATEGORICAL),
        (nn.NLLLoss(weight=torch.tensor([1.0, 2.0, 3.0])), CATEGORICAL),
        (nn.BCEWithLogitsLoss(pos_weight=torch.tensor(100.0)), BINARY),
        (nn.BCELoss(), BINARY),
        (nn.MultiLabelSoftMarginLoss(), {"task": "multilabel", "num_classes": 4}),
    ],
    ids=str,
)
def test_torchs_own_losses_pass(loss: nn.Module, arguments: dict[str, Any], profile: str):
    assert of_loss(loss, profile=profile, **arguments).outcome == "passed"


# The losses of models.


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_loss_of_a_model_is_judged_in_its_dtype(dtype: torch.dtype):
    result = result_of(CHECK, lambda: nn.Linear(10, 2).to(dtype), loss=log_of_softmax)
    assert found(result) == UNSTABLE
    assert result.verdict.evidence["dtype"] == str(dtype).removeprefix("torch.")
    assert result_of(CHECK, lambda: nn.Linear(10, 2).to(dtype)).outcome == "passed"


class Bounded(nn.Module):
    """Scores of at most 10 to either side."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(10, 2)

    def forward(self, x: Tensor) -> Tensor:
        return 10 * torch.tanh(self.head(x))


def test_scores_that_the_model_cannot_give_do_not_count():
    assert result_of(CHECK, Bounded, loss=log_of_softmax).outcome == "passed"


def bce_of_probabilities(p: Tensor, y: Tensor) -> Tensor:
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()


class Probability(nn.Module):
    """The probability of class 1, (N,); confined to [.01, .99] on request."""

    def __init__(self, confined: bool) -> None:
        super().__init__()
        self.head, self.confined = nn.Linear(10, 1), confined

    def forward(self, x: Tensor) -> Tensor:
        p = torch.sigmoid(self.head(x)).squeeze(1)
        return 0.01 + 0.98 * p if self.confined else p


@pytest.mark.parametrize(
    ("loss", "confined", "outcome"),
    [
        (bce_of_probabilities, False, "failed"),
        (bce_of_probabilities, True, "passed"),
        ("bce", False, "passed"),
        (nn.BCELoss(), False, "passed"),
    ],
)
def test_a_loss_on_probabilities_is_given_those_that_the_model_gives(loss: Any, confined: bool, outcome: str):
    assert result_of(CHECK, lambda: Probability(confined), task="binary", loss=loss).outcome == outcome


def test_a_logarithm_of_the_probabilities_of_classes_is_not_judged():
    result = result_of(CHECK, lambda: sound.Softmax(5), num_classes=5, loss=sound.wants_probabilities)
    assert result.outcome == "not_applicable"


# What is told, and no failure.


def clamped(z: Tensor, y: Tensor) -> Tensor:
    # 1 - 1e-7 is 1 in bfloat16.
    p = torch.sigmoid(z).clamp(1e-7, 1 - 1e-7)
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()


def test_what_overflows_in_bfloat16_only_is_advice():
    result = of_loss(clamped, **BINARY)
    assert found(result) == ("advice", "unstable_loss")
    assert result.verdict.evidence["dtype"] == "bfloat16"


def test_what_overflows_in_float16_only_is_told():
    try:
        leaf = torch.zeros(1, 2, dtype=torch.float16, requires_grad=True)
        by_clamp(leaf, torch.zeros(1, dtype=torch.long)).backward()
    except RuntimeError as error:
        pytest.skip(f"torch before 2.3 does not compute this in float16 on a CPU: {error}")
    result = of_loss(by_clamp, **CATEGORICAL)
    assert result.outcome == "passed"
    assert "in float16 from" in result.verdict.measured
    assert list(result.verdict.evidence["overflows"]) == ["float16"]


def test_a_class_that_is_masked_is_advice():
    mask = torch.tensor([0.0, 0.0, -torch.inf])
    result = of_loss(lambda z, y: F.cross_entropy(z + mask.to(z), y), **CATEGORICAL)
    assert found(result) == ("advice", "unstable_loss")
    assert "for labels such as 2" in result.verdict.measured


def test_a_loss_that_refuses_half_precision_passes():
    def refusing(z: Tensor, y: Tensor) -> Tensor:
        if z.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"no {z.dtype}")
        return F.cross_entropy(z, y)

    assert of_loss(refusing, **CATEGORICAL).outcome == "passed"


def test_a_loss_that_refuses_two_rows_is_not_judged():
    def whole_batches(z: Tensor, y: Tensor) -> Tensor:
        if len(y) not in (1, 6, 16):
            raise ValueError("a batch has 16 rows")
        return log_of_softmax(z, y)

    assert of_loss(whole_batches, **CATEGORICAL).outcome == "not_applicable"


def barrier(z: Tensor, y: Tensor) -> Tensor:
    return -torch.log(300 - z[:, 1] * (1 - 2 * y) + 0.5 * z[:, 0]).mean()


@pytest.mark.parametrize(("dtype", "outcome"), [(torch.float64, "not_applicable"), (torch.float32, "passed")])
def test_a_singularity_of_the_loss_itself_is_no_fault(dtype: torch.dtype, outcome: str):
    assert result_of(CHECK, lambda: nn.Linear(10, 2).to(dtype), loss=barrier).outcome == outcome


def test_a_loss_that_is_never_finite_is_found():
    assert found(of_loss(lambda z, y: F.cross_entropy(z, y) / 0, **CATEGORICAL)) == UNSTABLE


def test_the_loss_of_a_lightning_step_is_not_judged():
    class LightningModule(nn.Linear):
        automatic_optimization = True

    class Tripled(LightningModule):
        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            x, y = batch
            return log_of_softmax(3 * self(x), y)

    result = result_of(CHECK, lambda: Tripled(10, 2))
    assert result.outcome == "not_applicable"
