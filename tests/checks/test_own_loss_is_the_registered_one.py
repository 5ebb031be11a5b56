from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.checks.planted import found, result_of
from tests.zoo import sound

CHECK = "own_loss_is_the_registered_one"


class LightningModule(nn.Module):
    """Known by its name, as the real one is."""


class Step(LightningModule):
    def __init__(self, loss: Any = F.cross_entropy) -> None:
        super().__init__()
        self.net, self.own = sound.MLP(3), loss

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, index: int) -> Any:
        x, y = batch
        return self.own(self(x), y)


def judge(factory: Any, **arguments: Any) -> Any:
    return result_of(CHECK, factory, **{"num_classes": 3, **arguments})


def test_a_plain_model_computes_no_loss():
    assert judge(lambda: sound.MLP(3)).outcome == "not_applicable"


@pytest.mark.parametrize(
    "loss",
    [
        F.cross_entropy,
        lambda z, y: {"loss": F.cross_entropy(z, y), "logits": z},
        lambda z, y: F.nll_loss(z.log_softmax(dim=1), y),
        lambda z, y: F.cross_entropy(z, F.one_hot(y, 3).float()),
        lambda z, y: F.cross_entropy(z + 7, y).reshape(1),
    ],
    ids=["same", "in a dict", "by hand", "one-hot", "one element"],
)
def test_the_same_loss_in_other_words_passes(loss: Any):
    result = judge(lambda: Step(loss))
    assert result.outcome == "passed"
    assert result.verdict.evidence["own"] == pytest.approx(result.verdict.evidence["registered"], rel=1e-4)


@pytest.mark.parametrize(
    "loss",
    [
        lambda z, y: F.cross_entropy(z, y, label_smoothing=0.1),
        lambda z, y: F.cross_entropy(z, y, reduction="sum"),
        lambda z, y: F.cross_entropy(z.softmax(dim=1), y),
        lambda z, y: F.mse_loss(z, F.one_hot(y, 3).float()),
    ],
    ids=["smoothed", "sum", "softmax", "squared"],
)
def test_another_loss_is_advice_and_nothing_where_it_is_registered(loss: Any):
    result = judge(lambda: Step(loss))
    assert found(result) == ("advice", None)
    assert "pass it as loss=" in result.verdict.expected
    assert judge(lambda: Step(loss), loss=loss).outcome == "not_applicable"


def test_each_of_the_two_losses_is_called_by_its_own_name():
    result = judge(lambda: Step(lambda z, y: 2 * F.cross_entropy(z, y)))
    own, registered = result.verdict.evidence["own"], result.verdict.evidence["registered"]
    assert own == pytest.approx(2 * registered, rel=1e-4)
    assert result.verdict.measured == (
        f"training_step computes a loss of {own:.4g} on a batch where cross_entropy of the logits is {registered:.4g}"
    )


@pytest.mark.parametrize("made", [None, 0.5, torch.ones(3), {"other": torch.ones(())}], ids=str)
def test_a_step_that_gives_no_loss_is_not_compared(made: Any):
    assert judge(lambda: Step(lambda z, y: made)).outcome == "not_applicable"


def test_a_step_that_cannot_be_called_is_not_compared():
    def needs_a_trainer(z: Tensor, y: Tensor) -> Tensor:
        raise RuntimeError("not attached to a Trainer")

    assert judge(lambda: Step(needs_a_trainer)).outcome == "not_applicable"


def test_dropout_is_the_same_for_both():
    class Dropped(Step):
        def forward(self, x: Tensor) -> Tensor:
            return self.net(F.dropout(x, 0.5, training=self.training))

    assert judge(Dropped).outcome == "passed"


# Hugging Face.


def bert(labels: int, **more: Any) -> Any:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32, num_labels=labels, **more,
    )  # fmt: skip
    return lambda: transformers.BertForSequenceClassification(config)


TEXT: dict[str, Any] = {"vocab_size": 60, "input_shape": (9,)}


def test_a_hugging_face_classifier_passes():
    assert judge(bert(3), **TEXT).outcome == "passed"


def test_a_hugging_face_classifier_of_many_labels_passes():
    factory = bert(4, problem_type="multi_label_classification")
    assert judge(factory, **TEXT, num_classes=4, task="multilabel").outcome == "passed"


def test_one_label_is_a_regression():
    result = judge(bert(1), **TEXT, num_classes=2, task="binary")
    assert found(result) == ("advice", "regression_head")
    assert result.verdict.evidence["convention"] == "Hugging Face"


def test_a_model_that_takes_no_labels_is_not_compared():
    transformers = pytest.importorskip("transformers")
    config = bert(3)().config

    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.config = config
            self.body, self.head = transformers.BertModel(config), nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(x).pooler_output)

    assert judge(Body, **TEXT).outcome == "not_applicable"
