"""Half precision moves what lies near the threshold, and little else."""

import pytest

from fac_lab.lab import Lab
from fac_lab.studies.numerics import numerics_study


@pytest.fixture(scope="module")
def flips(tmp_path_factory):
    return numerics_study(Lab.open("smoke", out=tmp_path_factory.mktemp("numerics"))).set_index(["dtype", "quantile"])


def test_counts_add_up(flips):
    assert (flips.lost <= flips.active).all() and (flips.supports_flipped <= flips.supports).all()
    assert flips.flipped.to_numpy() == pytest.approx(((flips.lost + flips.gained) / flips.active).to_numpy())
    assert flips.delta.loc["float16"].is_monotonic_increasing and flips.active.loc["float16"].is_monotonic_decreasing


def test_top_k_flips_at_zero_and_a_threshold_mends_it(flips):
    # At delta 0 a feature is lit or not by a rank among near-equals; above, by a value that moves by a rounding.
    for dtype, at_zero, above in (("bfloat16", 0.15, 0.02), ("float16", 0.08, 0.005)):
        assert 0 < flips.flipped.loc[dtype, 0.0] < at_zero
        assert flips.flipped.loc[dtype, 0.8] < above
    assert (flips.flipped.loc["float16"] <= flips.flipped.loc["bfloat16"]).all()
