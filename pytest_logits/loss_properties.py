"""What every loss must do, whether it is recognised or not: reach the scores, follow the labels, treat rows alike."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_logits.inside import activation_inside
from pytest_logits.loss_claims import Claim
from pytest_logits.loss_faults import Fault
from pytest_logits.loss_ignored import AllIgnored, all_ignored, ignored_label, ignored_rows, unsound
from pytest_logits.loss_probes import Probes, gathers_over_rows
from pytest_logits.loss_subject import LossSubject
from pytest_logits.loss_weights import follows_prediction, of_scores, without_effect


@dataclass(frozen=True, kw_only=True)
class Told:
    """What is said of a loss without being asked of it.

    Attributes:
        all_ignored: the loss of a batch of nothing but ignored rows.
        classes_alike: whether exchanging classes, in scores and labels alike, changes nothing.
    """

    all_ignored: AllIgnored | None
    classes_alike: bool | None

    @property
    def evidence(self) -> dict[str, object]:
        """For the report."""
        ignored = {} if self.all_ignored is None else {"all_rows_ignored": str(self.all_ignored)}
        return ignored | ({} if self.classes_alike is None else {"classes_alike": self.classes_alike})

    @property
    def words(self) -> str:
        """For the verdict."""
        return "" if self.all_ignored is None else f"; with every row ignored it is {self.all_ignored}"


def told(probes: Probes, claim: Claim | None) -> Told:
    """What is said of a loss beside the verdict."""
    known = claim is not None and claim.known
    label = claim.ignored if known and claim is not None else ignored_label(probes)
    return Told(
        all_ignored=None if label is None else all_ignored(probes, label), classes_alike=probes.treats_classes_alike()
    )


def fault_of_any(loss: LossSubject, probes: Probes) -> Fault | None:
    """No gradient, labels without effect, labels of other positions."""
    if probes.has_no_gradient():
        return Fault(
            cause="detached_graph",
            measured=f"the gradient of {loss.loss_name} is 0 on every batch of drawn scores",
            expected="a gradient that reaches the scores",
        )
    if probes.ignores_labels():
        return Fault(
            cause="labels_have_no_effect",
            measured=f"{loss.loss_name} is the same for all labels, on every batch of drawn scores",
            expected="a loss that depends on the labels",
        )
    if len(loss.trailing) > 1 and probes.moves_labels():
        return Fault(
            cause="scores_out_of_order",
            measured=f"in {loss.loss_name} the scores of a position are pulled towards the label of another",
            expected="each position pulled towards its own label",
        )
    return None


def fault_of_unrecognised(loss: LossSubject, probes: Probes) -> Fault | None:
    """What can be said of a loss that is no form of a known one, or of one that a mistake has made into another."""
    if gathers_over_rows(loss):
        return Fault(
            cause="gather_over_wrong_dim",
            measured=f"{loss.loss_name} raises on one row with label 1, and takes more rows: labels index rows",
            expected="labels as indices of classes: gather(1, targets.unsqueeze(1))",
        )
    for axis in (0, *range(2, 1 + len(loss.trailing))):
        if len(loss.trailing) and loss.trailing[0] > 1 and probes.ignores_shift(axis):
            along = "the batch" if axis == 0 else "the positions"
            return Fault(
                cause="softmax_over_wrong_dim",
                measured=f"{loss.loss_name} does not change when a constant is added along {along}: its softmax runs "
                "there, and not over the classes",
                expected="softmax over dim=1",
            )
    return _of_activation(loss) or _of_prediction(loss, probes) or _of_no_least_value(loss, probes)


def _of_activation(loss: LossSubject) -> Fault | None:
    width = loss.trailing[0] if loss.trailing else 1
    inside = activation_inside(
        loss.loss,
        trailing=loss.trailing,
        form="categorical" if width > 1 and not loss.multilabel else "bernoulli",
        multilabel=loss.multilabel,
        dtype=loss.dtype,
        seed=loss.seed("inside the loss"),
    )
    if inside is None:
        return None
    name = inside.partition("_")[0]
    through = name if name in ("softmax", "sigmoid") else "an activation"
    minus = "without the log, minus the probability itself" if inside == "probabilities_into_nll_loss" else ""
    return Fault(
        cause=inside,
        measured=f"{loss.loss_name} equals another loss "
        + (minus or f"of the logits put through {through}, up to a factor"),
        expected="a loss of the logits themselves",
    )


def _of_prediction(loss: LossSubject, probes: Probes) -> Fault | None:
    jump = follows_prediction(probes)
    if jump is None:
        return None
    return Fault(
        cause="wrong_loss_weights",
        measured=f"{loss.loss_name} jumps from {jump[0]:.4g} to {jump[1]:.4g} where the predicted class changes, "
        "whatever the label: its weights are those of the prediction",
        expected="the weight of the label",
    )


def _of_no_least_value(loss: LossSubject, probes: Probes) -> Fault | None:
    falling = probes.falls_without_end() or probes.has_a_pole()
    if falling is None:
        return None
    weights = of_scores(probes)
    if weights is not None:
        return Fault(
            cause="wrong_loss_weights",
            measured=f"{loss.loss_name} is BCE with logits by a weight that follows the score: {weights}",
            expected="the weight of the label",
        )
    way, at, further, how = falling
    maybe = "; if it takes probabilities it is right" if loss.may_take_probabilities else ""
    return Fault(
        cause="unbounded_loss",
        measured=f"{loss.loss_name} is {at:.4g} where {way} by {how[0]:.4g}, and {further:.4g} by {how[1]:.4g}{maybe}",
        expected="a loss with a least value",
        harmless=loss.may_take_probabilities,
    )


def fault_of_rows(loss: LossSubject, probes: Probes, claim: Claim | None) -> Fault | None:
    """Rows that count by their place, weights that cancel, and rows that are to be left out and are not."""
    coupled = claim is not None and claim.rule.kind == "coupled"
    fault = _of_prediction(loss, probes) if coupled else None
    fault = fault or (_of_order(loss, probes) if coupled or claim is None else None)
    if fault is not None:
        return fault
    weights = without_effect(probes)
    if weights is not None:
        return Fault(
            cause="wrong_loss_weights",
            measured=f"{loss.loss_name} uses {weights.name!r}, and other weights in its place change nothing: they "
            "cancel",
            expected="a loss that its weights have an effect on",
            weights=weights.held,
        )
    label = ignored_label(probes)
    return None if label is None else _of_ignored(loss, probes, claim, label)


def _of_order(loss: LossSubject, probes: Probes) -> Fault | None:
    """Rows whose order matters. A loss that compares neighbouring rows may mean it."""
    if callable(loss.encoding) or not probes.follows_order():
        return None
    return Fault(
        cause="wrong_loss_weights",
        measured=f"{loss.loss_name} changes when the rows of a batch are put in another order",
        expected="a loss that does not depend on the order of the rows",
        harmless=probes.couples_scores(),
        shown="reordered",
    )


def _of_ignored(loss: LossSubject, probes: Probes, claim: Claim | None, label: int) -> Fault | None:
    kind = None if claim is None else claim.rule.kind
    found = None if kind == "sum" and len(loss.trailing) > 1 else ignored_rows(probes, label)
    if found is not None:
        value, wanted, how = found
        return Fault(
            cause="ignored_rows_count",
            measured=f"with rows of label {label} {loss.loss_name} is {value:.4g}, and {wanted:.4g} without them: "
            f"{how}",
            expected="the loss of the other rows",
        )
    whole = all_ignored(probes, label)
    sums = kind in ("sum", "rows") or loss.reduction in ("sum", "none")
    wrong = None if whole is None else unsound(whole, sums=sums)
    if wrong is None:
        return None
    return Fault(
        cause="ignored_rows_count" if wrong.startswith("the scores") else "unstable_loss",
        measured=f"with every row of label {label} {loss.loss_name} is {whole}: {wrong}",
        expected="0 with a gradient of 0" + ("" if sums else ", or NaN as torch's own mean is"),
    )
