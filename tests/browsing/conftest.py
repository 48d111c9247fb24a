"""Statistics from arrays of pooled activations, with spans, ids and a matrix."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from fac_lab.browsing.session import BrowserSession
from fac_lab.features.encoder import Pooled
from fac_lab.features.stats import FeatureStats
from fac_lab.features.tokens import TokenizedText
from fac_lab.settings import CoverageRule


@pytest.fixture(scope="session")
def stats_of():
    """`stats_of(values, texts=None, sae="sae-1", matrix=False, name="rows")`: statistics of `[n_samples, d_sae]`."""

    def make(values, texts=None, *, sae="sae-1", matrix=False, name="rows", top_spans=3) -> FeatureStats:
        values = np.asarray(values, np.float32)
        n, d_sae = values.shape
        texts = [f"text {i}" for i in range(n)] if texts is None else texts
        ids = [f"{name}-{i}" for i in range(n)]
        stats = FeatureStats.empty(d_sae, top_spans, {"sae": sae, "subject": "model-1", "corpora": {name: name}})
        tokens = [TokenizedText(np.arange(1), 0, 1, [(0, len(text))], False) for text in texts]
        sample, feature = values.nonzero()
        pooled = Pooled(sample, feature, values[sample, feature], np.zeros(len(sample), np.int64))
        stats.update(pooled, ids, texts, tokens, span_tokens=8)
        if matrix:
            stats.matrix, stats.sample_ids = sparse.csr_matrix(values), ids
        return stats

    return make


@pytest.fixture(scope="session")
def random_values():
    """`random_values(n, d_sae, seed, gap=0.0)`: sparse; a share `gap` of the features is silent."""

    def make(n, d_sae, seed, *, gap=0.0):
        dice = np.random.default_rng(seed)
        values = dice.lognormal(0, 1.2, (n, d_sae)) * (dice.random((n, d_sae)) < dice.random(d_sae) ** 2 / 2)
        values[:, dice.random(d_sae) < gap] = 0
        return values.astype(np.float32)

    return make


@pytest.fixture(scope="session")
def pair(stats_of, random_values):
    """An anchor of 200 and a seed of 120 samples over 60 features, a third of which the seed lacks."""
    anchor = stats_of(random_values(200, 60, 1), name="anchor", matrix=True)
    seed = stats_of(random_values(120, 60, 2, gap=0.3), name="seed", matrix=True)
    return anchor, seed


LABELS = pd.DataFrame(
    {
        "feature": [0, 1, 2, 3],
        "summary": ["Cheating in an exam", "baking BREAD", None, "asking for a refund"],
        "verdict": ["Yes", "No", None, "Maybe"],
        "relevant": [True, False, False, True],
        "reason": ["harm", "harmless", "cannot tell", "perhaps"],
        "label_score": [0.9, 0.6, np.nan, 0.75],
        "label_texts": [15, 12, np.nan, 15],
        "fuzzing_score": [0.8, 0.5, np.nan, np.nan],
    }
)
# Features:      0    1    2    3    4
ANCHOR = [
    [1.0, 0.5, 0.0, 2.0, 0.0],
    [2.0, 0.5, 0.0, 0.0, 0.0],
    [4.0, 0.0, 1.0, 0.0, 0.0],
    [0.0, 0.0, 0.0, 8.0, 0.0],
]
SEED = [
    [3.0, 0.0, 0.0, 0.0, 1.0],
    [0.0, 0.0, 4.0, 0.0, 1.0],
]


@pytest.fixture
def small(stats_of, tmp_path):
    """Five features worked by hand, four of them labelled, without a model; edits go to a folder of the test."""
    anchor = stats_of(ANCHOR, ["exam", "oven", "straße", "<b>refund</b>"], name="anchor", matrix=True)
    seed = stats_of(SEED, ["mine", "yours"], name="seed", matrix=True)
    return BrowserSession(anchor, seed, CoverageRule(), labels=LABELS, out=tmp_path / "edits", name="small")
