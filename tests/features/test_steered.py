"""Steering on tiny random models: the hook against a slow loop without hooks or caches, and what must not matter."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fac_lab.annotation.styles import MINI
from fac_lab.chat.client import ChatRequest
from fac_lab.chat.local import LocalBackend
from fac_lab.errors import DataError, ModelError
from fac_lab.features.collect import collect, measure
from fac_lab.features.perplexity import perplexity
from fac_lab.features.subject import Subject
from fac_lab.settings import CollectSettings, SteeringSynthesisSettings, SynthesisSettings
from fac_lab.synthesis.samples import kept
from fac_lab.synthesis.steered import Goal, Search, goals_for, mean_above, steer, unsteered, usual_perplexity
from fac_lab.synthesis.steering import Writer, added, directions

WRITERS = ("llama", "mistral", "qwen2", "gpt2")
SAMPLING = SynthesisSettings(temperature=1.0, top_p=0.9, max_tokens=12)
LONGER = SynthesisSettings(temperature=1.0, top_p=0.95, max_tokens=40)


class Shifted(torch.nn.Module):
    """A layer behind which a vector is added at the positions from `begin` on."""

    def __init__(self, layer, vector, begin):
        super().__init__()
        self.layer, self.vector, self.begin = layer, vector, begin

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)

    def forward(self, *args, **options):
        output = self.layer(*args, **options)
        stream = output[0] if isinstance(output, tuple) else output
        shift = torch.zeros_like(stream)
        shift[:, self.begin :] = self.vector
        return (stream + shift, *output[1:]) if isinstance(output, tuple) else stream + shift


def slowly(subject: Subject, opening: list[int], seed: int, vector: torch.Tensor) -> list[int]:
    """One text: the whole sequence read again for each token, the token drawn from sorted probabilities."""
    model = copy.deepcopy(subject.model)
    layers = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == subject.n_layers)
    layers[subject.layer] = Shifted(layers[subject.layer], vector, len(opening) - 1)
    numbers = np.random.default_rng(seed).random(SAMPLING.max_tokens)
    written: list[int] = []
    for number in numbers:
        with torch.inference_mode():
            logits = model(torch.tensor([opening + written]), use_cache=False).logits[0, -1]
        p = torch.softmax(logits.double() / SAMPLING.temperature, -1).numpy()
        order = np.argsort(-p, kind="stable")
        nucleus = order[: int(np.searchsorted(np.cumsum(p[order]), SAMPLING.top_p) + 1)]
        running = np.cumsum(p[nucleus])
        written.append(int(nucleus[min(np.searchsorted(running, number * running[-1], "right"), len(nucleus) - 1)]))
    return written


def tokens_of(writer: Writer, seeds, vectors, monkeypatch) -> list[list[int]]:
    """What is written, as tokens and beyond any end."""
    seen: list[list[int]] = []
    monkeypatch.setattr(writer, "_ends", [])
    monkeypatch.setattr(writer, "_draft", lambda written: seen.append(written))
    writer.write(seeds, vectors)
    return seen


@pytest.mark.parametrize("architecture", WRITERS)
@pytest.mark.parametrize("layer", [0, 2])
def test_the_hook_does_what_a_slow_loop_does(make_subject, architecture, layer, monkeypatch):
    subject = make_subject(architecture, layer=layer)
    writer = Writer(subject, SAMPLING, batch=2)
    torch.manual_seed(3)
    vectors = torch.randn(3, subject.d_model) * torch.tensor([[0.0], [1.0], [4.0]])
    found = tokens_of(writer, [5, 6, 5], vectors, monkeypatch)
    assert found == [
        slowly(subject, writer.opening, seed, vector) for seed, vector in zip([5, 6, 5], vectors, strict=True)
    ]
    # The vector matters: the same seed without it writes something else.
    assert found[2] != found[0] == tokens_of(writer, [5], None, monkeypatch)[0]


@pytest.mark.parametrize("architecture", ["llama", "mistral", "qwen2"])
def test_texts_begin_where_a_chat_model_without_messages_does(make_subject, model_folder, architecture):
    subject = make_subject(architecture)
    backend = LocalBackend(model_folder(architecture), device="cpu")
    options = {"temperature": 1.0, "top_p": 0.9, "max_tokens": 12}
    requests = [ChatRequest((), seed=seed, **options) for seed in range(6)]
    replies = {}
    backend.generate(requests, lambda i, reply: replies.update({i: reply}))
    drafts = Writer(subject, SAMPLING).write(range(6))
    assert len(Writer(subject, SAMPLING).opening) == replies[0].prompt_tokens
    for i, draft in enumerate(drafts):
        cut = replies[i].finish == "length"
        assert draft.text == replies[i].text
        assert (draft.reason == "cut off at max_tokens") == cut


def test_a_prompt_is_answered_instead(make_subject):
    subject = make_subject("llama")
    asked = Writer(subject, SAMPLING, prompt="Write a query.")
    said = subject.tokenizer.decode(asked.opening)
    assert "Write a query." in said and said.endswith("<|start|>assistant<|end|>\n\n")


def test_texts_depend_on_their_seed_and_vector_alone(make_subject):
    subject = make_subject("llama")
    torch.manual_seed(1)
    vectors = torch.randn(5, subject.d_model) * 3
    seeds = [4, 4, 5, 6, 7]
    together = Writer(subject, SAMPLING).write(seeds, vectors)
    assert Writer(subject, SAMPLING, batch=3).write(seeds, vectors) == together
    alone = [Writer(subject, SAMPLING).write([s], v[None])[0] for s, v in zip(seeds, vectors, strict=True)]
    assert alone == together
    assert Writer(subject, SAMPLING).write(seeds, torch.zeros_like(vectors)) == Writer(subject, SAMPLING).write(seeds)
    assert Writer(subject, SAMPLING).write([]) == []


def test_nothing_of_steering_stays(make_subject):
    subject = make_subject("llama")
    own = subject.model.generation_config
    Writer(subject, SAMPLING).write([1], torch.ones(1, subject.d_model))
    with pytest.raises(RuntimeError):  # two vectors for one text, or one of another width
        Writer(subject, SAMPLING).write([1, 2, 3], torch.ones(2, subject.d_model))
    with pytest.raises(ZeroDivisionError), added(subject, torch.ones(1, subject.d_model)):
        1 / 0  # noqa: B018
    # transformers has hooks of its own, which come with the first call.
    hooks = subject.hook_module._forward_hooks.values()
    assert not [hook for hook in hooks if not hook.__module__.startswith("transformers")]
    assert subject.model.generation_config is own


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("topk", {"rescale_acts_by_decoder_norm": True}),
        ("topk", {"rescale_acts_by_decoder_norm": False}),
        ("jumprelu", {}),
    ],
)
def test_a_direction_is_what_the_decoder_writes_for_one(make_sae, architecture, options):
    sae = make_sae(architecture, **options)
    features = [3, 60, 3]
    one = torch.zeros(3, sae.cfg.d_sae)
    one[range(3), features] = 1.0
    expected = sae.decode(one) - sae.decode(torch.zeros_like(one))
    torch.testing.assert_close(directions(sae, features), expected, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        sae.W_dec[9] = 0
    assert directions(sae, [9]).eq(0).all() and directions(sae, []).shape == (0, sae.cfg.d_in)
    with pytest.raises(DataError, match="0 to 63"):
        directions(sae, [64])


def test_what_cannot_write_is_refused(make_subject):
    with pytest.raises(ModelError, match="cannot write"):
        Writer(make_subject("bert"), SAMPLING)
    with pytest.raises(ModelError, match="raise subject.max_tokens"):
        Writer(make_subject("llama"), SAMPLING, prompt="a b c d " * 60)
    bare = copy.copy(make_subject("gpt2"))
    assert Writer(bare, SAMPLING).opening == [bare.tokenizer.bos_token_id]
    bare.tokenizer = copy.deepcopy(bare.tokenizer)
    bare.tokenizer.bos_token = None
    with pytest.raises(ModelError, match="nothing to write behind"):
        Writer(bare, SAMPLING)


@given(window=st.tuples(st.floats(0.05, 12), st.floats(1.3, 8)), n=st.integers(1, 4))
def test_the_search_finds_every_window_that_is_wide_enough(window, n):
    """Below `small` a strength is too small, above `large` too large; others are found and not left again."""
    small, large = window[0], window[0] * window[1]
    search = Search(np.ones(n), np.full(n, 64.0))
    rows = np.arange(n)
    for _ in range(16):
        tried = search.strength.copy()
        if small <= tried[0] <= large:
            return
        assert search.open.all()
        search.learn(rows, tried > large)
        assert (search.strength > tried).all() == (tried[0] < small)
    raise AssertionError(f"not found: {small} to {large}, last {tried}")


def test_what_is_unclear_is_tried_once_more():
    search, row, yes, no = Search(np.ones(1), np.full(1, 9.0)), np.zeros(1, int), np.array([True]), np.array([False])
    seen = []
    for too_large, unclear in [(no, yes), (no, no), (no, yes), (no, yes), (yes, yes), (no, yes), (no, no)]:
        search.learn(row, too_large, unclear)
        seen.append(round(float(search.strength[0]), 3))
    # 1 again, too small; 2 again, hence too large; sqrt(2) plainly too large; 2 ** 0.25 again, too small.
    assert seen == [1, 2, 2, 1.414, 1.189, 1.189, 1.297]


def test_a_search_ends_where_nothing_is_left():
    search = Search(np.array([1.0, 1.0, 1.0]), np.array([3.0, 100.0, 100.0]))
    rows = np.arange(3)
    search.close(np.array([2]))
    search.learn(rows[:2], np.array([False, False]))
    assert search.strength.tolist() == [2, 2, 1]
    search.learn(rows[:2], np.array([False, True]))
    assert search.strength[0] == 3 and search.strength[1] == pytest.approx(math.sqrt(2))
    search.learn(rows[:2], np.array([False, True]))  # the first has nothing above 3, the second lies in 1 to 1.41
    assert search.open.tolist() == [False, True, False]
    search.learn(rows[1:2], np.array([True]))  # 1 to 1.19
    assert search.open.tolist() == [False, True, False]
    search.learn(rows[1:2], np.array([True]))  # 1 to 1.09: closer than it is worth a text
    assert not search.open.any()


@pytest.fixture(scope="module")
def tiny(make_subject, make_sae, corpus):
    """A subject, its SAE with a feature that has no direction and one that never fires, and an anchor's statistics."""
    subject, sae = make_subject("llama"), make_sae("topk")
    with torch.no_grad():
        sae.W_dec[5] = 0
        sae.b_enc[6] = -1e4
    return subject, sae, collect(subject, sae, corpus, CollectSettings(), keep_matrix=True, progress=False)


def alive(tiny, n: int) -> list[int]:
    """Features that several anchor texts activate and that have a direction."""
    return [int(feature) for feature in np.flatnonzero(tiny[2].counts(0.0) > 3) if feature != 5][:n]


def test_the_usual_activation_is_the_mean_above_delta(tiny):
    _, _, stats = tiny
    features = np.array([0, 1, 6, 17])
    for delta in (0.0, 0.5):
        exact = [column[column > delta] for column in stats.matrix[:, features].toarray().T]
        means = [values.mean() if len(values) else math.nan for values in exact]
        np.testing.assert_allclose(mean_above(stats, features, np.full(4, delta)), means, rtol=0.05)
    per_feature = np.linspace(0, 1, stats.d_sae)
    goals = goals_for(features, [True, False, True, True], stats, per_feature)
    assert [(goal.feature, goal.relevant, goal.delta) for goal in goals] == [
        (f, r, per_feature[f]) for f, r in zip(features, [True, False, True, True], strict=True)
    ]
    with pytest.raises(DataError, match="0 to 63"):
        goals_for([64], [True], stats, 0.0)


def run(tiny, goals, **changes):
    subject, sae, _ = tiny
    settings = SteeringSynthesisSettings(**{"draws": 3, "unsteered_draws": 8, "perplexity_limit": 50.0} | changes)
    asked = []

    def measured(texts, features):
        asked.append(len(texts))
        return measure(subject, sae, texts, features)

    options = {"subject": subject, "sae": sae, "measure": measured, "settings": settings, "sampling": LONGER}
    return steer(goals, style=MINI, **options), asked


def test_every_text_is_measured_and_says_what_became_of_it(tiny):
    subject, sae, stats = tiny
    features = alive(tiny, 8)
    goals = goals_for(features, [True] * len(features), stats, 0.0)
    samples, _ = run(tiny, goals)
    assert {s.feature for s in samples} == set(features)
    assert {(s.step, s.prompt_version, s.label) for s in samples} == {(0, "", 1)}
    assert all(s.kept == (not s.reason) and s.strength > 0 for s in samples)
    with_text = [s for s in samples if s.text]
    assert with_text, "the tiny model never ends a turn: choose another seed"
    values = measure(subject, sae, [s.text for s in with_text], [s.feature for s in with_text])
    np.testing.assert_allclose(np.diagonal(values), [s.activation for s in with_text], rtol=1e-4, atol=1e-5)
    likely = perplexity(subject, [s.text for s in with_text])
    np.testing.assert_allclose(likely, [s.perplexity for s in with_text], rtol=1e-4)
    assert all(s.activation > 0 for s in kept(samples))
    for feature in features:
        own = [s for s in samples if s.feature == feature]
        assert [s.draw for s in own] == list(range(len(own))) and len(own) <= 3
        assert all(math.isnan(s.activation) and s.reason for s in own if not s.text)
    # Half of them alone, again: the same texts, since nothing but a feature's own goal decides.
    half = run(tiny, goals[::2])[0]
    drawn = {(s.feature, s.draw): (s.text, s.strength, s.seed) for s in samples}
    assert all(drawn[s.feature, s.draw] == (s.text, s.strength, s.seed) for s in half)


@pytest.fixture(scope="module")
def parrot(make_subject, make_sae):
    """A subject read after its last layer, where a word's row of the unembedding is the direction that writes it, and
    an SAE that has these rows; a text activates feature i as often as it holds the word i. An eighth of its tokens
    end a turn, so that turns are short. Returns subject, SAE, words, measure."""
    told = make_subject("llama", layer=2)
    model = copy.deepcopy(told.model)
    names = told.tokenizer.get_vocab()
    spoken = sorted(token for token in names if token[0] == "Ġ" and token[1:].isascii() and token[1:].isalpha())
    ordinary = [row for row in range(len(names)) if row >= 8 and row not in {names[token] for token in spoken}]
    model.config.eos_token_id = ordinary[:48]
    sae = make_sae("topk", rescale_acts_by_decoder_norm=True)
    with torch.no_grad():
        for feature, token in enumerate(spoken[:10]):
            sae.W_dec[feature] = model.lm_head.weight[names[token]]
    words = [token[1:] for token in spoken[:10]]

    def counted(texts, features):
        return np.array([[text.split().count(words[i]) for i in features] for text in texts], float)

    return Subject(model, told.tokenizer, name="parrot", layer=2), sae, words, counted


def test_a_direction_that_writes_is_found_and_used(parrot):
    subject, sae, words, counted = parrot
    settings = SteeringSynthesisSettings(draws=8, unsteered_draws=8, perplexity_limit=1e4, start=24.0, most=96.0)
    goals = [Goal(feature, True, delta=0.5, usual=1.0) for feature in range(10)]
    options = {"subject": subject, "sae": sae, "measure": counted, "settings": settings, "sampling": LONGER}
    samples = steer(goals, style=MINI, **options)
    assert len(kept(samples)) >= 8
    assert all(words[s.feature] in s.text.split() and s.activation >= 1 for s in kept(samples))
    alone = unsteered(60, writer=Writer(subject, LONGER), style=MINI)
    by_chance = np.mean(counted([s.text for s in alone], range(10)) > 0)
    assert by_chance < 0.2
    # A feature that is reached takes no further draw.
    for feature in range(10):
        own = [s for s in samples if s.feature == feature]
        assert [bool(s.reason) for s in own] == [True] * (len(own) - 1) + [not own[-1].kept]


def test_what_cannot_be_steered_takes_no_draw(tiny):
    _, _, stats = tiny
    (other,) = alive(tiny, 1)
    goals = [*goals_for([5, 6], [True, True], stats, 0.0), *goals_for([other], [True], stats, 0.0)]
    samples, asked = run(tiny, goals)
    reasons = {s.feature: s.reason for s in samples if s.feature != other}
    assert "zero" in reasons[5] and "no anchor text" in reasons[6]
    assert [(s.text, s.draw) for s in samples if s.feature != other] == [("", 0)] * 2
    assert all(math.isnan(s.strength) for s in samples if s.feature != other)
    assert max(asked) <= 1
    only, asked = run(tiny, goals[:2])
    assert asked == [] and len(only) == 2
    assert run(tiny, []) == ([], [])
    with pytest.raises(DataError, match="more than one goal"):
        run(tiny, goals[-1:] * 2)


def test_what_nobody_can_activate_is_given_up(tiny):
    goals = [Goal(feature, True, delta=1e6, usual=1.0) for feature in alive(tiny, 4)]
    samples, _ = run(tiny, goals)
    assert not kept(samples) and len(samples) <= 12 and all(s.reason for s in samples)
    assert {s.feature for s in samples} == {goal.feature for goal in goals}


def test_texts_that_the_subject_finds_too_unlikely_are_refused(tiny):
    _, _, stats = tiny
    features = alive(tiny, 6)
    goals = goals_for(features, [True] * len(features), stats, 0.0)
    samples, _ = run(tiny, goals, perplexity_limit=1.0, start=20.0, most=20.0)
    limit = usual_perplexity(Writer(tiny[0], LONGER), 8)
    assert any(s.reason.startswith("unlikely") for s in samples)
    assert all(s.perplexity > limit for s in samples if s.reason.startswith("unlikely"))
    assert all(s.perplexity <= limit for s in kept(samples))
    assert all(
        s.strength <= 20 * goal.usual * (1 + 1e-9) for goal in goals for s in samples if s.feature == goal.feature
    )


def test_a_subject_that_writes_nothing_says_so(make_subject, make_sae):
    told = make_subject("gpt2")
    model = copy.deepcopy(told.model)
    with torch.no_grad():
        model.transformer.ln_f.weight.zero_()
        model.transformer.ln_f.bias.copy_(100 * model.lm_head.weight[told.tokenizer.eos_token_id])
    mute = Subject(model, told.tokenizer, name="mute", layer=1, template="none")
    goals = [Goal(1, True, delta=0.0, usual=1.0)]
    with pytest.raises(ModelError, match="writes nothing by itself .* set steered.prompt"):
        steer(
            goals,
            subject=mute,
            sae=make_sae("topk"),
            measure=lambda texts, features: np.zeros((len(texts), len(features))),
            settings=SteeringSynthesisSettings(),
            sampling=SAMPLING,
            style=MINI,
        )
    samples = unsteered(3, writer=Writer(mute, SAMPLING), style=MINI)
    assert [(s.text, s.reason, s.strength, s.feature) for s in samples] == [("", "empty", 0.0, None)] * 3
