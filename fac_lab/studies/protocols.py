"""What each switch of collection changes: the paper's protocol, with one choice of its authors' code after another."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.collect_protocol import CollectProtocol
from fac_lab.corpora import Corpus
from fac_lab.coverage import cover
from fac_lab.lab import Lab
from fac_lab.studies.label_ways import jaccard
from fac_lab.studies.missing import PAPER_RULE, recovery, world_corpus
from fac_lab.world import hold_out

VARIANTS: dict[str, Mapping[str, Any]] = {
    "paper": {},
    "top_k": {"top_k": False},
    "prefix": {"prefix": "fixed"},
    "second_bos": {"second_bos": True},
    "generation_prompt": {"generation_prompt": False},
    "code": {"name": "code"},
}
"""Switches of `collect.protocol` that can change an activation, each by itself, and all of them."""
N_ANCHOR, N_SEED, N_HELD_OUT = 4000, 6000, 40


def protocols_study(lab: Lab, *, n_anchor: int = N_ANCHOR, n_seed: int = N_SEED, held_out_set: int = 0) -> pd.DataFrame:
    """Coverage under every variant of the protocol, one row per variant and rule (the profile's, and the paper's).

    Columns: `variant`, `rule`; `silent`, the share of anchor texts that activate nothing above 0, `active`, features
    that the median text activates above 0, of `d_sae`; `delta`, `m`, `fac`, `n_missing` and `n_missing_null`, against a
    seed of the same size that lacks nothing; `precision`, `recall` of the missing features against what was held out;
    `jaccard` with the missing features of the variant "paper" under the same rule.
    """
    held_out = hold_out(N_HELD_OUT, seed=held_out_set)
    anchor_rows = [row for row, _ in zip(lab.corpus("anchor"), range(n_anchor), strict=False)]
    truth = [row.concept for row in anchor_rows]
    out = {concept.id for concept in held_out}
    sets = (
        Corpus.from_rows("protocol anchor", anchor_rows),
        world_corpus("protocol seed", n_seed, seed=2000 + held_out_set, without=held_out),
        world_corpus("protocol null", n_seed, seed=4000 + held_out_set),
    )
    rows, missing = [], {}
    for variant, switches in tqdm(VARIANTS.items(), desc="protocols", unit="protocol"):
        collect = replace(lab.profile.collect, protocol=CollectProtocol(**switches))
        other = Lab(replace(lab.profile, collect=collect), lab.store.root)
        other.subject, other.sae = lab.subject, lab.sae
        anchor, seed, null = (other.stats(one, keep_matrix=one is sets[0]) for one in sets)
        active = np.diff(anchor.matrix.indptr)
        for name, rule in (("profile", lab.profile.rule), ("paper", PAPER_RULE)):
            coverage = cover(anchor, seed, rule)
            found = recovery(coverage.missing, anchor.matrix, truth, out, coverage.delta)
            missing.setdefault(name, coverage.missing)
            rows.append(
                {
                    "variant": variant,
                    "rule": name,
                    "silent": float((active == 0).mean()),
                    "active": float(np.median(active)),
                    "d_sae": anchor.d_sae,
                    "delta": float(np.mean(coverage.delta)),
                    "m": coverage.m,
                    "fac": coverage.fac,
                    "n_missing": len(coverage.missing),
                    "n_missing_null": len(cover(anchor, null, rule).missing),
                    "precision": found.precision,
                    "recall": found.recall,
                    "jaccard": jaccard(coverage.missing, missing[name]),
                }
            )
    return pd.DataFrame(rows)
