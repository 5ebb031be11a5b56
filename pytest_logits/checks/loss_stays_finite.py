"""The loss and its gradient are finite wherever torch's own loss of the same form is."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from pytest_logits.check_registry import check
from pytest_logits.finding import Location, Verdict, not_applicable, passed
from pytest_logits.judged_once import judged_once
from pytest_logits.locate import at, loss_place, record
from pytest_logits.loss_screen import FEW_SCORES, MANY_ROWS, is_plain
from pytest_logits.loss_subject import LossSubject, as_loss
from pytest_logits.losses import encode_targets, known_nature
from pytest_logits.stability import (
    LARGEST_MARGIN,
    Loss,
    Overflow,
    Precision,
    Ray,
    adds_up,
    bernoulli_rays,
    categorical_rays,
    evaluate,
    finite_at,
    joined,
    overflows,
    rounded_up,
    smallest_overflow,
    smallest_reached,
)
from pytest_logits.subject import Subject

FLOAT16 = Precision(torch.float16)
HALVES = (Precision(torch.bfloat16), Precision(torch.bfloat16, autocast=True), FLOAT16)
# Where torch's own losses are looked at first: none is known that is finite at these and not between them.
FEW_MARGINS = (0.0, 1.0, 32.0, LARGEST_MARGIN)


@check(
    claim="the loss and its gradient are finite wherever torch's own loss is",
    tags=("loss", "exact"),
    root=True,
    subjects=("model", "loss"),
)
def loss_stays_finite(subject: Subject | LossSubject) -> Verdict:
    """The loss and its gradient are finite at all scores that training reaches.

    Scores are moved away from each other, towards and against the labels, and all together, up to 1000; a model's
    scores no further than its outputs go with any parameters. Where the loss or its gradient becomes infinite or NaN,
    it fails if torch's own loss of the same form is finite there in the same dtype, and the same loss in float64 is
    finite and small enough for that dtype: exp(margin) may overflow at 89, log(softmax) may not. The finding gives the
    smallest such margin, found by bisection. A loss on the probabilities of bits gets those that sigmoid makes of such
    scores: in float32 exactly 1 from 17 on, where BCELoss stays finite and a logarithm by hand does not. Margins above
    100 come up in sound training: on inputs that are not scaled, losses of 8 to 134 were seen at the first step.

    The loss must also be finite at scores of exactly 0, on moderate scores, and on a batch of one row.

    What overflows only in bfloat16 or under torch.autocast, in which the model does not compute, is advice; so is what
    is infinite for some labels only, as for a class that is masked. Losses that add a small number to a probability do
    not stand float16, so where they overflow is told and no more, unless the model is in float16 itself. A loss that
    refuses a dtype is not asked in it. With every row ignored, torch's mean is NaN with the gradient 0:
    loss_matches_reference says what a loss does there.

    Causes: unstable_loss.
    """
    loss = as_loss(subject)
    if isinstance(subject, Subject) and isinstance(loss.loss_object, str) and loss.nature.takes == "unknown":
        return not_applicable("the training step computes the loss itself, of scores that only the step sees")
    loss.require_targets()
    loss.require_function()
    usual = judged_once(loss, "usual scores", _on_usual_scores)
    if usual is None and (loss.nature.takes, loss.nature.form) == ("probabilities", "categorical"):
        return not_applicable(
            f"{loss.loss_name} takes probabilities of classes, and is infinite at 0 if it takes their logarithm; torch "
            "has no loss of this form to compare it with"
        )
    return usual or _along_rays(loss, subject)


def _composed(loss: LossSubject) -> Loss:
    """The loss of free logits: of the probabilities that they stand for, where it takes probabilities."""
    return lambda z, labels: loss.loss(loss.nature.link(z), labels)


def _reference(loss: LossSubject) -> Loss:
    """Torch's own loss of the same form."""
    nature = loss.nature
    if nature.form == "categorical":
        return F.cross_entropy

    def of_bits(z: Tensor, labels: Tensor) -> Tensor:
        targets = encode_targets(labels, z, encoding=None, form="bernoulli")
        if nature.takes == "probabilities":
            return F.binary_cross_entropy(nature.link(z), targets)
        return F.binary_cross_entropy_with_logits(z, targets)

    return of_bits


# Usual scores


def _on_usual_scores(loss: LossSubject) -> Verdict | None:
    """A finding where the loss is not finite on random scores of about 1, in a batch of 16 or of one row."""
    rng = torch.Generator().manual_seed(loss.seed("usual scores") % 2**63)
    scores = torch.randn(loss.sample_logits.shape, generator=rng).to(loss.dtype)
    labels, call = loss.sample_labels, _composed(loss)
    whole = _finite(call, scores, labels)
    if loss.nature.takes == "unknown":
        ever = whole or any(_finite(loss.loss, each, labels) for each in _guesses(scores))
        return None if ever else _never(loss, scores, labels, "on random scores of about 1", "failed")
    alone = (_finite(call, scores[row : row + 1], labels[row : row + 1]) for row in range(len(scores)))
    if whole and any(alone):
        # A class of weight 0 alone in a batch gives 0 / 0, with torch's own loss too.
        return None
    if whole:
        return _never(loss, scores[:1], labels[:1], "on every batch of one row, and finite on one of 16", "failed")
    broken = [row for row, finite in enumerate(alone) if not finite]
    if not broken or len(broken) == len(scores):
        return _never(loss, scores, labels, "on random scores of about 1", "failed")
    named = sorted({int(label) for row in broken for label in labels[row].reshape(-1)})
    one = slice(broken[0], broken[0] + 1)
    where = f"for labels such as {', '.join(map(str, named[:4]))}, and finite for others"
    return _never(loss, scores[one], labels[one], where, "advice")


def _guesses(scores: Tensor) -> list[Tensor]:
    """What a loss may take of which nothing is known."""
    return [torch.sigmoid(scores), torch.softmax(scores, dim=-1), torch.log_softmax(scores, dim=-1)]


def _finite(call: Loss, scores: Tensor, labels: Tensor) -> bool:
    numbers = evaluate(call, scores, labels)
    return numbers is None or all(math.isfinite(number) for number in numbers)


def _never(loss: LossSubject, scores: Tensor, labels: Tensor, where: str, outcome: str) -> Verdict:
    numbers = evaluate(_composed(loss), scores, labels)
    assert numbers is not None
    shown, zeros = (scores[:2], labels[:2]), torch.zeros_like(scores[:1])
    smaller = [(zeros[:, :2], torch.zeros(1, dtype=torch.long))] if _takes_two(loss) else []
    shown = next((one for one in (*smaller, (zeros, labels[:1])) if not _finite(_composed(loss), *one)), shown)
    told = evaluate(_composed(loss), *shown)
    counterexample = {"logits": shown[0].tolist(), "labels": shown[1].tolist(), "loss": (told or numbers)[0]}
    return Verdict(
        outcome="failed" if outcome == "failed" else "advice",
        cause="unstable_loss",
        measured=f"{loss.loss_name} {_said(numbers[0])} {where}",
        expected="a finite loss with a finite gradient",
        location=_place(loss, lambda leaf: _composed(loss)(leaf, labels), scores),
        counterexample=counterexample if shown[0].numel() <= 64 else None,
        evidence={"dtype": str(loss.dtype), "loss": numbers[0], "rows": len(scores)},
    )


def _said(value: float) -> str:
    return f"is {value:.4g}" + (", but its gradient is not finite," if math.isfinite(value) else "")


# Along rays


def _rays(loss: LossSubject) -> list[Ray]:
    shape = tuple(loss.sample_logits.shape[1:])
    if shape and shape[0] > 1 and not loss.multilabel:
        return categorical_rays(loss.labels_through(2), shape[0])
    # nll_loss adds up a batch in the dtype itself, so only bits are held to the range in larger ones.
    many = MANY_ROWS if MANY_ROWS * math.prod(shape) <= FEW_SCORES else 2
    return [ray for rows in sorted({2, many}) for ray in bernoulli_rays(loss.labels_through(rows), (rows, *shape))]


def _along_rays(loss: LossSubject, subject: Subject | LossSubject) -> Verdict:
    rays = _rays(loss)
    call, reference, own = _composed(loss), _reference(loss), Precision(loss.dtype)
    if evaluate(call, rays[0].at(0.0, own.dtype), rays[0].labels) is None:
        return not_applicable(f"{loss.loss_name} refuses a batch of two rows, on which it would be tried")
    if loss.nature.takes == "unknown" and (own.dtype == torch.float64 or loss.wide != torch.float64):
        return not_applicable(
            f"what {loss.loss_name} takes is not known, and there is no wider dtype to say where it is infinite"
        )

    def reaches(scores: Tensor) -> bool:
        if isinstance(subject, LossSubject):
            return True
        if loss.nature.takes == "unknown" and subject.region != "free":
            return False
        given = loss.nature.link(scores).double()
        return subject.scan.low <= float(given.min()) and float(given.max()) <= subject.scan.high

    @cache
    def together() -> bool:
        return adds_up(call, rays, precision=own)

    def search(precision: Precision) -> Overflow | None:
        def look(loss: LossSubject) -> tuple[Overflow, ...]:
            if is_plain(loss) and finite_at(call, [joined(rays)], FEW_MARGINS, precision=precision):
                return ()
            return overflows(call, reference, rays, precision=precision, together=together())

        return smallest_reached(judged_once(loss, f"overflows in {precision.name}", look), reaches)

    torchs = known_nature(loss.loss_object) is not None
    found = None if torchs and own in HALVES else search(own)
    if found is not None:
        return _overflow(loss, _of_two_classes(loss, found) or found, "failed")
    others = [] if torchs else [p for p in HALVES if p != own]
    beyond = {p.name: o for p in others if (o := search(p)) is not None}
    for name, overflow in beyond.items():
        if name != FLOAT16.name:
            return _overflow(loss, overflow, "advice")
    said = f"{loss.loss_name} and its gradient are finite wherever torch's own are, up to scores of {LARGEST_MARGIN:g}"
    if beyond:
        said += f"; in float16 from {beyond[FLOAT16.name].margin:.4g} on they are not"
    return passed(
        said,
        evidence={
            "largest_margin": LARGEST_MARGIN,
            "dtypes": [p.name for p in (own, *others)],
            "overflows": {name: overflow.margin for name, overflow in beyond.items()},
        },
    )


def _takes_two(loss: LossSubject) -> bool:
    return loss.any_classes and not loss.multilabel and len(loss.trailing) == 1


def _of_two_classes(loss: LossSubject, found: Overflow) -> Overflow | None:
    """The same on a row of two classes, where the loss takes them and overflows there."""
    if not _takes_two(loss):
        return None
    rays = [ray for ray in categorical_rays(torch.zeros(1, dtype=torch.long), 2) if ray.where == found.ray.where]
    return smallest_overflow(_composed(loss), _reference(loss), rays, precision=found.precision) if rays else None


def _overflow(loss: LossSubject, found: Overflow, outcome: str) -> Verdict:
    call, precision = _composed(loss), found.precision
    ray, shown = found.ray, rounded_up(found.margin)

    def numbers(ray: Ray, margin: float) -> tuple[float, float] | None:
        return evaluate(call, ray.at(margin, precision.dtype), ray.labels, autocast=precision.autocast)

    def breaks(ray: Ray, margin: float) -> bool:
        given = numbers(ray, margin)
        return given is not None and not all(math.isfinite(number) for number in given)

    single = [one for one in ray.rows() if breaks(one, found.margin)]
    if len(found.ray.labels) > 1 and single:
        alone = smallest_overflow(call, _reference(loss), single[:1], precision=precision)
        if alone is not None:
            return _overflow(loss, alone, outcome)
    shown = shown if breaks(ray, shown) else found.margin
    scores, told = ray.at(shown, precision.dtype), numbers(ray, shown)
    assert told is not None
    right = evaluate(_reference(loss), scores, ray.labels, autocast=precision.autocast)
    few = scores.numel() <= 64
    # 0 times -1 is -0, which reads oddly.
    counterexample = (
        {"logits": (scores + 0.0).tolist(), "labels": ray.labels.tolist(), "loss": told[0]} if few else None
    )
    where = f"scores of {shown:g}" if ray.where.startswith(("all", "every")) else f"a margin of {shown:g}"
    rows = f" in a batch of {len(scores)}" if len(scores) > 1 else ""
    return Verdict(
        outcome="failed" if outcome == "failed" else "advice",
        cause="unstable_loss",
        measured=f"{loss.loss_name} {_said(told[0])} at {where}, {ray.where}{rows}, in {precision.name}; "
        f"it is finite below {found.margin:.6g}"
        if found.margin
        else f"{loss.loss_name} {_said(told[0])} at scores of 0{rows}, in {precision.name}",
        expected="a finite loss and gradient"
        + (f": torch's own is {right[0]:.4g} there" if right is not None and math.isfinite(right[0]) else ""),
        location=_place(loss, lambda leaf: call(leaf, ray.labels), scores),
        counterexample=counterexample,
        evidence={
            "margin": found.margin,
            "dtype": precision.name,
            "where": ray.where,
            "loss": told[0],
            "reference": None if right is None else right[0],
        },
    )


def _place(loss: LossSubject, call: Callable[[Tensor], Tensor], scores: Tensor) -> Location | None:
    """The line of the first operation with a result, else with a gradient, that is not finite; else the definition."""
    leaf = scores.clone().requires_grad_()
    try:
        value, operations = record(lambda: call(leaf))
        for operation in operations:
            if operation.place is not None and not bool(operation.result.isfinite().all()):
                return at(*operation.place, note=f"{operation.name}()")
        followed = [o for o in operations if o.place is not None and o.result.requires_grad]
        for number, operation in reversed(list(enumerate(followed))):
            (gradient,) = torch.autograd.grad(value, operation.result, allow_unused=True, retain_graph=True)
            if gradient is None or bool(gradient.isfinite().all()):
                continue
            # What takes this result passes back what is not finite.
            taking = next((o for o in followed[number + 1 :] if o.source is operation.result), operation)
            assert taking.place is not None
            return at(*taking.place, note=f"the gradient of {taking.name}()")
    except RuntimeError:
        # What writes in place, or frees its graph, cannot be followed; the definition is known.
        pass
    return loss_place(loss) if callable(loss.loss_object) else None
