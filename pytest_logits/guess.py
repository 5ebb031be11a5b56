"""What a model of which nothing is said takes and gives: guessed from its layers, tried with a forward pass."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_logits import data
from pytest_logits.conventions import convention_of, is_net, module_of
from pytest_logits.feeding import DEFAULT_SEQUENCE
from pytest_logits.guard import preserved_state, seed_everything
from pytest_logits.structures import called, find_logits

# Sizes of square images and lengths of series, those of the usual data sets first; MNIST's is first for one channel.
IMAGES = (32, 28, 64, 96, 128, 224, 256, 299, 8)
SERIES = (64, 128, 256, 512, 1024, 16)
VOLUMES = (16, 32, 64, 8)
ROWS = (2, 3)
MOST_TRIED = 60
# What only changes the shape of what the last operation gave.
RESHAPES = (
    "Squeeze",
    "Unsqueeze",
    "View",
    "UnsafeView",
    "Reshape",
    "Alias",
    "Transpose",
    "Permute",
    "T",
    "Select",
    "Slice",
)
# The losses that go with a last operation: of log-probabilities, and of the probability of one class.
LOG_SOFTMAX, SIGMOID = "LogSoftmax", "Sigmoid"


class CannotGuess(Exception):
    """Says what was tried, and which option to give."""


@dataclass(frozen=True, kw_only=True)
class Guess:
    """Arguments of ``register``, and in words where they come from."""

    arguments: Mapping[str, Any]
    told: str


def guess(factory: Any, *, input_shape: tuple[int, ...] | None = None, num_classes: int | None = None) -> Guess:
    """What ``register`` needs to know of the model, besides what is given.

    The candidates for the input follow from the layers, in the order in which they are registered; the first that
    the model takes is the guess. The number of classes is the second axis of what it then returns. One output per
    example is taken for a binary task, log-softmax at the end for NLL, a sigmoid behind one output for BCE.

    Raises:
        CannotGuess: the factory raises, no candidate is taken, or what comes back is no (N, K, ...).
    """
    with preserved_state():
        model = _made(factory)
        failures: list[str] = []
        for number, (arguments, source) in enumerate(_candidates(model, input_shape)):
            if number == MOST_TRIED:
                break
            try:
                scores = [_scores(model, arguments, rows) for rows in ROWS]
            except Exception as error:
                said = str(error).splitlines()[0] if str(error) else ""
                failures.append(f"{_words(arguments)}: {type(error).__name__}: {said}")
                continue
            if all(found.shape[:1] == (rows,) for found, rows in zip(scores, ROWS, strict=True)):
                return _judged(model, scores[0], arguments, source, num_classes)
            failures.append(f"{_words(arguments)}: a batch of {ROWS[0]} gave {tuple(scores[0].shape)}")
    raise CannotGuess(_told(failures, input_shape))


def _made(factory: Any) -> nn.Module:
    seed_everything(0)
    try:
        made = copy.deepcopy(factory) if isinstance(factory, nn.Module) or is_net(factory) else factory()
        model = module_of(made)
    except Exception as error:
        raise CannotGuess(
            f"calling it with no arguments raised {type(error).__name__}: {error}; name a function that makes the model"
        ) from error
    if not isinstance(model, nn.Module):
        raise CannotGuess(f"it must return a torch.nn.Module; it returned {type(model).__name__}")
    model.eval()
    return model


def _candidates(model: nn.Module, shape: tuple[int, ...] | None) -> Iterator[tuple[dict[str, Any], str]]:
    """Arguments for the input, each once, and the layer that they come from."""
    seen: list[dict[str, Any]] = []
    if shape is not None:
        seen.append({"input_shape": shape})
        yield seen[0], "--logit-input-shape"
    for name, layer in model.named_modules():
        for arguments in _inputs_of(layer):
            if shape is not None:
                if "vocab_size" not in arguments:
                    continue
                arguments = {**arguments, "input_shape": shape}
            if arguments not in seen:
                seen.append(arguments)
                yield arguments, f"{type(layer).__name__} {name!r}" if name else type(layer).__name__


def _inputs_of(layer: nn.Module) -> Iterator[dict[str, Any]]:
    """What a model may take whose first layer this is."""
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
        yield {"vocab_size": layer.num_embeddings}
    elif isinstance(layer, nn.Linear) and layer.in_features:
        yield from _vectors(layer.in_features)
    elif isinstance(layer, nn.RNNBase):
        yield {"input_shape": (*DEFAULT_SEQUENCE, layer.input_size)}
    elif isinstance(layer, nn.MultiheadAttention):
        yield {"input_shape": (*DEFAULT_SEQUENCE, layer.embed_dim)}
    elif isinstance(layer, nn.LayerNorm):
        yield {"input_shape": tuple(layer.normalized_shape)}
    elif isinstance(layer, nn.BatchNorm1d) and layer.num_features:
        yield from _vectors(layer.num_features)
    elif isinstance(layer, nn.Conv1d) and layer.in_channels:
        yield from ({"input_shape": (layer.in_channels, size)} for size in SERIES)
    elif isinstance(layer, nn.Conv2d) and layer.in_channels:
        sizes = (28, *IMAGES) if layer.in_channels == 1 else IMAGES
        yield from ({"input_shape": (layer.in_channels, size, size)} for size in dict.fromkeys(sizes))
    elif isinstance(layer, nn.Conv3d) and layer.in_channels:
        yield from ({"input_shape": (layer.in_channels, size, size, size)} for size in VOLUMES)


def _vectors(features: int) -> Iterator[dict[str, Any]]:
    yield {"input_shape": (features,)}
    yield {"input_shape": (*DEFAULT_SEQUENCE, features)}


def _scores(model: nn.Module, arguments: Mapping[str, Any], rows: int) -> Tensor:
    """The scores for random inputs. A model with lazy layers is copied, for they take their shapes from the first."""
    lazy = any(is_lazy(p) for p in model.parameters())
    dtypes = (p.dtype for p in model.parameters() if p.is_floating_point())
    rng = data.generator(0)
    inputs = (
        data.random_tokens(rows, arguments.get("input_shape", DEFAULT_SEQUENCE), arguments["vocab_size"], rng)
        if "vocab_size" in arguments
        else data.random_floats(rows, arguments["input_shape"], rng, dtype=next(dtypes, torch.get_default_dtype()))
    )
    place = next((p.device for p in model.parameters()), inputs.device)
    found = find_logits(called(copy.deepcopy(model) if lazy else model, inputs.to(place)))
    if not isinstance(found, Tensor) or not found.is_floating_point():
        raise TypeError(f"it returned {type(found).__name__}, which holds no scores")
    return found


def _judged(
    model: nn.Module, scores: Tensor, arguments: Mapping[str, Any], source: str, num_classes: int | None
) -> Guess:
    shape = tuple(scores.shape)
    told = [] if source.startswith("--") else [f"{_words(arguments)} from {source}"]
    made = dict(arguments)
    if num_classes is not None:
        return Guess(arguments={**made, "num_classes": num_classes}, told=", ".join(told))
    heads = [layer.out_features for layer in model.modules() if isinstance(layer, nn.Linear)]
    if len(shape) > 2 and heads and heads[-1] == shape[-1] != shape[1]:
        raise CannotGuess(
            f"a batch of {shape[0]} gives {shape}, with the classes last where they must come second; register it with "
            "logits=lambda output: output.movedim(-1, 1)"
        )
    classes = shape[1] if len(shape) > 1 else 1
    made["num_classes"] = max(classes, 2)
    if classes == 1:
        made["task"] = "binary"
        told.append(f"task='binary' from its one output, {shape} for a batch of {shape[0]}")
    else:
        told.append(f"num_classes={classes} from its output, {shape} for a batch of {shape[0]}")
    last = _last_operation(scores)
    if convention_of(model).loss is None:
        if last == LOG_SOFTMAX and classes > 1:
            made["loss"] = "nll_loss"
        elif last == SIGMOID and classes == 1:
            made["loss"] = "bce"
        if "loss" in made:
            told.append(
                f"loss={made['loss']!r} from the {'log-softmax' if last == LOG_SOFTMAX else 'sigmoid'} at its end"
            )
    return Guess(arguments=made, told=", ".join(told))


def _last_operation(scores: Tensor) -> str:
    """What gave the scores, reshaping apart: the name of the node of the graph without its ending."""
    node: Any = scores.grad_fn
    while node is not None:
        name = str(node.name()).partition("Backward")[0]
        if name not in RESHAPES:
            return name
        node = node.next_functions[0][0]
    return ""


def _words(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def _told(failures: list[str], shape: tuple[int, ...] | None) -> str:
    if any("missing" in failure and "positional argument" in failure for failure in failures):
        return f"it takes more than one input; register it with inputs= ({failures[0]})"
    if shape is not None:
        return f"it does not take --logit-input-shape ({failures[0]})"
    if not failures:
        return "it has no layer that says what it takes; give --logit-input-shape and --logit-classes"
    return f"none of {len(failures)} guesses is what it takes; give --logit-input-shape. The first, {failures[0]}"
