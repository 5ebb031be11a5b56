"""What is wrong with the table of a loss and the rule that joins its rows, where the deviation has a simple form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pytest_logits.allowances import SHARES
from pytest_logits.loss_claims import Claim, claim_of, other_shares, own_shares
from pytest_logits.loss_code import named_numbers, source_of
from pytest_logits.loss_forms import RowForm
from pytest_logits.loss_ignored import IGNORED
from pytest_logits.loss_rules import Kind
from pytest_logits.loss_subject import LossSubject

OTHER_CLASSES = (3, 7)
# Rules that no loss means: the cause, what is measured, what is expected.
MISTAKEN: dict[Kind, tuple[str, str, str]] = {
    "all pairs": (
        "broadcast_targets",
        "{name} is {family} of every row against every label, averaged over all pairs",
        "{family} of each row against its own label",
    ),
    "mean divided by N": (
        "wrong_reduction",
        "{name} divides the sum over N rows by N * N: by N = 4 rows twice, it is a quarter of the mean",
        "the mean over the rows",
    ),
    "focal of the mean": (
        "wrong_reduction",
        "{name} averages {family} before the focal factor: of several rows it is the focal factor times the mean, and "
        "no row has a factor of its own",
        "reduction='none' inside, the factor for each row, and then the mean",
    ),
    "product of means": (
        "wrong_loss_weights",
        "{name} is the mean of the rows times the mean of the weights: no row has its own weight",
        "the weight of each row times its loss, and then the mean",
    ),
    "by position": (
        "wrong_loss_weights",
        "rows with the same label count differently in {name}, by their place in the batch",
        "a loss that does not depend on the order of the rows",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A named deviation.

    Attributes:
        cause: its name.
        measured: what is wrong, with the numbers.
        expected: what would be right.
        harmless: it moves no minimum and may be meant.
        weights: of the classes, (K,), that the loss should have and has not.
        shown: what the counterexample is held against: the plain loss of the task, the mean of the rows by themselves,
            or the same rows in another order.
    """

    cause: str
    measured: str
    expected: str
    harmless: bool = False
    weights: Tensor | None = None
    shown: Literal["plain", "rows", "reordered"] = "plain"


def fault_of(loss: LossSubject, claim: Claim) -> Fault | None:
    """The first deviation of a recognised loss, the coarsest first."""
    return (
        _of_scores_for_logs(loss, claim)
        or _of_signed_targets(loss, claim)
        or _of_missing_labels(loss, claim)
        or _of_signs(loss, claim)
        or _of_classes(loss, claim)
        or _of_sums(loss, claim)
        or _of_rule(loss, claim)
        or _of_reduction(loss, claim)
        or _of_named_weights(loss, claim)
    )


def _zero(values: Tensor) -> Tensor:
    return values.abs() <= SHARES


def _of_scores_for_logs(loss: LossSubject, claim: Claim) -> Fault | None:
    """NLL is linear in what it is given. Called logits, that has no log-softmax anywhere."""
    if claim.form.family != "NLL" or not loss.names_logits:
        return None
    return Fault(
        cause="logits_into_nll_loss",
        measured=f"{loss.loss_name} is linear in the logits, as NLL is in log-probabilities: it has no least value",
        expected="log_softmax of the logits first",
    )


def _of_signed_targets(loss: LossSubject, claim: Claim) -> Fault | None:
    """Labels of 0 where the loss wants -1, or of -1 where it wants 0."""
    form = claim.form
    if form.over_classes or form.table.shape[1] != 1 or form.gamma:
        return None
    on, off = form.table[1, 0], form.table[0, 0]
    scale = float(on[0])
    if bool(_zero(off).all()) and scale > 0 and abs(float(form.constant[0]) - scale * math.log(2)) <= SHARES:
        return Fault(
            cause="signed_targets",
            measured=f"with the target 0 {loss.loss_name} is {float(form.constant[0]):.4g}, log 2, whatever the score",
            expected="targets of -1 and 1, which this loss is written for",
        )
    if scale > 0 and abs(float(off[0]) + scale) <= SHARES and abs(float(off[1]) - 2 * scale) <= SHARES:
        return Fault(
            cause="signed_targets",
            measured=f"{loss.loss_name} gets the target -1: -1 times one term and 2 times the other",
            expected="targets of 0 and 1",
        )
    return None


def _of_missing_labels(loss: LossSubject, claim: Claim) -> Fault | None:
    """Labels whose rows have no loss."""
    form = claim.form
    if not form.over_classes and form.labels != (0, 1):
        return None
    gone = [label for label in form.labels if bool(_zero(form.table[label]).all())]
    gone += list(form.undefined)
    if not gone or IGNORED.search(source_of(loss.loss_object)) or any(map(IGNORED.search, vars_of(loss))):
        return None
    return Fault(
        cause="wrong_loss_weights",
        measured=f"rows with label {gone[0]} have no effect on {loss.loss_name}: their weight is 0",
        expected="every label with a weight above 0, but for padding",
        # One class of several may be padding.
        harmless=form.over_classes and len(gone) == 1,
    )


def vars_of(loss: LossSubject) -> list[str]:
    """The names of what the loss is made with."""
    return list(named_numbers(loss.loss_object))


def _of_signs(loss: LossSubject, claim: Claim) -> Fault | None:
    """Shares below 0."""
    form = claim.form
    own, other = own_shares(form), other_shares(form)
    own = own[list(form.labels)] if form.over_classes else own
    below = own < -SHARES
    if bool(below.all()) and bool(_zero(other).all()):
        return Fault(
            cause="loss_is_maximised",
            measured=f"{loss.loss_name} is {form.family} times {float(own.flatten()[0]):.4g}: it is least where every "
            "row is wrong",
            expected=f"{form.family} itself, without the minus",
        )
    if bool(below.any()):
        share = float(own[below][0])
        return Fault(
            cause="wrong_loss_weights",
            measured=f"{loss.loss_name} weighs a label's {form.family} by {share:.4g}: it rewards mistakes",
            expected="weights above 0",
        )
    if not form.over_classes and bool((_zero(own) & (other < -SHARES)).any()):
        return Fault(
            cause="loss_is_maximised",
            measured=f"{loss.loss_name} takes minus the term of the other label, which has no least value",
            expected="each label's own term",
        )
    return None


def _of_classes(loss: LossSubject, claim: Claim) -> Fault | None:
    """Labels whose largest share lies at another class."""
    form = claim.form
    if form.over_classes:
        labels = [label for label in form.labels if label not in form.undefined]
        at = {label: int(form.table[label].argmax()) for label in labels}
        wrong = [label for label in labels if form.table[label, at[label]] > form.table[label, label] + SHARES]
        if not wrong or bool((form.table[wrong[0]] < -SHARES).any()):
            return None
        label = wrong[0]
        clear = bool(_zero(form.table[label, label]))
        return Fault(
            cause="labels_out_of_range" if clear else "wrong_loss_weights",
            measured=f"with label {label} {loss.loss_name} is {form.family} of class {at[label]}"
            if clear
            else f"with label {label} class {at[label]} has the largest share of {loss.loss_name}, "
            f"{float(form.table[label, at[label]]):.4g} against {float(form.table[label, label]):.4g}",
            expected=f"the largest share at class {label}",
            harmless=not clear,
        )
    own, other = own_shares(form), other_shares(form)
    if bool(((other > SHARES) & _zero(own)).all()):
        return Fault(
            cause="labels_out_of_range",
            measured=f"with the label 1 {loss.loss_name} is {form.family} of the label 0, and the other way round",
            expected="each label's own term",
        )
    return None


def _of_sums(loss: LossSubject, claim: Claim) -> Fault | None:
    """Shares over the classes that sum to 0, to 1/K, or to more than 1."""
    form = claim.form
    if not form.over_classes or form.gamma:
        return _of_factor(loss, claim)
    label = next(label for label in form.labels if label not in form.undefined)
    row = form.table[label]
    total, own = float(row.sum()), float(row[label])
    others = torch.cat([row[:label], row[label + 1 :]])
    if abs(total) <= SHARES and own > SHARES:
        return Fault(
            cause="unbounded_loss",
            measured=f"{loss.loss_name} is linear in the logits: {own:.4g} for the true class, {float(others[0]):.4g} "
            "for another. It falls without end as the true score grows",
            expected="a loss with a least value, such as max(0, 1 - margin) for each",
        )
    factor = _of_factor(loss, claim)
    if factor is not None:
        return factor
    share = float(others[0])
    uniform = bool((others - share).abs().max() <= SHARES) and share > SHARES
    # eps for each other class, or eps / (K - 1) for all classes: each is 1 - eps where the true class is right. Where
    # the whole of 1 is left to it, the rest may be a regulariser that is meant.
    left = own - share
    meant = (own + share, own, left + share * len(others))
    if not uniform or abs(total - 1) <= SHARES:
        return None
    if all(abs(sum_ - 1) > SHARES for sum_ in meant) and not _is_divergence(row, float(form.constant[label])):
        return None
    return Fault(
        cause="unnormalised_targets",
        measured=f"the smoothed targets of {loss.loss_name} are {own:.4g} for the true class and {share:.4g} for each "
        f"of {len(others)} others. They sum to {total:.4g}: it asks for the probability {own / total:.4g}",
        expected="targets that sum to 1",
    )


def _is_divergence(shares: Tensor, constant: float) -> bool:
    """Whether the loss is the divergence from these shares, sum s log s - s log p: then they are meant as targets."""
    entropy = float((shares * shares.clamp(min=1e-300).log()).sum())
    return abs(entropy) > SHARES and abs(constant - entropy) <= SHARES


def _of_factor(loss: LossSubject, claim: Claim) -> Fault | None:
    """A factor of 1/K for every K: the mean was taken over the classes as well."""
    if not claim.form.over_classes or claim.known or not loss.any_classes or claim.rule.kind == "rows":
        return None

    def averaged(form: RowForm) -> bool:
        total = float(form.table[0].sum())
        return abs(total * form.table.shape[1] - 1) <= SHARES

    if not averaged(claim.form):
        return None
    others = [claim_of(loss, (classes,)) for classes in OTHER_CLASSES]
    if not all(other is not None and other.form.over_classes and averaged(other.form) for other in others):
        return None
    classes = claim.form.table.shape[1]
    return Fault(
        cause="wrong_reduction",
        measured=f"{loss.loss_name} is {claim.form.family} times 1/K, {1 / classes:.4g} for K = {classes}: the mean is "
        "over the classes too",
        expected="the sum over the classes, and the mean over the rows",
    )


def _of_rule(loss: LossSubject, claim: Claim) -> Fault | None:
    """Rows that are joined in a way that no loss means."""
    kind = claim.rule.kind
    if kind not in MISTAKEN or (kind == "by position" and callable(loss.encoding)):
        return None
    cause, measured, expected = MISTAKEN[kind]
    words = {"name": loss.loss_name, "family": claim.form.family}
    return Fault(cause=cause, measured=measured.format_map(words), expected=expected.format_map(words), shown="rows")


def _of_reduction(loss: LossSubject, claim: Claim) -> Fault | None:
    """Another reduction than the one that was declared."""
    found = {"mean": "mean", "weighted mean": "mean", "sum": "sum", "rows": "none"}.get(claim.rule.kind)
    if loss.reduction is None or found is None or found == loss.reduction:
        return None
    return Fault(
        cause="wrong_reduction",
        measured=f"{loss.loss_name} is registered with reduction={loss.reduction!r}, and it has reduction {found!r}",
        expected=f"reduction={loss.reduction!r}",
    )


def _of_named_weights(loss: LossSubject, claim: Claim) -> Fault | None:
    """``pos_weight`` that weighs both labels, or the wrong one."""
    form = claim.form
    given = getattr(loss.loss_object, "pos_weight", named_numbers(loss.loss_object).get("pos_weight"))
    if claim.known or form.over_classes or given is None:
        return None
    weight = torch.as_tensor(given, dtype=torch.float64).flatten()
    negative, positive = own_shares(form)
    if weight.numel() not in (1, len(positive)) or bool((negative <= 0).any()) or bool(_zero(weight - 1).all()):
        return None
    ratio = positive / negative
    if bool(((ratio - weight).abs() <= SHARES * weight).all()):
        return None
    both = bool(_zero(ratio - 1).all())
    swapped = bool(((1 / ratio - weight).abs() <= SHARES * weight).all())
    if not both and not swapped:
        return None
    return Fault(
        cause="wrong_loss_weights",
        measured=f"pos_weight is {float(weight[0]):.4g}, and {loss.loss_name} weighs "
        + ("both labels alike" if both else "the label 0 by it"),
        expected="the loss of the label 1 times pos_weight",
    )
