"""FeatureStats on disk: npz for numbers, parquet for spans, JSON for the rest. Nothing is pickled.

`stats.json` is written last and removed first, so a folder that has it is whole.
"""

import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from fac_lab.atomic import write_atomic
from fac_lab.collect_protocol import PAPER
from fac_lab.errors import ArtifactError, short
from fac_lab.features.spans import SpanTable
from fac_lab.features.stats import FeatureStats
from fac_lab.parse import parse_json

FORMAT = 1
SUMMARY = "stats.json"
_COUNTS = ("n_samples", "n_tokens", "n_truncated")
_FACTS = dict.fromkeys(("d_sae", "top_spans", *_COUNTS), int) | {"truncated_ids": list, "made_by": dict}
_PEAK = ("peak_start", "peak_stop")
# A zip may say that it is encrypted (RuntimeError) or of a kind that Python does not read (NotImplementedError).
_UNREADABLE = (OSError, EOFError, ValueError, LookupError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error)


def save_stats(stats: FeatureStats, folder: Path) -> None:
    """Write the statistics into `folder`, replacing any that are there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with suppress(OSError):  # where nothing can be removed, the first write below says why
        (folder / SUMMARY).unlink()
    flat = stats.histogram.reshape(-1)
    index = np.flatnonzero(flat)  # most features light few bins: 1 % of the array at 65,536 features
    write_npz(folder / "counts.npz", index=index, count=flat[index], maximum=stats.maximum)
    table = stats.top.table()
    columns = {name: getattr(table, name) for name in ("feature", "value", "sample_id", "text")}
    columns |= {name: table.peak[:, side] for side, name in enumerate(_PEAK)}
    texts = {name: pa.array(columns[name], pa.large_string()) for name in ("sample_id", "text")}
    write_atomic(folder / "spans.parquet", lambda path: pq.write_table(pa.table({**columns, **texts}), path))
    if stats.matrix is not None:
        matrix = stats.matrix.tocsr()
        write_npz(folder / "matrix.npz", data=matrix.data, indices=matrix.indices, indptr=matrix.indptr)
        ids = pa.table({"sample_id": pa.array(stats.sample_ids, pa.large_string())})
        write_atomic(folder / "samples.parquet", lambda path: pq.write_table(ids, path))
    facts = {
        "format": FORMAT,
        "d_sae": stats.d_sae,
        "top_spans": stats.top.k,
        "n_samples": stats.n_samples,
        "n_tokens": stats.n_tokens,
        "n_truncated": stats.n_truncated,
        "truncated_ids": stats.truncated_ids,
        "has_matrix": stats.matrix is not None,
        "made_by": stats.made_by,
    }
    write_json(folder / SUMMARY, facts)


def load_stats(folder: Path) -> FeatureStats:
    """Read what `save_stats` wrote; ArtifactError where that is impossible."""
    import pyarrow.parquet as pq

    facts = read_json(folder / SUMMARY, format=FORMAT)
    with reading(folder / SUMMARY):
        for name, kind in _FACTS.items():
            if type(facts[name]) is not kind:
                raise ValueError(f"{name} is no {kind.__name__}")
        if not all(isinstance(sample_id, str) for sample_id in facts["truncated_ids"]):
            raise ValueError("an id is no text")
        stats = FeatureStats.empty(facts["d_sae"], facts["top_spans"], facts["made_by"])
        if "pool" in stats.made_by:
            # Statistics of a time before protocols were recorded were all collected as in `paper`.
            stats.made_by.setdefault("protocol", PAPER.record())
        for name in _COUNTS:
            setattr(stats, name, facts[name])
        stats.truncated_ids = facts["truncated_ids"]
        has_matrix = facts["has_matrix"]
    with reading(folder / "counts.npz") as path:
        arrays = read_npz(path)
        # Checked, because NumPy would take a negative index or a single maximum without complaint.
        if arrays["maximum"].shape != (stats.d_sae,) or (arrays["index"] < 0).any():
            raise ValueError("its arrays do not fit stats.json")
        stats.histogram.reshape(-1)[arrays["index"]] = arrays["count"]
        stats.maximum[:] = arrays["maximum"]
    with reading(folder / "spans.parquet") as path:
        columns = pq.read_table(path).to_pydict()
        feature = np.array(columns["feature"], np.int64)
        if len(feature) and not 0 <= feature.min() <= feature.max() < stats.d_sae:
            raise ValueError("it names features that do not exist")
        stats.top.offer(
            SpanTable(
                feature,
                np.array(columns["value"], np.float32),
                np.array(columns["sample_id"], dtype=object),
                np.array(columns["text"], dtype=object),
                np.stack([np.array(columns[name], np.int64) for name in _PEAK], axis=1),
            )
        )
    if has_matrix:
        from scipy import sparse

        shape = (stats.n_samples, stats.d_sae)
        with reading(folder / "matrix.npz") as path:
            arrays = read_npz(path)
            columns = (arrays["data"], arrays["indices"], arrays["indptr"])
            stats.matrix = sparse.csr_matrix(columns, shape=shape)
        with reading(folder / "samples.parquet") as path:
            stats.sample_ids = pq.read_table(path)["sample_id"].to_pylist()
    return stats


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays, compressed."""
    # Of Any, because NumPy has a parameter of its own among the names of arrays.
    named: dict[str, Any] = arrays
    write_atomic(path, lambda temporary: np.savez_compressed(temporary, **named))


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read what `write_npz` wrote; nothing pickled is opened."""
    # A file of our own, because np.load leaves the one it opened to the garbage collector if it fails.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return dict(arrays)


def write_json(path: Path, value: dict) -> None:
    """Write a JSON object; NaN is refused, because other readers refuse it."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomic(path, lambda temporary: temporary.write_text(text + "\n", encoding="utf-8"))


def read_json(path: Path, *, format: int) -> dict:
    """Read a JSON object that has this `format` number; ArtifactError for anything else."""
    if not path.is_file():
        raise ArtifactError(f"{path} is not there: nothing was saved to the end in {path.parent}; make it again")
    with reading(path):
        value = parse_json(path.read_text(encoding="utf-8"))
        found = value["format"]
    if found != format:
        raise ArtifactError(
            f"{path} has format {found}, this version reads {format}: delete {path.parent} and make it again"
        )
    return value


@contextmanager
def reading(path: Path) -> Iterator[Path]:
    """Turn every way in which a damaged or foreign file fails into an ArtifactError with the cure."""
    try:
        yield path
    except _UNREADABLE as error:
        raise ArtifactError(
            f"{path} cannot be read ({type(error).__name__}: {short(error)}): delete {path.parent} and make it again"
        ) from error
