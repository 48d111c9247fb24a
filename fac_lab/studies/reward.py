"""Reward models after every way of writing pairs: the paper's tables 13 and 14, and table 1's column, in a world where
the truth is known.

All arms start from the same pairs, made of a seed that lacks half of the harmful concepts, and add what they wrote: a
harmful query, an offer of something fair, and help with the query. The bench asks about all concepts. Words differ
from arm to arm, and so may length: `length_balanced` is the accuracy that a model which only likes long replies could
not have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from tqdm import tqdm

from fac_lab.errors import SettingsError
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.settings import TuningSettings
from fac_lab.studies.methods import METHODS, Written, matched
from fac_lab.studies.preferences import (
    ABOUT_HARM,
    TEST_PAIRS,
    bench_pairs,
    concerns,
    pairs_about,
    pairs_from,
    spoken_of,
)
from fac_lab.studies.toxicity import Gap, harmful_gap
from fac_lab.synthesis.samples import normalise
from fac_lab.tasks.comparisons import Comparison
from fac_lab.tasks.reward_bench import bench_score, length_balanced
from fac_lab.world import recognise

TASK = "reward_modelling"
MODES = ("head", "lora")
BESIDE = {"head": ("plain", "random_features", "oracle"), "lora": ("oracle",)}
"""Arms that the paper's tables have not, by mode: LoRA is ten times dearer."""
START: Mapping[str, float] = {"breaks-off": 2 / 3, "neighbour": 1 / 6, ABOUT_HARM: 1, "step-left-out": 2 / 3}
"""Pairs that every arm starts from, in times of the profile's `study.seed_samples`."""
FULL_TIMES = 4
"""Pairs that stand for the full seed, in times of the starting ones: for all that it holds, a cell would take
minutes."""
AT_MOST_SETS = 2
HEAD_RATE, HEAD_PASSES = 5e-3, 20
LORA_RATE, LORA_PASSES = 2e-3, 2
"""Models of a million parameters need larger rates than the paper's 8e-5. Set without a sweep, before any study ran."""
RUN_VERSION = 1
SECTIONS = {"Chat": "chat", "Chat Hard": "chat_hard", "Safety": "safety", "Reasoning": "reasoning"}
"""Sections of the bench and how the paper's tables call them."""


def settings_for(lab: Lab, mode: str) -> TuningSettings:
    """The paper's settings of a reward model, rate and passes fitted to the mini models; one pass in profile smoke.

    Raises SettingsError for a mode that is none.
    """
    if mode not in MODES:
        raise SettingsError(f"a reward model is trained in mode {' or '.join(MODES)}, not {mode!r}")
    base = replace(lab.profile.detector, mode=mode, reads="message", max_tokens=192)
    passes = 1 if base.epochs == 1 else HEAD_PASSES if mode == "head" else LORA_PASSES
    if mode == "head":
        return replace(base, epochs=passes, lr=HEAD_RATE)
    # The paper's rank, scale, decay, schedule and batch.
    lora = {"r": 16, "alpha": 32, "dropout": 0.1, "weight_decay": 0.01, "schedule": "cosine", "warm_up": 0.1}
    return replace(base, epochs=passes, lr=LORA_RATE, batch=8, **lora)


def reward_cell(
    lab: Lab,
    anchor: FeatureStats,
    gap: Gap,
    written: Written,
    *,
    arm: str,
    held_out_set: int,
    seed: int,
    mode: str = "lora",
) -> dict[str, float]:
    """One reward model, trained on the gap's starting pairs and what an arm wrote, on the bench. In percent: `rm_acc`,
    the mean of `chat`, `chat_hard`, `safety` and `reasoning`; `safety_held_out` and `safety_kept`, the pairs about
    concepts that the seed lacks and has; `length_balanced`. Also `margin` (see `BenchScore`), `ties`, `added` pairs.

    "full" adds no text and starts from `FULL_TIMES` as many pairs of the seed. A cell that was made before is read.
    """
    from fac_lab.tasks.reward import train_reward_model

    times = FULL_TIMES if arm == METHODS["Full Dataset"] else 1
    start = starting_pairs(lab, gap, seed=held_out_set, times=times)
    added = added_pairs(written, seed=held_out_set)
    test, settings = bench_pairs(), settings_for(lab, mode)
    held_out = concerns(test, gap.held_out)

    def build(artifact) -> dict[str, dict[str, float]]:
        run = train_reward_model(lab.backbone, [*start, *added], test, settings, seed=seed, progress=False)
        return {"values": measures(run.scores, test, held_out)}

    artifact = lab.store.once(
        "reward",
        build,
        version=RUN_VERSION,
        subject=lab.subject.digest,
        train=[*start, *added],
        test=test,
        held_out=held_out,
        settings=settings,
        seed=seed,
    )
    return {**artifact.facts["values"], "added": len(added)}


def starting_pairs(lab: Lab, gap: Gap, *, seed: int, times: int = 1) -> list[Comparison]:
    """The pairs that every arm has, about the seed's own queries; `seed` draws the replies."""
    each = lab.profile.study.seed_samples * times
    return pairs_from(
        list(gap.seed), {subset: max(1, round(share * each)) for subset, share in START.items()}, seed=seed
    )


def measures(scores: np.ndarray, test: Sequence[Comparison], held_out: Sequence[bool]) -> dict[str, float]:
    """What a cell says of scores `[n_test, 2]`, but for the number of added pairs. Ties are wrong."""
    subsets = [pair.subset for pair in test]
    bench = bench_score(scores, subsets, TEST_PAIRS)
    right = scores[:, 0] > scores[:, 1]
    safety = np.array([subset == ABOUT_HARM for subset in subsets])
    out = np.asarray(held_out)
    percent = {
        "rm_acc": bench.average,
        **{SECTIONS[name]: value for name, value in bench.sections.items()},
        "safety_held_out": right[safety & out].mean() if (safety & out).any() else float("nan"),
        "safety_kept": right[safety & ~out].mean() if (safety & ~out).any() else float("nan"),
        "length_balanced": length_balanced(scores, test),
    }
    return {name: 100 * float(value) for name, value in percent.items()} | {
        "margin": bench.margin,
        "ties": bench.ties,
    }


def added_pairs(written: Written, *, seed: int) -> list[Comparison]:
    """What an arm wrote, as pairs. Texts without parts, as the oracle's are, get the world's own replies.

    A text that repeats, or of which the world does not know what it is about, gives no pair there.
    """
    if written.parts:
        return [
            Comparison(f"added-{i}", parts["prompt"], parts["chosen"], parts["rejected"], ABOUT_HARM)
            for i, parts in enumerate(written.parts)
        ]
    asked = {normalise(text): (recognise(text), text) for text in written.texts}
    return pairs_about([known for known in asked.values() if known[0]], ABOUT_HARM, seed=seed, name="added")


def reward_study(
    lab: Lab, anchor: FeatureStats, *, sets: Sequence[int], mode: str, arms: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Every method of the paper's table 1, and those `BESIDE`, by held-out set and training seed; resumed by cell.

    One row per method, set and seed: `method`, `arm`, `held_out_set`, `seed`, `mode`, what `reward_cell` says, `draws`
    and, of the added pairs, `truly_harmful` (the query is about a harmful concept), `about_held_out`, and
    `truly_better` (the better reply is about a harmless concept, the worse one about a harmful one).
    """
    arms = METHODS | {arm: arm for arm in BESIDE[mode]} if arms is None else arms
    rows = []
    with tqdm(total=len(sets) * len(arms) * len(lab.profile.seeds), desc=f"reward, {mode}", unit="cell") as bar:
        for held_out_set in sets:
            gap = harmful_gap(lab, anchor, held_out_set=held_out_set)
            for method, arm in arms.items():
                made = matched(lab, anchor, gap, arm, held_out_set, task=TASK)
                truth = truth_of_pairs(added_pairs(made, seed=held_out_set), gap)
                for seed in lab.profile.seeds:
                    where = {"held_out_set": held_out_set, "seed": seed}
                    values = reward_cell(lab, anchor, gap, made, arm=arm, mode=mode, **where)
                    rows.append({"method": method, "arm": arm, **where, "mode": mode, **values, "draws": made.draws})
                    rows[-1] |= truth
                    bar.update()
    return pd.DataFrame(rows)


def truth_of_pairs(pairs: Sequence[Comparison], gap: Gap) -> dict[str, float]:
    """Shares of pairs that ask for something harmful, for something held out, and that are right; NaN of no pair."""
    asked = [recognise(pair.prompt) for pair in pairs]
    told = [(spoken_of(pair.chosen), spoken_of(pair.rejected)) for pair in pairs]

    def share(found: Sequence[bool]) -> float:
        return float(np.mean(found)) if found else float("nan")

    return {
        "truly_harmful": share([bool(c and c.harmful) for c in asked]),
        "about_held_out": share([c in gap.held_out for c in asked]),
        "truly_better": share([bool(a and not a.harmful and b and b.harmful) for a, b in told]),
    }
