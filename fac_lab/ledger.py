"""The ledger: feature -> label -> quality -> contrastive pair -> sample -> re-measured activation -> effect, one table.

Nothing is computed here that was not measured before: the ledger joins what a run left, one row per sample and one for
each feature without any, so that every kept text can be followed back to the gap it was written for, and every
missing feature forward to what became of it.
"""

import csv
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from fac_lab.atomic import write_atomic
from fac_lab.browsing.export import guarded
from fac_lab.coverage import Coverage
from fac_lab.errors import ArtifactError, DataError
from fac_lab.parse import sound

FEATURE = ("feature", "anchor_count", "seed_count", "missing", "delta")
"""The feature in anchor and seed, whether it is missing, and the threshold it has to exceed."""
LABEL = ("summary", "verdict", "relevant", "label_reason")
QUALITY = ("check", "confirmed", "detection", "fuzzing")
"""The second look's verdict on the summary, and its scores on texts that its namer did not see."""
PAIR = ("positive", "positive_activation", "positive_source", "negative", "negative_activation")
SAMPLE = ("sample_id", "task", "method", "text", "parts", "label", "step", "draw", "model", "prompt_version", "seed")
MEASURED = ("activation", "activates", "kept", "reason")
"""What the text was measured to activate, whether that exceeds delta, and whether the sample was kept, or why not."""
EFFECT = ("gap_gain", "arm", "arm_gain", "arm_gain_low", "arm_gain_high")
"""`gap_gain`: what the kept sample adds to gap coverage by features' own samples, counted once per missing feature, in
the order of the samples. `arm`: the training runs it took part in; the gain is the whole arm's over the same rows
without it, with its interval, and so the same for all samples of the arm."""
COLUMNS = (*FEATURE, *LABEL, *QUALITY, *PAIR, *SAMPLE, *MEASURED, *EFFECT)

_WHOLE = ("feature", "anchor_count", "seed_count", "label", "step", "draw", "seed")
_NUMBERS = (
    *("delta", "detection", "fuzzing", "positive_activation", "negative_activation", "activation"),
    *("gap_gain", "arm_gain", "arm_gain_low", "arm_gain_high"),
)
_FLAGS = ("missing", "relevant", "confirmed", "activates", "kept")


def make_ledger(
    samples: pd.DataFrame,
    coverage: Coverage | None = None,
    labels: pd.DataFrame | None = None,
    *,
    scores: pd.DataFrame | None = None,
    arms: Mapping[str, Collection[str]] | None = None,
    gains: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Join what a run left into one frame of COLUMNS; what is not there is missing (NA) in it.

    `samples` as `Lab.synthesise` or `Lab.select` return them; one without an `id` gets `sample-<place>`. `coverage` is
    the one they were made for, `labels` as from `Lab.annotate`, `scores` as from `annotation.scores.feature_scores`.
    `arms` are the texts that each arm added, `gains` a frame of `arm`, `mean`, `low`, `high` over a baseline.

    Rows stand by feature, missing ones in the order of F_miss first, samples in their own order; samples without a
    feature come last. Halves of surrogate pairs in texts become U+FFFD (see `sound`). Raises DataError for a feature
    with two labels, or two samples with one id.
    """
    samples = _sound_texts(with_ids(samples).rename(columns={"id": "sample_id"}))
    features = _features(coverage, labels, samples)
    rows = pd.DataFrame({"feature": pd.array(features, dtype="Int64")})
    if coverage is not None:
        rows = _with_coverage(rows, coverage)
    if labels is not None:
        _no_repeats(labels, "feature", "has more than one label: keep one")
        known = _sound_texts(labels).rename(columns={"reason": "label_reason"}).astype({"feature": "Int64"})
        rows = rows.merge(known[["feature", *(_present(known, (*LABEL, *QUALITY)))]], on="feature", how="left")
    if scores is not None and len(scores):
        table = scores.pivot(index="feature", columns="test", values="score").reset_index().astype({"feature": "Int64"})
        rows = rows.merge(table[["feature", *_present(table, QUALITY)]], on="feature", how="left")
    own = samples[_present(samples, ("feature", *PAIR, *SAMPLE, *MEASURED))]
    own = own.assign(place=np.arange(len(own))).astype({"feature": "Int64"})
    rows = rows.merge(own[own.feature.notna()], on="feature", how="left")
    rows = pd.concat([rows, own[own.feature.isna()]], ignore_index=True).reindex(columns=[*COLUMNS, "place"])
    if "activates" not in samples:
        measured = rows.activation.notna() & rows.delta.notna()
        rows["activates"] = (rows.activation.astype(float) > rows.delta.astype(float)).where(measured, None)
    rows["gap_gain"] = _gap_gain(rows, coverage)
    rows = _with_arms(rows, arms or {}, gains)
    return _typed(rows[list(COLUMNS)])


def with_ids(samples: pd.DataFrame) -> pd.DataFrame:
    """The samples with an `id` each: their own, else `sample-<place>`. Raises DataError where one stands twice."""
    if "id" not in samples:
        return samples.reset_index(drop=True).assign(id=[f"sample-{place:06d}" for place in range(len(samples))])
    if samples.id.isna().any():
        raise DataError(f"sample {int(samples.id.isna().argmax())} (from 0) has no id: give it one, or drop the column")
    _no_repeats(samples, "id", "stands for two samples: give each its own, or drop the column")
    return samples.reset_index(drop=True)


def write_ledger(ledger: pd.DataFrame, folder: str | Path) -> tuple[Path, Path]:
    """Write ledger.parquet, and ledger.csv for spreadsheets, where texts that begin like a formula are guarded by an
    apostrophe and every text is quoted, so that line breaks and quotes in it do no harm."""
    parquet, table = Path(folder) / "ledger.parquet", Path(folder) / "ledger.csv"
    texts = [name for name in COLUMNS if name not in (*_WHOLE, *_NUMBERS, *_FLAGS)]
    write_atomic(parquet, lambda path: ledger.to_parquet(path, index=False))
    shown = ledger.assign(**{name: ledger[name].map(guarded, na_action="ignore") for name in texts})
    write_atomic(table, lambda path: shown.to_csv(path, index=False, quoting=csv.QUOTE_NONNUMERIC))
    return parquet, table


def read_ledger(folder: str | Path) -> pd.DataFrame:
    """What `write_ledger` wrote. Raises ArtifactError, with the cure, where it is absent or damaged."""
    path = Path(folder) / "ledger.parquet"
    try:
        ledger = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); run what made it again") from error
    lacking = [name for name in COLUMNS if name not in ledger]
    if lacking:
        raise ArtifactError(f"{path} is of another version: it has no {', '.join(lacking)}; run what made it again")
    return _typed(ledger[list(COLUMNS)])


def _features(coverage: Coverage | None, labels: pd.DataFrame | None, samples: pd.DataFrame) -> list[int]:
    """Missing features, labelled ones, those of samples, each once."""
    missing = [] if coverage is None else coverage.missing.tolist()
    labelled = [] if labels is None else labels.feature.tolist()
    own = samples.feature.dropna().tolist()
    return list(dict.fromkeys(int(feature) for feature in (*missing, *labelled, *own)))


def _with_coverage(rows: pd.DataFrame, coverage: Coverage) -> pd.DataFrame:
    features = rows.feature.to_numpy(np.int64)
    return rows.assign(
        anchor_count=coverage.anchor_count[features],
        seed_count=coverage.seed_count[features],
        missing=np.isin(features, coverage.missing),
        delta=np.broadcast_to(coverage.delta, coverage.relevant.shape)[features],
    )


def _gap_gain(rows: pd.DataFrame, coverage: Coverage | None) -> pd.Series:
    """1 / |F_miss| for the first kept sample of each missing feature that exceeds delta, 0 for other kept samples."""
    gain = pd.Series(np.nan, index=rows.index)
    if coverage is None:
        return gain
    kept = _true(rows.kept)
    gain[kept] = 0.0
    good = rows[kept & _true(rows.activates) & _true(rows.missing)].sort_values("place")
    gain[good.drop_duplicates("feature").index] = 1 / max(len(coverage.missing), 1)
    return gain


def _with_arms(rows: pd.DataFrame, arms: Mapping[str, Collection[str]], gains: pd.DataFrame | None) -> pd.DataFrame:
    """Arms by the texts they added. A text that several arms added is named after the first."""
    arm_of = {sound(text): arm for arm, texts in reversed(arms.items()) for text in texts}
    rows = rows.assign(arm=rows.text.map(arm_of).where(_true(rows.kept), None))
    if gains is not None:
        by_arm = gains.set_index("arm")
        for column, name in (("arm_gain", "mean"), ("arm_gain_low", "low"), ("arm_gain_high", "high")):
            rows[column] = rows.arm.map(by_arm[name])
    return rows


def _true(flags: pd.Series) -> pd.Series:
    """Where a column of flags, some of them missing, says yes."""
    return flags.map(lambda flag: bool(pd.notna(flag) and flag)).astype(bool)


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns of one kind each, whatever was missing in them."""
    kinds = dict.fromkeys(_WHOLE, "Int64") | dict.fromkeys(_NUMBERS, "float64") | dict.fromkeys(_FLAGS, "boolean")
    rows = rows.astype({name: object for name in kinds if kinds[name] != "float64"})
    for name, kind in kinds.items():
        values = rows[name].where(rows[name].notna(), np.nan if kind == "float64" else pd.NA)
        rows[name] = values.astype(kind)
    texts = [name for name in rows.columns if name not in kinds]
    return rows.astype(dict.fromkeys(texts, "string")).reset_index(drop=True)


def _sound_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with every text sound, before pandas looks at them: only columns of objects can hold others."""
    mixed = [name for name in frame.columns if frame[name].dtype == object]
    return frame.assign(**{name: frame[name].map(_sound_or_same) for name in mixed})


def _sound_or_same(value: object) -> object:
    return sound(value) if isinstance(value, str) else value


def _present(frame: pd.DataFrame, names: Collection[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if name in frame]


def _no_repeats(frame: pd.DataFrame, column: str, cure: str) -> None:
    repeated = frame[column][frame[column].duplicated()]
    if len(repeated):
        raise DataError(f"{column} {repeated.iloc[0]} {cure}")
