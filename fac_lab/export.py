"""A run's kept samples as a data set that others can train on, with a card that says what it covers.

    export("runs/demo", "hf", "my_dataset")

The folder holds one file per task, README.md (the card; Hugging Face reads its head), card.json (the same facts for
programs) and ledger/. It is built beside its place and renamed into it, so that it is there whole or not at all.
"""

import csv
import json
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fac_lab.coverage import Coverage
from fac_lab.dataset_formats import FORMATS, llama_factory_entry, parts_of
from fac_lab.display.data_card import card_markdown
from fac_lab.errors import ArtifactError, DataError, SettingsError
from fac_lab.ledger import make_ledger, read_ledger, with_ids, write_ledger
from fac_lab.parse import parse_json, sound
from fac_lab.tabular import LONGEST_CELL

PROVENANCE = ("id", "feature", "activation", "method", "model", "prompt_version", "seed")
"""Columns beside a row's own, where the format leaves room for any (hf)."""

Tasks = dict[str, tuple[str, list[dict[str, Any]]]]
"""By task, its shape (see `formats.parts_of`) and its rows."""
NUMBERS = ("feature", "label", "step", "draw", "seed", "gain", "round", "activation")
NUMBERS += ("positive_activation", "negative_activation")
"""Columns of samples.csv in which an empty cell is a missing number; in all others it is an empty text."""


class Run(NamedTuple):
    """What a run's folder holds of what an export needs."""

    samples: pd.DataFrame
    """Every candidate, each with an `id`."""
    coverage: Coverage | None
    """Of the seed before anything was added."""
    null: Coverage | None
    """The same rule for a seed that lacks nothing."""
    ledger: pd.DataFrame
    after: pd.DataFrame | None
    """Per arm: what was added, gap coverage by any sample, FAC of the seed with it."""
    profile: dict[str, Any] | None
    """The settings of the run."""


def read_run(folder: str | Path) -> Run:
    """Read samples.parquet (else samples.csv), and where they are there coverage/, null/, ledger.parquet, after.csv
    and profile.json.

    Raises ArtifactError, with the cure, where there are no samples or a file is damaged.
    """
    folder = Path(folder)
    samples = _read_samples(folder)
    coverages = [Coverage.load(folder / name) if (folder / name).is_dir() else None for name in ("coverage", "null")]
    made = (folder / "ledger.parquet").is_file()
    ledger = read_ledger(folder) if made else make_ledger(samples, coverages[0])
    return Run(samples, *coverages, ledger, _read_after(folder / "after.csv"), _read_profile(folder / "profile.json"))


def export(run: str | Path | Run, format: str, out: str | Path, *, licence: str | None = None) -> Path:
    """Write the kept samples of a run (or its folder) to the folder `out` in one of FORMATS; returns `out`.

    `licence` is what the card says about licences; without it the card says that none was chosen. Raises
    SettingsError for another format, DataError where no sample was kept or one does not fit its task's format, and
    ArtifactError where `out` holds anything already, or cannot be written.
    """
    if format not in FORMATS:
        raise SettingsError(f"there is no format {format!r}; choose one of {', '.join(FORMATS)}")
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ArtifactError(f"{out} is not an empty folder: name another with --out, or remove it")
    run = run if isinstance(run, Run) else read_run(run)
    tasks = kept_rows(run.samples, format)
    facts = card_facts(run, tasks, format, licence)
    building = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    try:
        building.mkdir(parents=True)
        for task, (_, rows) in tasks.items():
            _write_rows(rows, building / f"{task}{FORMATS[format].suffix}")
        if format == "llama-factory":
            entries = {
                f"fac_lab_{task}": llama_factory_entry(shape, f"{task}.json") for task, (shape, _) in tasks.items()
            }
            _write_json(entries, building / "dataset_info.json")
        _write_json(facts, building / "card.json")
        (building / "README.md").write_text(card_markdown(facts), encoding="utf-8")
        write_ledger(run.ledger, building / "ledger")
        if out.exists():
            out.rmdir()
        building.rename(out)
    except OSError as error:
        raise ArtifactError(f"{out} cannot be written ({error}); choose another folder with --out") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return out


def kept_rows(samples: pd.DataFrame, format: str) -> Tasks:
    """The kept samples as rows of a format: by task, its shape (see `formats.parts_of`) and the rows."""
    kept = samples[samples.kept.astype(bool)]
    if not len(kept):
        reasons = ", ".join(f"{reason} {n}" for reason, n in reasons_of(samples).items()) or "there were no candidates"
        raise DataError(f"no sample was kept, so there is nothing to export ({reasons}); make samples first")
    tasks: Tasks = {}
    for sample in kept.to_dict("records"):
        shape, parts = parts_of(sample)
        task = sample.get("task") if isinstance(sample.get("task"), str) else shape
        if not re.fullmatch(r"[\w-]+", task):
            raise DataError(
                f"sample {sample['id']} is of task {task!r}, which names no file: use letters, digits, _ and -"
            )
        if tasks.setdefault(task, (shape, []))[0] != shape:
            raise DataError(f"sample {sample['id']} has the fields of {shape}, others of task {task} have not")
        row = FORMATS[format].row(shape, {name: sound(text) for name, text in parts.items()}, sample)
        if format == "hf":
            row |= {name: _plain(sample.get(name)) for name in PROVENANCE}
        tasks[task][1].append(row)
    return tasks


def card_facts(run: Run, tasks: Tasks, format: str, licence: str | None) -> dict[str, Any]:
    """Everything the card states, in JSON's terms; what is not known is None."""
    kept = run.samples[run.samples.kept.astype(bool)]
    coverage = None if run.coverage is None else coverage_facts(run.coverage, run.null, run.ledger)
    if coverage is not None and run.after is not None and "arm" in run.after:
        columns = [name for name in ("arm", "added", "gap_coverage", "fac") if name in run.after]
        coverage["arms"] = [
            {name: _plain(value) for name, value in row.items()} for row in run.after[columns].to_dict("records")
        ]
    return {
        "format": format,
        "loaded": FORMATS[format].said,
        "rows": {task: len(rows) for task, (_, rows) in tasks.items()},
        "shapes": {task: shape for task, (shape, _) in tasks.items()},
        "candidates": len(run.samples),
        "rejected": reasons_of(run.samples),
        "labels": {str(_plain(label)): int(n) for label, n in kept.label.value_counts().sort_index().items()},
        **{name: _different(kept, name) for name in ("method", "model", "prompt_version")},
        "read_by": None if run.profile is None else models_of(run.profile),
        "coverage": coverage,
        "licence": licence,
    }


def models_of(profile: Mapping[str, Any]) -> dict[str, str]:
    """Names of the models behind features and labels; of a folder on this machine only its own name."""

    def named(path: str) -> str:
        return Path(path).name if Path(path).is_absolute() else path

    subject, sae, annotator = (profile.get(part) for part in ("subject", "sae", "annotator"))
    found = {"subject": f"{named(subject['path'])}, layer {subject['layer']}" if subject else None}
    found["sae"] = named(sae["path"]) if sae else None
    found["annotator"] = named(annotator["model"]) if annotator else None
    return {part: name for part, name in found.items() if name is not None}


def coverage_facts(coverage: Coverage, null: Coverage | None, ledger: pd.DataFrame) -> dict[str, Any]:
    """The coverage of the seed and what the kept samples add to it, each number named for what it is."""
    own = set(ledger.feature[ledger.gap_gain.fillna(0) > 0])
    support, missing = int(coverage.anchor_support.sum()), len(coverage.missing)
    covered = int(coverage.covered.sum())
    return {
        "rule": coverage.rule.kind,
        "quantile": coverage.rule.quantile if coverage.rule.kind != "absolute" else None,
        "delta": float(coverage.delta) if np.ndim(coverage.delta) == 0 else None,
        "m": coverage.m,
        "anchor": _corpora(coverage.anchor_made_by),
        "seed": _corpora(coverage.seed_made_by),
        "n_anchor": coverage.n_anchor,
        "n_seed": coverage.n_seed,
        "subject": coverage.anchor_made_by.get("subject"),
        "sae": coverage.anchor_made_by.get("sae"),
        "relevant": int(coverage.relevant.sum()),
        "support": support,
        "missing": missing,
        "missing_null": None if null is None else len(null.missing),
        "expected_missing": round(coverage.expected_missing, 2),
        "own_features": len(own),
        "gap_coverage_own": len(own) / missing if missing else None,
        "fac_before": covered / support if support else None,
        "fac_after_own": (covered + len(own)) / support if support else None,
    }


def reasons_of(samples: pd.DataFrame) -> dict[str, int]:
    """How many candidates were not kept, by reason (without its details), most frequent first."""
    others = samples.reason[~samples.kept.astype(bool)]
    return dict(Counter(sound(str(reason)).split(":")[0] or "no reason given" for reason in others).most_common())


def _read_samples(folder: Path) -> pd.DataFrame:
    try:
        if (folder / "samples.parquet").is_file():
            samples = pd.read_parquet(folder / "samples.parquet")
        elif (folder / "samples.csv").is_file():
            samples = _read_csv(folder / "samples.csv")
        else:
            raise ArtifactError(
                f"{folder} holds no samples.parquet or samples.csv: name the folder of a run that made samples, "
                "such as that of fac-lab demo"
            )
    except (OSError, ValueError, csv.Error) as error:
        raise ArtifactError(f"the samples in {folder} cannot be read ({error}); run what made them again") from error
    lacking = [name for name in ("text", "label", "feature", "activation", "kept", "reason") if name not in samples]
    if lacking:
        raise ArtifactError(f"the samples in {folder} have no column {', '.join(lacking)}; run what made them again")
    return with_ids(samples)


def _read_after(path: Path) -> pd.DataFrame | None:
    if not path.is_file():
        return None
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); run what made it again, or remove it") from error


def _read_profile(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        return dict(parse_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}); run what made it again, or remove it") from error


def _read_csv(path: Path) -> pd.DataFrame:
    # Not pandas' reader, which takes "NA" and "null" for missing and ends a text at a null character.
    csv.field_size_limit(LONGEST_CELL)
    with path.open(encoding="utf-8", newline="") as file:
        frame = pd.DataFrame(csv.DictReader(file, strict=True))
    for name in [name for name in NUMBERS if name in frame]:
        frame[name] = pd.to_numeric(frame[name].replace("", np.nan))
    if "kept" in frame and not frame.kept.isin(("True", "False")).all():
        raise ValueError("kept is neither True nor False somewhere")
    return frame.assign(kept=frame.kept == "True") if "kept" in frame else frame


def _write_rows(rows: list[dict[str, Any]], path: Path) -> None:
    if path.suffix == ".parquet":
        frame = pd.DataFrame(rows)
        whole = [name for name in ("feature", "seed", "label") if name in frame]
        frame.astype(dict.fromkeys(whole, "Int64")).to_parquet(path, index=False)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    else:
        _write_json(rows, path)


def _write_json(value: Any, path: Path) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _different(frame: pd.DataFrame, name: str) -> dict[str, int]:
    """Values of a column with their numbers, most frequent first; empty ones and absent columns left out."""
    values = frame[name] if name in frame else pd.Series(dtype=object)
    return {sound(str(value)): int(n) for value, n in values.value_counts().items() if str(value)}


def _corpora(made_by: Mapping[str, Any]) -> list[str]:
    return sorted(set(made_by.get("corpora", {}).values()))


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or (isinstance(value, float) and not np.isfinite(value)):
        return None
    value = value.item() if isinstance(value, np.generic) else value
    return sound(value) if isinstance(value, str) else value
