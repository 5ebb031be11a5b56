"""The pages of the causes: their form, and every number and claim in them measured again."""

from __future__ import annotations

import ast
import inspect
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pytest_logits
from pytest_logits import causes
from pytest_logits.causes import cause, cause_names
from pytest_logits.check_registry import all_checks
from pytest_logits.regions import Region

NAMES = cause_names()


def prose(name: str) -> str:
    """A page up to its first example."""
    return f"{cause(name).summary}\n{cause(name).text}"


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_a_summary_a_fix_and_examples(name: str):
    found = cause(name)
    assert found.summary == found.page.splitlines()[0]
    assert found.summary.endswith(".")
    # What is printed after "Fix:" and before a full stop.
    assert found.fix
    assert found.fix[0].islower() or not found.fix[0].isalpha() or found.fix.split()[0].isupper()
    assert not found.fix.endswith(".")
    assert found.bad.strip() != found.good.strip()


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_python(name: str):
    for text in (cause(name).bad, cause(name).good):
        ast.parse(text)


def test_an_unknown_cause_is_a_key_error():
    with pytest.raises(KeyError, match="no_such_cause"):
        cause("no_such_cause")


def test_the_causes_are_the_files():
    files = {path.stem for path in Path(causes.__file__).parent.glob("*.py")} - {"__init__"}
    assert sorted(files) == NAMES


# Checks and causes.


def literals(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def causes_in(path: Path) -> set[str]:
    """The causes that a module gives, in ``cause=...`` and in what is assigned to ``cause``; the region is none."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        assigned = isinstance(node, ast.Assign) and any(getattr(n, "id", "") == "cause" for n in ast.walk(node))
        if assigned or (isinstance(node, ast.keyword) and node.arg == "cause"):
            found.update(word for word in literals(node.value) if re.fullmatch(r"[a-z]+(_[a-z]+)+", word))
    return found - set(get_args(Region))


def listed(doc: str) -> list[str]:
    """The causes in the last paragraph of a check's docstring."""
    paragraph = doc.split("Causes:")[1] if "Causes:" in doc else ""
    return re.findall(r"[a-z]+(?:_[a-z]+)+", paragraph)


@pytest.mark.parametrize("check", all_checks(), ids=lambda c: c.name)
def test_every_cause_that_a_check_lists_exists(check):
    assert listed(check.doc)
    assert set(listed(check.doc)) <= set(NAMES)


@pytest.mark.parametrize("check", all_checks(), ids=lambda c: c.name)
def test_every_cause_that_a_check_names_exists_and_is_listed(check):
    module = inspect.getmodule(check.function)
    assert module is not None
    named = causes_in(Path(str(module.__file__)))
    assert named <= set(NAMES)
    assert named <= set(listed(check.doc))


def test_every_cause_that_the_recognised_losses_name_exists():
    named = causes_in(Path(pytest_logits.__file__).parent / "equivalence.py")
    assert named
    assert named <= set(NAMES)


def test_every_cause_is_listed_by_some_check():
    assert {name for check in all_checks() for name in listed(check.doc)} >= set(NAMES)


# Numbers. Each decimal number in the prose of a page is measured here, or is a condition under which one was.

LABELS = torch.arange(200)


def best_and_worst(confine: Callable[[Tensor], Tensor], classes: int) -> tuple[float, float]:
    """Cross entropy of what an activation lets through, with the true class at one end and the rest at the other."""
    y = LABELS % classes
    direction = 2 * F.one_hot(y, classes).double() - 1
    best, worst = (float(F.cross_entropy(confine(1000 * sign * direction), y)) for sign in (1, -1))
    return best, worst


def softmax(z: Tensor) -> Tensor:
    return torch.softmax(z, dim=1)


def sigmoid_before_bce(label: float, score: float) -> float:
    outputs = torch.sigmoid(torch.tensor([score], dtype=torch.float64))
    return float(F.binary_cross_entropy_with_logits(outputs, torch.tensor([label], dtype=torch.float64)))


def minimise(loss: Callable[[Tensor], Tensor], classes: int) -> Tensor:
    """One row of free scores after enough L-BFGS for float64."""
    rng = torch.Generator().manual_seed(0)
    scores = torch.randn(1, classes, generator=rng, dtype=torch.float64).requires_grad_()
    optimizer = torch.optim.LBFGS([scores], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(scores)
        value.backward()
        return value

    optimizer.step(closure)
    return scores.detach()


def best_on_the_sphere(classes: int) -> float:
    def loss(scores: Tensor) -> Tensor:
        return F.cross_entropy(F.normalize(scores, dim=1), torch.tensor([0]))

    return float(loss(minimise(loss, classes)))


def share_of_the_true_class(true: float, other: float, classes: int) -> float:
    target = torch.full((1, classes), other, dtype=torch.float64)
    target[0, 0] = true
    scores = minimise(lambda z: F.cross_entropy(z, target) + 1e-9 * z.square().sum(), classes)
    return float(scores.softmax(dim=1)[0, 0])


def accuracy_at_100_classes(activation: Callable[[Tensor], Tensor]) -> float:
    """A hundred well separated clusters in 20 dimensions, a network of 64 hidden units, 500 steps of SGD at 0.1."""
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(1000) % 100
    x = torch.randn(100, 20, generator=rng)[y] + 0.1 * torch.randn(1000, 20, generator=rng)
    weights = [torch.empty(64, 20).uniform_(-(20**-0.5), 20**-0.5, generator=rng)]
    weights += [torch.empty(100, 64).uniform_(-1 / 8, 1 / 8, generator=rng)]
    parameters = [w.requires_grad_() for w in (*weights, torch.zeros(64), torch.zeros(100))]

    def scores(rows: Tensor) -> Tensor:
        return F.linear(F.relu(F.linear(rows, parameters[0], parameters[2])), parameters[1], parameters[3])

    optimizer = torch.optim.SGD(parameters, lr=0.1)
    for _ in range(500):
        batch = torch.randint(0, 1000, (100,), generator=rng)
        optimizer.zero_grad()
        F.cross_entropy(activation(scores(x[batch])), y[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        return float((scores(x).argmax(dim=1) == y).double().mean())


MEASURED: dict[tuple[str, str], Callable[[], float]] = {
    ("bounded_logits", ".1269"): lambda: best_and_worst(torch.tanh, 2)[0],
    ("bounded_logits", ".7966"): lambda: best_and_worst(torch.tanh, 10)[0],
    ("bounded_logits", "2.6671"): lambda: best_and_worst(torch.tanh, 100)[0],
    ("bounded_logits", ".2176"): lambda: best_on_the_sphere(2),
    ("bounded_logits", ".8362"): lambda: best_on_the_sphere(5),
    ("bounded_logits", "2.0555"): lambda: best_on_the_sphere(20),
    ("regression_head", ".5"): lambda: float(torch.tensor(0.0).sigmoid()),
    ("regression_head", ".73"): lambda: float(torch.tensor(1.0).sigmoid()),
    ("unnormalised_targets", ".5"): lambda: share_of_the_true_class(0.9, 0.1, 10),
    ("unnormalised_targets", "1.8"): lambda: 0.9 + 9 * 0.1,
    ("softmax_before_cross_entropy", ".3133"): lambda: best_and_worst(softmax, 2)[0],
    ("softmax_before_cross_entropy", ".5514"): lambda: best_and_worst(softmax, 3)[0],
    ("softmax_before_cross_entropy", "1.4612"): lambda: best_and_worst(softmax, 10)[0],
    ("softmax_before_cross_entropy", "3.6222"): lambda: best_and_worst(softmax, 100)[0],
    ("softmax_before_cross_entropy", "1.00"): lambda: accuracy_at_100_classes(lambda z: z),
    ("sigmoid_before_bce_with_logits", ".3133"): lambda: sigmoid_before_bce(1.0, 1000.0),
    ("sigmoid_before_bce_with_logits", ".6931"): lambda: sigmoid_before_bce(1.0, -1000.0),
    ("sigmoid_before_bce_with_logits", "1.3133"): lambda: sigmoid_before_bce(0.0, 1000.0),
    ("sigmoid_before_bce_with_logits", ".5032"): lambda: (
        (sigmoid_before_bce(1.0, 1000.0) + sigmoid_before_bce(0.0, -1000.0)) / 2
    ),
}
CONDITIONS = {
    ("regression_head", "0.5"),  # the threshold
    ("unnormalised_targets", ".9"),  # the target of the true class
    ("unnormalised_targets", ".1"),  # the target of each other
    ("softmax_before_cross_entropy", "0.1"),  # the step size
    ("softmax_before_cross_entropy", ".05"),  # a bound: test_double_softmax_learns_nothing_...
    ("sigmoid_before_bce_with_logits", "0.5"),  # the threshold
    ("prediction_disagrees_with_logits", "0.5"),  # the threshold
}


@pytest.mark.parametrize(("name", "number"), MEASURED, ids=[" ".join(key) for key in MEASURED])
def test_a_number_on_a_page_is_what_is_measured(name: str, number: str):
    digits = len(number.split(".")[1])
    assert round(MEASURED[name, number](), digits) == float(number)
    assert number in prose(name)


@pytest.mark.parametrize("name", NAMES)
def test_no_number_on_a_page_goes_unmeasured(name: str):
    numbers = set(re.findall(r"(?<![\w.])\d*\.\d+", prose(name)))
    assert {(name, number) for number in numbers} <= MEASURED.keys() | CONDITIONS


# Claims.


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("activation", [softmax, torch.sigmoid], ids=["softmax", "sigmoid"])
def test_outputs_between_0_and_1_keep_cross_entropy_from_both_ends(activation, classes: int):
    low, high = math.log(1 + (classes - 1) / math.e), math.log(1 + (classes - 1) * math.e)
    best, worst = best_and_worst(activation, classes)
    assert best == pytest.approx(low, abs=1e-12)
    if activation is torch.sigmoid:
        assert worst == pytest.approx(high, abs=1e-12)
    drawn = activation(9 * torch.randn(200, classes, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    each = F.cross_entropy(drawn, LABELS % classes, reduction="none")
    assert low <= float(each.min()) <= float(each.max()) <= high


@pytest.mark.parametrize("classes", [2, 10, 100, 1000])
def test_softmax_makes_the_first_gradient_k_times_smaller(classes: int):
    # Exactly so where all scores are equal, as they nearly are at the start: softmax has the slope (I - 1/K) / K there.
    def gradient(activation: Callable[[Tensor], Tensor]) -> Tensor:
        z = torch.zeros(200, classes, dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(F.cross_entropy(activation(z), LABELS % classes), z)[0]

    assert torch.allclose(gradient(softmax) * classes, gradient(lambda z: z), rtol=1e-9, atol=0)


def test_double_softmax_learns_nothing_at_100_classes_with_plain_sgd():
    # Guessing gives .01.
    assert accuracy_at_100_classes(softmax) < 0.05


def test_double_softmax_does_not_keep_a_model_from_classifying():
    y = LABELS % 2
    x = (2.0 * y - 1).unsqueeze(1) + 0.1 * torch.randn(200, 1, generator=torch.Generator().manual_seed(0))
    weight = torch.zeros(2, 1, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        loss = F.cross_entropy(softmax(x @ weight.T), y)
        loss.backward()
        optimizer.step()
    assert torch.equal((x @ weight.T).argmax(dim=1), y)
    assert float(loss.detach()) > math.log(1 + 1 / math.e)


def test_sigmoid_before_bce_with_logits_keeps_the_loss_in_these_bounds_and_predicts_class_1():
    outputs = torch.sigmoid(9 * torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    half, low, high = math.log(2), math.log(1 + 1 / math.e), math.log(1 + math.e)
    rounding = 4 * torch.finfo(torch.float64).eps
    for label, (least, most) in {1: (low, half), 0: (half, high)}.items():
        each = F.binary_cross_entropy_with_logits(outputs, torch.full_like(outputs, label), reduction="none")
        assert least - rounding <= float(each.min()) <= float(each.max()) <= most + rounding
    assert bool((outputs > 0).all())
    assert bool((torch.sigmoid(outputs) > 0.5).all())


def test_softmax_before_bce_with_logits_keeps_the_loss_from_its_minimum_and_lets_labels_compete():
    targets = torch.ones(1, 4, dtype=torch.float64)
    z = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    outputs = softmax(z)
    F.binary_cross_entropy_with_logits(outputs, targets).backward()
    assert z.grad is not None
    # Four labels that are all on cannot all be raised: the best is a quarter for each, where the gradient vanishes.
    assert float(z.grad.abs().max()) < 1e-16
    assert float(F.binary_cross_entropy_with_logits(outputs, targets).detach()) > 0.5


def test_relu_leaves_a_row_of_zeros_at_log_k_without_a_gradient():
    z = torch.full((1, 10), -1.0, dtype=torch.float64, requires_grad=True)
    loss = F.cross_entropy(torch.relu(z), torch.tensor([3]))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(10), abs=1e-15)
    assert z.grad is not None
    assert not z.grad.any()


def test_a_true_class_that_relu_clips_has_no_gradient():
    z = torch.tensor([[-1.0, 2.0, 3.0]], requires_grad=True)
    F.cross_entropy(torch.relu(z), torch.tensor([0])).backward()
    assert z.grad is not None
    assert z.grad[0, 0] == 0
    assert bool((z.grad[0, 1:] > 0).all())


@pytest.mark.parametrize("classes", [2, 10, 100, 1000])
def test_a_bound_of_16_costs_nothing(classes: int):
    # log(1 + (K-1) e**-32) < 1000 * 1.3e-14.
    assert best_and_worst(lambda z: z.clamp(-16, 16), classes)[0] < 1.3e-11


def test_nll_of_probabilities_lies_between_minus_1_and_0_and_does_not_mind_being_wrong():
    z = 9 * torch.randn(1000, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    each = F.nll_loss(softmax(z), torch.arange(1000) % 5, reduction="none")
    assert -1 <= float(each.min()) < -0.99
    assert -0.01 < float(each.max()) <= 0

    def slope(margin: float) -> float:
        wrong = torch.tensor([[0.0, margin]], dtype=torch.float64, requires_grad=True)
        return float(torch.autograd.grad(F.nll_loss(softmax(wrong), torch.tensor([0])), wrong)[0].abs().max())

    assert slope(10.0) < slope(5.0) < slope(0.0) == 0.25


def test_nll_of_free_scores_has_no_minimum():
    y = torch.tensor([1])
    values = [float(F.nll_loss(torch.tensor([[0.0, m]]), y)) for m in (1.0, 1e3, 1e6)]
    assert values == [-1.0, -1e3, -1e6]


@pytest.mark.parametrize("score", [-1e-6, 1 + 1e-6])
def test_bce_refuses_what_is_no_probability(score: float):
    with pytest.raises(RuntimeError, match="between 0 and 1"):
        F.binary_cross_entropy(torch.tensor([score]), torch.tensor([1.0]))


@pytest.mark.parametrize("targets", [torch.zeros(3, dtype=torch.long), torch.tensor([[0.0], [1.0], [1.0]])])
def test_cross_entropy_over_one_column_is_zero_without_a_gradient(targets: Tensor):
    z = torch.tensor([[-5.0], [0.0], [100.0]], requires_grad=True)
    loss = F.cross_entropy(z, targets)
    loss.backward()
    assert float(loss.detach()) == 0
    assert z.grad is not None
    assert not z.grad.any()
    assert not z.argmax(dim=1).any()


def test_log_softmax_twice_is_log_softmax():
    z = 9 * torch.randn(200, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    leaves = [z.clone().requires_grad_(), z.clone().requires_grad_()]
    twice, once = F.log_softmax(leaves[0], dim=1), leaves[1]
    losses = [F.cross_entropy(scores, LABELS % 5) for scores in (twice, once)]
    gradients = [torch.autograd.grad(loss, leaf)[0] for loss, leaf in zip(losses, leaves, strict=True)]
    # A few units of 2.2e-16 times scores of at most 40.
    assert abs(float((losses[0] - losses[1]).detach())) < 1e-13
    assert float((gradients[0] - gradients[1]).abs().max()) < 1e-15


def test_broadcast_bce_is_least_where_every_row_predicts_the_base_rate():
    y = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0], dtype=torch.float64)
    base = torch.logit(y.mean())
    z = base.expand(5, 1).clone().requires_grad_()
    loss = (F.softplus(z) - z * y).mean()
    loss.backward()
    # The loss is convex, so a gradient of zero is its minimum.
    assert z.grad is not None
    assert float(z.grad.abs().max()) < 1e-16
    assert float(loss.detach()) == pytest.approx(-(0.6 * math.log(0.6) + 0.4 * math.log(0.4)), abs=1e-15)


def log_of_softmax(margin: float, width: int, dtype: torch.dtype) -> tuple[float, Tensor]:
    z = torch.full((1, width), -margin, dtype=dtype)
    z[0, 1] = 0
    z.requires_grad_()
    loss = -torch.log(torch.softmax(z, dim=1)[:, 0]).mean()
    loss.backward()
    assert z.grad is not None
    return float(loss.detach()), z.grad


@pytest.mark.parametrize("width", [2, 16, 100])
def test_log_of_softmax_overflows_in_float32_where_cross_entropy_is_finite(width: int):
    # e**-103.97 is half of the smallest number of float32.
    assert math.isfinite(log_of_softmax(103.0, width, torch.float32)[0])
    value, gradient = log_of_softmax(104.5, width, torch.float32)
    assert value == math.inf
    assert bool(gradient.isnan().any())
    z = torch.zeros(1, width)
    z[0, 1] = 104.5
    assert float(F.cross_entropy(z, torch.tensor([0]))) == pytest.approx(104.5, rel=1e-6)


def test_the_gradient_of_log_of_softmax_overflows_before_its_value():
    value, gradient = log_of_softmax(89.0, 2, torch.float32)
    assert value == pytest.approx(89, rel=1e-2)
    assert not bool(gradient.isfinite().all())
    assert bool(log_of_softmax(88.0, 2, torch.float32)[1].isfinite().all())


def test_exponentials_and_sigmoids_overflow_where_the_page_says():
    z = torch.tensor([88.0, 89.0, 16.0, 17.0])
    assert z[:2].exp().isfinite().tolist() == [True, False]
    assert torch.log(1 - torch.sigmoid(z[2:])).isfinite().tolist() == [True, False]
    assert z.logsumexp(dim=0).isfinite()
    assert F.logsigmoid(-z).isfinite().all()


@pytest.mark.parametrize("power", [0.5, 0.7])
def test_a_power_below_1_has_an_infinite_gradient_at_0(power: float):
    p = torch.zeros(1, requires_grad=True)
    (p**power).sum().backward()
    assert p.grad is not None
    assert p.grad.isinf().all()


def test_zeros_in_two_layers_in_a_row_give_the_weights_no_gradient():
    model = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3))
    for p in model.parameters():
        nn.init.zeros_(p)
    x = torch.randn(7, 10, generator=torch.Generator().manual_seed(0))
    F.cross_entropy(model(x), torch.arange(7) % 3).backward()
    weights = [p.grad for name, p in model.named_parameters() if name != "2.bias"]
    assert all(w is not None and not w.any() for w in weights)


def test_a_relu_that_is_off_gives_no_gradient_below_it():
    model = nn.Sequential(nn.Linear(10, 8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.constant_(model[0].bias, -100.0)
    x = torch.randn(7, 10, generator=torch.Generator().manual_seed(0))
    F.cross_entropy(model(x), torch.arange(7) % 3).backward()
    assert all(p.grad is not None and not p.grad.any() for p in (*model[0].parameters(), model[2].weight))


def no_grad(x: Tensor) -> Tensor:
    with torch.no_grad():
        return 2 * x


@pytest.mark.parametrize(
    "cut",
    [
        Tensor.detach,
        lambda x: x.data,
        lambda x: torch.tensor([v.item() for v in x.detach()]),
        lambda x: torch.from_numpy(x.detach().numpy()),
        no_grad,
    ],
    ids=["detach", "data", "item", "numpy", "no_grad"],
)
def test_what_cuts_the_graph(cut: Callable[[Tensor], Tensor]):
    assert not cut(torch.ones(3, requires_grad=True)).requires_grad


def test_squeeze_drops_the_batch_axis_of_a_batch_of_one_and_the_loss_broadcasts():
    z = torch.zeros(1, 1).squeeze()
    assert z.shape == ()
    assert (z - torch.ones(1)).shape == (1,)
    with pytest.raises(ValueError, match="Target size"):
        F.binary_cross_entropy_with_logits(z, torch.ones(1))


def test_sigmoid_twice_is_above_one_half_on_every_row():
    z = torch.tensor([-1e4, -1.0, 0.0, 1.0])
    assert bool((torch.sigmoid(torch.sigmoid(z)) >= 0.5).all())
    assert (z > 0).tolist() == (torch.sigmoid(z) > 0.5).tolist() == [False, False, False, True]


def test_modules_in_a_list_are_not_registered():
    class Strays(nn.Module):
        def __init__(self, blocks: list[nn.Module]) -> None:
            super().__init__()
            self.blocks = blocks

    assert list(Strays([nn.Linear(8, 8)]).parameters()) == []
    assert len(list(Strays(nn.ModuleList([nn.Linear(8, 8)])).parameters())) == 2  # type: ignore[arg-type]


def test_too_few_scores_are_refused():
    with pytest.raises(IndexError, match="Target 3 is out of bounds"):
        F.cross_entropy(torch.zeros(1, 3), torch.tensor([3]))
