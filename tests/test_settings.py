from __future__ import annotations

import subprocess
import sys
from itertools import pairwise, product

from pytest_logits.settings import DEFAULT_PROFILE, DEFAULT_SEED, PROFILES, Settings, derive_seed


def test_a_derived_seed_does_not_change_between_releases():
    # Verdicts and pasted ids rest on it. The number was computed once, with blake2b.
    assert derive_seed(0, "spam_filter", "weights") == 8260348017344018804


def test_a_derived_seed_is_the_same_in_another_process():
    # Whose hash seed is another one.
    code = "from pytest_logits.settings import derive_seed; print(derive_seed(7, 'model', 'weights'))"
    told = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "123"}, capture_output=True, text=True, check=True
    )
    assert int(told.stdout) == derive_seed(7, "model", "weights")


def test_derived_seeds_differ_for_every_seed_model_and_purpose():
    labels = [str(i) for i in range(30)]
    seeds = [derive_seed(seed, a, b) for seed, a, b in product(range(30), labels, labels)]
    assert len(set(seeds)) == len(seeds)


def test_labels_do_not_run_into_each_other():
    assert len({derive_seed(0, "ab", "c"), derive_seed(0, "a", "bc"), derive_seed(0, "abc"), derive_seed(0)}) == 4


def test_a_derived_seed_fits_what_torch_takes():
    seeds = [derive_seed(0, str(i)) for i in range(1000)]
    assert min(seeds) >= 0
    assert max(seeds) < 2**63
    # 63 bits, not 32: the largest of 1000 falls below half the range with probability 2**-1000.
    assert max(seeds) >= 2**62


def test_the_defaults_are_the_documented_ones():
    settings = Settings()
    assert (settings.seed, settings.profile.name, settings.threads) == (DEFAULT_SEED, DEFAULT_PROFILE, None)
    assert (DEFAULT_SEED, DEFAULT_PROFILE, list(PROFILES)) == (0, "standard", ["quick", "standard", "thorough"])


def test_each_profile_spends_more_than_the_one_before():
    for less, more in pairwise(PROFILES.values()):
        assert less.examples < more.examples
        assert less.classifiers < more.classifiers
        assert sum(steps for _, steps in less.learning) < sum(steps for _, steps in more.learning)
