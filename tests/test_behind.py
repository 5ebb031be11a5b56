from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pytest_logits import behind
from pytest_logits.behind import below, clear_rows, never_above, told_by_enough, winning_rows


def classes_behind(scores: Tensor) -> dict[int, int]:
    return below(never_above(scores))


def one_by_one(scores: Tensor) -> dict[int, int]:
    """What is looked for, by looking at every pair."""
    found = {}
    for c in range(scores.shape[1]):
        if any(bool((row[c] > row[[d for d in range(len(row)) if d != c]]).all()) for row in scores):
            continue
        never_lower = [d for d in range(scores.shape[1]) if bool((scores[:, c] <= scores[:, d]).all())]
        rows = {d: int((scores[:, c] < scores[:, d]).sum()) for d in never_lower}
        if max(rows.values()):
            found[c] = max(rows, key=lambda d: (rows[d], -d))
    return found


@pytest.mark.parametrize("rows", [1, 5, 8, 40])
@pytest.mark.parametrize("values", [2, 3, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("few", [0, behind.FEW_CLASSES], ids=["many", "few"])
def test_they_are_those_that_every_pair_shows(
    rows: int, values: int, dtype: torch.dtype, few: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(behind, "FEW_CLASSES", few)
    for seed in range(10):
        rng = torch.Generator().manual_seed(seed)
        scores = torch.randint(0, values, (rows, 12), generator=rng).to(dtype)
        # Some classes are the same in all rows, some always below another.
        scores[:, 3], scores[:, 7], scores[:, 9] = scores[:, 5], 0, scores[:, 8] - 1
        assert classes_behind(scores) == one_by_one(scores)


def test_classes_with_the_same_scores_are_looked_at_once(monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []
    look = behind._most_often_above

    def looks(columns: Tensor, c: int, candidates: Tensor) -> int | None:
        asked.append(c)
        return look(columns, c, candidates)

    monkeypatch.setattr(behind, "_most_often_above", looks)
    scores = torch.zeros(8, 1000)
    scores[:, 500], scores[:, 700] = 1.0, 0.5
    assert classes_behind(scores) == {c: 500 for c in range(1000) if c != 500}
    assert sorted(asked) == [0, 700]


def test_the_first_of_equals_is_named():
    assert classes_behind(torch.tensor([[1.0, 2.0, 2.0], [0.0, 3.0, 3.0]])) == {0: 1}


def test_ties_in_all_rows_are_no_evidence():
    assert classes_behind(torch.zeros(5, 4)) == {}


def test_classes_that_win_are_behind_none():
    assert classes_behind(torch.eye(4)) == {}


def test_a_class_is_told_by_the_settings_with_a_row_in_which_it_is_below():
    settings = [torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[0.0, 1.0, 1.0]]), torch.zeros(0, 3)]
    assert told_by_enough(settings, {0: 1, 2: 1}, 1) == {0: 1, 2: 1}
    assert told_by_enough(settings, {0: 1, 2: 1}, 2) == {0: 1}
    assert told_by_enough(settings, {}, 0) == {}


def drawn(rows: int, classes: int, seed: int) -> Tensor:
    """Scores of which some tie, the first below the second in every row."""
    scores = torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed)).round(decimals=seed % 3)
    scores[:, 0] = scores[:, 1] - 1
    return scores


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("classes", [3, 40, 300])
def test_what_was_found_in_some_rows_is_all_that_is_asked_in_more(classes: int, seed: int):
    """Also a class that was tied with another in the first, and is below it in the others."""
    first, more = drawn(4, classes, seed), drawn(4, classes, seed + 3)
    both = torch.cat([first, more])
    assert never_above(both, never_above(first)) == never_above(both)


@pytest.mark.parametrize("seed", range(6))
def test_few_classes_are_found_as_many_are(seed: int, monkeypatch: pytest.MonkeyPatch):
    scores = drawn(4, 60, seed)
    found = never_above(scores)
    assert found[0] is not None
    monkeypatch.setattr(behind, "FEW_CLASSES", 0)
    monkeypatch.setattr(behind, "FEW_SCORES", 2**9)
    assert never_above(scores) == found


def test_rows_that_are_not_numbers_are_left_out_and_masks_are_not():
    scores = torch.tensor([[0.0, 1.0], [torch.nan, 1.0], [torch.inf, 1.0], [-torch.inf, 1.0]])
    assert torch.equal(clear_rows(scores), scores[[0, 3]])


def test_every_position_of_dense_scores_is_a_row():
    scores = torch.arange(24.0).view(2, 3, 4)
    assert torch.equal(clear_rows(scores), torch.stack([row[:, i] for row in scores for i in range(4)]))


def test_each_class_that_wins_has_the_first_row_in_which_it_does():
    rows = torch.tensor([[0.0, 2.0, 2.0], [0.0, 1.0, 2.0], [3.0, 0.0, 1.0], [0.0, 4.0, 5.0]])
    assert torch.equal(winning_rows(rows), rows[[2, 1]])
    assert len(winning_rows(rows[:1])) == 0
    assert winning_rows(rows[:0]).shape == (0, 3)
