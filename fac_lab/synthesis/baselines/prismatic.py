"""Prismatic Synthesis: cluster what there is by a proxy's gradients, and write for the sparse clusters."""

import logging
import math
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fac_lab.diversity.vectors import vendi
from fac_lab.synthesis.baselines.skills import topics, write_like
from fac_lab.synthesis.baselines.tools import NO_TOOLS, Tools, rounds, screen, seed_pool
from fac_lab.synthesis.plain import draw_until
from fac_lab.synthesis.samples import Sample
from fac_lab.synthesis.writer import Draft, Messages, Writer

log = logging.getLogger(__name__)

SHOWN = 3
"""Examples of a sparse cluster that a prompt shows."""
DENSE = 1 / 3
"""Share of the clusters, the largest ones, that count as dense, one of two at least; the others are sparse."""
ROUND = 16
"""Draws after which the pool is clustered again."""


def prismatic(
    n: int, writer: Writer, seeds: Sequence[str], *, seed: int, tools: Tools = NO_TOOLS, label: int = 1
) -> list[Sample]:
    """Samples for the regions of gradient space in which there are few; all candidates, at most `n` kept.

    Source: Jung et al. 2025, "Prismatic Synthesis" (arXiv 2505.20161). Followed: the pool (seeds, then also what is
    kept) is clustered by k-means over the directions of its loss gradients in a small proxy model, `tools.gradients`;
    samples of a sparse one are shown; only what falls into a sparse one joins the pool; and so on in rounds. G-Vendi
    of the pool is logged before and after. Not followed: sizes (as many clusters as the root of the pool's size, the
    largest third of them dense), and their check of answers by agreement, which the tasks here do not have.

    Formats (the paper has reasoning problems with answers): gradients are those of what the user says, which is also
    what is shown; the other parts come in the same answer, an instruction's answer afterwards.

    Mini models are shown one sparse example, which they name first, and one of a dense cluster as the bad one. In the
    toxicity task `tools.judge` says which of their queries are harmful. One request a draw, two for mini models.
    """
    gradients = tools.need("gradients", "prismatic")
    structured = writer.style.structured
    judge = None if structured else tools.judge_for(writer, "prismatic")
    prompt = writer.prompt("prismatic_write" if structured else "two_step")
    pool = seed_pool(seeds, seed=seed, method="prismatic")
    vectors = directions(gradients(pool))
    before = vendi(vectors)

    def draw(numbers: Sequence[int]) -> list[Draft]:
        return [draft for part in rounds(numbers, ROUND) for draft in fill(part)]

    def fill(numbers: Sequence[int]) -> list[Draft]:
        nonlocal vectors
        clusters = find_clusters(vectors, seed=seed)
        draw_seeds = [writer.seed("prismatic", seed, number) for number in numbers]
        shown = [_examples(pool, clusters, random.Random(draw_seed)) for draw_seed in draw_seeds]
        drafts = screen(writer.write(_asked(writer, prompt, shown), draw_seeds, shown), writer, judge)
        places = [i for i, draft in enumerate(drafts) if not draft.reason]
        texts = [drafts[i].text(writer.form) for i in places]
        found = directions(gradients(texts)) if texts else vectors[:0]
        sparse = clusters.sparse[clusters.nearest(found)]
        for i, is_sparse in zip(places, sparse, strict=True):
            if not is_sparse:
                drafts[i] = drafts[i]._replace(reason="falls into a dense cluster of gradients")
        pool.extend(text for text, is_sparse in zip(texts, sparse, strict=True) if is_sparse)
        vectors = np.concatenate([vectors, found[sparse]])
        return drafts

    version = writer.version(prompt)
    samples = draw_until(n, draw, writer, method="prismatic", label=label, prompt_version=version)
    log.info("prismatic: G-Vendi of the pool %.1f before, %.1f after", before, vendi(vectors))
    return samples


class Clusters(NamedTuple):
    """Clusters of a pool."""

    centres: np.ndarray
    """`[k, d]`."""
    members: np.ndarray
    """Cluster of each text of the pool, int64 `[n]`."""
    sparse: np.ndarray
    """Whether a cluster is not among the largest third, bool `[k]`; at least one is."""

    def nearest(self, vectors: np.ndarray) -> np.ndarray:
        """The cluster of each vector, int64 `[n]`."""
        return np.square(vectors[:, None] - self.centres).sum(axis=2).argmin(axis=1)


def find_clusters(vectors: np.ndarray, *, seed: int) -> Clusters:
    """k-means over `[n, d]` unit vectors, `k = round(sqrt(n))` where as many of them differ."""
    from sklearn.cluster import KMeans

    k = min(round(math.sqrt(len(vectors))), len(np.unique(vectors, axis=0)))
    settings: dict[str, Any] = {"n_init": 4, "random_state": seed}
    model = KMeans(k, **settings)
    members = model.fit_predict(vectors)
    sizes = np.bincount(members, minlength=k)
    sparse = np.ones(k, bool)
    n_dense = max(math.floor(DENSE * k), min(1, k - 1))
    sparse[np.argsort(-sizes, kind="stable")[:n_dense]] = False
    return Clusters(model.cluster_centers_, members.astype(np.int64), sparse)


def directions(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors, float64 `[n, d]`; zeros, which have no direction, stay."""
    vectors = np.asarray(vectors, np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)


def _examples(pool: Sequence[str], clusters: Clusters, dice: random.Random) -> list[str]:
    """Texts of one sparse cluster and, last, one of a dense one (or of any other, where none is dense)."""
    cluster = dice.choice(np.flatnonzero(clusters.sparse).tolist())
    own = np.flatnonzero(clusters.members == cluster).tolist()
    dense = np.flatnonzero(~clusters.sparse[clusters.members]).tolist()
    other = dense or [i for i in range(len(pool)) if i not in own] or own
    return [pool[i] for i in (*dice.sample(own, min(SHOWN, len(own))), dice.choice(other))]


def _asked(writer: Writer, prompt, shown: Sequence[Sequence[str]]) -> list[Messages]:
    if writer.style.structured:
        quote = writer.style.quote
        return [
            writer.messages(prompt, examples=[quote(text) for text in texts[:-1]], common=quote(texts[-1]))
            for texts in shown
        ]
    found = topics(writer, [texts[0] for texts in shown])
    return [
        write_like(writer, texts[0], texts[-1], topic.summary if topic else None)
        for texts, topic in zip(shown, found, strict=True)
    ]
