"""Under pytest-xdist: a model's checks go to one worker, ids stay as they are, a worker that dies costs one item."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_logits.check_registry import all_checks
from pytest_logits.control_items import CLAIM, ControlItem, control_record, fault_of
from pytest_logits.finding import Passes, Result, Verdict
from pytest_logits.items import LogitItem
from pytest_logits.model_registry import registered, registered_losses
from pytest_logits.options import load_models
from pytest_logits.planting import plants, plants_of_losses
from pytest_logits.report import crash_text
from pytest_logits.runner import reproduce
from pytest_logits.settings import Settings

if TYPE_CHECKING:
    from xdist.scheduler import LoadGroupScheduling

CONTROL = re.compile(r"control\[\w+\]")
# An id as pytest-xdist sends it where items have groups: the item's own, @, the group.
WITH_GROUP = re.compile(rf"(?P<nodeid>.+?::(?P<name>{CONTROL.pattern}|\w+))@.+")
DIED = (
    "worker {worker} died while this ran, without a word: the model calls os._exit, code outside Python crashed, or "
    "the system stopped the process, for want of memory perhaps"
)


class Parallel:
    """What the session does on a worker, and on the controller that has started it."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings

    # On a worker

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Group the checks of a model, which share its training run.

        Generated classifiers are drawn for each check, and each control has a model of its own: those are left apart.
        """
        if not hasattr(config, "workerinput"):
            return
        for item in items:
            alone = not isinstance(item, LogitItem) or isinstance(item, ControlItem) or item.spec is None
            if not alone and item.get_closest_marker("xdist_group") is None:
                item.add_marker(pytest.mark.xdist_group(group_of(item.nodeid)))

    @pytest.hookimpl(wrapper=True)
    def pytest_collection_finish(self, session: pytest.Session) -> Generator[None, None, None]:
        """Let only the scheduler see the groups, which it reads off the ends of the ids; then take them off again.

        pytest-xdist writes them where pytest 9.2 no longer reads, and would leave them there.
        """
        ours = [item for item in session.items if isinstance(item, LogitItem)]
        if getattr(self._config, "workerinput", {}).get("logit_grouped"):
            for item in ours:
                mark = item.get_closest_marker("xdist_group")
                if mark is not None:
                    item.group = f"@{mark.args[0] if mark.args else mark.kwargs.get('name', 'default')}"
        try:
            yield
        finally:
            for item in ours:
                item.group = ""

    # On the controller

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell the worker, which reads the command line by itself, that groups are asked for."""
        node.workerinput["logit_grouped"] = self._config.getoption("dist") == "loadgroup"

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> LoadGroupScheduling | None:
        """The scheduler for groups, with which an item that ends its worker is not run again."""
        return _scheduler(config, log) if config.getoption("dist") == "loadgroup" else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """The item that a worker has died of is an error, with a record like any other."""
        head, _, name = crashitem.rpartition("::")
        if not head or not _is_ours(name):
            return
        result = self._died(crashitem, head.rpartition("::")[2], name, report.node.gateway.id)
        report.longrepr = crash_text(result)
        if CONTROL.fullmatch(name):
            report.logit_control = control_record(result, self._planted(head, fault_of(name)))  # type: ignore[attr-defined]
        else:
            report.logit_record = result.to_json()  # type: ignore[attr-defined]
        self._allow_another_worker()

    def _planted(self, head: str, cause: str) -> str:
        """What was planted in the model or loss of this id; a loss that only workers know counts as a model."""
        file, _, name = head.rpartition("::")
        place = (Path(self._config.rootpath, file).resolve(), name)
        losses = {(spec.file, spec.name) for spec in registered_losses()}
        of_losses = {found: plant.words for found, plant in plants_of_losses().items()}
        of_models = {found: plant.words for found, plant in plants().items()}
        return (of_models | of_losses if place in losses else of_losses | of_models)[cause]

    def _died(self, nodeid: str, model: str, name: str, worker: str) -> Result:
        claims = {check.name: check.claim for check in all_checks()}
        file = Path(self._config.rootpath, nodeid.partition("::")[0]).resolve()
        given = load_models(self._config)
        options = [
            given[id(spec)].options
            for spec in registered()
            if id(spec) in given and (spec.file, spec.name) == (file, model)
        ]
        pasteable = nodeid
        if file.exists():
            there = os.path.relpath(file, self._config.invocation_params.dir)
            pasteable = "::".join([Path(there).as_posix(), model, name])
        words = ("--logit-controls",) if CONTROL.fullmatch(name) else ()
        verdict = Verdict(outcome="error", measured=DIED.format(worker=worker))
        return Result(
            nodeid=nodeid,
            model=model,
            check=name,
            outcome="error",
            claim=claims.get(name, CLAIM.format(fault_of(name))),
            verdict=verdict,
            fix="",
            passes=Passes(),
            seconds=0.0,
            reproduce=reproduce(pasteable, self._settings, (*words, *(options[0] if options else ()))),
        )

    def _allow_another_worker(self) -> None:
        """pytest-xdist gives up after so many deaths; one that has cost an item cannot go on for ever."""
        session = self._config.pluginmanager.get_plugin("dsession")
        most = getattr(session, "_max_worker_restart", None)
        if most is not None and self._config.getoption("maxworkerrestart") is None:
            session._max_worker_restart = most + 1  # type: ignore[union-attr]


def group_of(nodeid: str) -> str:
    """The group of a check: its model. ``@`` and ``]`` have a meaning for pytest-xdist."""
    return re.sub(r"[@\]]", "_", nodeid.rpartition("::")[0])


def without_group(nodeid: str) -> str:
    """The id of an item of ours as it is without pytest-xdist; any other as it is."""
    match = WITH_GROUP.match(nodeid)
    return match["nodeid"] if match is not None and _is_ours(match["name"]) else nodeid


def _is_ours(name: str) -> bool:
    return CONTROL.fullmatch(name) is not None or name in {check.name for check in all_checks()}


def _scheduler(config: pytest.Config, log: Any) -> LoadGroupScheduling:
    from xdist.scheduler import LoadGroupScheduling

    class Scheduling(LoadGroupScheduling):  # type: ignore[misc]
        """pytest-xdist's own gives the whole group to another worker, with the item that has ended the first."""

        def remove_node(self, node: Any) -> str | None:
            """Of what the worker had to do, only what it has neither done nor died of goes to others."""
            left = {
                scope: {nodeid: done for nodeid, done in unit.items() if not done}
                for scope, unit in self.assigned_work[node].items()
            }
            started = next((nodeid for unit in left.values() for nodeid in unit), None)
            for unit in left.values():
                unit.pop(started, None)
            self.assigned_work[node] = {scope: unit for scope, unit in left.items() if unit}
            super().remove_node(node)
            return None if started is None else without_group(started)

    return Scheduling(config, log)
