"""What the model puts out is what its loss takes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch

from pytest_logits.check_registry import check
from pytest_logits.copies import evaluating
from pytest_logits.feeding import SCAN_ROWS
from pytest_logits.finding import Proof, Verdict, counted, four_digits, inconclusive, not_applicable, passed
from pytest_logits.histogram import histogram
from pytest_logits.inside import FITTED, HELD_OUT, activation_inside
from pytest_logits.locate import activation_place, loss_place
from pytest_logits.losses import Form, known_nature
from pytest_logits.pooled import pooled_from
from pytest_logits.regions import Extent, Region
from pytest_logits.scanning import BENT, SCATTER
from pytest_logits.stakes import Stakes
from pytest_logits.subject import Subject

# Where scattered parameters overflow, as in deep models without normalisation, three finite settings are looked at;
# scores beyond 1 are then no softmax, sigmoid or tanh. Rows that sum to 1, and scores that pile up at 0 and 1, do not
# happen by chance: two settings are enough.
ENOUGH = 3 * SCAN_ROWS
CONFINED_ENOUGH = 2 * SCAN_ROWS
# The largest batch that is shown to try by hand, and the most of its scores.
LARGEST_SHOWN = 8

IN_WORDS: dict[Region, str] = {
    "simplex": "probabilities: every row is non-negative and sums to 1",
    "wrong_simplex": "normalised along another axis than the classes",
    "log_simplex": "log-probabilities: the exponentials of every row sum to 1",
    "sphere": "normalised: every row has the same norm, at every scale of the parameters",
    "stretched": "stretched to [0, 1]: the least score of every row is 0, the greatest 1",
    "unit": "sigmoids: every score lies in [0, 1] and piles up at its ends",
    "symmetric": "bounded: every score lies in [-1, 1] and piles up at its ends",
    "bounded": "bounded: the scores pile up at the same two values at every scale of the parameters",
    "nonnegative": "clipped at 0: no score is negative and many are exactly 0",
    "free": "not confined to any range",
}


@check(
    claim="the outputs are what the loss takes, for every setting of the parameters",
    tags=("outputs", "exact"),
    root=True,
)
def outputs_are_logits(subject: Subject) -> Verdict:
    """The outputs range over everything the loss can take: an activation in front of it does not confine them.

    Sixteen random inputs go through copies of the model in train mode, as initialised and with their parameters
    scattered by up to 4096 times their size. Logits then spread without bound. Rows that keep summing to 1, or scores
    that pile up at the same ends at three scales, are the mark of an activation. Whether that matters is asked of
    the user's own loss: the least it can be behind the activation, against the least it can be. Scores that are pooled
    from many clipped ones, as in a network that ends in ReLU and global pooling, are not clipped themselves.

    Causes: softmax_before_cross_entropy, sigmoid_before_cross_entropy, sigmoid_before_bce_with_logits,
    softmax_before_bce_with_logits, probabilities_into_nll_loss, logits_into_nll_loss, logits_into_bce_loss,
    bounded_logits, softmax_over_wrong_dim, single_column_cross_entropy, log_probabilities_into_cross_entropy (advice).
    """
    nature = subject.nature
    inside = _inside_the_loss(subject)
    if inside is not None:
        return inside
    if nature.takes == "unknown":
        return not_applicable(f"{subject.loss_name} takes neither logits nor probabilities that the suite knows of")
    if subject.has_single_column:
        return _single_column(subject)
    if subject.scan.rows <= subject.scan.dropped and not _is_told(subject):
        return inconclusive(f"{subject.scan.dropped} rows of the outputs are not finite, {subject.scan.rows} are")
    if subject.region == "wrong_simplex":
        return _wrong_axis(subject)
    stakes = subject.remember("scan stakes", lambda: _stakes(subject))
    evidence = _evidence(subject.scan, subject.region)
    if nature.takes == "logits":
        return _judge_logits(subject, stakes, evidence)
    return _judge_normalised(subject, evidence)


def _is_told(subject: Subject) -> bool:
    """Whether enough of the scan is finite to say that scores for a loss on logits are confined, or are not."""
    scan, region = subject.scan, subject.region
    if subject.nature.takes != "logits":
        return False
    if region == "free":
        return scan.rows >= ENOUGH and scan.bound > 1
    return region in ("simplex", "unit") and scan.rows >= CONFINED_ENOUGH


def _inside_the_loss(subject: Subject) -> Verdict | None:
    """A loss of the user's own that applies the activation itself, on logits that need none."""
    if known_nature(subject.loss_object) is not None or subject.has_single_column or subject.refusal is not None:
        return None
    form: Form = "categorical" if subject.spec.task == "multiclass" else "bernoulli"
    cause = activation_inside(
        subject.loss,
        trailing=tuple(subject.sample_logits.shape[1:]),
        form=form,
        multilabel=subject.multilabel,
        dtype=subject.dtype,
        seed=subject.seed("inside the loss"),
    )
    if cause is None:
        return None
    return Verdict(
        outcome="failed",
        cause=cause,
        measured=f"on {FITTED + HELD_OUT} drawn rows of logits {subject.loss_name} equals another loss, of the logits "
        f"put through {_activation(cause)}",
        expected="a loss of the logits themselves",
        location=loss_place(subject),
        counterexample={"logits": [[0.0, 0.0]], "note": "any logits: the activation is inside the loss"},
        evidence={"draws": FITTED + HELD_OUT},
    )


def _activation(cause: str) -> str:
    name = cause.partition("_")[0]
    return name if name in ("softmax", "sigmoid") else "an activation"


def _stakes(subject: Subject) -> Stakes:
    """What is there to win on the user's targets, or on those of a known loss where it refuses the user's.

    What is wrong with targets is for targets_fit_loss, and hides nothing that is wrong with the outputs.
    """
    if subject.refusal is None or subject.spec.targets is None or known_nature(subject.loss_object) is None:
        return Stakes.of(subject, subject.sample_labels)
    other = Subject(replace(subject.spec, targets=None), subject.settings)
    stakes = Stakes.of(other, other.sample_labels)
    subject.count(forward=other.passes.forward, backward=other.passes.backward)
    return stakes


def _judge_logits(subject: Subject, stakes: Stakes, evidence: dict[str, Any]) -> Verdict:
    region, form = subject.region, subject.nature.form
    if subject.stays_small and stakes.is_material(stakes.floor("symmetric")):
        return inconclusive(
            f"the outputs stay in [-1, 1] for every scale of the parameters, as cosine similarities do; "
            f"{_range(subject.scan)}; loss_reaches_its_minimum decides whether that costs anything",
            expected="scores without bound, or a scale that makes room",
            evidence=evidence,
        )
    if region == "free":
        return passed(f"the outputs are {IN_WORDS[region]}; {_range(subject.scan)}", evidence=evidence)
    if region == "log_simplex" and form == "categorical":
        return Verdict(
            outcome="advice",
            cause="log_probabilities_into_cross_entropy",
            measured=f"the outputs are {IN_WORDS[region]}",
            expected="scores; taking log-softmax twice changes nothing, so this costs time and no accuracy",
            location=activation_place(subject, amount=0.0),
            evidence=evidence,
        )
    floor = stakes.floor(region, subject.scan.longest if region == "sphere" else subject.scan.bound)
    evidence |= {"floor": floor, "least_possible": stakes.least, "all_equal": stakes.at_zero}
    clipped = region == "nonnegative"
    positions = pooled_from(subject) if clipped else 1
    if positions > 1:
        return passed(
            f"no score is negative; each is pooled from {positions} clipped ones, and 0 only where all of them are",
            evidence=evidence,
        )
    if not clipped and not stakes.is_material(floor):
        return passed(
            f"the outputs are {IN_WORDS[region]}, which leaves the loss room down to {floor:.4g}", evidence=evidence
        )
    suffix = "cross_entropy" if form == "categorical" else "bce_with_logits"
    cause = {"simplex": f"softmax_before_{suffix}", "unit": f"sigmoid_before_{suffix}"}.get(region, "bounded_logits")
    proof = None
    if not clipped:
        undone = "the same loss on scores that are free instead of confined; a bound, not a run"
        proof = Proof(undone=undone, as_written=floor, with_fix=stakes.least, goal=floor)
        expected = f"scores without bound; behind this activation {subject.loss_name} cannot fall below {floor:.4f}"
        expected += f", without it the loss can reach {four_digits(stakes.least)}"
    else:
        expected = "scores of both signs; a true class clipped to 0 has zero gradient and cannot be pushed up"
    return Verdict(
        outcome="failed",
        cause=cause,
        measured=f"the outputs are {IN_WORDS[region]}; {_range(subject.scan)}",
        expected=expected,
        proof=proof,
        location=activation_place(subject, amount=0.0 if region in ("simplex", "sphere") else BENT),
        counterexample=_smallest_batch(subject, region),
        evidence=evidence,
    )


def _judge_normalised(subject: Subject, evidence: dict[str, Any]) -> Verdict:
    region, scan, takes = subject.region, subject.scan, subject.nature.takes
    wanted = "log-probabilities" if takes == "log_probabilities" else "probabilities"
    categorical = subject.nature.form == "categorical"
    if takes == "log_probabilities":
        fits = region == "log_simplex"
        undecided = scan.is_nearly_log_normalised
    else:
        fits = region == "simplex" if categorical else scan.holds("unit")
        undecided = scan.holds("unit")
    if fits:
        return passed(f"the outputs are {wanted}, which {subject.loss_name} takes", evidence=evidence)
    if undecided:
        return inconclusive(
            f"the outputs are near {wanted} but not exactly; {_range(scan)}, row sums off 1 by {scan.sum_gap:.2g}",
            evidence=evidence,
        )
    squashed = takes == "log_probabilities" and region in ("simplex", "unit")
    cause = (
        "probabilities_into_nll_loss" if squashed else "logits_into_nll_loss" if categorical else "logits_into_bce_loss"
    )
    return Verdict(
        outcome="failed",
        cause=cause,
        measured=f"the outputs are {IN_WORDS[region]}; {_range(scan)}",
        expected=f"{wanted}, which is what {subject.loss_name} takes",
        location=activation_place(subject, amount=0.0) if squashed else None,
        counterexample=_smallest_batch(subject, region),
        evidence=evidence,
    )


def _wrong_axis(subject: Subject) -> Verdict:
    axis = subject.scan.wrong_axis
    name, shape = "the batch axis" if axis == 0 else f"axis {axis}", tuple(subject.sample_logits.shape)
    return Verdict(
        outcome="failed",
        cause="softmax_over_wrong_dim",
        measured=f"the outputs {shape} are normalised along {name}; {_range(subject.scan)}",
        expected="if they are normalised at all, then along the class axis, axis 1",
        location=activation_place(subject, amount=0.0),
        counterexample={"batch_size": SCAN_ROWS, "axis": axis},
        evidence=_evidence(subject.scan, subject.region),
    )


def _single_column(subject: Subject) -> Verdict:
    sample = subject.sample_logits
    shape, zeros = tuple(sample.shape), torch.zeros(SCAN_ROWS, dtype=torch.long)
    losses = [float(subject.loss(torch.full_like(sample, scale), zeros)) for scale in (0.0, 5.0, -5.0)]
    told = ", ".join(f"{value:.4g}" for value in losses)
    return Verdict(
        outcome="failed",
        cause="single_column_cross_entropy",
        measured=f"one score per example, logits {shape}; the loss is {told} at scores 0, 5, -5",
        expected=f"{subject.num_classes} scores per example: softmax over one score is 1 whatever the score",
        counterexample={"logits": [[5.0]], "loss": losses[1]},
        evidence={"logits_shape": list(shape), "losses": losses},
    )


def _evidence(scan: Extent, region: Region) -> dict[str, Any]:
    return {
        "region": region,
        "rows": scan.rows,
        "scatter": list(SCATTER),
        "lowest": scan.low,
        "highest": scan.high,
        "largest_row_sum_error": scan.sum_gap,
        "row_sum_tolerance": scan.tolerance,
        "histograms": _histograms(scan),
    }


def _histograms(scan: Extent) -> dict[str, Any]:
    """Of the scores in the first and the last setting of the parameters that had finite ones."""
    ends = {"least scattered": scan.samples[:1], "most scattered": scan.samples[-1:]}
    return {name: histogram(sample) for name, samples in ends.items() for sample in samples}


def _range(scan: Extent) -> str:
    """The parameters are scattered far, hence the size of free scores."""
    rows = counted(scan.rows, "row")
    return f"they range from {scan.low:.4g} to {scan.high:.4g} over {rows}, with the parameters scattered at random"


def _smallest_batch(subject: Subject, region: Region) -> dict[str, Any] | None:
    """The smallest batch whose outputs lie in the region, for the reader to try by hand."""
    model = evaluating(subject.fresh())

    def outputs(count: int) -> torch.Tensor:
        return subject.scores(model, subject.inputs(count, "smallest batch"), purpose="smallest batch")

    def shows(count: int) -> bool:
        try:
            extent = Extent()
            extent.add(outputs(count))
        except (RuntimeError, ValueError, IndexError):
            return False
        return extent.rows > 0 and extent.holds(region)

    count = next(filter(shows, range(1, LARGEST_SHOWN + 1)), None)
    if count is None:
        return None
    rows = outputs(count).reshape(-1).tolist()[:LARGEST_SHOWN]
    return {"batch_size": count, "outputs": [round(v, 6) if math.isfinite(v) else v for v in rows]}
