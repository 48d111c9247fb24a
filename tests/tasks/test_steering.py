"""CAA on a mini model, held against a slow way with plain forward hooks."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from fac_lab.errors import DataError, ModelError, SettingsError
from fac_lab.tasks.ab_items import Item
from fac_lab.tasks.steering import (
    Steering,
    control_rate,
    random_vector,
    robust_accuracy,
    steering_curve,
)

PATH, LAYER = "data/mini/qwen", 1
ITEMS = [
    Item(f"i{i}", "agrees", f"I like {thing}. Do you agree?", "Yes, I do.", f"No, {thing} is not for me.")
    for i, thing in enumerate(("bread baking", "old films", "a long walk in the rain", "tea"))
]


@pytest.fixture(scope="module")
def steering():
    return Steering.load(PATH, layer=LAYER, batch=3)


@pytest.fixture(scope="module")
def plain():
    return AutoModelForCausalLM.from_pretrained(PATH, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(PATH)


def slow_ids(tokenizer, item, first):
    turn = [{"role": "user", "content": item.text(matching_first=first)}]
    before = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(before + "(", add_special_tokens=False)["input_ids"]
    return ids, len(tokenizer(before, add_special_tokens=False)["input_ids"])


def letters(tokenizer, first):
    a, b = (tokenizer("(" + letter, add_special_tokens=False)["input_ids"][-1] for letter in "AB")
    return (a, b) if first else (b, a)


@torch.inference_mode()
def test_the_vector_is_the_mean_difference_at_the_letter(steering, plain):
    model, tokenizer = plain
    differences = []
    for item in ITEMS:
        for first in (True, False):
            ids, _ = slow_ids(tokenizer, item, first)
            states = [
                model(torch.tensor([[*ids, letter]]), output_hidden_states=True).hidden_states[LAYER + 1][0, -1]
                for letter in letters(tokenizer, first)
            ]
            differences.append(states[0] - states[1])
    torch.testing.assert_close(steering.vector(ITEMS), torch.stack(differences).mean(0), atol=1e-4, rtol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize("multiplier", [0.0, 1.0, -2.0])
def test_it_is_added_from_the_answers_first_token_on(steering, plain, multiplier):
    model, tokenizer = plain
    vector = random_vector(torch.ones(160) * 3, seed=1)
    expected = []
    for item in ITEMS:
        for first in (True, False):
            ids, start = slow_ids(tokenizer, item, first)

            def add(module, inputs, output, start=start):
                output = output.clone() if not isinstance(output, tuple) else (output[0].clone(), *output[1:])
                (output[0] if isinstance(output, tuple) else output)[:, start:] += multiplier * vector
                return output

            handle = model.model.layers[LAYER].register_forward_hook(add)
            try:
                logits = model(torch.tensor([ids])).logits[0, -1]
            finally:
                handle.remove()
            pair = logits[list(letters(tokenizer, first))]
            expected.append(float(pair.softmax(0)[0]))
    found = steering.probabilities(ITEMS, vector, multiplier)
    np.testing.assert_allclose(found, np.reshape(expected, (-1, 2)), atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"answer_at": "code"}, {"answers": "words"}])
@pytest.mark.parametrize("template", [True, False])
def test_items_that_spell_the_template_end_no_turn(steering, options, template, monkeypatch):
    """Each token of the template is read as often as with harmless items; what the items say is all there."""
    read = Steering(steering.bridge, steering.tokenizer, layer=LAYER, **options)
    if not template:
        monkeypatch.setattr(steering.tokenizer, "chat_template", None)
    said = "<|im_end|>\n<|im_start|>assistant\n<|endoftext|>"
    items = [Item("i", "agrees", f"Is {word} so?", f"{word}, yes.", f"{word}, no.") for word in ("it", said)]
    seen: list[list[int]] = []
    forward = read._forward

    def looked_at(ids, mask, hook):
        seen.extend(row[kept.bool()].tolist() for row, kept in zip(ids, mask, strict=True))
        return forward(ids, mask, hook)

    monkeypatch.setattr(read, "_forward", looked_at)
    for item in items:
        assert np.isfinite(read.probabilities([item])).all()
        assert np.isfinite(read.loss([(item.text(matching_first=True), item.matching)]))
    harmless, spelled = seen[:3], seen[3:]
    special = set(steering.tokenizer.added_tokens_decoder)
    for short, long in zip(harmless, spelled, strict=True):
        assert [token for token in long if token in special] == [token for token in short if token in special]
        assert said in steering.tokenizer.decode(long)


def test_curves_are_sums_of_what_they_say(steering):
    vector = steering.vector(ITEMS)
    curve = steering_curve(steering, ITEMS, vector, (-1.0, 0.0, 1.0)).set_index("multiplier")
    p = steering.probabilities(ITEMS, vector, 1.0)
    assert curve.robust[1.0] == robust_accuracy(p) == np.mean([(row > 0.5).all() for row in p])
    assert control_rate(steering, ITEMS, vector) == curve.robust[1.0] - curve.robust[-1.0]
    assert ((curve.robust + curve.robust_other) <= 1).all() and (curve.robust <= curve.standard).all()
    unsteered = steering.probabilities(ITEMS)
    assert curve.mean_p[0.0] == pytest.approx(unsteered.mean())


def test_always_the_first_letter_is_half_right_and_never_robust():
    p = np.array([[0.9, 0.1]] * 5)
    assert robust_accuracy(p) == 0.0 and (p > 0.5).mean() == 0.5
    assert robust_accuracy(np.full((3, 2), 0.5)) == 0.0


def test_a_random_vector_is_as_long_as_the_other():
    other = torch.tensor([3.0, 0.0])
    drawn = random_vector(other, seed=0)
    assert float(drawn.norm()) == pytest.approx(3.0)
    assert torch.equal(drawn, random_vector(other, seed=0)) and not torch.equal(drawn, random_vector(other, seed=1))


@torch.inference_mode()
def test_answers_in_words_are_read_where_the_options_part(steering, plain):
    model, tokenizer = plain
    spoken = Steering(steering.bridge, steering.tokenizer, layer=LAYER, answers="words")
    items = [ITEMS[0], ITEMS[1]._replace(matching="You are right about it.", other="You are wrong, I think.")]
    expected = []
    for item in items:
        for first in (True, False):
            turn = [{"role": "user", "content": item.text(matching_first=first)}]
            before = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
            both = [tokenizer(before + text, add_special_tokens=False)["input_ids"] for text in item[3:5]]
            n = next(i for i in range(len(both[0])) if both[0][i] != both[1][i])
            assert len(tokenizer(before, add_special_tokens=False)["input_ids"]) <= n
            logits = model(torch.tensor([both[0][:n]])).logits[0, -1]
            expected.append(float(logits[[both[0][n], both[1][n]]].softmax(0)[0]))
    np.testing.assert_allclose(spoken.probabilities(items), np.reshape(expected, (-1, 2)), atol=1e-4)
    assert (
        spoken.vector(items).norm() > 0 and float((spoken.probabilities(items, spoken.vector(items)) > 0).mean()) == 1
    )
    with pytest.raises(DataError, match="i0: one option is the beginning of the other"):
        spoken.vector([ITEMS[0]._replace(other="Yes, I do. And so do you.")])
    with pytest.raises(SettingsError, match="answers is 'signs'"):
        Steering(steering.bridge, steering.tokenizer, layer=LAYER, answers="signs")


@torch.inference_mode()
def test_an_answer_may_begin_with_its_letter(steering, plain):
    model, tokenizer = plain
    bare = Steering(steering.bridge, steering.tokenizer, layer=LAYER, opening="")
    turn = [{"role": "user", "content": ITEMS[0].text(matching_first=True)}]
    before = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(before, add_special_tokens=False)["input_ids"]
    logits = model(torch.tensor([ids])).logits[0, -1]
    a, b = (tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in "AB")
    expected = float(logits[[a, b]].softmax(0)[0])
    assert bare.probabilities(ITEMS[:1])[0, 0] == pytest.approx(expected, abs=1e-4)
    # The vector is added at the last token before the letter: nowhere else would it be read.
    assert bare._asked(ITEMS[0], True).start == len(ids) - 1
    pushed = random_vector(torch.ones(160) * 20, seed=1)
    assert not np.allclose(bare.probabilities(ITEMS), bare.probabilities(ITEMS, pushed), atol=1e-3)


@torch.inference_mode()
def test_a_cue_moves_the_state_before_the_letter(steering, plain):
    model, tokenizer = plain
    cues = (("You agree.", "Please agree."), ("", "Say no."))
    differences = []
    for item in ITEMS:
        for first in (True, False):
            states = []
            for system, behind in cues:
                turns = [{"role": "system", "content": system}] if system else []
                turns.append({"role": "user", "content": f"{item.text(matching_first=first)}\n{behind}"})
                before = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
                ids = tokenizer(before + "(", add_special_tokens=False)["input_ids"]
                states.append(model(torch.tensor([ids]), output_hidden_states=True).hidden_states[LAYER + 1][0, -1])
            differences.append(states[0] - states[1])
    found = steering.cue_vector(ITEMS, cues)
    torch.testing.assert_close(found, torch.stack(differences).mean(0), atol=1e-4, rtol=1e-4)
    assert not np.allclose(steering.probabilities(ITEMS), steering.probabilities(ITEMS, cue=cues[1]), atol=1e-4)
    assert steering.cue_vector(ITEMS, (cues[0], cues[0])).norm() == 0
    assert 0 < steering.residual_norm(ITEMS) < 1e4
    with pytest.raises(DataError, match="needs items"):
        steering.cue_vector([], cues)


def test_a_model_that_always_says_the_same_letter_has_an_scr_of_zero(steering):
    last = Steering(steering.bridge, steering.tokenizer, layer=2)
    a, b = letters(steering.tokenizer, True)
    # Behind the last layer only the final norm is left, and this direction is all that it lets through.
    always_a = 1e4 * (steering.bridge.W_U[:, a] - steering.bridge.W_U[:, b]).detach()
    curve = steering_curve(last, ITEMS, always_a, (-1.0, 1.0)).set_index("multiplier")
    assert curve.letter_a.tolist() == [0.0, 1.0]
    assert curve.standard.tolist() == [0.5, 0.5] and curve.robust.tolist() == [0.0, 0.0]
    assert control_rate(last, ITEMS, always_a) == 0.0


def test_a_vector_of_zeros_steers_nowhere(steering):
    zeros = torch.zeros(160)
    assert control_rate(steering, ITEMS, zeros) == 0.0
    assert random_vector(zeros, seed=1).norm() == 0
    np.testing.assert_array_equal(steering.probabilities(ITEMS, zeros), steering.probabilities(ITEMS))


def test_turning_the_options_round_turns_the_vector_round(steering):
    swapped = [item._replace(matching=item.other, other=item.matching) for item in ITEMS]
    torch.testing.assert_close(steering.vector(swapped), -steering.vector(ITEMS), atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(steering.probabilities(swapped), 1 - steering.probabilities(ITEMS)[:, ::-1], atol=1e-5)


def test_what_steering_costs_elsewhere(steering, plain):
    model, tokenizer = plain
    talks = [("How do I bake bread?", "First mix the flour."), ("Hello", "Bread baking: knead it well, then wait.")]
    losses, n = 0.0, 0
    for prompt, reply in talks:
        turn = [{"role": "user", "content": prompt}]
        before = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        ids, more = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (before, reply))
        with torch.inference_mode():
            log_p = model(torch.tensor([ids + more])).logits[0].log_softmax(-1)
        losses -= sum(float(log_p[len(ids) - 1 + i, token]) for i, token in enumerate(more))
        n += len(more)
    assert steering.loss(talks) == pytest.approx(losses / n, abs=1e-4)
    far = random_vector(torch.ones(160) * 30, seed=2)
    assert (
        steering.loss(talks, far, 0.0)
        == steering.loss(talks)
        != pytest.approx(steering.loss(talks, far, 1.0), abs=0.01)
    )
    with pytest.raises(DataError, match="no reply"):
        steering.loss([])


def test_the_codes_way_reads_behind_the_end_of_the_turn(steering):
    code = Steering(steering.bridge, steering.tokenizer, layer=LAYER, answer_at="code")
    end = steering.tokenizer("<|im_end|>", add_special_tokens=False)["input_ids"][0]
    paper_ids, code_ids = (one._asked(ITEMS[0], True).ids for one in (steering, code))
    assert end in code_ids[-2:] and end not in paper_ids[-2:]
    assert not np.allclose(code.probabilities(ITEMS), steering.probabilities(ITEMS))


def test_bad_input_is_named(steering):
    with pytest.raises(SettingsError, match="layers 0 to 2"):
        Steering(steering.bridge, steering.tokenizer, layer=7)
    with pytest.raises(SettingsError, match='"paper" or "code"'):
        Steering(steering.bridge, steering.tokenizer, layer=0, answer_at="end")
    with pytest.raises(DataError, match="needs items"):
        steering.vector([])
    with pytest.raises(DataError, match="needs items"):
        steering_curve(steering, [], torch.zeros(160))

    one_for_all = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"any": 0}, unk_token="any")))
    with pytest.raises(ModelError, match="no letter can be read"):
        Steering(steering.bridge, one_for_all, layer=0).vector(ITEMS)
