"""Synthesis under other dictionaries and layers: the paper's table 7 (width and K) and figure 8 (layer).

Every dictionary sees the same texts and as many tokens, a quarter of what the profile's own was trained on; that one
stands beside them as a check on training. Anchor, seed, null, support and quantile are the profile's, so each
dictionary has a threshold and a gap of its own, and all are compared at equal effort (`studies.effort`). The detector
reads the subject's last layer throughout: only where features are read changes, never who learns.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from tqdm import tqdm

from fac_lab.features.evaluation import evaluate_sae
from fac_lab.lab import Lab
from fac_lab.studies.effort import DRAFTS, Entry, entry_of, lean_filling, nothing, trained
from fac_lab.studies.filling import Filling
from fac_lab.studies.scrutiny import with_dictionary

REFERENCE = (4096, 3)
"""Width and K of the profile's own dictionary, to which the others are ratios."""
SAES = (REFERENCE, (1024, 3), (8192, 3), (4096, 2), (4096, 6))
"""A quarter and twice the width, as in the paper; two thirds and twice the K, where the paper has half and twice."""
LAYERS = (0, 1, 2)
"""Of the mini Llama, all there are; 1 is the profile's, 2 the last one."""
QUALITY_TEXTS = 500
"""Texts, none of them trained on, by which dictionaries are judged."""
QUALITY_VERSION = 1


def sae_study(
    lab: Lab, *, sets: Sequence[int], saes: Sequence[tuple[int, int]] = SAES, drafts: int = DRAFTS
) -> pd.DataFrame:
    """Table 7: one row per held-out set, dictionary and training seed.

    `name` says which, "none" being the start alone; `d_sae`, `k`, `layer`, `tokens` it was trained on; its quality
    (`quality_of`); what F_miss is and what was written (`effort.entry_of`); `added`, `auprc` and what the added texts
    are about.
    """
    labs = {"the profile's": lab}
    for width, k in tqdm(saes, desc="dictionaries", unit="SAE"):
        labs[f"{width:,} features, K {k}"] = with_dictionary(lab, width, k)
    return _compared(lab, labs, sets=sets, drafts=drafts)


def layer_study(lab: Lab, *, sets: Sequence[int], layers: Sequence[int] = LAYERS, drafts: int = DRAFTS) -> pd.DataFrame:
    """Figure 8: one row per held-out set, layer and training seed; columns as in `sae_study`.

    Every layer has a dictionary of the profile's width and K, trained alike.
    """
    own = lab.profile.sae_training
    labs = {
        f"layer {layer}": with_dictionary(lab, own.d_sae, own.k, layer=layer)
        for layer in tqdm(layers, desc="layers", unit="SAE")
    }
    return _compared(lab, labs, sets=sets, drafts=drafts)


def quality_of(lab: Lab) -> dict[str, float]:
    """What a lab's dictionary is worth on texts of its own kind that it was not trained on.

    `l0`: active features per position; `unexplained`: share of the variance that its reconstruction misses; `dead`:
    share of its features that these texts never activate; `loss_recovered`: 1 where the model predicts as well from
    the reconstruction, 0 where it does as badly as without the layer.
    """
    texts = [row.text for row in lab.corpus("test")][:QUALITY_TEXTS]

    def build(_) -> dict:
        found = evaluate_sae(lab.subject, lab.sae, texts, progress=False)
        return {
            "l0": found.l0,
            "unexplained": 1 - found.explained_variance,
            "dead": found.dead_share,
            "loss_recovered": found.loss_recovered,
        }

    made_by = {"subject": lab.subject.digest, "sae": lab.encoder.digest, "texts": texts}
    return lab.store.once("sae_quality", build, version=QUALITY_VERSION, **made_by).facts


def _compared(lab: Lab, labs: dict[str, Lab], *, sets: Sequence[int], drafts: int) -> pd.DataFrame:
    """Rows of every lab and held-out set, in the order of the labs; the detector is that of `lab`."""
    fillings: dict[int, Filling] = {}
    entries: dict[int, list[Entry]] = {held_out_set: [] for held_out_set in sets}
    with tqdm(total=len(labs) * len(sets), desc="synthesis", unit="gap") as bar:
        for name, other in labs.items():
            anchor = other.stats(other.corpus("anchor"), keep_matrix=True)
            setting = _facts(name, other)
            for held_out_set in sets:
                bar.set_postfix_str(f"{name}, set {held_out_set}")
                filling = lean_filling(other, anchor, held_out_set=held_out_set)
                entries[held_out_set].append(entry_of(other, filling, setting, total=drafts))
                # Start, test and what is held out are the same whatever reads the texts.
                fillings.setdefault(held_out_set, filling)
                bar.update()
    rows = []
    for held_out_set, filling in tqdm(fillings.items(), desc="detectors", unit="set"):
        rows += trained(lab, filling, [nothing(filling, {"name": "none"}), *entries[held_out_set]])
    return pd.DataFrame(rows)


def _facts(name: str, lab: Lab) -> dict[str, Any]:
    training = lab.profile.sae_training
    where = {"d_sae": lab.encoder.d_sae, "k": training.k, "layer": lab.subject.layer, "tokens": training.tokens}
    return {"name": name} | where | quality_of(lab)
