"""Sessions from what other commands left: the mini world's demo, and the folder of an audit."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fac_lab.annotation.scores import with_scores
from fac_lab.annotation.styles import style_of
from fac_lab.browsing.session import BrowserSession
from fac_lab.corpora import Corpus
from fac_lab.coverage import Coverage
from fac_lab.errors import ArtifactError, FacLabError, short
from fac_lab.features.stats import FeatureStats
from fac_lab.lab import Lab
from fac_lab.parse import parse_json
from fac_lab.plain import build
from fac_lab.profile import Profile
from fac_lab.store import MANIFEST
from fac_lab.studies.missing import world_corpus
from fac_lab.studies.toxicity import Gap, harmful_gap
from fac_lab.world import concepts

log = logging.getLogger(__name__)

AUDIT = "audit.json"
ROWS_PER_SCORE = 100
"""One label is scored for so many anchor samples: 40 in `mini`, ten seconds of one core, 8 in `smoke`."""


def open_world(
    lab: Lab, *, held_out_set: int = 0, synthetic: bool = True, scored: int | None = None, **known: Any
) -> BrowserSession:
    """The mini world under a lab: a seed that lacks half of the harmful concepts, all annotated, its null, the truth.

    Everything is found on disk where the demo or the study made it in the lab's folder, else made, which takes some
    minutes for `mini`. `synthetic` adds two-step samples for the missing features. Labels carry every score that was
    counted in the lab's folder, and at least `scored` of them (None: one per ROWS_PER_SCORE anchor samples) have one.
    `known` are further arguments of `BrowserSession`.
    """
    anchor_corpus = lab.corpus("anchor")
    anchor = lab.stats(anchor_corpus, keep_matrix=True)
    gap = harmful_gap(lab, anchor, held_out_set=held_out_set)
    seed = lab.stats(gap.seed)
    n = anchor.n_samples // ROWS_PER_SCORE if scored is None else scored
    labels = scored_labels(lab, anchor, anchor_corpus, gap, n=n)
    samples = lab.synthesise(gap.missing_labels, anchor, gap.coverage.delta) if synthetic else None
    return BrowserSession.open(
        lab,
        anchor,
        seed,
        **{
            "labels": labels,
            "synthetic": samples,
            "null": (anchor, lab.stats(world_corpus("null", seed.n_samples, seed=5000))),
            "concepts": [row.concept for row in anchor_corpus],
            "domains": {concept.id: concept.domain for concept in concepts()},
            "corpora": {"anchor": anchor_corpus, "seed": gap.seed},
            "name": f"mini world, held-out set {held_out_set}",
            **known,
        },
    )


def scored_labels(lab: Lab, anchor: FeatureStats, corpus: Corpus, gap: Gap, *, n: int) -> pd.DataFrame:
    """The labels of a gap with their scores (see `with_scores`).

    At least `n` are put to the test, or found on disk: of relevant features, missing ones first, that more anchor
    samples activate than the namer saw. Other labels have a score where one was counted before.
    """
    labels, coverage = gap.labels, gap.coverage
    asked = (anchor, corpus, coverage.delta)
    enough = coverage.anchor_count > style_of(lab.prompts).spans
    covered = np.flatnonzero(coverage.covered)
    covered = covered[np.argsort(-coverage.anchor_count[covered], kind="stable")]
    order = [feature for feature in (*coverage.missing, *covered) if enough[feature]]
    named = labels[labels.summary.notna()].set_index("feature", drop=False)
    foremost = named.reindex([feature for feature in order if feature in named.index][:n])
    if len(foremost):
        lab.score_labels(foremost, *asked)
    return with_scores(labels, lab.known_scores(labels, *asked))


def open_audit(folder: Any, *, profile: str | Path | Profile | None = None, **known: Any) -> BrowserSession:
    """An audit's folder, or the AuditResult itself, as a session; no model is loaded.

    Statistics are those that the audit kept in its store, its null included, labels those in missing.csv. The profile
    is the audit's own unless another is given; without either (folders of before audit.json was written), and where
    the audited files are gone or changed, what needs them says so. Raises ArtifactError for a folder that holds no
    audit, or whose statistics are gone.
    """
    folder = Path(getattr(folder, "report", folder))
    folder = folder.parent if folder.suffix == ".html" else folder
    coverage, null = (Coverage.load(folder / name) for name in ("coverage", "null"))
    kept = _kept_stats(folder / "store")
    rest, drawn = (_find(kept, made_by, folder) for made_by in (null.anchor_made_by, null.seed_made_by))
    settings = _settings(folder)
    if profile is None and "profile" in settings:
        profile = build(Profile, settings["profile"])
    lab = None if profile is None else Lab.open(profile, out=folder / "store")
    known.setdefault("out", folder / "browser")
    return BrowserSession(
        rest.merge(drawn),
        _find(kept, coverage.seed_made_by, folder, matrix=True),
        coverage.rule,
        **{
            "lab": lab,
            "labels": _labels(folder / "missing.csv"),
            "null": (rest, drawn),
            "corpora": _corpora(settings),
            "name": f"audit in {folder}",
            **known,
        },
    )


def _kept_stats(store: Path) -> list[tuple[str, dict, Path]]:
    """Corpus, origin and folder of every finished collection in a store."""
    found = []
    for path in sorted(store.glob(f"stats/*/{MANIFEST}")):
        try:
            made_by = parse_json(path.read_text(encoding="utf-8"))["made_by"]
            found.append((made_by["corpus"], made_by, path.parent))
        except (OSError, ValueError, LookupError, TypeError) as error:
            log.warning("%s cannot be read (%s): left out", path, error)
    return found


def _find(kept: list[tuple[str, dict, Path]], origin: dict, folder: Path, *, matrix: bool = False) -> FeatureStats:
    """The statistics with an origin (`FeatureStats.made_by`), those with a matrix, or without, where there are both."""
    for corpus, _, path in sorted(kept, key=lambda entry: entry[1].get("matrix") is not matrix):
        if corpus in origin.get("corpora", {}):
            stats = FeatureStats.load(path)
            if stats.made_by == origin:
                return stats
    names = ", ".join(origin.get("corpora", {}).values()) or "a data set"
    raise ArtifactError(f"{folder / 'store'} holds no statistics of {names}: run the audit again, with the same --out")


def _labels(path: Path) -> pd.DataFrame | None:
    """What the annotator said, of the missing features; None for an audit without one."""
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}): run the audit again") from error
    return frame[["feature", "summary", "verdict", "relevant", "reason"]] if "verdict" in frame else None


def _settings(folder: Path) -> dict:
    """What the audit was asked for; nothing in folders of before it was written down."""
    try:
        return dict(parse_json((folder / AUDIT).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(f"{folder / AUDIT} cannot be read ({error}): run the audit again") from error


def _corpora(settings: dict) -> dict[str, Corpus]:
    """The audited files by role, where they are still what was audited."""
    corpora = {}
    for role in ("anchor", "seed"):
        if role not in settings:
            continue
        try:
            asked, limit = settings[role], settings["limit"]
            corpus = Corpus.from_file(asked["file"], text_column=asked["text_column"], id_column=asked["id_column"])
            corpus = corpus if limit is None else corpus.head(limit, seed=0)
            unchanged = corpus.digest == asked["digest"]
        except (FacLabError, LookupError, TypeError, ValueError) as error:
            log.warning("the %s of the audit: %s", role, short(error))
            continue
        if unchanged:
            corpora[role] = corpus
        else:
            log.warning("%s was changed since the audit: its texts are not shown", asked["file"])
    return corpora
