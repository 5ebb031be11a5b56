"""The subjects of a session: what is found out of a model or a loss is kept while its checks run."""

from __future__ import annotations

from collections import OrderedDict
from typing import overload

from pytest_logits.loss_subject import LossSubject
from pytest_logits.model import LossSpec, ModelSpec, Spec
from pytest_logits.settings import Settings
from pytest_logits.subject import Subject

# Models whose training runs are kept while their checks run; more only matter when checks of many models interleave.
KEPT_SUBJECTS = 4


class Subjects:
    """A subject for each model and loss, shared by its checks; the least recently used one is dropped."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: OrderedDict[int, Subject | LossSubject] = OrderedDict()

    @overload
    def of(self, spec: ModelSpec) -> Subject: ...
    @overload
    def of(self, spec: LossSpec) -> LossSubject: ...
    def of(self, spec: Spec) -> Subject | LossSubject:
        """The subject of a model, or of a loss that is registered by itself."""
        if id(spec) not in self._kept:
            self._kept[id(spec)] = (
                LossSubject.registered(spec, self._settings)
                if isinstance(spec, LossSpec)
                else Subject(spec, self._settings)
            )
        self._kept.move_to_end(id(spec))
        while len(self._kept) > KEPT_SUBJECTS:
            self._kept.popitem(last=False)
        found = self._kept[id(spec)]
        for other in self._kept.values():
            if other is not found and isinstance(other, Subject):
                other.forget_copies()
        return found
