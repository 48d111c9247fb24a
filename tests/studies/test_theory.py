import math

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fac_lab import bounds
from fac_lab.coverage import Coverage
from fac_lab.display import theory as shown
from fac_lab.lab import Lab
from fac_lab.settings import CoverageRule
from fac_lab.studies import mixtures, theory
from fac_lab.studies.results import RESULTS
from fac_lab.world import concepts, hold_out

HELD = hold_out(36, seed=0, harmful=True)


def test_it_is_registered():
    assert "theory" in RESULTS


def test_feature_terms_by_hand():
    anchor = np.array([4, 3, 1, 2, 9])
    other = np.array([5, 0, 2, 0, 7])
    relevant = np.array([True, True, True, True, False])
    found = theory.feature_terms(anchor, other, relevant, 2, eps=0.1)
    # Support: features 0, 1, 3; covered: 0. Feature 2 is too rare in the anchor and yet in the other's support.
    assert [found[key] for key in ("n_features", "n_support", "n_covered", "n_other")] == [4, 3, 1, 2]
    assert found["surrogate"] == pytest.approx(2 / 3 * math.log(4 / (0.1 * 3)))
    p, q = np.array([4, 3, 0, 2]) / 9, 0.9 * np.array([5, 0, 2, 0]) / 7 + 0.1 / 4
    assert found["kl_frequency"] == pytest.approx(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a))
    nothing = theory.feature_terms(anchor, 0 * anchor, relevant, 2, eps=0.1)
    assert nothing["n_covered"] == 0 and nothing["kl_uniform"] == pytest.approx(math.log(4 / 3))
    assert math.isnan(theory.feature_terms(anchor, other, relevant, 99)["kl_frequency"])


def test_entropies():
    least, most = theory.query_entropy(300)
    assert least == pytest.approx(math.log(len(concepts()))) and least < most


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    lab = Lab.open("smoke")
    anchor = lab.stats(lab.corpus("anchor"), keep_matrix=True)
    return theory.theory_study(lab, anchor, sets=[0], sizes=(40, 80), shares=(0.0, 1.0), per_concept=1)


@pytest.mark.slow
def test_a_study_in_small(rows):
    assert len(rows) == 4 and rows[["n", "filled", "seed"]].drop_duplicates().shape[0] == 4
    assert rows.tv.tolist() == pytest.approx([0.15, 0.15, 0, 0])
    largest = rows[rows.n == 80]
    assert largest[["tv_features", "tv_vectors", "tv_missing"]].notna().all(axis=None)
    assert rows[["risk", "risk_gen", "train_error"]].stack().between(0, 1).all()
    assert (rows.n_covered <= rows.n_support).all() and (rows.n_covered <= rows.n_other).all()
    found = theory.with_bounds(rows)
    assert (found.error <= found.bound_tight + 1e-12).all()


@pytest.fixture
def drawn() -> pd.DataFrame:
    """Rows as a study gives them, of made-up errors by concept."""
    dice = np.random.default_rng(0)
    lines = []
    for held_out_set, n, filled in ((s, n, f) for s in (0, 1) for n in (40, 80) for f in (0.0, 1.0)):
        mixed = mixtures.mixture(HELD, filled, order=held_out_set)
        wrong = dice.random(len(concepts())) ** 4
        line = {"held_out_set": held_out_set, "n": n, "filled": filled, "seed": 42}
        line |= theory.feature_terms(np.array([4, 3, 1, 2]), dice.integers(0, 3, 4), np.ones(4, bool), 2)
        line |= {"risk": mixtures.uniform() @ wrong, "risk_gen": mixed.over_concepts @ wrong, "train_error": 0.01}
        line |= dict.fromkeys(shown.WITNESSES, bounds.total_variation(mixtures.uniform(), mixed.over_concepts))
        lines.append(line)
    return pd.DataFrame(lines)


def test_the_theorem_holds_in_every_row(drawn):
    rows, found = drawn, theory.with_bounds(drawn)
    assert (found["shift"] <= found.tv + 1e-12).all()
    assert (found.error <= found.bound_tight + 1e-12).all() and (found.bound_tight <= found.bound + 1e-12).all()
    assert found.error.to_numpy() == pytest.approx((found["shift"] + found.sampling).to_numpy())
    more = theory.with_bounds(rows, eps_cond=0.5)
    assert (more.bound_surrogate > found.bound_surrogate).all()
    whole = rows[rows.filled == 1]
    assert (whole.risk - whole.risk_gen).abs().max() < 1e-12, "D itself: nothing has shifted"


def test_figures_hold_every_frame(drawn):
    found = theory.with_bounds(drawn)
    figure = shown.terms(found)
    assert [frame.name for frame in figure.frames] == ["40", "80"]
    assert [step.label for step in figure.layout.sliders[0].steps] == ["40", "80"]
    bars = figure.frames[0].data
    tops = sum(np.asarray(bar.y) for bar in bars[:3])
    expected = found[found.n == 40].groupby("filled")[["train_error", "sampling", "tv"]].mean()
    assert tops == pytest.approx((expected.train_error + expected.sampling + 2 * expected.tv).to_numpy())
    assert len(shown.witnesses(found).data) == len(shown.WITNESSES)
    assert sum(len(trace.x) for trace in shown.moves(found).data[:-1]) == 8
    lemma = shown.information([40, 80], [0.1, 0.05], {"at least": 5.0}, 5000.0)
    assert len(lemma.frames) == 6 and all(len(frame.data) == 4 for frame in lemma.frames)
    grid = pd.DataFrame(
        {"eps": [0.1, 0.1, 0.2, 0.2], "filled": [0, 1, 0, 1]} | dict.fromkeys(shown.DIVERGENCES, [1, 0, 2, 0])
    )
    curves = shown.divergences(grid, start=0.2)
    assert curves.layout.sliders[0].active == 1 and list(curves.data[0].y) == [2, 0]


def test_rank_correlations_by_hand():
    frame = pd.DataFrame({"n": 5, "filled": [0, 0.25, 0.5, 0.75, 1] * 2, "held_out_set": [0] * 5 + [1] * 5})
    frame["risk"] = np.tile([5, 4, 3, 2, 1], 2) + frame.held_out_set / 10
    frame["up"], frame["down"], frame["absent"] = frame.risk**3, -frame.risk, np.nan
    found = shown.rank_correlations(frame, ["up", "down", "absent"], outcomes=["risk"])
    assert found.term.tolist() == ["up", "down"] and found.risk.tolist() == pytest.approx([1, -1])
    assert found.points.tolist() == [10, 10]


def test_a_path_of_filling_row_by_row():
    counts = {"anchor_count": np.array([9, 9, 9, 9, 1]), "seed_count": np.array([9, 0, 0, 0, 0])}
    rest = {"anchor_mean": np.ones(5), "n_anchor": 9, "n_seed": 9, "anchor_made_by": {}, "seed_made_by": {}}
    seen = Coverage(CoverageRule(), 1.0, 2, np.ones(5, bool), **counts, **rest)
    rows = sparse.csr_matrix(np.array([[0, 2, 0, 0, 2], [0, 2, 0.5, 0, 0], [0, 0, 2, 2, 0]], np.float32))
    path = theory.filling_path(seen, rows, [0.1, 0.2])
    assert path.rows.tolist() == [0, 0, 1, 1, 3, 3] and path.filled.tolist() == [0, 0, 1, 1, 3, 3]
    of_one = path[path.eps == 0.1]
    assert np.diff(of_one.surrogate) == pytest.approx([-math.log(12.5) / 4, -2 * math.log(12.5) / 4])
    assert of_one.surrogate.iloc[-1] == 0 < of_one.kl_uniform.iloc[-1], "one feature too many is in the seed's support"
    assert len(theory.filling_path(seen, rows, [0.1], most=1)) == 2


def test_sliders_work_the_bounds_out_again(drawn):
    found = theory.with_bounds(drawn)
    sliders = shown.ChainSliders(found)
    before = sliders.table.value
    assert "eps = 1.0e-02, 0% filled, n = 80" in before and sliders._repr_mimebundle_()["text/html"] == before
    sliders.eps.value = 1e-6
    sliders.filled.value, sliders.n.value = 1.0, 40
    assert "eps = 1.0e-06, 100% filled, n = 40" in sliders.table.value
    table = shown.chain_table(found, eps=theory.EPS, filled=0.0, n=40).set_index("term")
    part = found[(found.filled == 0) & (found.n == 40)]
    assert table.value["surrogate, in nats"] == pytest.approx(part.surrogate.mean())
    assert table.value["2 C TV + sampling term (theorem 4.1)"] == pytest.approx(part.bound.mean())
    bound = table.value["2 C √(surrogate / 2) + sampling term"]
    assert bound == pytest.approx(part.bound_surrogate.mean()) and (bound >= 1) == (table.says.iloc[4] == "nothing")
