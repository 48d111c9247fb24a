"""FeatureStats: what a data set makes each feature do, as a summary that merges exactly.

Per feature a histogram of the pooled activations `g_i(x) = max_t Z_i(x, t)` over samples, the maximum, and
the strongest spans. The bins are fixed, so histograms of any split of the data add up to the same integers,
serve every threshold that is a bin edge, and take 47 MB at 65,536 features however many samples they count.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fac_lab.errors import DataError, SettingsError
from fac_lab.features.spans import Span, TopSpans
from fac_lab.shapes import Float, Int

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from fac_lab.features.encoder import Pooled
    from fac_lab.features.tokens import TokenizedText

# Bin i holds values in (EDGES[i], EDGES[i + 1]], the last one all above EDGES[-1]. Eight bins per octave from
# 2^-10 to 2^12, and the paper's thresholds 0 and 1.5 beside its 0.5, 1, 2 and 4.
EDGES = np.sort(np.append(2.0 ** (np.arange(-80, 97) / 8), (0.0, 1.5))).astype(np.float32)
N_BINS = len(EDGES)
MAX_LISTED = 1000


def snap(delta: float | Float[np.ndarray, "*shape"]) -> float | Float[np.ndarray, "*shape"]:
    """The largest edge that is not above `delta`: the threshold at which counts are exact.

    The paper's 0, 0.5, 1, 1.5, 2 and 4 are edges. Raises SettingsError where `delta` is negative or NaN.
    """
    edge = EDGES[_edge_below(delta)].astype(np.float64)
    return edge if edge.ndim else float(edge)


class FeatureStats:
    """Counts, maxima and top spans of `d_sae` features over some samples.

    `collect` makes them, `merge` adds them up. Memory depends on `d_sae` and `top_spans`, not on the number
    of samples, unless a matrix is kept.
    """

    def __init__(self, d_sae: int, top_spans: int = 10, made_by: dict[str, Any] | None = None):
        self.n_samples = 0
        self.n_tokens = 0
        """Tokens that were pooled over."""
        self.n_truncated = 0
        """Samples that lost tokens to the length limit."""
        self.truncated_ids: list[str] = []
        """Ids of such samples, sorted, the first 1,000 of them."""
        self.histogram = np.zeros((d_sae, N_BINS), np.int32)
        """Samples per bin of positive pooled activation, int32 `[d_sae, n_bins]`."""
        self.maximum = np.zeros(d_sae, np.float32)
        """Largest pooled activation, float32 `[d_sae]`; 0 for a feature that no sample activates."""
        self.top = TopSpans(d_sae, top_spans)
        """The strongest spans."""
        self.matrix: csr_matrix | None = None
        """Pooled activations `[n_samples, d_sae]`, float32, where they were asked for."""
        self.sample_ids: list[str] | None = None
        """Ids of the matrix's rows."""
        self.made_by = dict(made_by or {})
        """Digests of subject and SAE, pool, span length, protocol, and `corpora`: names by digest."""

    @classmethod
    def empty(cls, d_sae: int, top_spans: int = 10, made_by: dict[str, Any] | None = None) -> "FeatureStats":
        """Statistics of no sample: the identity of `merge`."""
        return cls(d_sae, top_spans, made_by)

    @classmethod
    def load(cls, folder: str | Path) -> "FeatureStats":
        """Read what `save` wrote. Raises ArtifactError, with the cure, for damaged or foreign files."""
        from fac_lab.features.archive import load_stats

        return load_stats(Path(folder))

    def save(self, folder: str | Path) -> None:
        """Write into `folder` (made if needed): numbers as npz, spans as parquet, stats.json last."""
        from fac_lab.features.archive import save_stats

        save_stats(self, Path(folder))

    @property
    def d_sae(self) -> int:
        """Number of features."""
        return len(self.maximum)

    def update(
        self,
        pooled: "Pooled",
        ids: Sequence[str],
        texts: Sequence[str],
        tokens: Sequence["TokenizedText"],
        *,
        span_tokens: int,
        decode: Callable[[np.ndarray], str] | None = None,
    ) -> None:
        """Add a chunk of samples in place.

        `pooled.sample` counts from 0 in `ids`, `texts` and `tokens`; `pooled.position` in the tokens of the
        sample. A pair of sample and feature occurs once in `pooled` at most. With `decode`, spans are what it
        makes of the tokens before the peak. Raises DataError where two samples of the chunk have the same id.
        """
        if len(set(ids)) < len(ids):
            raise DataError("two samples of one chunk have the same id; give every row an id of its own")
        truncated = [sample_id for sample_id, text in zip(ids, tokens, strict=True) if text.truncated]
        self.n_samples += len(ids)
        self.n_tokens += sum(text.stop - text.start for text in tokens)
        self.n_truncated += len(truncated)
        self.truncated_ids = sorted({*self.truncated_ids, *truncated})[:MAX_LISTED]
        # Unlike bincount, add.at does not build an array of d_sae * n_bins per chunk.
        bins = np.searchsorted(EDGES, pooled.value) - 1
        np.add.at(self.histogram.reshape(-1), pooled.feature * N_BINS + bins, np.int32(1))
        np.maximum.at(self.maximum, pooled.feature, pooled.value)
        self.top.update(pooled, ids, texts, tokens, span_tokens=span_tokens, decode=decode)

    def merge(self, other: "FeatureStats") -> "FeatureStats":
        """Statistics of the samples of both: associative, commutative, `empty` being the identity.

        Samples are taken to be different ones. Rows of matrices follow each other, `self`'s first, so only
        their order depends on the order of merging. Raises SettingsError where the two were measured
        differently (subject, SAE, pool, protocol, sizes), or where only one of them has a matrix.
        """
        stated = sorted({*self.made_by, *other.made_by} - {"corpora"})
        require_alike(self, other, names=("one part", "the other"), keys=stated)
        if self.top.k != other.top.k:
            raise SettingsError(
                f"one part keeps {self.top.k} spans per feature, the other {other.top.k}: collect both with "
                "one value of collect.top_spans"
            )
        both = FeatureStats(self.d_sae, self.top.k, _merged_origin(self.made_by, other.made_by))
        both.n_samples = self.n_samples + other.n_samples
        both.n_tokens = self.n_tokens + other.n_tokens
        both.n_truncated = self.n_truncated + other.n_truncated
        both.truncated_ids = sorted({*self.truncated_ids, *other.truncated_ids})[:MAX_LISTED]
        np.add(self.histogram, other.histogram, out=both.histogram)
        np.maximum(self.maximum, other.maximum, out=both.maximum)
        few, many = sorted((self, other), key=lambda stats: stats.n_samples)
        both.top = many.top.copy()
        both.top.offer(few.top.table())
        _merge_matrices(both, [stats for stats in (self, other) if stats.n_samples])
        return both

    def counts(self, delta: float | Float[np.ndarray, " d_sae"] = 0.0) -> Int[np.ndarray, " d_sae"]:
        """Number of samples with activation above `delta` (strictly), int64 `[d_sae]`.

        `delta` is one threshold or `[d_sae]`, one per feature. Counts are those at `snap(delta)`: exact on an
        edge, else at the edge below.
        """
        edge = _edge_below(delta)
        if edge.ndim == 0:
            return self.histogram[:, int(edge) :].sum(axis=1, dtype=np.int64)
        above = self.histogram[:, ::-1].cumsum(axis=1, dtype=np.int64)[:, ::-1]
        return above[np.arange(self.d_sae), edge]

    def quantile(self, q: float) -> float:
        """Global quantile of all positive pooled activations (every sample and feature together).

        The smallest edge `e` such that at least the share `q` of these activations is `<= e`. So `counts` at
        the result are exact. Where no edge does (q reaches into the open bin at the top), the last edge; 0 if
        no activation is positive. `q` in [0, 1] is taken as a fraction, exact to six decimals.
        """
        return float(_quantile_edges(self.histogram.sum(axis=0, dtype=np.int64)[None], q)[0])

    def feature_quantiles(self, q: float) -> Float[np.ndarray, " d_sae"]:
        """The same per feature, over its own positive pooled activations: float64 `[d_sae]`."""
        return _quantile_edges(self.histogram, q)

    def mean_activation(self) -> Float[np.ndarray, " d_sae"]:
        """Mean positive pooled activation, float64 `[d_sae]`; 0 for a feature that no sample activates.

        Each value counts as its bin's geometric centre (half the edge in the lowest bin), so the mean is
        right within 5 % and, unlike a running sum, the same for every split of the data.
        """
        edges = EDGES.astype(np.float64)
        centres = np.sqrt(edges[:-1] * edges[1:])
        centres[0] = edges[1] / 2
        # The top bin has no upper edge: the maximum stands in, above the last edge wherever that bin holds any.
        top = np.sqrt(edges[-1] * self.maximum)
        # Floats of half the size are exact enough for that, and go through BLAS, which integers do not.
        weights = np.stack([np.append(centres, 0), np.ones(N_BINS)], axis=1).astype(np.float32)
        total, n = (self.histogram.astype(np.float32) @ weights).astype(np.float64).T
        return (total + self.histogram[:, -1] * top) / np.maximum(n, 1)

    def spans(self, feature: int) -> list[Span]:
        """The strongest spans of a feature, strongest first; ties by sample id, then text."""
        return self.top.spans(feature)


def require_alike(a: FeatureStats, b: FeatureStats, *, names: tuple[str, str], keys: Iterable[str]) -> None:
    """Raise SettingsError unless both have the same number of features and, where both state it, the same
    origin at `keys` of `made_by`; `names` say in the message what `a` and `b` are."""
    facts = [("number of features", a.d_sae, b.d_sae)]
    for key in keys:
        if key in a.made_by and key in b.made_by:
            facts += _facts(key, a.made_by[key], b.made_by[key])
    for fact, ours, theirs in facts:
        if ours != theirs:
            raise SettingsError(
                f"{names[0]} and {names[1]} differ in their {fact} ({ours} and {theirs}), so their features "
                "cannot be taken together: collect both with the same model, SAE and settings"
            )


def _facts(key: str, a: Any, b: Any) -> list[tuple[str, Any, Any]]:
    """A fact of two origins; a mapping is one fact per key."""
    if not (isinstance(a, Mapping) and isinstance(b, Mapping)):
        return [(key, a, b)]
    return [(f"{key}.{name}", a.get(name), b.get(name)) for name in {**a, **b}]


def _merged_origin(a: dict, b: dict) -> dict:
    """Union of two origins that agree, and of their `corpora`."""
    both = {**a, **b}
    if "corpora" in both:
        names: dict[str, str] = {}
        for digest, name in sorted((*a.get("corpora", {}).items(), *b.get("corpora", {}).items())):
            names.setdefault(digest, name)
        both["corpora"] = names
    return dict(sorted(both.items()))


def _merge_matrices(both: FeatureStats, parts: list[FeatureStats]) -> None:
    having = [part for part in parts if part.matrix is not None]
    if not having:
        return
    if len(having) < len(parts):
        raise SettingsError("only one of the parts kept its matrix: collect all with keep_matrix, or none")
    from scipy import sparse

    both.matrix = sparse.csr_matrix(sparse.vstack([part.matrix for part in parts]))
    both.sample_ids = [sample_id for part in parts for sample_id in part.sample_ids or ()]


def _edge_below(delta: float | Float[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"] | np.integer:
    """Index of the largest edge that is not above `delta`."""
    delta = np.asarray(delta, np.float64)
    if not (delta >= 0).all():
        raise SettingsError("a threshold delta has to be 0 or more: active features are positive")
    return np.searchsorted(EDGES, delta, side="right") - 1


def _quantile_edges(histogram: Int[np.ndarray, "n n_bins"], q: float) -> Float[np.ndarray, " n"]:
    """`quantile` for each row of `[n, n_bins]`."""
    if not 0 <= q <= 1:
        raise SettingsError(f"a quantile lies in [0, 1], not at {q}")
    # Integers, because 0.1 * 30 is more than 3 in floating point.
    share = Fraction(q).limit_denominator(10**6)
    upto = np.zeros((len(histogram), N_BINS + 1), np.int64)
    histogram.cumsum(axis=1, dtype=np.int64, out=upto[:, 1:])
    need = -(-share.numerator * upto[:, -1:] // share.denominator)
    edge = (upto < need).sum(axis=1)
    return EDGES[np.minimum(edge, N_BINS - 1)].astype(np.float64)
