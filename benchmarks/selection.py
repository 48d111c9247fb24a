"""Selection from a pool: greedy coverage with exact gains beside lazy greedy, and k-center beside its plain form.

    python -m benchmarks.selection greedy --rows 10000 --choose 500
    python -m benchmarks.selection k-center --rows 100000 --choose 2000

All pairs end in the same rows; the table says in what time. Lazy greedy (Minoux 1978, "Accelerated greedy algorithms
for maximizing submodular set functions") keeps old gains as upper bounds in a heap and counts anew only what leads.
"""

import argparse
import heapq
import resource
from collections.abc import Callable, Sequence
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from fac_lab.synthesis.selection import Selection, covering, select_greedily
from fac_lab.synthesis.spread import select_k_center


def lazily(pool: sparse.csr_matrix, features: np.ndarray, n: int, delta: float = 0.0) -> np.ndarray:
    """The rows of `select_greedily`, ties and rounds included, by lazy greedy choice.

    Features and summed activations that a row would add can only fall while features are covered, so a row whose
    fresh count still leads the heap leads all.
    """
    covered = covering(pool, np.unique(features), delta)
    starts, ends = covered.indptr[:-1].tolist(), covered.indptr[1:].tolist()
    whole, mass = np.diff(covered.indptr), np.asarray(covered.sum(axis=1), np.float64).reshape(-1)
    free, chosen = np.flatnonzero(whole), []
    while len(free) and len(chosen) < n:
        wanted = np.ones(covered.shape[1], bool)

        def worth(row: int, wanted: np.ndarray = wanted) -> tuple[int, float, int]:
            inside = wanted[covered.indices[starts[row] : ends[row]]]
            mass = covered.data[starts[row] : ends[row]].astype(np.float64)[inside].sum()
            return -int(inside.sum()), -float(mass), row

        heap = list(zip((-whole[free]).tolist(), (-mass[free]).tolist(), free.tolist(), strict=True))
        heapq.heapify(heap)
        while heap and len(chosen) < n:
            row = heap[0][2]
            fresh = worth(row)
            if fresh[0] == 0:
                heapq.heappop(heap)
            elif fresh != heap[0]:
                heapq.heapreplace(heap, fresh)
            else:
                heapq.heappop(heap)
                chosen.append(row)
                wanted[covered.indices[starts[row] : ends[row]]] = False
        free = np.setdiff1d(free, chosen)
    return np.array(chosen, np.int64)


def plain_k_center(vectors: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """The rows of `select_k_center`, every distance updated at every step."""
    points = vectors - vectors.mean(axis=0)
    square = np.einsum("ij,ij->i", points, points)
    chosen = [int(np.random.default_rng(seed).integers(len(points)))]
    nearest = np.full(len(points), np.inf, np.float32)
    while len(chosen) < n:
        distance = square + square[chosen[-1]] - 2 * (points @ points[chosen[-1]])
        np.minimum(nearest, distance, out=nearest)
        chosen.append(int(nearest.argmax()))
    return np.array(chosen)


def drawn_pool(n_rows: int, d_sae: int, active: int, seed: int) -> sparse.csr_matrix:
    """Activations `[n_rows, d_sae]` of about `active` features per row, some features far more frequent than others."""
    rng = np.random.default_rng(seed)
    frequency = 1 / np.arange(1, d_sae + 1) ** 0.6
    columns = rng.choice(d_sae, n_rows * active, p=frequency / frequency.sum())
    rows = np.repeat(np.arange(n_rows), active)
    values = rng.exponential(1.0, len(rows)).astype(np.float32)
    return sparse.csr_matrix((values, (rows, columns)), shape=(n_rows, d_sae))


def drawn_vectors(n_rows: int, d: int, seed: int) -> np.ndarray:
    """Unit vectors `[n_rows, d]` of 500 topics with as much scatter around them, as sentence embeddings have."""
    rng = np.random.default_rng(seed)
    topics = rng.normal(size=(500, d)).astype(np.float32)
    vectors = topics[rng.integers(500, size=n_rows)] + rng.standard_normal((n_rows, d), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def measure(what: str, n_rows: int, n: int, *, d: int = 384, d_sae: int = 16_384, active: int = 100) -> pd.DataFrame:
    """Seconds of each way, one run each: columns `way`, `wanted`, `seconds`, `cpu_seconds` (all that count where others
    are at work), `rows`, `chosen`, `same`."""
    records: list[dict[str, Any]] = []

    def time(way: str, wanted: int, choose: Callable[[], Selection | np.ndarray]) -> np.ndarray:
        began, cpu = perf_counter(), process_time()
        found = choose()
        spent = {"seconds": perf_counter() - began, "cpu_seconds": process_time() - cpu}
        rows: Sequence[int] = found.rows if isinstance(found, Selection) else found
        records.append({"way": way, "wanted": wanted, **spent, "rows": n_rows, "chosen": len(rows)})
        return np.asarray(rows)

    if what == "greedy":
        pool = drawn_pool(n_rows, d_sae, active, seed=1)
        for wanted in (200, 2000, d_sae // 2):
            features = np.random.default_rng(2).permutation(d_sae)[:wanted]
            exact = time("greedy, exact gains", wanted, lambda features=features: select_greedily(pool, features, n))
            lazy = time("greedy, lazy", wanted, lambda features=features: lazily(pool, features, n))
            records[-1]["same"] = records[-2]["same"] = bool(np.array_equal(exact, lazy))
    else:
        vectors = drawn_vectors(n_rows, d, seed=3)
        ours = time("k-center", 0, lambda: select_k_center(vectors, n))
        plain = time("k-center, every distance at every step", 0, lambda: plain_k_center(vectors, n))
        records[-1]["same"] = records[-2]["same"] = bool(np.array_equal(ours, plain))
    frame = pd.DataFrame(records)
    frame.attrs["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return frame


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("greedy", "k-center"))
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--choose", type=int, default=500)
    options = parser.parse_args()
    frame = measure(options.what, options.rows, options.choose)
    print(frame.round(3).to_string(index=False))
    print(frame.attrs)


if __name__ == "__main__":
    main()
