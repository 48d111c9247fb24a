"""Collection against one text at a time, over batch sizes, interruptions and odd rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fac_lab.corpora import Corpus, Row
from fac_lab.coverage import cover
from fac_lab.errors import ArtifactError, DataError, ModelError
from fac_lab.features import collect as module
from fac_lab.features.collect import collect, measure
from fac_lab.features.stats import FeatureStats
from fac_lab.settings import CollectSettings, CoverageRule
from fac_lab.store import Store

SETTINGS = CollectSettings(batch_tokens=120, chunk=7, top_spans=3, span_tokens=6)
WORDS = ("bake", "bread", "moon", "tide", "Zwölf", "Bäume", "🌳", "a", "b", "How", "do", "I", "tell", "facts")


def rows(n: int, seed: int = 0) -> list[Row]:
    draw = np.random.default_rng(seed)
    texts = [" ".join(draw.choice(WORDS, draw.integers(1, 14))) for _ in range(n)]
    return [Row(f"r{i:03d}", text) for i, text in enumerate(texts)]


def slow_pool(subject, sae, text: str, pool: str = "paper"):
    """The definition: one text, every token, the maximum and where it is."""
    tokens = subject.tokenize([text], pool)[0]
    if tokens.start == tokens.stop:
        return np.zeros(sae.cfg.d_sae, np.float32), np.zeros(sae.cfg.d_sae, int), tokens
    with torch.inference_mode():
        activations = subject.activations(*subject.batch([tokens]))[0, tokens.start : tokens.stop]
        features = sae.encode(activations)
    best = features.max(dim=0)
    return best.values.clamp(min=0).numpy(), best.indices.numpy(), tokens


def same(a: FeatureStats, b: FeatureStats) -> bool:
    """Equal, but for the rounding that another batch brings."""
    sizes = ("n_samples", "n_tokens", "n_truncated", "truncated_ids", "made_by")
    assert {name: getattr(a, name) for name in sizes} == {name: getattr(b, name) for name in sizes}
    # A value within rounding of an edge may change sides.
    assert np.abs(a.histogram - b.histogram).sum() <= 2
    np.testing.assert_allclose(a.maximum, b.maximum, rtol=1e-4)
    for feature in range(a.d_sae):
        ours, theirs = a.spans(feature), b.spans(feature)
        assert [span._replace(value=0) for span in ours] == [span._replace(value=0) for span in theirs]
        np.testing.assert_allclose([s.value for s in ours], [s.value for s in theirs], rtol=2e-3)
    return True


@pytest.mark.parametrize("pool", ["paper", "content"])
@pytest.mark.parametrize("architecture", ["topk", "standard"])
def test_collect_is_the_definition(any_subject, make_sae, architecture, pool):
    sae, corpus = make_sae(architecture), Corpus.from_rows("texts", rows(30))
    settings = CollectSettings(batch_tokens=120, chunk=7, top_spans=3, span_tokens=6, pool=pool)
    stats = collect(any_subject, sae, corpus, settings, keep_matrix=True, progress=False)
    slow = [slow_pool(any_subject, sae, row.text, pool) for row in corpus]
    values = np.stack([value for value, _, _ in slow])
    np.testing.assert_allclose(stats.matrix.toarray(), values, rtol=1e-4, atol=1e-5)
    assert stats.sample_ids == [row.id for row in corpus]
    assert stats.n_samples == 30
    assert stats.n_tokens == sum(tokens.stop - tokens.start for _, _, tokens in slow)
    for delta in (0.0, 0.5, 2.0):
        assert stats.counts(delta).tolist() == (stats.matrix > delta).sum(axis=0).tolist()[0]
    np.testing.assert_allclose(stats.maximum, values.max(axis=0), rtol=1e-4)
    texts = {row.id: (row.text, *found) for row, found in zip(corpus, slow, strict=True)}
    for feature in range(stats.d_sae):
        spans = stats.spans(feature)
        expected = np.sort(values[:, feature])[::-1][:3]
        np.testing.assert_allclose([span.value for span in spans], expected[expected > 0], rtol=1e-3)
        for span in spans:
            text, value, position, tokens = texts[span.sample_id]
            assert span.value == pytest.approx(value[feature], rel=1e-3)
            assert span.text in text
            start, stop = tokens.offsets[position[feature]]
            assert span.text[slice(*span.peak)] == text[start:stop]


@pytest.mark.parametrize(("batch_tokens", "chunk"), [(1, 1), (60, 5), (10_000, 100)])
def test_batching_and_chunking_change_nothing(make_subject, make_sae, batch_tokens, chunk):
    subject, sae, corpus = make_subject("llama"), make_sae(), Corpus.from_rows("texts", rows(25))
    settings = CollectSettings(batch_tokens=batch_tokens, chunk=chunk, top_spans=3, span_tokens=6)
    assert same(
        collect(subject, sae, corpus, settings, progress=False),
        collect(subject, sae, corpus, SETTINGS, progress=False),
    )


@pytest.mark.parametrize("rule", [CoverageRule(delta=0.5), CoverageRule(kind="anchor_quantile", quantile=0.8)])
def test_missing_features_do_not_depend_on_batches_or_parts(make_subject, make_sae, rule):
    subject, sae, texts = make_subject("mistral"), make_sae(), rows(36)
    ways = [(1, 1, 1), (60, 5, 1), (10_000, 100, 1), (120, 7, 3), (300, 4, 5)]
    found = []
    for batch_tokens, chunk, parts in ways:
        settings = CollectSettings(batch_tokens=batch_tokens, chunk=chunk, top_spans=3, span_tokens=6)
        anchor, seed = FeatureStats.empty(sae.cfg.d_sae, 3), FeatureStats.empty(sae.cfg.d_sae, 3)
        for part in reversed(range(parts)):
            corpora = [Corpus.from_rows(f"{n} {part}", texts[:n][part::parts]) for n in (36, 6)]
            one, other = (collect(subject, sae, corpus, settings, progress=False) for corpus in corpora)
            anchor, seed = anchor.merge(one), seed.merge(other)
        found.append(cover(anchor, seed, rule))
    assert len(found[0].missing) > 3
    for other in found[1:]:
        assert other.missing.tolist() == found[0].missing.tolist()
        assert other.fac == found[0].fac and other.delta == found[0].delta


def test_parts_of_a_corpus_merge_to_the_whole(make_subject, make_sae):
    subject, sae, texts = make_subject("qwen2"), make_sae(), rows(24)
    whole = collect(subject, sae, Corpus.from_rows("all", texts), SETTINGS, progress=False)
    merged = FeatureStats.empty(whole.d_sae, SETTINGS.top_spans)
    for worker in (2, 0, 1):
        part = Corpus.from_rows(f"part {worker}", texts[worker::3])
        merged = merged.merge(collect(subject, sae, part, SETTINGS, progress=False))
    assert len(merged.made_by["corpora"]) == 3
    merged.made_by = whole.made_by
    assert same(merged, whole)


class Killed(BaseException):
    """Stands for a kill: no handler of the package may catch it."""


def dying(corpus: Corpus, after: int) -> Corpus:
    """The same corpus, but the run dies when it asks for row `after`."""

    def read():
        for number, row in enumerate(corpus):
            if number == after:
                raise Killed
            yield row

    return Corpus(corpus.name, corpus.digest, read)


@pytest.mark.parametrize("keep_matrix", [False, True])
def test_a_killed_run_continues_to_the_same_result(make_subject, make_sae, tmp_path, monkeypatch, keep_matrix):
    subject, sae, corpus = make_subject("llama"), make_sae(), Corpus.from_rows("texts", rows(40))
    expected = collect(subject, sae, corpus, SETTINGS, keep_matrix=keep_matrix, progress=False)
    monkeypatch.setattr(module, "PART_SECONDS", 0.0)
    artifact = Store(tmp_path).artifact("stats", version=1)

    def run(source):
        return collect(subject, sae, source, SETTINGS, artifact=artifact, keep_matrix=keep_matrix, progress=False)

    for after in (5, 15, 36):
        with pytest.raises(Killed):
            run(dying(corpus, after))
    # Chunks have 7 rows: 36 rows make the parts of rows 0 to 28.
    parts = sorted(path.name for path in (artifact.path / "parts").iterdir())
    assert [int(name) for name in parts] == [0, 7, 14, 21, 28]
    # Only what the parts do not hold is read by the model again.
    seen = []
    monkeypatch.setattr(type(subject), "tokenize", spy(type(subject).tokenize, seen))
    stats = run(corpus)
    assert sum(seen) == 5
    assert same(stats, expected)
    if keep_matrix:
        np.testing.assert_allclose(stats.matrix.toarray(), expected.matrix.toarray(), rtol=1e-4, atol=1e-6)
        assert stats.sample_ids == expected.sample_ids
    assert not (artifact.path / "parts").exists()
    assert same(FeatureStats.load(artifact.path), expected)
    # Asked for again, it is read.
    assert same(run(dying(corpus, 0)), expected)


def spy(tokenize, seen: list[int]):
    def counted(self, texts, *how):
        seen.append(len(texts))
        return tokenize(self, texts, *how)

    return counted


def interrupted(subject, sae, corpus, artifact, monkeypatch):
    monkeypatch.setattr(module, "PART_SECONDS", 0.0)
    with pytest.raises(Killed):
        collect(subject, sae, dying(corpus, 36), SETTINGS, artifact=artifact, progress=False)
    return artifact.path / "parts"


def test_unfinished_and_stray_parts_are_made_again(make_subject, make_sae, tmp_path, monkeypatch):
    subject, sae, corpus = make_subject("llama"), make_sae(), Corpus.from_rows("texts", rows(40))
    expected = collect(subject, sae, corpus, SETTINGS, progress=False)
    artifact = Store(tmp_path).artifact("stats", version=1)
    parts = interrupted(subject, sae, corpus, artifact, monkeypatch)
    # Killed while this one was written, so those behind it stand behind a hole.
    (parts / f"{7:012d}" / "stats.json").unlink()
    stats = collect(subject, sae, corpus, SETTINGS, artifact=artifact, progress=False)
    assert same(stats, expected)


def test_a_damaged_part_is_an_error_with_the_cure(make_subject, make_sae, tmp_path, monkeypatch):
    subject, sae, corpus = make_subject("llama"), make_sae(), Corpus.from_rows("texts", rows(40))
    artifact = Store(tmp_path).artifact("stats", version=1)
    parts = interrupted(subject, sae, corpus, artifact, monkeypatch)
    (parts / f"{7:012d}" / "counts.npz").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"0007/counts.npz.* delete .*0007 and make it again"):
        collect(subject, sae, corpus, SETTINGS, artifact=artifact, progress=False)


def test_parts_of_other_inputs_are_refused(make_subject, make_sae, tmp_path, monkeypatch):
    subject, sae, corpus = make_subject("llama"), make_sae(), Corpus.from_rows("texts", rows(40))
    artifact = Store(tmp_path).artifact("stats", version=1)
    interrupted(subject, sae, corpus, artifact, monkeypatch)
    with pytest.raises(ArtifactError, match="other inputs"):
        collect(subject, make_sae(seed=1), corpus, SETTINGS, artifact=artifact, progress=False)


def test_the_origin_names_what_made_the_numbers(make_subject, make_sae):
    subject, sae, corpus = make_subject("llama"), make_sae(), Corpus.from_rows("texts", rows(3))
    made_by = collect(subject, sae, corpus, SETTINGS, progress=False).made_by
    other = collect(make_subject("llama", seed=1), make_sae(seed=1), corpus, SETTINGS, progress=False).made_by
    assert {key for key in made_by if made_by[key] != other[key]} == {"subject", "sae"}
    assert made_by["corpora"] == {corpus.digest: "texts"}
    assert (made_by["pool"], made_by["span_tokens"]) == ("paper", 6)


def test_long_texts_are_cut_and_counted(make_subject, make_sae, caplog):
    texts = [Row("short", "hi"), Row("long", "bake bread " * 40), Row("longer", "moon tide " * 60)]
    corpus = Corpus.from_rows("texts", texts)
    stats = collect(make_subject("llama", max_tokens=64), make_sae(), corpus, SETTINGS, progress=False)
    assert (stats.n_samples, stats.n_truncated, stats.truncated_ids) == (3, 2, ["long", "longer"])
    assert "2 of 3 texts were longer than 64 tokens" in caplog.text


def test_a_corpus_without_usable_rows_is_an_error(make_subject, make_sae):
    corpus = Corpus.from_rows("blank", [Row("a", "  "), Row("b", "")])
    with pytest.raises(DataError, match="blank has no usable row"):
        collect(make_subject("llama"), make_sae(), corpus, SETTINGS, progress=False)


def test_rejected_rows_are_listed_not_counted(make_subject, make_sae):
    corpus = Corpus.from_rows("some", [Row("a", "hi"), Row("b", ""), Row("a", "twice")])
    stats = collect(make_subject("llama"), make_sae(), corpus, SETTINGS, progress=False)
    assert stats.n_samples == 1
    assert [rejection.row for rejection in corpus.rejections] == [2, 3]


def test_the_bar_shows_samples_and_tokens_per_second(make_subject, make_sae, capsys):
    corpus = Corpus.from_rows("my texts", rows(20))
    collect(make_subject("llama"), make_sae(), corpus, SETTINGS)
    shown = capsys.readouterr().err
    assert "my texts" in shown and "20" in shown and "tokens/s" in shown


def test_memory_of_a_chunk_is_released(make_subject, make_sae):
    # A generator of rows is never ahead by more than the chunk in work and the one read for it.
    ahead, most = 0, 0

    def read():
        nonlocal ahead, most
        for row in rows(60):
            ahead += 1
            most = max(most, ahead)
            yield row

    subject, sae = make_subject("llama"), make_sae()
    tokenize = type(subject).tokenize

    def counted(self, texts, *how):
        nonlocal ahead
        ahead -= len(texts)
        return tokenize(self, texts, *how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(subject), "tokenize", counted)
        collect(subject, sae, Corpus("stream", "d", read), SETTINGS, progress=False)
    assert (ahead, most) == (0, SETTINGS.chunk)


def test_measure_is_the_definition(any_subject, make_sae):
    sae, texts = make_sae(), [row.text for row in rows(17)]
    slow = np.stack([slow_pool(any_subject, sae, text)[0] for text in texts])
    np.testing.assert_allclose(measure(any_subject, sae, texts, settings=SETTINGS), slow, rtol=1e-4, atol=1e-5)
    features = [9, 2, 9, 63]
    some = measure(any_subject, sae, texts, features, SETTINGS)
    assert some.dtype == np.float32
    np.testing.assert_allclose(some, slow[:, features], rtol=1e-4, atol=1e-5)


def test_measure_takes_empty_texts_and_empty_lists(make_subject, make_sae):
    sae = make_sae()
    for architecture in ("llama", "gpt2", "bert"):
        subject = make_subject(architecture)
        found = measure(subject, sae, ["", "hi"])
        np.testing.assert_allclose(found[0], slow_pool(subject, sae, "")[0], rtol=1e-4, atol=1e-5)
        assert (found[1] > 0).any()
        assert measure(subject, sae, []).shape == (0, 64)
        assert measure(subject, sae, ["hi"], []).shape == (1, 0)
    # Without a template nothing is left to pool; with one its suffix is.
    assert not measure(make_subject("gpt2"), sae, [""]).any()
    assert measure(make_subject("llama"), sae, [""]).any()


@pytest.mark.parametrize("feature", [-1, 64])
def test_measure_refuses_features_that_do_not_exist(make_subject, make_sae, feature):
    with pytest.raises(DataError, match="0 to 63"):
        measure(make_subject("llama"), make_sae(), ["hi"], [0, feature])


@pytest.mark.parametrize("limit", [60, 200])
def test_where_memory_does_not_suffice_batches_are_halved(make_subject, make_sae, monkeypatch, caplog, limit):
    subject, sae, corpus = make_subject("llama"), make_sae(), Corpus.from_rows("texts", rows(40))
    expected = collect(subject, sae, corpus, SETTINGS, progress=False)
    activations, sizes = type(subject).activations, []

    def scarce(self, ids, mask):
        sizes.append(ids.numel())
        if ids.numel() > limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return activations(self, ids, mask)

    monkeypatch.setattr(type(subject), "activations", scarce)
    assert same(collect(subject, sae, corpus, replace(SETTINGS, batch_tokens=1000), progress=False), expected)
    assert "memory did not suffice" in caplog.text and "batches of" in caplog.text
    # What was learned holds for the chunks that follow.
    assert sum(size > limit for size in sizes) <= 5 < sum(size <= limit for size in sizes)


def test_one_text_that_does_not_fit_is_an_error_with_its_cure(make_subject, make_sae, monkeypatch):
    subject, corpus = make_subject("llama"), Corpus.from_rows("texts", rows(4))

    def never(self, ids, mask):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(type(subject), "activations", never)
    with pytest.raises(ModelError, match=r"one text of \d+ tokens \(CUDA out of memory.\): lower subject.max_tokens"):
        collect(subject, make_sae(), corpus, SETTINGS, progress=False)
