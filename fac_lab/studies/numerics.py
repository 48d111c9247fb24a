"""What rounding does to coverage: the same texts read in half precision, which features are lit then, and which not."""

from dataclasses import replace

import numpy as np
import pandas as pd

from fac_lab.features.collect import collect
from fac_lab.features.saes import load_sae
from fac_lab.features.subject import Subject
from fac_lab.lab import Lab

DTYPES = ("bfloat16", "float16")
QUANTILES = (0.5, 0.8, 0.9)
"""Thresholds beside 0, as quantiles of the positive activations in float32."""


def numerics_study(lab: Lab) -> pd.DataFrame:
    """Pooled activations of the profile's pool in half precision against float32, by threshold.

    Columns: `dtype`, `quantile` (0: any activation) and `delta`; `active`, pairs of text and feature above it in
    float32; `lost` and `gained`, pairs that are so in one of the two only; `flipped`, their share of `active`;
    `supports`, features that any text lights, and `supports_flipped`, those that are lit in one of the two only.
    """
    exact = _activations(lab, "float32")
    rows = []
    for dtype in DTYPES:
        rounded = _activations(lab, dtype)
        for quantile in (0.0, *QUANTILES):
            delta = float(np.quantile(exact[exact > 0], quantile)) if quantile else 0.0
            then, now = exact > delta, rounded > delta
            rows.append(
                {
                    "dtype": dtype,
                    "quantile": quantile,
                    "delta": delta,
                    "active": int(then.sum()),
                    "lost": int((then & ~now).sum()),
                    "gained": int((now & ~then).sum()),
                    "flipped": float((then != now).sum() / max(then.sum(), 1)),
                    "supports": int(then.any(0).sum()),
                    "supports_flipped": int((then.any(0) != now.any(0)).sum()),
                }
            )
    return pd.DataFrame(rows)


def _activations(lab: Lab, dtype: str) -> np.ndarray:
    subject = Subject.load(replace(lab.profile.subject, dtype=dtype))
    sae = load_sae(lab.profile.sae, subject)
    stats = collect(subject, sae, lab.corpus("pool"), lab.profile.collect, keep_matrix=True, progress=False)
    return stats.matrix.toarray()
