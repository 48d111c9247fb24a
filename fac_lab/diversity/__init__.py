"""How diverse a set of texts is, by words, syntax, embeddings and gradients: what FAC is compared with.

Pure functions of texts and vectors; what needs a model to make vectors is in `features`. Every number belongs to
one set of a certain size: most metrics change with it, so that sets of equal size are compared.
"""

from fac_lab.diversity.clusters import ClusterCoverage, Clusters, dense_coverage, find_clusters
from fac_lab.diversity.inputs import Undefined
from fac_lab.diversity.metrics import METRICS, Metric, diversity, reasons

__all__ = [
    "METRICS",
    "ClusterCoverage",
    "Clusters",
    "Metric",
    "Undefined",
    "dense_coverage",
    "diversity",
    "find_clusters",
    "reasons",
]
