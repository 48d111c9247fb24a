"""Reading feature activations from texts: streamed, batched by length, reduced at once, resumable.

A chunk of rows is tokenized, sorted by length and run through the subject in batches of a fixed number of
tokens, padding included; each batch is reduced to its positive maxima before the next one. So memory is that
of one chunk, and little of the work is padding. Compared with batches in corpus order, results differ by the
rounding of the subject's arithmetic only.
"""

import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fac_lab.ahead import ahead
from fac_lab.errors import ArtifactError, DataError
from fac_lab.features.archive import SUMMARY
from fac_lab.features.batches import Budget
from fac_lab.features.encoder import Encoder, Pooled
from fac_lab.features.pooling import Progress, blocks
from fac_lab.features.stats import FeatureStats
from fac_lab.features.subject import Subject
from fac_lab.features.tokens import TokenizedText
from fac_lab.settings import CollectSettings
from fac_lab.store import Artifact

if TYPE_CHECKING:
    from fac_lab.corpora import Corpus, Row

T = TypeVar("T")
log = logging.getLogger(__name__)

# A part is saved after the chunk in which this time has passed: a kill loses a minute at most, and saving
# stays far below a tenth of the time.
PART_SECONDS = 30.0


def collect(
    subject: Subject,
    sae: Any,
    corpus: "Corpus",
    settings: CollectSettings,
    *,
    artifact: Artifact | None = None,
    keep_matrix: bool = False,
    progress: bool = True,
) -> FeatureStats:
    """Statistics of every feature of `sae` over the rows of `corpus`.

    With an `artifact`, parts are saved below its folder while running, a rerun continues behind the last
    whole part, and the result is saved in the folder itself (if it is there already, it is returned at once).
    `keep_matrix` adds the pooled activations `[n_samples, d_sae]` in corpus order, which alone grow with the
    corpus.

    Rows that the corpus rejects are listed in `corpus.rejections`; texts cut to the subject's limit are
    counted in `n_truncated`. Raises DataError (from the corpus) where no row is usable, ArtifactError for
    saved parts that were made from other inputs.
    """
    encoder = Encoder(sae, top_k=settings.protocol.selects)
    made_by = {
        "subject": subject.digest,
        "sae": encoder.digest,
        "pool": settings.pool,
        "span_tokens": settings.span_tokens,
        "protocol": settings.protocol.record(),
        "corpora": {corpus.digest: corpus.name},
    }
    total = FeatureStats.empty(encoder.d_sae, settings.top_spans, made_by)
    parts: Path | None = None
    if artifact is not None:
        if (artifact.path / SUMMARY).exists():
            return _checked(artifact.path, made_by)
        parts = artifact.path / "parts"
        total = _finished_parts(parts, total)
    with Progress(_length(corpus), total.n_samples, corpus.name, progress) as bar:
        rows = islice(corpus, total.n_samples, None)
        for part in _parts(subject, encoder, rows, settings, made_by, keep_matrix, bar):
            if parts is not None:
                part.save(parts / f"{total.n_samples:012d}")
            total = total.merge(part)
    if total.n_truncated:
        log.warning(
            "%s: %d of %d texts were longer than %d tokens and were cut on the right",
            corpus.name,
            total.n_truncated,
            total.n_samples,
            subject.max_tokens,
        )
    if artifact is not None and parts is not None:
        total.save(artifact.path)
        shutil.rmtree(parts, ignore_errors=True)
    return total


def measure(
    subject: Subject,
    sae: Any,
    texts: Sequence[str],
    features: Sequence[int] | np.ndarray | None = None,
    settings: CollectSettings | None = None,
    *,
    progress: bool = False,
) -> np.ndarray:
    """Pooled activations of some texts, float32 `[n_texts, n_features]`, 0 where a feature is not active.

    `features` are the columns, in that order; None is all of them, which at 65,536 features is 0.26 MB per
    text. Texts may be empty: what the template's suffix activates counts for them, if it is pooled.
    """
    settings = settings or CollectSettings()
    encoder = Encoder(sae, top_k=settings.protocol.selects)
    asked = np.arange(encoder.d_sae) if features is None else np.asarray(features, dtype=np.int64).reshape(-1)
    if len(asked) and not 0 <= asked.min() <= asked.max() < encoder.d_sae:
        raise DataError(f"features lie in 0 to {encoder.d_sae - 1}, but {asked.min()} to {asked.max()} were asked for")
    distinct, column_of = np.unique(asked, return_inverse=True)
    values = np.zeros((len(texts), len(distinct)), np.float32)
    budget = Budget(settings.batch_tokens)
    with Progress(len(texts), 0, "measure", progress) as bar:
        for start in range(0, len(texts), settings.chunk):
            tokens = subject.tokenize(texts[start : start + settings.chunk], settings.pool, settings.protocol)
            for members, pooled in blocks(subject, encoder, tokens, budget, bar):
                rows = np.flatnonzero(np.isin(pooled.feature, distinct))
                columns = np.searchsorted(distinct, pooled.feature[rows])
                values[start + members[pooled.sample[rows]], columns] = pooled.value[rows]
    return values[:, column_of]


def _parts(
    subject: Subject,
    encoder: Encoder,
    rows: Iterable["Row"],
    settings: CollectSettings,
    made_by: dict,
    keep_matrix: bool,
    bar: Progress,
) -> Iterator[FeatureStats]:
    """Statistics of successive runs of whole chunks, each worth about PART_SECONDS."""
    decode = subject.tokenizer.decode if settings.protocol.span == "before" else None
    part = FeatureStats.empty(encoder.d_sae, settings.top_spans, made_by)
    entries, sample_ids, began = [], [], monotonic()
    for ids, texts, tokens, members, pooled, left in _side_by_side(
        subject, _blocks(subject, encoder, rows, settings, bar)
    ):
        named = ([column[i] for i in members] for column in (ids, texts, tokens))
        part.update(pooled, *named, span_tokens=settings.span_tokens, decode=decode)
        if keep_matrix:
            entries.append((len(sample_ids) + members[pooled.sample], pooled.feature, pooled.value))
        if left:
            continue
        sample_ids += ids
        if monotonic() - began >= PART_SECONDS:
            yield _with_matrix(part, entries, sample_ids) if keep_matrix else part
            part = FeatureStats.empty(encoder.d_sae, settings.top_spans, made_by)
            entries, sample_ids, began = [], [], monotonic()
    if sample_ids:
        yield _with_matrix(part, entries, sample_ids) if keep_matrix else part


def _side_by_side(subject: Subject, items: Iterator[T]) -> Iterator[T]:
    """The items, made in another thread where the subject is on a GPU. On a CPU that would take turns with the
    matrix products, and was slower (1.5 to 1.9 instead of 1.4 times the floor on two threads)."""
    return items if subject.device.type == "cpu" else ahead(items)


def _with_matrix(part: FeatureStats, entries: Sequence[tuple], sample_ids: list[str]) -> FeatureStats:
    from scipy import sparse

    row, column, value = (np.concatenate(one) for one in zip(*entries, strict=True))
    part.matrix = sparse.csr_matrix((value, (row, column)), shape=(len(sample_ids), part.d_sae))
    part.sample_ids = sample_ids
    return part


def _blocks(
    subject: Subject, encoder: Encoder, rows: Iterable["Row"], settings: CollectSettings, bar: Progress
) -> Iterator[tuple[list[str], list[str], list[TokenizedText], np.ndarray, Pooled, int]]:
    """Ids, texts and tokens of a chunk, a block of it as in `pooling.blocks`, and how many of its texts are left."""
    budget = Budget(settings.batch_tokens)
    for ids, texts, tokens in _side_by_side(subject, _tokenized(subject, iter(rows), settings)):
        left = len(ids)
        for members, pooled in blocks(subject, encoder, tokens, budget, bar):
            left -= len(members)
            yield ids, texts, tokens, members, pooled, left


def _tokenized(
    subject: Subject, rows: Iterator["Row"], settings: CollectSettings
) -> Iterator[tuple[list[str], list[str], list[TokenizedText]]]:
    while chunk := list(islice(rows, settings.chunk)):
        ids, texts = [row.id for row in chunk], [row.text for row in chunk]
        if len(set(ids)) < len(ids):
            raise DataError("two samples of one chunk have the same id; give every row an id of its own")
        yield ids, texts, subject.tokenize(texts, settings.pool, settings.protocol)


def _finished_parts(folder: Path, total: FeatureStats) -> FeatureStats:
    """`total` with the parts of an interrupted run that follow each other from the first row on.

    A part is named by the number of rows before it. One that was not finished is written over; one behind a
    hole would be counted twice once the hole is filled, and is removed.
    """
    for path in sorted(folder.glob("*")):
        if not (path / SUMMARY).exists():
            continue
        if path.name != f"{total.n_samples:012d}":
            log.warning("%s does not follow the part before it: removed, its rows are read again", path)
            shutil.rmtree(path)
            continue
        total = total.merge(_checked(path, total.made_by))
    if total.n_samples:
        log.info("%s: continuing behind %d samples", folder.parent, total.n_samples)
    return total


def _checked(folder: Path, made_by: dict) -> FeatureStats:
    stats = FeatureStats.load(folder)
    if stats.made_by != made_by:
        raise ArtifactError(f"{folder} was made from other inputs ({stats.made_by}): delete it and run again")
    return stats


def _length(corpus: Any) -> int | None:
    """Rows of a corpus that knows how many it has."""
    try:
        return len(corpus)
    except TypeError:
        return None
