"""Reward models on real pairs: answers to AlpacaEval's prompts that GPT-4 compared, read by a real encoder.

Among such pairs the longer answer wins three times in four, so that a model which measures length looks able. Training
pairs are drawn with as many longer as shorter winners; "longer wins" stands beside as a model of its own; and every
accuracy is also given balanced by length. Nothing of the texts is stored.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.digests import digest
from fac_lab.errors import DataError
from fac_lab.lab import Lab
from fac_lab.recipes.sources import open_recipe
from fac_lab.settings import TuningSettings
from fac_lab.tasks.comparisons import Comparison
from fac_lab.tasks.reward_bench import bench_score, length_balanced, own_sections

TRAIN, TEST = "alpacaeval_pairs_train", "reward_test_cut"
SIZES: dict[str, tuple[int, ...]] = {"head": (100, 300, 1000), "lora": (100, 300)}
"""Training pairs by mode; LoRA costs minutes for each hundred on a CPU."""
TEST_OF_SECTION = {"Chat": 150, "Chat Hard": 150, "Safety": 150}
"""Test pairs of each section."""
SEED_OF_TEST = 0
MAX_TOKENS = 128
RUN_VERSION = 1


def real_reward_study(
    lab: Lab, data_dir: str | Path | None = None, *, sizes: dict[str, tuple[int, ...]] | None = None
) -> pd.DataFrame:
    """Accuracy by mode, number of training pairs and seed, on a cut of the test pairs; resumed run by run.

    The seed draws the training pairs, too. Columns: `mode` ("head", "lora", or "longer wins", which is trained on
    nothing), `n` pairs, `seed`, `section` ("average": the sections' unweighted mean), `accuracy` (ties wrong),
    `length_balanced`, `ties` and `tests` of the section. Raises DataError where a section, or one kind of training
    pair, has too few.
    """
    train, test = read_pairs(lab, TRAIN, data_dir), cut_sections(read_pairs(lab, TEST, data_dir))
    by_length = np.array([[len(pair.chosen), len(pair.rejected)] for pair in test], np.float64)
    records = [{"mode": "longer wins", "n": 0, "seed": 0} | row for row in by_section(by_length, test)]
    runs = [(mode, n, seed) for mode, ns in (sizes or SIZES).items() for n in ns for seed in lab.profile.seeds]
    for mode, n, seed in tqdm(runs, desc="reward models on real pairs", unit="run"):
        rows = _run(lab, balanced(train, n, seed=seed), test, settings_for(lab, mode), seed)
        records += [{"mode": mode, "n": n, "seed": seed} | row for row in rows]
    return pd.DataFrame(records)


def settings_for(lab: Lab, mode: str) -> TuningSettings:
    """The profile's head, or LoRA as in the paper at a rate for a small encoder; talks are cut on the left."""
    base = replace(lab.profile.detector, mode=mode, max_tokens=MAX_TOKENS)
    if mode == "head":
        return base
    return replace(base, epochs=1, lr=1e-3, batch=8, r=16, alpha=32, weight_decay=0.01, schedule="cosine", warm_up=0.1)


def read_pairs(lab: Lab, source: str, data_dir: str | Path | None = None) -> list[Comparison]:
    """A named set of pairs, the section as subset; without those whose replies are empty or the same."""
    pairs = open_recipe(source, data_dir=data_dir or lab.profile.data_dir).rows()
    return [
        Comparison(pair.id, pair.prompt, pair.chosen, pair.rejected, pair.section or "")
        for pair in pairs
        if pair.chosen.strip() and pair.rejected.strip() and pair.chosen != pair.rejected
    ]


def balanced(pairs: Sequence[Comparison], n: int, *, seed: int) -> list[Comparison]:
    """`n` pairs drawn by the seed, the better answer longer in one half and shorter in the other."""
    dice = np.random.default_rng(seed)
    longer = np.sign([len(pair.chosen) - len(pair.rejected) for pair in pairs])
    chosen = []
    for kind, want in ((1, n - n // 2), (-1, n // 2)):
        there = np.flatnonzero(longer == kind)
        if len(there) < want:
            what = "longer" if kind > 0 else "shorter"
            raise DataError(
                f"{want} pairs whose better answer is the {what} one were asked for, there are {len(there)}"
            )
        chosen.append(dice.choice(there, want, replace=False))
    return [pairs[i] for i in dice.permutation(np.concatenate(chosen))]


def cut_sections(pairs: Sequence[Comparison]) -> list[Comparison]:
    """The study's share of each section, drawn once. Raises DataError where a section has too few pairs."""
    dice = np.random.default_rng(SEED_OF_TEST)
    cut = []
    for section, n in TEST_OF_SECTION.items():
        there = [pair for pair in pairs if pair.subset == section]
        if len(there) < n:
            raise DataError(f"section {section} has {len(there)} pairs, {n} are needed: is the test set complete?")
        cut += [there[i] for i in sorted(dice.choice(len(there), n, replace=False))]
    return cut


def by_section(scores: np.ndarray, pairs: Sequence[Comparison]) -> list[dict]:
    """`section`, `accuracy`, `length_balanced`, `ties`, `tests` of each section and of all, from `scores [n, 2]`."""
    subsets = [pair.subset for pair in pairs]
    bench = bench_score(scores, subsets, own_sections(pairs, {subset: subset for subset in subsets}))
    rows = []
    for section, accuracy in bench.sections.items():
        of = [i for i, subset in enumerate(subsets) if subset == section]
        even, ties = length_balanced(scores[of], [pairs[i] for i in of]), (scores[of, 0] == scores[of, 1]).sum()
        rows.append(
            {
                "section": section,
                "accuracy": accuracy,
                "length_balanced": even,
                "ties": int(ties),
                "tests": len(of),
            }
        )
    average = float(np.mean([row["length_balanced"] for row in rows]))
    total = {"section": "average", "accuracy": bench.average, "length_balanced": average, "ties": bench.ties}
    return [*rows, total | {"tests": len(pairs)}]


def _run(
    lab: Lab, train: Sequence[Comparison], test: Sequence[Comparison], settings: TuningSettings, seed: int
) -> list[dict]:
    from fac_lab.tasks.reward import train_reward_model

    def build(artifact) -> dict:
        run = train_reward_model(lab.backbone, train, test, settings, seed=seed, progress=False)
        return {"rows": by_section(run.scores, test), "seconds": round(run.seconds, 1)}

    artifact = lab.store.once(
        "reward_real",
        build,
        version=RUN_VERSION,
        subject=lab.subject.digest,
        train=digest(train),
        test=digest(test),
        settings=settings,
        seed=seed,
    )
    return artifact.facts["rows"]
