"""Faults in the outputs: an activation before the loss, an axis lost, rows mixed, parameters cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pytest_logits.plant import Case, Change, Plant, Planted

OUTPUTS, MINIMUM, LEARNS = "outputs_are_logits", "loss_reaches_its_minimum", "every_parameter_learns"
COLLAPSE = "predictions_do_not_collapse"


def output_plants() -> Iterator[Plant]:
    """Everything that is planted in a model itself."""
    found = (OUTPUTS, MINIMUM)
    yield Plant(
        cause="softmax_before_cross_entropy",
        words="softmax over the classes",
        make=_changed(lambda z: F.softmax(z, dim=1), form="categorical", least=2),
        checks=found,
    )
    yield Plant(
        cause="sigmoid_before_cross_entropy",
        words="sigmoid",
        make=_changed(torch.sigmoid, form="categorical", least=2),
        checks=found,
    )
    yield Plant(
        cause="softmax_over_wrong_dim",
        words="softmax over the batch",
        make=_changed(lambda z: F.softmax(z, dim=0), form="categorical", least=2),
        checks=(OUTPUTS, "examples_are_independent"),
    )
    yield Plant(
        cause="log_probabilities_into_cross_entropy",
        words="log-softmax",
        make=_changed(lambda z: F.log_softmax(z, dim=1), form="categorical", least=2),
        checks=(OUTPUTS,),
        advice=True,
    )
    yield Plant(
        cause="unreachable_class",
        words="the last score is the first less 1 and a softplus",
        make=_changed(_last_below_first, form="categorical", least=3),
        checks=("no_class_is_privileged",),
    )
    yield Plant(
        cause="sigmoid_before_bce_with_logits",
        words="sigmoid",
        make=_changed(torch.sigmoid, form="bernoulli"),
        checks=(*found, COLLAPSE),
    )
    yield Plant(
        cause="softmax_before_bce_with_logits",
        words="softmax over the labels",
        make=lambda case: (
            case.with_outputs(lambda z: F.softmax(z, dim=1))
            if case.takes_logits("bernoulli") and case.task == "multilabel" and case.num_classes >= 2
            else None
        ),
        checks=(*found, COLLAPSE),
    )
    yield Plant(
        cause="bounded_logits",
        words="ReLU",
        make=lambda case: case.with_outputs(F.relu) if case.nature.takes == "logits" else None,
        checks=(*found, "outputs_depend_on_inputs"),
    )
    for cause, words, change, checks in (
        ("output_shape_depends_on_batch", "squeeze()", _squeezed, ("output_shape_is_stable",)),
        ("wrong_number_of_outputs", "one more column", _one_more_column, ("output_shape_is_stable",)),
        ("examples_leak_across_batch", "less the mean of the batch", _centred, ("examples_are_independent",)),
        ("evaluation_is_random", "dropout that is never off", _dropped, ("evaluation_is_deterministic",)),
        ("output_ignores_input", "times 0", lambda z: 0 * z, ("outputs_depend_on_inputs",)),
        ("non_finite_values", "0 / 0", lambda z: (z - z) / 0, ("outputs_stay_finite",)),
        ("random_state_reset", "manual_seed(0) in forward", _reseeded, ("random_state_is_not_reset",)),
        ("detached_graph", "detach()", Tensor.detach, (LEARNS,)),
    ):
        yield Plant(cause=cause, words=words, make=_changed(change), checks=checks)
    yield Plant(
        cause="frozen_parameters",
        words="requires_grad_(False) on the whole model",
        make=lambda case: case.with_model(_freeze),
        checks=(LEARNS, "loss_decreases_on_separable_data"),
    )
    yield Plant(
        cause="unregistered_parameters",
        words="plain tensors in the place of all parameters",
        make=lambda case: case.with_model(_unregister),
        checks=(LEARNS,),
    )


def _changed(change: Change, *, form: str | None = None, least: int = 1) -> Callable[[Case], Planted | None]:
    """Scores through ``change``; where ``form`` is given, of a loss on such logits over ``least`` classes."""

    def make(case: Case) -> Planted | None:
        fits = form is None or (case.takes_logits(form) and case.num_classes >= least)
        return case.with_outputs(change) if fits else None

    return make


def _last_below_first(z: Tensor) -> Tensor:
    return torch.cat([z[:, :-1], z[:, :1] - 1 - F.softplus(z[:, -1:])], dim=1)


def _squeezed(z: Tensor) -> Tensor:
    return z.squeeze()


def _one_more_column(z: Tensor) -> Tensor:
    columns = z if z.ndim > 1 else z.unsqueeze(1)
    return torch.cat([columns, -columns[:, :1]], dim=1)


def _centred(z: Tensor) -> Tensor:
    return z - z.mean(dim=0, keepdim=True)


def _dropped(z: Tensor) -> Tensor:
    return F.dropout(z)


def _reseeded(z: Tensor) -> Tensor:
    torch.manual_seed(0)
    return z


def _freeze(model: nn.Module) -> None:
    model.requires_grad_(False)


def _unregister(model: nn.Module) -> None:
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                del module._parameters[name]
                setattr(module, name, parameter.detach().clone().requires_grad_(parameter.requires_grad))
