"""Two coverages side by side."""

import numpy as np
import pytest

from fac_lab.browsing.compare import Side, compare
from fac_lab.browsing.threshold import LiveThreshold
from fac_lab.errors import SettingsError
from fac_lab.settings import CoverageRule


@pytest.fixture(scope="module")
def sides(pair):
    live = LiveThreshold(*pair, CoverageRule(support=2))
    return Side("low", "sae-1", live.at(0.0), 3), Side("high", "sae-1", live.at(4.0))


def test_sets_of_one_sae(sides):
    a, b = sides
    found = compare(a, b)
    missing = set(a.cut.missing), set(b.cut.missing)
    sets = found.sets["missing"]
    assert set(sets.only_a) == missing[0] - missing[1] and set(sets.only_b) == missing[1] - missing[0]
    assert set(sets.both) == missing[0] & missing[1]
    assert sets.jaccard == len(missing[0] & missing[1]) / len(missing[0] | missing[1])
    assert len(found.sets["covered"].only_a) > 0 and len(found.sets["support"].both) > 0
    assert found.numbers["fac"] == (a.cut.fac, b.cut.fac) and found.numbers["null_missing"] == (3, None)
    assert "delta" in found.changed and "n_anchor" not in found.changed


def test_a_side_beside_itself_differs_in_nothing(sides):
    found = compare(sides[0], sides[0])
    assert found.changed == {} and all(len(s.only_a) == len(s.only_b) == 0 for s in found.sets.values())
    assert found.sets["missing"].jaccard == 1


def test_two_models_have_numbers_only(sides):
    found = compare(sides[0], sides[1]._replace(sae="sae-2", name="other"))
    assert found.sets is None and "other" in found.reason and found.numbers["n_missing"][0] == sides[0].cut.n_missing


def test_one_digest_with_two_sizes_is_refused(sides, stats_of):
    other = LiveThreshold(stats_of(np.ones((2, 3))), stats_of(np.ones((2, 3))), CoverageRule()).at()
    with pytest.raises(SettingsError, match="60 features"):
        compare(sides[0], Side("small", "sae-1", other))
