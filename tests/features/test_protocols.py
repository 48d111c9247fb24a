"""The two protocols of collection, the authors' one held against a re-enactment of their script.

The re-enactment is written from the description of what the script does, with none of the package's code: one text at
a time, every token's features sorted in full, Python loops over features.
"""

import bisect
from dataclasses import fields, replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from fac_lab.collect_protocol import CODE, NAMED, PAPER, CollectProtocol
from fac_lab.corpora import Corpus, Row
from fac_lab.coverage import cover, diff
from fac_lab.errors import ModelError, SettingsError
from fac_lab.features.collect import collect, measure
from fac_lab.features.saes import load_sae
from fac_lab.features.stats import FeatureStats
from fac_lab.plain import build
from fac_lab.settings import CollectSettings, CoverageRule, SaeSettings

CHAT = ("llama", "mistral", "qwen2")
LAYER, SPAN, TOP = 2, 8, 3
"""The layer by the paper's count, from 1."""
SETTINGS = CollectSettings(batch_tokens=300, chunk=7, top_spans=TOP, span_tokens=SPAN, protocol=CODE)
WORDS = (
    "bake",
    "bread",
    "moon",
    "tide",
    "Zwölf",
    "Bäume",
    "🌳",
    "café",
    "How",
    "do",
    "facts",
    "keep",
    "short",
    "piano",
)


def texts(n: int = 24) -> list[str]:
    """Texts that begin differently, so that no two of them tie; some are long, some shorter than 31 tokens."""
    draw = np.random.default_rng(5)
    return [f"{i * 37 % 101} {' '.join(draw.choice(WORDS, draw.integers(2, 30)))}" for i in range(n)]


def corpus_of(some) -> Corpus:
    return Corpus.from_rows("texts", [Row(f"{i:03d}", text) for i, text in enumerate(some)])


class Found(NamedTuple):
    """What the script writes down for one feature of one text."""

    feature: int
    score: float
    span: str


class Reenactment:
    """The authors' collection, step by step: slow, and on purpose."""

    def __init__(self, model_folder, checkpoint, size: int):
        self.tokenizer = AutoTokenizer.from_pretrained(model_folder)
        self.model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32).eval()
        self.weight = torch.load(checkpoint, weights_only=True)["weight"]
        self.size = size

    @torch.inference_mode()
    def features_of_tokens(self, ids: list[int]) -> list[list[float]]:
        """ReLU features of every token [n, d_sae], by way of a full sort: Top-K with K = all features."""
        states = self.model(torch.tensor([ids]), output_hidden_states=True).hidden_states[LAYER][0]
        rows = []
        for state in states:
            before = ((state - self.weight["b_dec"]) @ self.weight["W_enc"] + self.weight["b_enc"]).tolist()
            kept = [0.0] * len(before)
            for feature in sorted(range(len(before)), key=lambda feature: -before[feature])[: len(before)]:
                kept[feature] = max(0.0, before[feature])
            rows.append(kept)
        return rows

    def read(self, text: str, limit: int) -> list[Found]:
        """One text: rendered, tokenized again, 31 tokens dropped, the maximum of each feature."""
        chat = self.tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False)
        ids = self.tokenizer(chat)["input_ids"][:limit]
        actvs, ids = self.features_of_tokens(ids)[31:], ids[31:]
        found = []
        for feature in range(len(self.weight["b_enc"])):
            best, place = 0.0, None
            for position in range(len(ids)):
                if actvs[position][feature] > best:
                    best, place = actvs[position][feature], position
            if place is not None:
                found.append(Found(feature, best, self.tokenizer.decode(ids[max(0, place - self.size) : place])))
        return found

    def collect(self, some, top: int, limit: int) -> tuple[list[list[Found]], dict[int, list[tuple[float, int, str]]]]:
        """What each text shows, and the strongest spans of each feature, weakest first."""
        by_text, strongest = [], {}
        for number, text in enumerate(some):
            by_text.append(self.read(text, limit))
            for feature, score, span in by_text[-1]:
                held = strongest.setdefault(feature, [])
                if len(held) < top or score > held[0][0]:
                    del held[: max(0, len(held) - top + 1)]
                    bisect.insort(held, (score, number, span))
        return by_text, strongest


@pytest.fixture(scope="module", params=CHAT)
def scene(request, make_subject, model_folder, tmp_path_factory, write_checkpoint):
    """A family's subject, its SAE from the authors' format, and the re-enactment on the same two folders."""
    checkpoint = tmp_path_factory.mktemp(request.param) / f"TopK7_l{LAYER}_h64_epoch3.pth"
    write_checkpoint(checkpoint)
    subject = make_subject(request.param, layer=LAYER - 1)
    sae = load_sae(SaeSettings("authors", str(checkpoint)), subject)
    return subject, sae, Reenactment(model_folder(request.param), checkpoint, SPAN)


def test_code_is_the_authors_algorithm(scene):
    subject, sae, authors = scene
    some = texts()
    by_text, strongest = authors.collect(some, TOP, subject.max_tokens)
    stats = collect(subject, sae, corpus_of(some), SETTINGS, keep_matrix=True, progress=False)
    values = np.zeros((len(some), 64))
    for row, found in enumerate(by_text):
        for feature, score, _ in found:
            values[row, feature] = score
    assert (values > 0).sum() > 200
    ours = stats.matrix.toarray()
    np.testing.assert_allclose(ours, values, rtol=0, atol=1e-4)
    assert np.array_equal(ours > 0, values > 0) or np.abs(values[(ours > 0) != (values > 0)]).max() < 1e-4
    np.testing.assert_allclose(stats.maximum, values.max(0), atol=1e-4)
    spans, settled = [{feature: span for feature, _, span in found} for found in by_text], 0
    for feature in range(64):
        theirs, held = strongest.get(feature, [])[::-1], stats.spans(feature)
        # Values of spans are kept to ten bits.
        np.testing.assert_allclose([span.value for span in held], [score for score, _, _ in theirs], rtol=1e-3)
        assert all(span.text == spans[int(span.sample_id)][feature] for span in held)
        # Where no two texts are as good as equal for a place, the same texts are chosen, in the same order.
        ranked = sorted(values[:, feature], reverse=True)[: TOP + 1]
        if theirs and all(low <= 0 or high / low > 1.002 for high, low in zip(ranked, ranked[1:], strict=False)):
            assert [(int(span.sample_id), span.text) for span in held] == [(n, text) for _, n, text in theirs]
            settled += 1
    # Qwen's template is longer than 31 tokens, so that all texts tie wherever a feature peaks in it.
    assert settled > (0 if "qwen2" in subject.name else 30)


def test_measure_takes_the_protocol_too(scene):
    subject, sae, authors = scene
    text = texts()[3]
    expected = np.zeros(64)
    for feature, score, _ in authors.read(text, subject.max_tokens):
        expected[feature] = score
    np.testing.assert_allclose(measure(subject, sae, [text], settings=SETTINGS)[0], expected, atol=1e-4)
    assert np.abs(measure(subject, sae, [text])[0] - expected).max() > 0.1


def test_the_prompt_is_cut_on_its_right_whatever_it_loses(
    make_subject, model_folder, make_sae, tmp_path, write_checkpoint
):
    checkpoint = tmp_path / f"TopK7_l{LAYER}_h64_epoch3.pth"
    write_checkpoint(checkpoint)
    subject = make_subject("llama", layer=LAYER - 1, max_tokens=48)
    sae = load_sae(SaeSettings("authors", str(checkpoint)), subject)
    long = "the moon and the tide " * 20
    expected = np.zeros(64)
    for feature, score, _ in Reenactment(model_folder("llama"), checkpoint, SPAN).read(long, 48):
        expected[feature] = score
    np.testing.assert_allclose(measure(subject, sae, [long], settings=SETTINGS)[0], expected, atol=1e-4)
    whole, cut = (subject.tokenize([long], "paper", p)[0] for p in (PAPER, CollectProtocol(cut="prompt")))
    assert len(whole.ids) == len(cut.ids) == 48 and whole.truncated and cut.truncated
    # The paper's keeps the template's suffix, the code's loses it first.
    suffix = subject.tokenize([""], "paper")[0].ids[-4:]
    assert np.array_equal(whole.ids[-4:], suffix) and not np.array_equal(cut.ids[-4:], suffix)
    assert whole.offsets[-1] == (len(long), len(long)) != cut.offsets[-1]


def test_top_k_off_lights_more_features_and_lowers_none(scene):
    subject, sae, _ = scene
    kept, all_of = (measure(subject, sae, texts(6), settings=CollectSettings(protocol=p)) for p in (PAPER, relu()))
    assert (all_of > 0).sum() > (kept > 0).sum()
    np.testing.assert_array_less(kept[kept > 0], all_of[kept > 0] + 1e-4)
    assert (np.abs(all_of - kept)[kept > 0] < 1e-4).mean() > 0.5


def relu() -> CollectProtocol:
    return CollectProtocol(top_k=False)


def test_only_top_k_and_relu_saes_can_be_read_as_relu(make_subject, make_sae):
    subject, settings = make_subject("llama"), CollectSettings(protocol=relu())
    standard = make_sae("standard")
    np.testing.assert_array_equal(
        measure(subject, standard, ["hi"], settings=settings), measure(subject, standard, ["hi"])
    )
    with pytest.raises(ModelError, match=r"top_k: false reads a Top-K SAE.*a jumprelu one"):
        measure(subject, make_sae("jumprelu"), ["hi"], settings=settings)


def test_a_fixed_prefix_eats_short_texts_or_leaves_template(make_subject):
    fixed = CollectProtocol(prefix="fixed")
    short = "How do I bake sourdough bread at home?"
    for family in CHAT:
        subject = make_subject(family)
        paper, code = (subject.tokenize([short], "paper", p)[0] for p in (PAPER, fixed))
        assert np.array_equal(paper.ids, code.ids)
        assert paper.offsets[0][0] == 0 and paper.offsets[0][1] > 0
        assert code.start == min(31, code.stop)
        assert len(code.offsets) == code.stop - code.start
        # Where the two ranges overlap, they mean the same characters.
        both = max(paper.start, code.start)
        assert paper.offsets[both - paper.start :] == code.offsets[both - code.start :]
    starts = {family: make_subject(family).tokenize([short])[0].start for family in CHAT}
    assert max(starts["mistral"], starts["llama"]) < 31 < starts["qwen2"]
    # Llama's and Mistral's own first words are lost; of Qwen's, every text pools the same template tokens.
    assert (
        measure_of(make_subject("mistral"), "hi", fixed).start == measure_of(make_subject("mistral"), "hi", fixed).stop
    )
    assert measure_of(make_subject("qwen2"), "hi", fixed).offsets[0] == (0, 0)
    five = CollectProtocol(prefix="fixed", prefix_tokens=5)
    assert measure_of(make_subject("llama"), short, five).start == 5


def measure_of(subject, text, protocol):
    return subject.tokenize([text], "paper", protocol)[0]


def test_a_span_of_the_code_ends_before_the_token_that_peaked(scene):
    subject, sae, _ = scene
    some = texts()
    around, before = (
        collect(subject, sae, corpus_of(some), replace(SETTINGS, protocol=CollectProtocol(span=s)), progress=False)
        for s in ("around", "before")
    )
    np.testing.assert_array_equal(around.histogram, before.histogram)
    seen = 0
    for feature in range(64):
        for ours, theirs in zip(around.spans(feature), before.spans(feature), strict=True):
            text = some[int(ours.sample_id)]
            assert (ours.sample_id, ours.value) == (theirs.sample_id, theirs.value)
            assert theirs.peak == (len(theirs.text),) * 2
            peak = ours.text[slice(*ours.peak)]
            if peak.strip() and text.count(peak) == 1:
                assert peak in ours.text and peak not in theirs.text
                seen += 1
    assert seen > 10


def test_a_second_bos_stands_before_the_templates_own(make_subject):
    second = CollectProtocol(second_bos=True)
    for family in CHAT:
        subject = make_subject(family)
        once, twice = (measure_of(subject, "How do I bake bread?", p) for p in (PAPER, second))
        bos = subject.tokenizer.bos_token_id
        # Qwen's real tokenizer adds nothing; this one adds BOS where its template has none.
        assert list(twice.ids) == [bos, *once.ids]
        assert (twice.start, twice.stop) == (once.start + 1, once.stop + 1)
        assert twice.offsets == once.offsets
    assert [int(token) for token in measure_of(make_subject("llama"), "hi", second).ids[:2]] == [0, 0]


def test_a_second_bos_moves_values(make_subject, make_sae):
    values = [
        measure(make_subject("llama"), make_sae(), texts(4), settings=CollectSettings(protocol=protocol))
        for protocol in (PAPER, CollectProtocol(second_bos=True))
    ]
    assert np.abs(values[0] - values[1]).max() > 0.05


def test_the_opening_of_the_reply_is_there_only_in_the_paper_protocol(make_subject):
    bare = CollectProtocol(generation_prompt=False)
    for family in CHAT:
        subject = make_subject(family)
        with_it, without = (measure_of(subject, "How do I bake bread?", p) for p in (PAPER, bare))
        said = subject.tokenizer.decode(with_it.ids[len(without.ids) :])
        assert np.array_equal(with_it.ids[: len(without.ids)], without.ids)
        assert ("assistant" in said) == (family != "mistral")
        assert with_it.offsets[: len(without.offsets)] == without.offsets


def test_statistics_record_the_protocol_and_refuse_another(make_subject, make_sae, tmp_path):
    subject, sae = make_subject("llama"), make_sae()
    made = {}
    for protocol in (PAPER, CODE, CollectProtocol("code", second_bos=False)):
        settings = replace(SETTINGS, protocol=protocol)
        made[protocol] = collect(subject, sae, corpus_of(texts(8)), settings, progress=False)
        assert made[protocol].made_by["protocol"] == {
            "name": protocol.name,
            **{f: getattr(protocol, f) for f in NAMED["code"]},
        }
    paper, code, mixed = made.values()
    with pytest.raises(SettingsError, match=r"differ in their protocol.name \(paper and code\)"):
        paper.merge(code)
    with pytest.raises(
        SettingsError, match=r"the anchor and the seed differ in their protocol.second_bos \(True and False\)"
    ):
        cover(code, mixed, CoverageRule())
    code.save(tmp_path / "code")
    assert FeatureStats.load(tmp_path / "code").merge(code).n_samples == 16
    # One SAE, two protocols: their coverages can be held against each other, and say what differs.
    changed = diff(cover(paper, paper, CoverageRule()), cover(code, code, CoverageRule())).changed
    assert changed["anchor.protocol.top_k"] == (True, False)


def test_older_statistics_count_as_collected_by_paper(make_subject, make_sae, tmp_path):
    stats = collect(make_subject("llama"), make_sae(), corpus_of(texts(4)), CollectSettings(), progress=False)
    expected = dict(stats.made_by)
    del stats.made_by["protocol"]
    stats.save(tmp_path)
    assert FeatureStats.load(tmp_path).made_by == expected


def test_a_protocol_is_a_name_and_what_is_set_beside_it():
    assert CollectProtocol() == PAPER == CollectSettings().protocol
    assert {**PAPER.record(), "name": None} == {**NAMED["paper"], "name": None}
    mixed = build(CollectSettings, {"protocol": {"name": "code", "span": "around", "top_k": True}}).protocol
    assert mixed.record() == CODE.record() | {name: getattr(mixed, name) for name in ("span", "top_k")}
    assert mixed.span == "around" != CODE.span
    assert build(CollectProtocol, mixed.record()) == mixed
    assert {field.name for field in fields(CollectProtocol)} == {"name", *NAMED["paper"]} == {"name", *NAMED["code"]}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "papr"}, "protocol.name is 'papr'; choose one of 'paper', 'code'"),
        ({"prefix": "chat"}, "protocol.prefix is 'chat'; choose one of 'template', 'fixed'"),
        ({"span": "behind"}, "protocol.span is 'behind'"),
        ({"prefix_tokens": -1}, "prefix_tokens is -1"),
        ({"top_k": "no"}, "top_k is 'no'; it has to be of type bool"),
        ({"topk": False}, r"unknown key topk \(did you mean 'top_k'\?\)"),
    ],
)
def test_protocols_that_make_no_sense(values, message):
    with pytest.raises(SettingsError, match=message):
        build(CollectProtocol, values)
