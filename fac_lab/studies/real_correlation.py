"""Does FAC predict what a detector learns, on real data? ToxicChat, read by a real encoder (the profile minilm).

Data sets of toxic queries of different make-up (`varied_sets`) come from ToxicChat's training split. Of each one FAC
is known under many rules (`coverage_grid`), and every metric of diversity; a detector trained on it and 500 safe
queries is scored on ToxicChat's test split. Two blocks of data sets share neither draws nor clusters: `choice`, on
which a variant of FAC is chosen, and `report`, whose correlations are told.

An anchor is the training split, or queries of another source. It is never the test split, whose texts are also taken
out of everything else. The variant is chosen by one half of the test rows (`auprc_a`), so that its correlation with
the other half (`auprc_b`) owes nothing to the choice.

    python -m fac_lab.studies.real_correlation DATA_DIR --profile minilm
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from fac_lab.corpora import Corpus, Row
from fac_lab.errors import DataError
from fac_lab.features.subject import Subject
from fac_lab.lab import Lab
from fac_lab.settings import CoverageRule, ModelSettings
from fac_lab.studies.correlation import correlations, measures_of
from fac_lab.studies.coverage_grid import RANDOM_DRAWS, coverage_grid, relevance_by_labels
from fac_lab.studies.real_material import SOURCES, Material, open_material, split_safe, text_vectors
from fac_lab.studies.real_points import HEAD_STRENGTH, draw_safe, measured, outcome, trained
from fac_lab.studies.real_tables import ceilings, named_variants, variants
from fac_lab.studies.stored import write_result
from fac_lab.studies.toxicity import detector_auprc
from fac_lab.studies.varied_sets import DESIGNS, N_CLUSTERS, cluster, design, draw

BLOCKS = {"choice": (1, 64), "report": (2, 80)}
"""Seed of a block's clusters and draws, and data sets of each design in it."""
N_SAFE = 500
"""Safe rows that every detector is trained on beside a data set; each training seed draws others."""
SPARE_SAFE = 400
"""Safe rows kept aside: the noise of data sets is drawn from them, and no detector sees them as safe."""
DIGITS = 4
"""Of stored numbers."""
MORE_RANDOM = [f"random {i}" for i in range(2, RANDOM_DRAWS + 1)]

RULES: dict[str, CoverageRule] = {
    **{f"delta {delta:g}": CoverageRule(delta=delta) for delta in (0.0, 0.5, 1.0, 1.5, 2.0, 4.0)},
    **{f"delta 0, m {m}": CoverageRule(support=m) for m in (3, 10)},
    **{f"quantile {q:g}": CoverageRule(kind="anchor_quantile", quantile=q) for q in (0.5, 0.75, 0.9, 0.95)},
    **{
        f"quantile {q:g}, m {m}": CoverageRule(kind="anchor_quantile", quantile=q, support=m)
        for q in (0.5, 0.75, 0.9)
        for m in (3, 10)
    },
    "own quantile 0.5": CoverageRule(kind="feature_quantile", quantile=0.5),
    "own quantile 0.8, m 3": CoverageRule(kind="feature_quantile", quantile=0.8, support=3),
    "quantile 0.5, m by alpha": CoverageRule(kind="anchor_quantile", quantile=0.5, support=None),
}
"""The paper's first and its sweep; thresholds relative to the anchor; minimum supports."""


class Study(NamedTuple):
    """What was measured."""

    sets: pd.DataFrame
    """One row per data set: `data_set`, `block`, `design`, `made_...`, AUPRC and metrics, named as
    `studies.correlation` wants them."""
    runs: pd.DataFrame
    """One row per data set and training seed: `data_set`, `block`, `design`, `seed`, `auprc`, `auprc_a`, `auprc_b`."""
    grid: pd.DataFrame
    """FAC under every variant, rows as in `sets`; see `coverage_grid`."""


def real_study(
    lab: Lab,
    material: Material,
    *,
    blocks: Mapping[str, tuple[int, int]] = BLOCKS,
    designs: Mapping[str, Mapping[str, tuple]] = DESIGNS,
    rules: Mapping[str, CoverageRule] = RULES,
    n_safe: int = N_SAFE,
    spare_safe: int = SPARE_SAFE,
    n_clusters: int = N_CLUSTERS,
    proxy: Subject | None = None,
) -> Study:
    """Draw, measure and train; each finished data set is kept, so that a killed study goes on where it stopped.

    `proxy` is a language model whose gradients G-Vendi compares; without it there is no G-Vendi. Raises DataError
    where there are too few rows to draw from.
    """
    spare, safe = split_safe(material, spare_safe)
    if len(safe) < n_safe:
        raise DataError(f"detectors want {n_safe} safe rows of {len(safe)} left beside {spare_safe}: lower one of them")
    stats = lab.stats(Corpus.from_rows("pool", material.pool), keep_matrix=True)
    if stats.n_samples != len(material.pool):
        raise DataError(f"{len(material.pool) - stats.n_samples} rows of the pool cannot be read: leave them out")
    vectors = text_vectors(lab, material, proxy)
    chosen, records = [], []
    for made, rows in data_sets(material, vectors["sentence"], spare, blocks, designs, n_clusters):
        records.append(made | {"size": len(rows)})
        chosen.append(rows)
    train, measure = trained(lab, material, safe, n_safe, vectors), measured(lab, material, vectors)
    runs = []
    for record, rows in tqdm(list(zip(records, chosen, strict=True)), desc="data sets", unit="set"):
        of_set = train(rows)
        named = {name: record[name] for name in ("data_set", "block", "design")}
        runs += [named | run for run in of_set]
        # FAC alone is chosen on that block, and some metrics take longer than the detectors.
        record |= ({} if record["block"] == "choice" else measure(rows)) | outcome(of_set)
    sets = pd.DataFrame(records)
    labels = np.array([row.label for row in material.toxic + material.safe])
    labelled = np.arange(len(labels))
    anchors = {
        "toxic": material.places("toxic"),
        "train": labelled,
        "wide": np.arange(len(material.pool)),
        "foreign": material.places("foreign"),
    }
    grid = coverage_grid(chosen, stats, anchors, rules, relevance_by_labels(stats.matrix[labelled], labels))
    return Study(sets, pd.DataFrame(runs), grid)


def data_sets(
    material: Material,
    sentence: np.ndarray,
    spare: np.ndarray,
    blocks: Mapping[str, tuple[int, int]],
    designs: Mapping[str, Mapping[str, tuple]],
    n_clusters: int = N_CLUSTERS,
) -> list[tuple[dict[str, object], np.ndarray]]:
    """Name and make-up of every data set, and its rows as places in the pool. `sentence` are the pool's vectors."""
    lengths = [len(row.text) for row in material.toxic]
    noise = {"safe": spare, "foreign": material.places("foreign")}
    found = []
    for block, (seed, n) in blocks.items():
        clusters = cluster(sentence[material.places("toxic")], seed=seed, n=n_clusters)
        for place, (name, levels) in enumerate(designs.items()):
            for number, make_up in enumerate(design(n, levels, seed=100 * seed + place)):
                rows = draw(make_up, clusters, lengths, noise, seed=10_000 * seed + 1000 * place + number)
                made = {f"made_{key}": value for key, value in make_up._asdict().items() if key != "size"}
                named = {"data_set": f"{block} {name} {number:02d}", "block": block, "design": name}
                found.append((named | made, rows))
    return found


def head_check(
    lab: Lab,
    material: Material,
    study: Study,
    *,
    n: int,
    n_safe: int = N_SAFE,
    spare_safe: int = SPARE_SAFE,
    **drawn: Any,
) -> pd.DataFrame:
    """The study's detector beside the head-only run of `tasks.toxicity` on the same rows, for `n` data sets of the
    block `report`, those at equal steps from the worst to the best: `data_set`, `seed`, `auprc`, `head_only`.

    `drawn` are the settings of `real_study` that decide what is drawn.
    """
    spare, safe = split_safe(material, spare_safe)
    vectors = text_vectors(lab, material, drawn.pop("proxy", None))
    drawn = {"blocks": BLOCKS, "designs": DESIGNS} | drawn
    rows_of = {made["data_set"]: rows for made, rows in data_sets(material, vectors["sentence"], spare, **drawn)}
    for rows, of_rows in ((material.pool, vectors["head"]), (material.test, vectors["test"])):
        texts = [row.text for row in rows]
        lab.backbone.keep_pooled(texts, lab.profile.detector.max_tokens, torch.from_numpy(of_rows))
    told = study.sets[study.sets.block == "report"].sort_values("auprc", kind="stable")
    steps = np.unique(np.linspace(0, len(told) - 1, n).round().astype(int))
    found, seed = [], lab.profile.seeds[0]
    for name in tqdm(told.data_set.iloc[steps], desc="head-only detectors", unit="run"):
        train = [Row(f"toxic-{i}", material.pool[row].text, 1) for i, row in enumerate(rows_of[name])]
        train += [material.pool[row] for row in draw_safe(safe, n_safe, seed)]
        run = study.runs[(study.runs.data_set == name) & (study.runs.seed == seed)]
        head_only = detector_auprc(lab, train, list(material.test), seed)
        found.append({"data_set": name, "seed": seed, "auprc": run.auprc.item(), "head_only": head_only})
    return pd.DataFrame(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study, print its correlations and store data/results/correlation_real*."""
    parser = argparse.ArgumentParser(prog="fac_lab.studies.real_correlation", description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path, help="folder with copies of ToxicChat and hh-rlhf, see `fac-lab data`")
    parser.add_argument("--profile", default="minilm")
    parser.add_argument("--runs", type=Path, help="folder of what is kept while it runs (runs/<profile>)")
    parser.add_argument("--out", type=Path, help="folder of the results (data/results)")
    parser.add_argument("--proxy", help="folder of a small language model whose gradients G-Vendi compares")
    parser.add_argument("--check", type=int, default=8, help="data sets to train the head-only way, too (%(default)s)")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    lab, material = Lab.open(options.profile, out=options.runs), open_material(options.data_dir)
    proxy = options.proxy and Subject.load(ModelSettings(options.proxy, layer=0, max_tokens=128, template="none"))
    study = real_study(lab, material, proxy=proxy)
    table = variants(study.sets, study.runs, study.grid)
    named = named_variants(table)
    sets = study.sets.assign(**{name: study.grid[variant] for name, variant in named.items()})
    facts = {
        "subject": {**asdict(lab.profile.subject), "digest": lab.subject.digest},
        "sae": {"d_sae": lab.encoder.d_sae, "digest": lab.encoder.digest, "training": asdict(lab.profile.sae_training)},
        "detector": {"head": "logistic", "strength": HEAD_STRENGTH, "max_tokens": lab.profile.detector.max_tokens},
        "texts": {name: len(rows) for name, rows in zip(Material._fields, material, strict=True)},
        "safe": {"trained_on": N_SAFE, "spare": SPARE_SAFE},
        "sources": SOURCES,
        "blocks": BLOCKS,
        "seeds": lab.profile.seeds,
        "variants": named,
        "proxy": proxy.digest if proxy else None,
        "seconds_of_last_start": round(time.monotonic() - started),
    }
    told = sets[sets.block == "report"]
    # Of the random features one draw will do there: what was chosen has all of them beside it in the first table.
    results = {"": sets, "_runs": study.runs, "_variants": table[~table.relevance.isin(MORE_RANDOM)]}
    results["_table"] = pd.concat(
        [
            correlations(part, fac="fac_chosen", measures=measures(part)).assign(design=name)
            for name, part in told.groupby("design", sort=False)
        ]
    )
    if options.check:
        results["_check"] = head_check(lab, material, study, n=options.check, proxy=proxy)
    for name, frame in results.items():
        write_result(f"correlation_real{name}", frame.round(DIGITS), facts, options.out)
    print("\n".join(f"{name}: {', '.join(variant)}" for name, variant in named.items()))
    for frame in (ceilings(study.runs), results["_table"], results.get("_check")):
        print(None if frame is None else frame.round(3).to_string(), end="\n\n")
    return 0


def measures(sets: pd.DataFrame) -> list[str]:
    """What correlations are taken of in a table of data sets: all that `studies.correlation` would, and the number of
    clusters, which is what the sets were made to differ in."""
    return [*measures_of(sets), "made_clusters"]


if __name__ == "__main__":
    raise SystemExit(main())
