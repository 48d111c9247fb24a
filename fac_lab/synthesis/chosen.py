"""Rows chosen from a pool as samples: the columns of `Sample`, so that they go where written samples go."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fac_lab.errors import SettingsError
from fac_lab.rows import Row
from fac_lab.shapes import size
from fac_lab.synthesis.samples import Sample
from fac_lab.synthesis.selection import Selection, covering, select_greedily
from fac_lab.synthesis.spread import select_at_random, select_centres, select_k_center

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

WAYS = ("greedy", "k_center", "k_means", "random")
"""Ways to choose; the middle two look at vectors."""
BY_VECTORS = ("k_center", "k_means")
COLUMNS = tuple(dict.fromkeys((*Sample._fields, "task", "parts", "method", "pool_id", "covers", "gain", "round")))
"""Those of `Sample`, and: `pool_id`, the row's id; `covers`, all wanted features that it activates; `gain` and `round`,
see `Selection`."""


def choose(
    way: str,
    n: int,
    *,
    matrix: "csr_matrix",
    features: Sequence[int] | np.ndarray,
    delta: float | np.ndarray,
    vectors: np.ndarray | None = None,
    start: np.ndarray | None = None,
    seed: int = 0,
) -> Selection:
    """Up to `n` rows of a pool by one of WAYS.

    `matrix [n_rows, d_sae]` are its pooled activations and `features` those to cover above `delta` (greedy only),
    `vectors [n_rows, d]` its rows' (k-center and k-means only), `start` those of what is there already (k-center
    only), `seed` what random choice, k-means and k-center without a start draw by.
    """
    if way not in WAYS:
        raise SettingsError(f"rows are chosen by one of {', '.join(WAYS)}, not by {way!r}")
    if way == "greedy":
        return select_greedily(matrix, features, n, delta=delta)
    if way == "random":
        return select_at_random(size(matrix)[0], n, seed=seed)
    if vectors is None:
        raise SettingsError(f"{way} needs one vector per row: pass vectors")
    if way == "k_means":
        return select_centres(vectors, n, seed=seed)
    return select_k_center(vectors, n, start=start, seed=seed)


def as_samples(
    selection: Selection,
    rows: Sequence[Row],
    *,
    matrix: "csr_matrix",
    features: Sequence[int] | np.ndarray,
    delta: float | np.ndarray,
    made_by: Mapping[str, Any],
) -> pd.DataFrame:
    """A frame of COLUMNS, one row per chosen row of the pool `rows [n_rows]`, in the order of choice, all kept.

    `feature` is the strongest wanted feature that the row covers and no row before it does, else the strongest that
    it covers, missing (NA) where it covers none; `activation` is that feature's. `label` is the pool's own.
    `made_by` fills columns that all rows share: `task`, `method`, `seed`.
    """
    features = np.unique(np.asarray(features, np.int64))
    covered = covering(matrix, features, delta)
    new = np.ones(len(features), bool)
    records = []
    for place, number in enumerate(selection.rows.tolist()):
        held = slice(covered.indptr[number], covered.indptr[number + 1])
        own, strength = covered.indices[held], np.asarray(covered.data[held], np.float64)
        best = int(np.lexsort((-strength, ~new[own]))[0]) if len(own) else None
        row = rows[number]
        records.append(
            {
                "feature": None if best is None else int(features[own[best]]),
                "text": row.text,
                "label": row.label,
                "step": 0,
                "draw": place,
                "activation": float("nan") if best is None else float(strength[best]),
                "kept": True,
                "parts": json.dumps({"query": row.text}, ensure_ascii=False),
                "pool_id": row.id,
                "covers": features[own].tolist(),
                "gain": float(selection.gains[place]),
                "round": int(selection.rounds[place]),
                **made_by,
            }
        )
        new[own] = False
    # What a field of `Sample` holds where nothing was written: its own default.
    defaults = {name: Sample._field_defaults.get(name) for name in COLUMNS}
    frame = pd.DataFrame([defaults | record for record in records], columns=list(COLUMNS))
    return frame.astype({"feature": "Int64", "label": "Int64", "step": "int64", "draw": "int64", "seed": "int64"})
