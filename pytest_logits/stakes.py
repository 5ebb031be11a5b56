"""What is there to win: the least a loss can be on given labels, and the floors that confined outputs leave it at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_logits.losses import least_loss
from pytest_logits.regions import Region, confine, is_material
from pytest_logits.subject import Subject


@dataclass(frozen=True)
class Stakes:
    """The losses that bound what a model can reach on ``labels``, in the units of the user's own loss.

    ``least`` is reached by free logits, ``at_zero`` by scores that are all equal.
    """

    subject: Subject
    labels: Tensor
    like: Tensor
    downhill: Tensor | None
    least: float
    at_zero: float

    @classmethod
    def of(cls, subject: Subject, labels: Tensor) -> Stakes:
        """For labels (N,), spread over the dense axes that the model's scores have."""
        subject.require_targets()
        sample = subject.sample_logits
        dense = sample.shape[2:]
        if dense and labels.ndim == 1:
            labels = labels.view(-1, *(1 for _ in dense)).expand(-1, *dense)
        like = sample.new_zeros((len(labels), *sample.shape[1:]))
        link = subject.nature.link
        downhill = _downhill(subject, labels, like)
        with torch.no_grad():
            least = least_loss(subject.loss, labels, like, through=link, direction=downhill)
            at_zero = float(subject.loss(link(like), labels))
        return cls(subject, labels, like, downhill, least, at_zero)

    @property
    def width(self) -> int:
        """Scores per example."""
        return self.like.shape[1] if self.like.ndim > 1 else 1

    def floor(self, region: Region, bound: float = 1.0) -> float:
        """The least loss of outputs that an activation confines to the region before the loss sees them."""
        inner, link = confine(region, bound), self.subject.nature.link

        def least(prepare: Callable[[Tensor], Tensor]) -> float:
            with torch.no_grad():
                return least_loss(
                    self.subject.loss,
                    self.labels,
                    self.like,
                    through=lambda z: link(inner(prepare(z))),
                    direction=self.downhill,
                )

        floor = least(lambda z: z)
        # On a sphere, what a categorical loss ignores, a constant per row, is better spent on the margin.
        return floor if region != "sphere" else min(floor, least(lambda z: z - z.mean(dim=1, keepdim=True)))

    @property
    def squashed_floor(self) -> float:
        """The floor behind one softmax or sigmoid too many; log(1 + (K-1)/e) for plain cross entropy."""
        return self.floor("simplex" if self.width > 1 else "unit")

    def is_material(self, floor: float) -> bool:
        """Whether the floor hides a share of the loss that is worth a failure."""
        return is_material(floor, self.least, self.at_zero)


def _downhill(subject: Subject, labels: Tensor, like: Tensor) -> Tensor | None:
    """The signs in which the loss falls from equal scores; None where a score has no gradient there.

    They follow the targets as the loss has them, also where those are another class than the label says.
    """
    leaf = like.clone().requires_grad_()
    loss = subject.loss(subject.nature.link(leaf), labels)
    if not loss.requires_grad:
        return None
    (gradient,) = torch.autograd.grad(loss, leaf, allow_unused=True)
    if gradient is None or not bool((gradient.isfinite() & (gradient != 0)).all()):
        return None
    return -gradient.sign()
