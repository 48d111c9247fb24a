"""Instruction following (the paper's table 1, last column): what written instructions are worth to a base model.

In the mini world every chat model has met every concept, so a base model is made for each held-out set: the subject,
tuned until it takes each held-out concept for its neighbour, as a model does that never met one. About the others it
answers as before. The instructions that a method wrote, answered by a teacher, then tune this base; the tuned model
answers one fresh instruction about every concept; and the world's checker (`mini.checker`) compares its answers with
the reference's. Teacher and reference are the subject as it was, which has met every concept: what a large model is
to the paper.

Wrong lessons hide what a model knew and do not erase it, so that lessons about other concepts may bring it back too.
Whether what the instructions are about matters is therefore measured (`about_held_out` beside `if_lacking`), not
assumed. A base that never met the concepts would have to be trained without them, some ten minutes for each set.

The teacher is the same for every method, so that methods differ in what they ask alone; the small generator would be
a poor one, which the arm `OWN_ANSWERS` shows. Nothing but the base, the test and the judge knows the truth.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from fac_lab.chat.client import ChatClient
from fac_lab.chat.local import LocalBackend
from fac_lab.coverage import cover
from fac_lab.errors import DataError
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.mini.checker import check, prefer
from fac_lab.profile import resolve
from fac_lab.settings import TuningSettings
from fac_lab.store import Artifact
from fac_lab.studies.methods import METHODS, Written
from fac_lab.studies.missing import world_corpus
from fac_lab.studies.toxicity import Gap
from fac_lab.tasks.instruction import Exchange, answers, compare, train_assistant
from fac_lab.tasks.win_rates import length_controlled_win_rate, length_effect, raw_win_rate
from fac_lab.world import Concept, Dice, concepts, draw_query, hold_out
from fac_lab.world.replies import draw_reply

TASK = "instruction_following"
"""Whose samples are written, by the names of `synthesis.formats`."""
VALUES = ("if_lc", "if_wr", "if_sd")
"""The columns of the paper's table that a cell fills."""
MOST = 96
"""Most samples of a method: a cell tunes for four passes over them in some ten seconds of one core."""
OWN_ANSWERS = "fac_own_answers"
"""Our samples with the answers that their generator gave, in the place of the teacher's."""
OURS, FULL = METHODS["FAC Synthesis"], METHODS["Full Dataset"]

TUNING = TuningSettings(mode="lora", epochs=4, lr=5e-3, batch=16, r=8, alpha=16, dropout=0.0, max_tokens=128)
"""The paper's LoRA; the rate is larger, as the model is smaller by four orders of magnitude."""
MISTAKING = TuningSettings(mode="lora", epochs=4, lr=6e-3, batch=16, r=32, alpha=32, dropout=0.0, max_tokens=128)
"""How the base unlearns: enough room to change every held-out concept."""
BASE_SHARE, FULL_SHARE = 8, 50
"""One exchange for each so many rows of the seed: in the making of the base, and in the arm "full"."""
MISTAKEN_SHARE = 2 / 3
"""Share of the exchanges that make the base which are about held-out concepts; the others keep what it knew."""
ANSWER_TOKENS = 64
BASE_VERSION = 1
RUN_VERSION = 1


def instruction_gap(lab: Lab, anchor: FeatureStats, *, held_out_set: int) -> Gap:
    """A seed that lacks a random share of all concepts, harmful or not, measured against the anchor.

    Every request is a matter of instructions, so all features that the annotator can name are relevant.
    """
    held_out = hold_out(round(lab.profile.study.held_out_share * len(concepts())), seed=held_out_set)
    seed = world_corpus("seed", lab.profile.corpora["seed"].n, seed=6000 + held_out_set, without=held_out)
    stats = lab.stats(seed)
    everything = cover(anchor, stats, lab.profile.rule)
    labels = lab.annotate(anchor, np.flatnonzero(everything.anchor_support))
    labels["relevant"] = labels.summary.notna()
    relevant = np.zeros(len(everything.relevant), dtype=bool)
    relevant[labels.feature[labels.relevant]] = True
    return Gap(held_out, seed, cover(anchor, stats, lab.profile.rule, relevant=relevant), labels)


def stand_ins(held_out: Sequence[Concept]) -> dict[str, Concept]:
    """What a model that never met the held-out concepts takes each for, by id: the nearest known one in the list of its
    domain, or, where the whole domain is held out, in that of all."""
    out = {concept.id for concept in held_out}
    places = {concept.id: place for place, concept in enumerate(concepts())}
    known = [concept for concept in concepts() if concept.id not in out]
    if not known:
        raise DataError("every concept is held out: there is none left that a base model could know")
    found = {}
    for concept in held_out:
        near = [other for other in known if other.domain == concept.domain] or known
        found[concept.id] = min(near, key=lambda other: abs(places[other.id] - places[concept.id]))
    return found


def mistaken(held_out: Sequence[Concept], n: int, *, seed: int) -> list[Exchange]:
    """`n` exchanges of a world in which each held-out concept passes for its neighbour."""
    dice, meant = Dice(seed), stand_ins(held_out)
    out = {concept.id for concept in held_out}
    known = [concept for concept in concepts() if concept.id not in out]
    drawn = []
    for number in range(n):
        among = held_out if number < MISTAKEN_SHARE * n else known
        concept = among[number % len(among)]
        answer = draw_reply(meant.get(concept.id, concept), dice)
        drawn.append(Exchange(f"base-{number}", draw_query(concept, dice), answer))
    return drawn


def base_model(lab: Lab, gap: Gap, held_out_set: int) -> Path:
    """Folder of the base of a held-out set, made once."""
    exchanges = mistaken(gap.held_out, lab.profile.corpora["seed"].n // BASE_SHARE, seed=7000 + held_out_set)

    def build(artifact: Artifact) -> dict:
        path = resolve(lab.profile.subject.path)
        seconds = train_assistant(path, exchanges, MISTAKING, artifact.path, seed=held_out_set)
        return {"exchanges": len(exchanges), "seconds": round(seconds, 1)}

    made_by = {"subject": lab.subject.digest, "exchanges": exchanges, "settings": MISTAKING, "seed": held_out_set}
    return lab.store.once("instruction_base", build, version=BASE_VERSION, **made_by).path


def fresh_instructions(lab: Lab, *, seed: int = 8000) -> list[tuple[Concept, str]]:
    """A fresh instruction about every concept; fewer, evenly chosen, where the profile's test set is cut."""
    step = max(1, 1000 // lab.profile.corpora["test"].n)
    dice = Dice(seed)
    return [(concept, draw_query(concept, dice)) for concept in concepts()[::step]]


def exchanges_of(lab: Lab, written: Written, *, own_answers: bool = False) -> list[Exchange]:
    """What a method wrote, answered by the teacher, or with the answers that came with it.

    Raises DataError where own answers are asked for and a sample has none.
    """
    if not own_answers:
        given = reference_answers(lab, written.texts) if written.texts else []
    elif any("answer" not in parts for parts in written.parts) or len(written.parts) != len(written.texts):
        raise DataError(f'there are samples without an answer: write them with task="{TASK}", or take the teacher\'s')
    else:
        given = [parts["answer"] for parts in written.parts]
    return [Exchange(str(i), *pair) for i, pair in enumerate(zip(written.texts, given, strict=True))]


def instruction_cell(
    lab: Lab, anchor: FeatureStats, gap: Gap, written: Written, *, arm: str, held_out_set: int, seed: int
) -> dict[str, float]:
    """Win rates of one tuned model, in percent: `if_lc`, `if_wr`, its standard error `if_sd` (as the paper's SD, over
    instructions), and beside them those on concepts that the base knows and lacks, `if_known` and `if_lacking`, and
    the shares of answers that name what was asked, `if_topic`.

    "none" is the base as it is, whatever the seed; "full" adds rows of the gap's seed, one in `FULL_SHARE`.
    """
    if arm == FULL:
        written = seed_rows(gap)
    exchanges = exchanges_of(lab, written, own_answers=arm == OWN_ANSWERS)
    return rates(judged(lab, gap, exchanges, held_out_set=held_out_set, seed=seed))


def seed_rows(gap: Gap) -> Written:
    """The rows of the seed that stand for all of it, one in `FULL_SHARE`."""
    rows = list(gap.seed)
    return Written([row.text for row in rows[: max(1, len(rows) // FULL_SHARE)]])


def judged(lab: Lab, gap: Gap, exchanges: Sequence[Exchange], *, held_out_set: int, seed: int) -> pd.DataFrame:
    """Answers of the base tuned on exchanges (the base itself without any) beside the subject's, and the verdicts.

    One row per test instruction: `concept`, `known` (to the base), `instruction`, `ours`, `theirs`, `preference`.
    """
    test = fresh_instructions(lab)
    asked = [query for _, query in test]
    held_out = {concept.id for concept in gap.held_out}

    def build(artifact: Artifact) -> dict:
        base = base_model(lab, gap, held_out_set)
        with tempfile.TemporaryDirectory() as folder:
            tuned = Path(folder) / "tuned" if exchanges else base
            seconds = train_assistant(base, exchanges, TUNING, tuned, seed=seed) if exchanges else 0.0
            ours = _answers(tuned, asked)
        theirs = reference_answers(lab, asked)
        frame = pd.DataFrame(
            {
                "concept": [concept.id for concept, _ in test],
                "known": [concept.id not in held_out for concept, _ in test],
                "instruction": asked,
                "ours": ours,
                "theirs": theirs,
                "preference": compare(asked, ours, theirs, prefer).preferences,
            }
        )
        artifact.write_frame("answers.parquet", frame)
        return {"exchanges": len(exchanges), "seconds": round(seconds, 1)}

    artifact = lab.store.once(
        "instruction_run",
        build,
        version=RUN_VERSION,
        base=BASE_VERSION,
        subject=lab.subject.digest,
        held_out=sorted(held_out),
        held_out_set=held_out_set,
        base_exchanges=lab.profile.corpora["seed"].n // BASE_SHARE,
        mistaking=MISTAKING,
        exchanges=[(exchange.instruction, exchange.answer) for exchange in exchanges],
        settings=TUNING if exchanges else None,
        seed=seed if exchanges else None,
        test=asked,
    )
    return artifact.read_frame("answers.parquet")


def reference_answers(lab: Lab, asked: Sequence[str]) -> list[str]:
    """What the subject as it was built answers: teacher, and what every win rate is against."""

    def build(artifact: Artifact) -> dict:
        given = _answers(Path(resolve(lab.profile.subject.path)), asked)
        artifact.write_json("answers.json", given)
        return {"answers": len(given)}

    made_by = {"subject": lab.subject.digest, "asked": list(asked), "max_tokens": ANSWER_TOKENS}
    return lab.store.once("instruction_reference", build, version=1, **made_by).read_json("answers.json")


def rates(frame: pd.DataFrame) -> dict[str, float]:
    """The values of a cell, from what `judged` returns."""
    preferences = frame.preference.to_numpy(float)
    lengths = frame.ours.str.len().to_numpy(), frame.theirs.str.len().to_numpy()
    raw = raw_win_rate(preferences)
    known = frame.known.to_numpy(bool)
    named = [
        check(asked, ours, concept).topic
        for asked, ours, concept in zip(frame.instruction, frame.ours, map(_by_id().get, frame.concept), strict=True)
    ]
    return {
        "if_lc": length_controlled_win_rate(preferences, *lengths, n_bootstrap=2).percent,
        "if_wr": raw.percent,
        "if_sd": raw.error,
        "if_known": raw_win_rate(preferences[known]).percent if known.any() else float("nan"),
        "if_lacking": raw_win_rate(preferences[~known]).percent if (~known).any() else float("nan"),
        "if_topic": 100 * float(np.mean(named)),
        "if_phi": length_effect(preferences, *lengths),
    }


def _answers(model: Path, asked: Sequence[str]) -> list[str]:
    chat = ChatClient(LocalBackend(model), cache=None, progress=False)
    return answers(chat, asked, max_tokens=ANSWER_TOKENS)


def _by_id() -> Mapping[str, Concept]:
    return {concept.id: concept for concept in concepts()}
