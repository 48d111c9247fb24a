"""Labels that others published: explanation files of Neuronpedia, and links to its pages.

Files are what its exports hold (`v1/MODEL/SOURCE/explanations/batch-0.jsonl.gz`, one object a line) and what its API
answers (a list of such objects, or features with their list of `explanations`).
"""

import gzip
import math
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from fac_lab.errors import DataError
from fac_lab.parse import parse_json
from fac_lab.rows import Rejection

HOST = "www.neuronpedia.org"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_MAX_TEXT = 2000


class ImportedLabel(NamedTuple):
    """One published explanation of a feature."""

    feature: int
    summary: str
    """At most 2,000 characters of it."""
    by: str | None
    """The model that wrote it, where the file says so."""
    score: float | None
    """Its best score in the file, on whatever scale that has; None where there is none."""


class ImportedLabels(NamedTuple):
    """What a file held."""

    source: str
    """"MODEL/SOURCE" as Neuronpedia names it, or the name of a file that does not say."""
    labels: dict[int, ImportedLabel]
    """By feature: of several explanations the one with the best score, else the first."""
    rejected: list[Rejection]
    """Entries that could not be used, and why."""


def read_labels(path: str | Path, *, d_sae: int, source: str | None = None) -> ImportedLabels:
    """Read explanations from a .json, .jsonl or .jsonl.gz file.

    `source` is the SAE's id on Neuronpedia, "MODEL/SOURCE", where it is known. Raises DataError for a file that
    cannot be read or has no explanation in it, and, naming both, for one of another SAE.
    """
    path = Path(path)
    labels: dict[int, ImportedLabel] = {}
    rejected: list[Rejection] = []
    sources: set[str] = set()
    for number, entry in _entries(path):
        found = _labels_of(entry, d_sae) if isinstance(entry, dict) else "is no object"
        if isinstance(found, str):
            rejected.append(Rejection(number, None, found))
            continue
        if (named := _source_of(entry)) is not None:
            sources.add(named)
        for label in found:
            held = labels.get(label.feature)
            if held is None or _rank(label) > _rank(held):
                labels[label.feature] = label
    others = sorted(sources - {source}) if source else sorted(sources)[1:]
    if others:
        raise DataError(
            f"{path} holds explanations of {others[0]}, but the features shown are those of "
            f"{source or sorted(sources)[0]}: features of two SAEs have nothing to do with each other. Choose the "
            "file of this SAE"
        )
    if not labels:
        why = f"; row {rejected[0].row}: {rejected[0].reason}" if rejected else ""
        raise DataError(f"{path} holds no explanation of a feature{why}. Choose an `explanations` file")
    return ImportedLabels(next(iter(sources), path.name), labels, rejected)


def page_url(neuronpedia_id: str | None, feature: int) -> str | None:
    """Address of a feature's page, https://www.neuronpedia.org/MODEL/SOURCE/FEATURE; None for an id that is none.

    The id comes from an SAE's metadata, which anybody may have written: nothing but two plain names is taken.
    """
    if not isinstance(neuronpedia_id, str) or not _ID.fullmatch(neuronpedia_id):
        return None
    url = f"https://{HOST}/{neuronpedia_id}/{int(feature)}"
    return url if urlsplit(url)[:2] == ("https", HOST) else None


def _entries(path: Path) -> Iterator[tuple[int, Any]]:
    """Number and object of each entry, from 1."""
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read ({error}): a .json, .jsonl or .jsonl.gz file in UTF-8 is wanted"
        ) from error
    try:
        whole = parse_json(text)
    except ValueError:
        # Lines are told apart by \n only: splitlines would break at characters that may stand inside a JSON text.
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                try:
                    yield number, parse_json(line)
                except ValueError as error:
                    yield number, f"unreadable ({error})"
        return
    if isinstance(whole, dict) and "index" not in whole and "feature" not in whole:
        whole = whole.get("explanations", whole.get("features", []))
    yield from enumerate(whole if isinstance(whole, list) else [whole], start=1)


def _labels_of(entry: dict[str, Any], d_sae: int) -> list[ImportedLabel] | str:
    """The explanations in one entry, or why there is none."""
    index = entry.get("index", entry.get("feature"))
    try:
        feature = int(str(index))
    except ValueError:
        return f"its index {index!r} is not a number"
    if not 0 <= feature < d_sae:
        return f"there is no feature {feature}, only 0 to {d_sae - 1}"
    listed = entry.get("explanations")
    found = []
    for item in listed if isinstance(listed, list) else [entry]:
        text = item if isinstance(item, str) else item.get("description") if isinstance(item, dict) else None
        if isinstance(text, str) and text.strip():
            by = item.get("explanationModelName") if isinstance(item, dict) else None
            score = _best_score(item) if isinstance(item, dict) else None
            found.append(ImportedLabel(feature, text.strip()[:_MAX_TEXT], by if isinstance(by, str) else None, score))
    return found or "it has no description"


def _rank(label: ImportedLabel) -> float:
    return -math.inf if label.score is None else label.score


def _best_score(item: dict[str, Any]) -> float | None:
    scores = item.get("scores")
    listed = scores if isinstance(scores, list) else []
    values = [score.get("value") if isinstance(score, dict) else score for score in listed]
    known = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    # No score is anywhere near the largest number of floats, which whole numbers in JSON may exceed.
    return max((float(value) for value in known if abs(value) < sys.float_info.max), default=None)


def _source_of(entry: dict[str, Any]) -> str | None:
    model, layer = entry.get("modelId"), entry.get("layer")
    return f"{model}/{layer}" if isinstance(model, str) and isinstance(layer, str) else None
