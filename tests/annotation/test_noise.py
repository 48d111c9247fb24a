import numpy as np
import pandas as pd
import pytest

from fac_lab.annotation.noise import flip_relevance, mismatch_summaries, swap_relevance, truncate_summaries
from fac_lab.errors import SettingsError

WAYS = [swap_relevance, flip_relevance, truncate_summaries, mismatch_summaries]


def labels(n=50, n_relevant=20):
    relevant = np.arange(n) < n_relevant
    return pd.DataFrame(
        {
            "feature": np.arange(n) * 3,
            "summary": [None if i % 10 == 9 else f"requests about thing {i} of kind {i}" for i in range(n)],
            "verdict": np.where(relevant, "Probably", "No"),
            "relevant": relevant,
            "reason": "because",
            "score": np.linspace(0, 1, n),
        }
    )


def changed(before, after, column):
    a, b = before[column].fillna(""), after[column].fillna("")
    return set(before.feature[a != b])


@pytest.mark.parametrize("disturb", WAYS)
def test_the_input_stays_and_the_seed_decides(disturb):
    original = labels()
    kept = original.copy(deep=True)
    first, again, other = (disturb(original, 0.4, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(original, kept)
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other) and list(first) == list(original)
    assert first.score.equals(original.score)
    pd.testing.assert_frame_equal(disturb(original, 0.0, seed=1), original)


@pytest.mark.parametrize("disturb", WAYS)
def test_only_features_in_question_change(disturb):
    original = labels()
    among = original.feature[10:30].tolist()
    noisy = disturb(original, 1.0, seed=0, among=among)
    outside = ~original.feature.isin(among)
    pd.testing.assert_frame_equal(noisy[outside], original[outside])
    assert not noisy.equals(original)


@pytest.mark.parametrize("disturb", WAYS)
def test_a_share_beyond_one_is_refused(disturb):
    with pytest.raises(SettingsError, match="share"):
        disturb(labels(), 10, seed=0)


def test_swap_keeps_the_number_of_relevant_features():
    original = labels()
    noisy = swap_relevance(original, 0.1, seed=3)
    assert noisy.relevant.sum() == 20
    lost = changed(original, noisy, "relevant") & set(original.feature[original.relevant])
    assert len(lost) == 2 and len(changed(original, noisy, "relevant")) == 4
    assert (noisy.verdict[noisy.feature.isin(lost)] == "No").all()
    few = swap_relevance(original, 1.0, seed=0, among=original.feature[:21])
    assert few.relevant.sum() == 1


def test_swapping_21_and_43_of_214_gives_the_indices_that_the_paper_printed():
    original = labels(n=500, n_relevant=214)
    f = set(original.feature[original.relevant])
    for share, printed in ((0.1, 82.13), (0.2, 66.54)):
        noisy = swap_relevance(original, share, seed=0)
        g = set(noisy.feature[noisy.relevant])
        assert 100 * len(f & g) / len(f | g) == pytest.approx(printed, abs=0.005)


def test_flip_reverses_a_share_of_all_verdicts():
    original = labels()
    noisy = flip_relevance(original, 0.2, seed=0)
    assert len(changed(original, noisy, "relevant")) == 10
    assert (noisy.relevant == (noisy.verdict != "No")).all()


def test_truncation_keeps_the_beginning():
    original = labels()
    noisy = truncate_summaries(original, 1.0, seed=0)
    assert noisy.summary[3] == "requests about thing 3" and pd.isna(noisy.summary[9])
    assert len(changed(original, truncate_summaries(original, 0.2, seed=0), "summary")) == 9  # of 45 summaries
    assert noisy.relevant.equals(original.relevant)
    assert truncate_summaries(original, 1.0, seed=0, keep=0.2).summary[3] == "requests about"


def test_mismatch_leaves_no_drawn_summary_in_place():
    original = labels()
    for seed in range(20):
        noisy = mismatch_summaries(original, 0.2, seed=seed)
        assert len(changed(original, noisy, "summary")) == 9
        assert sorted(noisy.summary.dropna()) == sorted(original.summary.dropna())
    assert mismatch_summaries(original, 0.02, seed=0).equals(original)
