"""Every diversity metric by name: what it is, which way it points, and all of them at once."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from fac_lab.diversity.bleu import self_bleu
from fac_lab.diversity.clusters import N_CLUSTERS, Clusters, cluster_entropy, dense_coverage, semantic_entropy
from fac_lab.diversity.inputs import Undefined, checked_texts, checked_vectors
from fac_lab.diversity.lexical import compression_ratio, distinct, mean_length, ngram_entropy
from fac_lab.diversity.syntax import Parser, dependency_entropy, pos_distinct
from fac_lab.diversity.vectors import covariance_trace, pairwise_distance, vendi
from fac_lab.diversity.words import words
from fac_lab.errors import SettingsError
from fac_lab.plain import nearest


class Metric(NamedTuple):
    """One column of the table."""

    name: str
    """Its field; the paper's name where the paper has it."""
    level: str
    """What it compares: word, syntax, embedding or gradient."""
    what: str
    """What it is, in one line."""
    direction: int
    """1: larger is more diverse; -1: smaller is; 0: no diversity, a thing to hold constant."""
    needs: str
    """What it is computed from beside the texts: nothing, vectors, gradients, clusters or parser."""
    reference: str
    """Where it comes from; empty for textbook statistics."""


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("mean_length", "word", "words per text, mean", 0, "", ""),
        Metric("distinct_1", "word", "different words / words", 1, "", "Li et al. 2016, arXiv 1510.03055"),
        Metric("distinct_2", "word", "different bigrams / bigrams", 1, "", "Li et al. 2016, arXiv 1510.03055"),
        Metric("unigram_entropy", "word", "entropy of words, nats", 1, "", "Zhang et al. 2018, arXiv 1809.05972"),
        Metric("bigram_entropy", "word", "entropy of bigrams, nats", 1, "", "Zhang et al. 2018, arXiv 1809.05972"),
        Metric(
            "self_bleu", "word", "BLEU of a text against the rest, mean", -1, "", "Zhu et al. 2018, arXiv 1802.01886"
        ),
        Metric("compression_ratio", "word", "bytes / bytes after gzip", -1, "", "Shaib et al. 2024, arXiv 2403.00553"),
        Metric("pos_distinct_2", "syntax", "different tag bigrams / tag bigrams", 1, "", "arXiv 2602.10388, appendix"),
        Metric("dependency_entropy", "syntax", "entropy of dependency relations, nats", 1, "parser", ""),
        Metric(
            "pairwise_distance",
            "embedding",
            "cosine distance of two texts, mean",
            1,
            "vectors",
            "as in Tevet and Berant 2021, arXiv 2004.02990",
        ),
        Metric("covariance_trace", "embedding", "trace of the covariance", 1, "vectors", ""),
        Metric("cluster_entropy", "embedding", "entropy over the set's own clusters, nats", 1, "vectors", ""),
        Metric(
            "semantic_entropy",
            "embedding",
            "entropy over an anchor's clusters, nats",
            1,
            "clusters",
            "Han et al. 2022, arXiv 2210.05725",
        ),
        Metric(
            "dense_coverage",
            "embedding",
            "share of an anchor's clusters that are reached",
            1,
            "clusters",
            "arXiv 2602.10388, table 12",
        ),
        Metric("vendi", "embedding", "Vendi score of order q", 1, "vectors", "arXiv 2210.02410, 2310.12952"),
        Metric(
            "g_vendi", "gradient", "Vendi score of loss gradients", 1, "gradients", "Jung et al. 2025, arXiv 2505.20161"
        ),
    )
}
"""Every metric that `diversity` gives, in its order."""


def diversity(
    texts: Sequence[str],
    *,
    vectors: Any = None,
    gradients: Any = None,
    clusters: Clusters | None = None,
    parser: Parser | None = None,
    only: Collection[str] | None = None,
    q: float = 1.0,
    k: int = N_CLUSTERS,
    seed: int = 0,
) -> dict[str, float]:
    """Every metric of METRICS by name, or those named in `only`, in the order of the table.

    `vectors [n, d]` are embeddings of the texts (`features.embeddings.embed`), `gradients [n, d]` projected loss
    gradients (`features.gradients.loss_gradients`), `clusters` those of an anchor's embeddings (`find_clusters`),
    `parser` gives dependency relations (None: spaCy's, where installed). `q` is the order of both Vendi scores; `k`
    and `seed` belong to the set's own clusters.

    What does not exist for this data, or was not given, is NaN with a `reason` (see `Undefined` and `reasons`). All
    take time that is linear in the texts, up to sorting; the tagger's `pos_distinct_2` takes most of it. Raises
    DataError for texts that are no strings and vectors that do not fit them, SettingsError for an unknown name.
    """
    names = list(METRICS) if only is None else [name for name in METRICS if name in only]
    for name in only or ():
        if name not in METRICS:
            raise SettingsError(f"there is no metric {name!r}{nearest(name, METRICS)}; there are: {', '.join(METRICS)}")
    texts = list(checked_texts(texts))
    given = {
        "": texts,
        "parser": texts,
        "vectors": None if vectors is None else checked_vectors(vectors, len(texts)),
        "gradients": None if gradients is None else checked_vectors(gradients, len(texts)),
    }
    given["clusters"] = None if clusters is None else given["vectors"]
    counted = words(texts)
    ways: dict[str, Callable[[], float]] = {
        "mean_length": lambda: mean_length(counted),
        "distinct_1": lambda: distinct(counted, 1),
        "distinct_2": lambda: distinct(counted, 2),
        "unigram_entropy": lambda: ngram_entropy(counted, 1),
        "bigram_entropy": lambda: ngram_entropy(counted, 2),
        "self_bleu": lambda: self_bleu(counted),
        "compression_ratio": lambda: compression_ratio(texts),
        "pos_distinct_2": lambda: pos_distinct(texts, 2),
        "dependency_entropy": lambda: dependency_entropy(texts, parser),
        "pairwise_distance": lambda: pairwise_distance(given["vectors"]),
        "covariance_trace": lambda: covariance_trace(given["vectors"]),
        "cluster_entropy": lambda: cluster_entropy(given["vectors"], k, seed=seed),
        "semantic_entropy": lambda: semantic_entropy(given["vectors"], clusters),
        "dense_coverage": lambda: dense_coverage(clusters, given["vectors"]).share,
        "vendi": lambda: vendi(given["vectors"], q),
        "g_vendi": lambda: vendi(given["gradients"], q),
    }
    absent = {
        "vectors": "no vectors were given",
        "gradients": "no gradients were given",
        "clusters": "no vectors were given" if vectors is None else "no anchor's clusters were given",
    }
    found = {}
    for name in names:
        needs = METRICS[name].needs
        found[name] = Undefined(absent[needs]) if given[needs] is None else ways[name]()
    return found


def reasons(found: Mapping[str, float]) -> dict[str, str]:
    """Why there is no number, for each metric of `diversity` that has none."""
    return {name: value.reason for name, value in found.items() if isinstance(value, Undefined)}
