"""Sizes against hand-worked cases, and the laws they have to keep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fac_lab.errors import SettingsError
from fac_lab.sizing import Rates, size


def test_a_case_by_hand():
    """1,000,000 samples of 100 tokens at 10,000 tokens/s: 10,000 s of work, in 10 shards of 1,000 s each."""
    found = size(
        1_000_000,
        Rates(10_000, 100, merge_seconds=6, load_seconds=60),
        workers=4,
        rows_per_shard=100_000,
        d_sae=65_536,
    )
    assert (found.shards, found.workers, found.tokens) == (10, 4, 1e8)
    assert found.worker_hours == pytest.approx((10_000 + 4 * 60) / 3600)
    # The busiest of four workers has three shards; the last one is then merged.
    assert found.hours == pytest.approx((3 * 1_000 + 60 + 6) / 3600)
    assert found.lost_minutes == pytest.approx((1_000 + 60) / 60)
    assert "1,000,000 samples" in str(found) and "10 shards on 4 workers" in str(found)


def test_where_merging_takes_longer_it_decides():
    found = size(1_000_000, Rates(1e9, 1, merge_seconds=3), workers=8, rows_per_shard=1_000, d_sae=4)
    assert found.hours == pytest.approx(3 * 1_000 / 3600)


def test_a_small_run_has_no_idle_workers_and_no_whole_shard():
    found = size(50, Rates(10, 20), workers=8, rows_per_shard=100, d_sae=4)
    assert (found.workers, found.shards) == (1, 1)
    assert found.hours == pytest.approx(50 * 20 / 10 / 3600) == pytest.approx(found.worker_hours)


@given(st.integers(1, 10**8), st.integers(1, 500), st.integers(1, 10**6))
def test_more_workers_never_take_longer_and_no_time_is_won_from_nothing(samples, workers, rows_per_shard):
    rates = Rates(12_345, 67)
    one = size(samples, rates, workers=1, rows_per_shard=rows_per_shard, d_sae=64)
    many = size(samples, rates, workers=workers, rows_per_shard=rows_per_shard, d_sae=64)
    assert many.hours <= one.hours
    assert many.hours * many.workers >= many.worker_hours * (1 - 1e-9)
    assert many.worker_hours == pytest.approx(one.worker_hours)
    assert many.stats_gb == one.stats_gb


@pytest.mark.parametrize("values", [(0, 1), (1, -1), (float("nan"), 1), (1, 1, -1), (1, 1, 0, -1)])
def test_rates_that_cannot_be_are_refused(values):
    with pytest.raises(SettingsError):
        Rates(*values)
    with pytest.raises(SettingsError, match="workers is 0"):
        size(1, Rates(1, 1), workers=0, rows_per_shard=1, d_sae=1)
