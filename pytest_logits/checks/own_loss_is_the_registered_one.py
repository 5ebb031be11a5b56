"""The loss that the model computes itself is the one that the suite checks."""

from __future__ import annotations

from pytest_logits.check_registry import check
from pytest_logits.finding import Verdict, not_applicable, passed
from pytest_logits.subject import Subject


@check(claim="the loss that the model computes itself is the one that is checked here", tags=("loss", "exact"))
def own_loss_is_the_registered_one(subject: Subject) -> Verdict:
    """A Lightning training step, and a Hugging Face model that is given labels, compute a loss of their own.

    It is compared with the registered loss, by default that of the task, on one batch from one random state. Another
    value is advice: training by that loss is not what the other checks have looked at. Hugging Face takes
    ``num_labels=1`` for regression and trains it with the mean squared error.

    Causes: regression_head (advice).
    """
    if subject.convention.own_loss is None:
        return not_applicable("the model computes no loss itself")
    if subject.own_losses is None:
        if subject.spec.loss is not None:
            return not_applicable("a loss is registered")
        return not_applicable(
            "the model's own loss cannot be computed on a batch (x, y), so what it trains is not known; pass loss="
        )
    own, registered = subject.own_losses
    name = "training_step" if subject.convention.name == "Lightning" else "the model, given labels,"
    checked = subject.loss_object if isinstance(subject.loss_object, str) else subject.loss_name
    evidence = {"own": own, "registered": registered, "convention": subject.convention.name}
    if subject.computes_registered_loss:
        return passed(f"{name} and {checked} both give {own:.4g}", evidence=evidence)
    regression = subject.convention.name == "Hugging Face" and subject.sample_logits.shape[1:] == (1,)
    return Verdict(
        outcome="advice",
        cause="regression_head" if regression else None,
        measured=f"{name} computes a loss of {own:.4g} on a batch where {checked} of the logits is {registered:.4g}",
        expected="the same. To have the loss that trains checked, pass it as loss=, and logits= where the scores are "
        "not the output",
        evidence=evidence,
    )
