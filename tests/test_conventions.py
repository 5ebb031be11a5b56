"""What Lightning, skorch and Hugging Face say of a model, with the real libraries where they are installed."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import pytest_logits
from pytest_logits.conventions import PLAIN, convention_of, module_of, special_tokens
from pytest_logits.finding import Result
from pytest_logits.guard import preserved_state
from tests.checks.planted import found, result_of
from tests.test_subject import same, subject_of
from tests.zoo import sound


@pytest.fixture(autouse=True)
def state_kept():
    with preserved_state():
        yield


def results_of(factory: Any, **arguments: Any) -> dict[str, Result]:
    given: dict[str, Any] = {"name": "net", "input_shape": (10,), "num_classes": 3, "profile": "quick", **arguments}
    return {result.check: result for result in pytest_logits.check_classifier(factory, **given)}


def causes(results: dict[str, Result]) -> set[str | None]:
    return {r.verdict.cause for r in results.values() if r.outcome in ("failed", "error")}


# Plain modules.


@pytest.mark.parametrize("module", [sound.MLP(3), nn.Linear(2, 2), nn.Sequential(nn.Embedding(3, 2))])
def test_a_plain_module_follows_no_convention(module: nn.Module):
    assert convention_of(module) is PLAIN
    assert module_of(module) is module


@pytest.mark.parametrize(
    "config", [SimpleNamespace(num_labels=3), SimpleNamespace(problem_type=None), {"problem_type": 1, "num_labels": 2}]
)
def test_a_config_of_ones_own_is_no_convention(config: Any):
    model = sound.MLP(3)
    model.config = config
    assert convention_of(model) is PLAIN


@pytest.mark.parametrize("made", [None, "net", 3, SimpleNamespace(module=1, criterion=2), nn.Linear], ids=str)
def test_what_is_no_net_stays_as_it_is(made: Any):
    assert module_of(made) is made


# Special tokens.


def test_padding_of_embeddings_is_special():
    model = nn.ModuleList([nn.Embedding(9, 2, padding_idx=3), nn.EmbeddingBag(9, 2, padding_idx=5), nn.Embedding(9, 2)])
    assert special_tokens(model) == {3, 5}


def test_tokens_of_a_configuration_are_special():
    model = nn.Embedding(9, 2, padding_idx=0)
    model.config = SimpleNamespace(num_labels=2, pad_token_id=0, cls_token_id=7, eos_token_id=[1, 2], bos_token_id=None)
    assert special_tokens(model) == {0, 1, 2, 7}


def test_a_configuration_of_ones_own_says_nothing_of_tokens():
    model = nn.Linear(2, 2)
    model.config = SimpleNamespace(pad_token_id=4)
    assert special_tokens(model) == set()


def test_a_model_without_tokens_has_no_special_ones():
    assert special_tokens(sound.MLP(3)) == set()


# Lightning.


def lightning_module(**methods: Any) -> Any:
    """A class that learns three classes, with these methods in the place of its own."""
    lightning = pytest.importorskip("lightning")

    class Base(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = sound.MLP(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            x, y = batch
            loss = F.cross_entropy(self(x), y)
            self.log("loss", loss, prog_bar=True)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=1e-3)

    return type("Module", (Base,), methods)


def test_a_sound_lightning_module_passes_everything():
    results = results_of(lightning_module())
    assert causes(results) == set()
    assert results["training_step_trains"].outcome == "passed"
    assert results["own_loss_is_the_registered_one"].outcome == "passed"
    assert results["outputs_are_logits"].outcome == "passed"


def probabilities(self: Any, x: Tensor) -> Tensor:
    return self.net(x).softmax(dim=1)


def own_logits(self: Any, batch: Any, batch_idx: int) -> Tensor:
    return F.cross_entropy(self.net(batch[0]), batch[1])


def test_probabilities_from_forward_are_fine_where_the_step_has_its_own_logits():
    results = results_of(lightning_module(forward=probabilities, training_step=own_logits))
    assert causes(results) == set()
    assert results["own_loss_is_the_registered_one"].outcome == "advice"


def of_a_dict(self: Any, batch: Any, batch_idx: int) -> Tensor:
    return F.cross_entropy(self.net(batch["image"]), batch["label"])


def test_nothing_is_said_of_outputs_where_the_step_cannot_be_called():
    results = results_of(lightning_module(forward=probabilities, training_step=of_a_dict))
    assert causes(results) == set()
    assert "pass loss=" in results["own_loss_is_the_registered_one"].verdict.measured


def test_without_a_training_step_of_its_own_a_module_is_plain():
    made = type("Module", (pytest.importorskip("lightning").LightningModule,), {})()
    assert convention_of(made) is PLAIN


def test_probabilities_that_the_step_trains_on_are_found():
    results = results_of(lightning_module(forward=probabilities))
    assert causes(results) == {"softmax_before_cross_entropy"}
    assert found(results["outputs_are_logits"]) == ("failed", "softmax_before_cross_entropy")


def returns(kind: str) -> Any:
    def configure_optimizers(self: Any) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
        return {
            "list": [optimizer],
            "tuple": ([optimizer], [scheduler]),
            "lists": ([optimizer], [{"scheduler": scheduler, "interval": "step"}]),
            "dict": {"optimizer": optimizer, "lr_scheduler": scheduler},
            "nested": {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "loss"}},
            "tuple of dicts": ({"optimizer": optimizer, "lr_scheduler": scheduler},),
        }[kind]

    return configure_optimizers


@pytest.mark.parametrize("kind", ["list", "tuple", "lists", "dict", "nested", "tuple of dicts"])
def test_configure_optimizers_may_return_any_of_its_forms(kind: str):
    result = result_of("training_step_trains", lightning_module(configure_optimizers=returns(kind)), num_classes=3)
    assert result.outcome == "passed"
    made = lightning_module(configure_optimizers=returns(kind))()
    assert isinstance(convention_of(made).optimizer(made), torch.optim.SGD)


def loss_in_dict(self: Any, batch: Any, batch_idx: int) -> Any:
    return {"loss": F.cross_entropy(self(batch[0]), batch[1]), "other": 1}


def skips(self: Any, batch: Any, batch_idx: int) -> Any:
    """Lightning goes on to the next batch where a step returns None."""
    self.calls = getattr(self, "calls", 0) + 1
    return None if self.calls % 2 else F.cross_entropy(self(batch[0]), batch[1])


@pytest.mark.parametrize("training_step", [loss_in_dict, skips])
def test_a_training_step_may_return_any_of_its_forms(training_step: Any):
    result = result_of("training_step_trains", lightning_module(training_step=training_step), num_classes=3)
    assert result.outcome == "passed"


def negated(self: Any, batch: Any, batch_idx: int) -> Any:
    return -F.cross_entropy(self(batch[0]), batch[1])


def test_faults_of_the_step_and_the_optimizer_are_found():
    of_the_trunk = {"configure_optimizers": lambda self: torch.optim.SGD(self.net.net[0].parameters(), lr=0.1)}
    for methods, cause in (
        (of_the_trunk, "optimizer_misses_parameters"),
        ({"training_step": negated}, "loss_is_maximised"),
    ):
        result = result_of("training_step_trains", lightning_module(**methods), num_classes=3)
        assert found(result) == ("failed", cause)
        assert result.verdict.location is not None


def wants_a_dict(self: Any, batch: Any, batch_idx: int) -> Any:
    return F.cross_entropy(self(batch["image"]), batch["label"])


def wants_a_trainer(self: Any, batch: Any, batch_idx: int) -> Any:
    return F.cross_entropy(self(batch[0]), batch[1]) / self.trainer.accumulate_grad_batches


@pytest.mark.parametrize("training_step", [wants_a_dict, wants_a_trainer])
def test_a_step_that_cannot_be_called_by_itself_is_left_alone(training_step: Any):
    results = results_of(lightning_module(training_step=training_step))
    assert causes(results) == set()
    assert results["training_step_trains"].outcome == "not_applicable"
    assert "cannot be called by itself" in results["training_step_trains"].verdict.measured
    assert results["own_loss_is_the_registered_one"].outcome == "not_applicable"


def test_manual_optimization_is_left_alone():
    def training_step(self: Any, batch: Any, batch_idx: int) -> None:
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(F.cross_entropy(self(batch[0]), batch[1]))
        optimizer.step()

    module = lightning_module(training_step=training_step, automatic_optimization=False)
    results = results_of(module)
    assert causes(results) == set()
    assert results["training_step_trains"].outcome == "not_applicable"


def test_what_is_registered_goes_before_the_convention():
    def sgd(model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=0.1)

    subject = subject_of(lightning_module(), optimizer=sgd, train_step=own_logits, loss=sound.focal)
    assert subject.optimizer_factory is sgd
    assert subject.train_step is own_logits
    assert subject.loss_object is sound.focal
    assert subject.own_losses is None


# skorch.


class Logits(sound.MLP):
    def __init__(self) -> None:
        super().__init__(3)


class Probabilities(sound.Softmax):
    def __init__(self) -> None:
        super().__init__(3)


class Bit(nn.Module):
    def __init__(self, squash: bool = False) -> None:
        super().__init__()
        self.head, self.squash = nn.Linear(10, 1), squash

    def forward(self, x: Tensor) -> Tensor:
        scores = self.head(x).squeeze(-1)
        return torch.sigmoid(scores) if self.squash else scores


def net(module: Any, kind: str = "NeuralNetClassifier", **more: Any) -> Any:
    skorch = pytest.importorskip("skorch")
    return lambda: getattr(skorch, kind)(module, lr=0.1, **more)


@pytest.mark.parametrize(
    ("module", "criterion", "cause"),
    [
        (Probabilities, nn.NLLLoss, None),
        (Logits, nn.CrossEntropyLoss, None),
        (Logits, nn.NLLLoss, "logits_into_nll_loss"),
        (Probabilities, nn.CrossEntropyLoss, "softmax_before_cross_entropy"),
    ],
    ids=["NLL of probabilities", "CE of logits", "NLL of logits", "CE of probabilities"],
)
def test_a_net_is_judged_with_the_loss_that_it_composes(module: Any, criterion: Any, cause: str | None):
    results = results_of(net(module, criterion=criterion))
    assert causes(results) == ({cause} if cause else set())


@pytest.mark.parametrize(("squash", "cause"), [(False, set()), (True, {"sigmoid_before_bce_with_logits"})])
def test_a_net_of_one_bit_is_judged_the_same_way(squash: bool, cause: set[str]):
    factory = net(Bit, "NeuralNetBinaryClassifier", module__squash=squash)
    assert causes(results_of(factory, num_classes=2, task="binary")) == cause


def test_the_module_of_a_net_is_what_is_checked():
    made = net(Logits)()
    module = module_of(made)
    assert module is made.module_
    convention = convention_of(module)
    assert convention.name == "skorch"
    assert convention.optimizer(module) is made.optimizer_
    assert module_of(made) is module


def test_copies_of_a_net_are_equal_and_have_an_optimizer_each():
    subject = subject_of(net(Logits))
    first, second = subject.fresh(), subject.fresh()
    assert same(first, second)
    held = {id(p) for group in subject.optimizer_factory(first).param_groups for p in group["params"]}
    assert held == {id(p) for p in first.parameters()}
    assert held.isdisjoint({id(p) for p in second.parameters()})


def test_a_net_that_is_initialised_is_copied_and_not_touched():
    made = net(Logits, criterion=nn.CrossEntropyLoss)()
    made.initialize()
    before = {name: p.detach().clone() for name, p in made.module_.named_parameters()}
    results = results_of(lambda: made)
    assert causes(results) == set()
    assert all(torch.equal(before[name], p) for name, p in made.module_.named_parameters())


def test_the_optimizer_of_a_net_trains_it():
    assert result_of("training_step_trains", net(Logits, criterion=nn.CrossEntropyLoss), num_classes=3).outcome == (
        "passed"
    )


def test_a_net_that_is_not_initialised_yet_has_the_same_weights_in_each_copy():
    subject = subject_of(net(Logits)())
    assert same(subject.fresh(), subject.fresh())


def test_a_net_may_be_registered_itself():
    results = results_of(net(Logits, criterion=nn.CrossEntropyLoss)())
    assert causes(results) == set()
    assert results["training_step_trains"].outcome == "passed"


def test_a_net_goes_with_its_module():
    module = module_of(net(Logits)())
    gone = weakref.ref(module)
    del module
    gc.collect()
    assert gone() is None


# Hugging Face.


def bert(labels: int, **more: Any) -> Any:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=32, num_labels=labels, pad_token_id=0, **more,
    )  # fmt: skip
    return lambda: transformers.BertForSequenceClassification(config)


TEXT: dict[str, Any] = {"input_shape": (9,), "vocab_size": 60}


def test_a_hugging_face_model_passes_everything():
    results = results_of(bert(3), **TEXT)
    assert causes(results) == set()
    assert results["own_loss_is_the_registered_one"].outcome == "passed"


def test_one_label_into_cross_entropy_is_found():
    results = results_of(bert(1), **TEXT, num_classes=2)
    assert causes(results) == {"single_column_cross_entropy"}


def test_its_padding_is_left_out_of_inputs():
    subject = subject_of(bert(3), **TEXT)
    assert 0 in special_tokens(subject.fresh())
    assert int(subject.inputs(64, "test").min()) > 0
    assert int(subject.separable_batch().inputs.min()) > 0


def test_its_loss_is_asked_of_inputs_by_name_too():
    def inputs(count: int, generator: torch.Generator) -> dict[str, Tensor]:
        ids = torch.randint(1, 60, (count, 9), generator=generator)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    subject = subject_of(bert(3), inputs=inputs)
    assert subject.computes_registered_loss
