"""Variants of FAC by hand, and the study on one held-out set of the smoke profile."""

import math

import numpy as np
import pytest

from fac_lab.coverage import cover, weighted_fac
from fac_lab.errors import SettingsError
from fac_lab.studies.variants import ORDERS, VARIANTS, chosen_by, variants_study, weighted_share, weights


@pytest.fixture(scope="module")
def coverage(truthful):
    lab, anchor = truthful
    return cover(anchor, lab.stats(lab.corpus("seed")), lab.profile.rule)


def test_shares_by_hand():
    weight = np.array([1.0, 2.0, 5.0, 10.0])
    assert weighted_share(np.array([0, 2]), np.array([0, 1, 2]), weight) == 0.75
    assert weighted_share(np.array([True, False, True, False]), np.array([True, True, True, False]), weight) == 0.75
    assert math.isnan(weighted_share(np.zeros(0, int), np.zeros(0, int), weight))


def test_shares_by_a_variant_are_its_fac(coverage):
    shares = [weighted_share(coverage.covered, coverage.anchor_support, weights(coverage, v)) for v in VARIANTS]
    assert shares == pytest.approx([coverage.fac, weighted_fac(coverage), weighted_fac(coverage, "magnitude")])
    assert len({round(share, 6) for share in shares}) == 3, "three different numbers"
    with pytest.raises(SettingsError, match="not 'loudness'"):
        weights(coverage, "loudness")


def test_the_weightiest_are_chosen_and_equal_weights_are_drawn():
    class Few:
        missing, relevant = np.array([2, 0, 3, 1]), np.ones(4, bool)
        anchor_count, anchor_mean = np.array([4, 9, 9, 1]), np.array([1.0, 3.0, 2.0, 8.0])

    few = Few()
    assert chosen_by(few, "magnitude", "most weight", 2, seed=0).tolist() == [3, 1]
    assert chosen_by(few, "magnitude", "least weight", 2, seed=0).tolist() == [0, 2]
    drawn = {tuple(chosen_by(few, "binary", "most weight", 2, seed=seed).tolist()) for seed in range(40)}
    assert len(drawn) > 6
    ties = {tuple(chosen_by(few, "frequency", "most weight", 2, seed=seed).tolist()) for seed in range(20)}
    assert ties == {(1, 2), (2, 1)}


@pytest.mark.slow
def test_counting_changes_no_detector_and_choosing_adds_as_many(truthful):
    lab, anchor = truthful
    frame = variants_study(lab, anchor, sets=[0], share=1.0, least=1)
    whole, part = (frame[frame.budget == budget] for budget in ("all", "a share"))
    assert whole.variant.tolist() == list(VARIANTS) and whole.auprc.nunique() == 1
    # Equal weights are drawn once per seed, the others have two orders.
    assert len(part) == 5 * len(lab.profile.seeds) and set(part.order) == set(ORDERS) and part.added.nunique() == 1
    assert (part.written_for == frame.n_missing.iloc[0]).all()
    assert (frame.fac >= frame.fac_seed).all() and frame.gap_share.between(0, 1).all()
    assert whole[whole.variant == "binary"].gap_share.item() == whole.by_any.iloc[0]
