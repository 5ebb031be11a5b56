"""docs/explanation/ce-and-bce.md: every number in it measured again, and its snippets run."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.guard import preserved_state

PAGE = (Path(__file__).parent.parent / "docs" / "explanation" / "ce-and-bce.md").read_text(encoding="utf-8")
PROSE = re.sub(r"```.*?```|`[^`]*`", "", PAGE, flags=re.DOTALL)
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
bce = F.binary_cross_entropy_with_logits


@pytest.fixture(autouse=True)
def state_kept():
    with preserved_state():
        yield


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def summed_over_columns(z: Tensor, label: int) -> float:
    return float(bce(z, F.one_hot(torch.tensor(label), len(z)).double(), reduction="sum"))


def ce(z: Tensor, label: int, **options: Any) -> float:
    return float(F.cross_entropy(z.unsqueeze(0), torch.tensor([label]), **options))


def optimum(loss: Callable[[Tensor, Tensor], Tensor]) -> float:
    """The probability of class 1 that is best for one score and three labels, one of them 1, by L-BFGS."""
    z = numbers(0.0).requires_grad_()
    y = torch.tensor([0, 0, 1])
    optimizer = torch.optim.LBFGS([z], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(z.expand(3), y)
        value.backward()
        return value

    optimizer.step(closure)
    return float(z.detach().sigmoid())


# Training: two columns against one, the same trunk.

Pairing = Callable[[bool, list[Tensor], list[Tensor]], torch.optim.Optimizer]
STEPS = 500


def gap(pairing: Pairing, *, norm: float = math.inf, opposite: bool = False) -> float:
    """How far the margins part: 32 rows of 4 numbers, 8 tanh units, labels that no line separates, in float64."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(32, 4, generator=rng, dtype=torch.float64)
    y = (x[:, 0] + torch.randn(32, generator=rng, dtype=torch.float64) > 0).long()
    w, b = (torch.randn(*shape, generator=rng, dtype=torch.float64) / 2 for shape in ((8, 4), (8,)))
    two = torch.randn(2, 9, generator=rng, dtype=torch.float64) / 3
    if opposite:
        two[0] = -two[1]
    models = []
    for single in (False, True):
        head = two[1:] - two[:1] if single else two
        trunk, last = [w.clone().requires_grad_(), b.clone().requires_grad_()], [head.clone().requires_grad_()]
        models.append((single, trunk, last, pairing(single, trunk, last)))
    largest = 0.0
    for _ in range(STEPS):
        margins = []
        for single, trunk, last, optimizer in models:
            hidden = torch.tanh(F.linear(x, *trunk))
            z = F.linear(torch.cat([hidden, torch.ones(32, 1, dtype=torch.float64)], dim=1), last[0])
            margins.append((z[:, 0] if single else z[:, 1] - z[:, 0]).detach())
            optimizer.zero_grad()
            (bce(z[:, 0], y.double()) if single else F.cross_entropy(z, y)).backward()
            if norm < math.inf:
                nn.utils.clip_grad_norm_([*trunk, *last], norm)
            optimizer.step()
        largest = max(largest, float((margins[0] - margins[1]).abs().max()))
    return largest


def paired(
    kind: Callable[..., torch.optim.Optimizer],
    step: float,
    *,
    head: float = 2.0,
    trunk: float = 1.0,
    decay: float = 0.0,
    head_decay: float = 0.5,
    **options: Any,
) -> Pairing:
    """The optimizer of both: step and decay of the single row as multiples of those of the two rows."""

    def make(single: bool, body: list[Tensor], last: list[Tensor]) -> torch.optim.Optimizer:
        by = (head, trunk, head_decay) if single else (1.0, 1.0, 1.0)
        return kind(
            [
                {"params": body, "lr": by[1] * step, "weight_decay": decay},
                {"params": last, "lr": by[0] * step, "weight_decay": by[2] * decay},
            ],
            **options,
        )

    return make


SGD, ADAM, ADAMW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
RIGHT: dict[str, Pairing] = {
    "SGD": paired(SGD, 0.1),
    "momentum": paired(SGD, 0.05, momentum=0.9),
    "Nesterov": paired(SGD, 0.05, momentum=0.9, nesterov=True),
    "SGD with weight decay": paired(SGD, 0.1, decay=0.01),
    "Adam": paired(ADAM, 0.01),
    "AdamW": paired(ADAMW, 0.01, decay=0.1),
    "RMSprop": paired(torch.optim.RMSprop, 0.01),
    "Adagrad": paired(torch.optim.Adagrad, 0.1),
}
WRONG: dict[str, tuple[Pairing, dict[str, Any]]] = {
    "the same step for the head, SGD": (paired(SGD, 0.1, head=1.0), {}),
    "the same step for the head, Adam": (paired(ADAM, 0.01, head=1.0), {}),
    "twice the step for the trunk too, SGD": (paired(SGD, 0.1, trunk=2.0), {}),
    "twice the step for the trunk too, Adam": (paired(ADAM, 0.01, trunk=2.0), {}),
    "the same weight decay for the head, SGD": (paired(SGD, 0.1, decay=0.01, head_decay=1.0), {}),
    "the same weight decay for the head, AdamW": (paired(ADAMW, 0.01, decay=0.1, head_decay=1.0), {}),
    "Adam with `weight_decay=`, halved for the head": (paired(ADAM, 0.01, decay=0.01), {}),
    "gradients clipped to the norm 0.1, SGD": (paired(SGD, 0.1), {"norm": 0.1}),
}


@pytest.mark.parametrize("name", RIGHT)
def test_the_right_pairing_stays_within_the_bound_on_the_page(name: str):
    assert "at most 1e-12 for" in PROSE
    pairing = paired(torch.optim.RMSprop, 0.001) if name == "RMSprop" else RIGHT[name]
    assert gap(pairing) <= 1e-12


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_pairing_has_the_gap_on_the_page(name: str):
    (shown,) = re.findall(rf"^\| {re.escape(name)} \| (\S+) \|$", PAGE, re.MULTILINE)
    pairing, options = WRONG[name]
    assert f"{gap(pairing, **options):#.3g}" == shown


def test_the_table_of_wrong_pairings_is_the_one_that_is_measured():
    rows = PAGE.partition("| pairing | largest gap |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| (.*) \| [\d.]+ \|$", rows, re.MULTILINE) == list(WRONG)


def test_adams_own_decay_is_equal_where_the_rows_are_opposites():
    assert gap(paired(ADAM, 0.01, decay=0.01), opposite=True) <= 1e-12


def test_rmsprop_at_a_larger_step_amplifies_rounding(monkeypatch: pytest.MonkeyPatch):
    assert gap(RIGHT["RMSprop"]) > 0.1
    monkeypatch.setitem(globals(), "STEPS", 50)
    assert gap(RIGHT["RMSprop"]) <= 1e-13


# Numbers

FOUR = torch.tensor([0, 1, 1, 1])


def weighted(labels: Tensor, w: float = 3.0) -> float:
    z = numbers(0, 1).expand(len(labels), 2)
    return float(F.cross_entropy(z, labels, weight=numbers(1, w)))


MEASURED: dict[str, Callable[[], float]] = {
    "2.5": lambda: float(
        bce(numbers(1, 1, 1, 1), FOUR.double(), pos_weight=numbers(3)[0])
        / F.cross_entropy(numbers(0, 1).expand(4, 2), FOUR, weight=numbers(1, 3))
    ),
    "0.6931": lambda: ce(numbers(0, 0), 1, weight=numbers(1, 3)),
    "2.0794": lambda: float(bce(numbers(0), numbers(1), pos_weight=numbers(3)[0])),
    "0.4383": lambda: (weighted(FOUR[:2]) + weighted(FOUR[2:])) / 2,
    "0.4133": lambda: weighted(FOUR),
    "0.1269": lambda: ce(numbers(1, -1), 0),
    "0.6265": lambda: summed_over_columns(numbers(1, -1), 0),
    "2.3026": lambda: ce(numbers(*10 * [0]), 3),
    "6.9315": lambda: summed_over_columns(numbers(*10 * [0]), 3),
    "1.0986": lambda: ce(numbers(10, 10, 10), 2),
    "20.0001": lambda: summed_over_columns(numbers(10, 10, 10), 2),
    "0.3333": lambda: optimum(lambda m, y: bce(m, y.double())),
    "0.5": lambda: optimum(lambda m, y: bce(m, y.double(), pos_weight=numbers(2)[0])),
}
# Steps and decays of the runs above, the momentum, and a bound.
CONDITIONS = {"0.1", "0.01", "0.05", "0.9", "0.001"}


@pytest.mark.parametrize("number", MEASURED)
def test_a_number_on_the_page_is_what_is_measured(number: str):
    assert number in PROSE
    assert round(MEASURED[number](), len(number.split(".")[1])) == float(number)


def test_no_number_on_the_page_goes_unmeasured():
    gaps = set(re.findall(r" \| ([\d.]+) \|$", PAGE.partition("| pairing | largest gap |")[2], re.MULTILINE))
    found = set(re.findall(r"(?<![\w.])\d*\.\d+", PROSE))
    assert found == MEASURED.keys() | CONDITIONS | gaps
    assert set(re.findall(r"\d+e-\d+", PROSE)) == {"1e-12", "1e-13"}


# Claims


def grads(function: Callable[[Tensor], Tensor], z: Tensor) -> tuple[float, Tensor]:
    leaf = z.clone().requires_grad_()
    value = function(leaf)
    return float(value.detach()), torch.autograd.grad(value, leaf)[0]


Z = 5 * torch.randn(12, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.tensor([0, 1, 1] * 4)
T = torch.linspace(0, 1, 12, dtype=torch.float64)
SOFT = torch.stack([1 - T, T], dim=1)
W = numbers(1, 3)
Pair = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
EQUAL: dict[str, Pair] = {
    "plain": (lambda z: F.cross_entropy(z, Y), lambda m: bce(m, Y.double())),
    "pos_weight, summed": (
        lambda z: F.cross_entropy(z, Y, weight=W, reduction="sum"),
        lambda m: bce(m, Y.double(), pos_weight=W[1], reduction="sum"),
    ),
    "two weights, summed": (
        lambda z: F.cross_entropy(z, Y, weight=numbers(2, 3), reduction="sum"),
        lambda m: 2 * bce(m, Y.double(), pos_weight=numbers(1.5)[0], reduction="sum"),
    ),
    "weights, averaged": (
        lambda z: F.cross_entropy(z, Y, weight=W),
        lambda m: bce(m, Y.double(), pos_weight=W[1]) * 12 / float(W[Y].sum()),
    ),
    "weights, probabilities": (
        lambda z: F.cross_entropy(z, SOFT, weight=W),
        lambda m: bce(m, T, pos_weight=W[1]),
    ),
    "soft targets": (lambda z: F.cross_entropy(z, SOFT), lambda m: bce(m, T)),
    "label smoothing": (
        lambda z: F.cross_entropy(z, Y, label_smoothing=0.2),
        lambda m: bce(m, 0.8 * Y.double() + 0.1),
    ),
    "ignored rows": (
        lambda z: F.cross_entropy(z, Y.masked_fill(T < 0.4, 7), ignore_index=7),
        lambda m: bce(m[T >= 0.4], Y[T >= 0.4].double()),
    ),
}


@pytest.mark.parametrize("name", EQUAL)
def test_the_arguments_are_equal_in_value_and_gradient(name: str):
    on_two, on_margin = EQUAL[name]
    value, gradient = grads(on_two, Z)
    other, other_gradient = grads(lambda z: on_margin(z[:, 1] - z[:, 0]), Z)
    assert value == pytest.approx(other, rel=1e-14)
    assert float((gradient - other_gradient).abs().max()) < 1e-14


@pytest.mark.parametrize("wrong", [1 / 3, 1.0])
def test_another_pos_weight_is_not_equal(wrong: float):
    on_two, _ = EQUAL["pos_weight, summed"]
    assert float(bce(Z[:, 1] - Z[:, 0], Y.double(), pos_weight=numbers(wrong)[0], reduction="sum")) != pytest.approx(
        float(on_two(Z)), rel=1e-2
    )


def test_one_hot_targets_and_class_indices_have_other_means_under_weights():
    hot = float(F.cross_entropy(Z, F.one_hot(Y, 2).double(), weight=W))
    assert hot == pytest.approx(float(F.cross_entropy(Z, Y, weight=W)) * float(W[Y].sum()) / 12, rel=1e-14)


def test_the_scale_of_the_weights_does_not_matter_to_the_mean_of_cross_entropy():
    assert float(F.cross_entropy(Z, Y, weight=10 * W)) == pytest.approx(float(F.cross_entropy(Z, Y, weight=W)))


def test_a_margin_of_1000_costs_1000():
    assert ce(numbers(1000, 0), 1) == float(bce(numbers(-1000), numbers(1))) == 1000


def test_nothing_but_ignored_rows_is_nan_with_a_gradient_of_0():
    value, gradient = grads(lambda z: F.cross_entropy(z, torch.full((12,), -100)), Z)
    assert math.isnan(value)
    assert not gradient.any()
    assert math.isnan(float(bce(Z[:0, 0], T[:0])))


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_one_against_the_rest_holds_for_every_number_of_classes(classes: int):
    rng = torch.Generator().manual_seed(0)
    z = 3 * torch.randn(6, classes, generator=rng, dtype=torch.float64)
    y = torch.arange(6) % classes
    t = torch.rand(6, classes, generator=rng, dtype=torch.float64).softmax(dim=1)
    own = torch.eye(classes, dtype=torch.bool)

    def odds(scores: Tensor) -> Tensor:
        others = scores.unsqueeze(1).expand(-1, classes, -1).masked_fill(own, -math.inf)
        return scores - others.logsumexp(dim=2)

    ones = torch.ones_like(z)
    for targets, share in ((y, F.one_hot(y, classes).double()), (t, t)):
        value, gradient = grads(lambda s, y=targets: F.cross_entropy(s, y), z)
        other, other_gradient = grads(lambda s, p=share: (p * bce(odds(s), ones, reduction="none")).sum() / 6, z)
        assert value == pytest.approx(other, rel=1e-13)
        assert float((gradient - other_gradient).abs().max()) < 1e-13
        both = (bce(odds(z), share, reduction="none")).sum() / 6
        assert float(both) > value + 0.01


def test_the_difference_of_two_rows_has_twice_the_variance():
    two = nn.Linear(16, 2000, bias=False, dtype=torch.float64)
    with torch.no_grad():
        two.weight.uniform_(-0.25, 0.25, generator=torch.Generator().manual_seed(0))
        ratio = float((two.weight[1::2] - two.weight[::2]).var() / two.weight.var())
    # 16,000 differences: the ratio of the variances has a deviation of about .02.
    assert abs(ratio - 2) < 0.1


# Snippets


def test_there_are_three_snippets():
    assert len(SNIPPETS) == 3


def test_the_identity_snippet_runs():
    exec(compile(SNIPPETS[0], "ce-and-bce.md", "exec"), {})


def test_the_optimizer_snippet_trains_both_alike():
    made: dict[str, Any] = {}
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    exec(compile(SNIPPETS[1], "ce-and-bce.md", "exec"), made)
    # The snippet's two heads share a trunk, so only the first step of each is compared.
    x, y = torch.randn(8, 10), torch.arange(8) % 2
    start = {name: [p.detach().clone() for p in made[name].parameters()] for name in ("trunk", "two", "one")}
    margins = []
    for optimizer, head in ((made["for_two"], made["two"]), (made["for_one"], made["one"])):
        with torch.no_grad():
            for p, value in zip(made["trunk"].parameters(), start["trunk"], strict=True):
                p.copy_(value)
        z = head(made["trunk"](x))
        optimizer.zero_grad()
        (F.cross_entropy(z, y) if head is made["two"] else bce(z[:, 0], y.double())).backward()
        optimizer.step()
        z = head(made["trunk"](x)).detach()
        margins.append(z[:, 1] - z[:, 0] if head is made["two"] else z[:, 0])
    assert float((margins[0] - margins[1]).abs().max()) < 1e-14


def test_the_registration_snippet_gives_a_clean_run(pytester: pytest.Pytester):
    pytester.makeconftest(SNIPPETS[2])
    options = ["--logit-checks", "--logit-select=models_are_equivalent,cross_entropy_agrees_with_bce"]
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)
    # Only the first model names the other.
    result.assert_outcomes(passed=3, skipped=1)


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", PAGE))
def test_links_lead_to_pages(target: str):
    assert (Path(__file__).parent.parent / "docs" / "explanation" / target).resolve().is_file()
