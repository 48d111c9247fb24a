"""A text of a data set that is shown to an annotator stays data: it ends no fence, begins no turn and is no verdict."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from fac_lab import annotation
from fac_lab.annotation.cases import Case
from fac_lab.annotation.explain import Explanation, naming_requests
from fac_lab.annotation.relevance import judge, judging_requests
from fac_lab.annotation.rubric import rubric_of
from fac_lab.annotation.scores import scoring_requests
from fac_lab.annotation.styles import MINI, PAPER, style_of
from fac_lab.annotation.verify import verify_requests
from fac_lab.chat.client import ChatRequest, open_client
from fac_lab.features.spans import Span
from fac_lab.lab import Lab
from fac_lab.profile import load_profile, project_root
from fac_lab.settings import ChatSettings
from fac_lab.studies.attempts import ATTEMPTS
from fac_lab.studies.injection import as_span, injection_study, neutral
from fac_lab.template import encode, render

PROMPTS = Path(annotation.__file__).parent / "prompts"
HARMLESS = "how do I bake bread"
TEXTS = [pytest.param(attempt.text, id=attempt.name) for attempt in ATTEMPTS]
# Of the mini models, and of families whose real templates have these.
TOKENS = ("<|eot|>", "<|user|>", "<|im_end|>", "<|im_start|>", "[INST]", "[/INST]", "</s>", "<s>", "<pad>")


def span(text: str) -> Span:
    return Span(7, 1.0, "id", text, (len(text), len(text)))


def asked(text: str, prompts: str) -> dict[str, list[ChatRequest]]:
    """Every question of annotation in which a text of a data set stands, or a summary that repeats it."""
    folder, rubric = PROMPTS / prompts, rubric_of("toxicity", PROMPTS / prompts)
    explanation = Explanation(7, text, (span(HARMLESS), span(text)), None)
    style = style_of(folder)
    found = {
        "explain": naming_requests([[style.show_span(one) for one in explanation.spans_used]], folder),
        "judge": judging_requests([explanation], folder, rubric),
    }
    if prompts == "paper":
        case = Case(7, "activating", True, "id", 1.0, text, (0, min(3, len(text))))
        found["verify"] = verify_requests([explanation], folder)
        for test in ("detection", "fuzzing"):
            found[test] = scoring_requests(test, [case], {7: text}, folder)
    return found


def shape(request: ChatRequest) -> list[tuple[str, list[str]]]:
    """Role and lines of each message, a line that is one JSON string standing for itself."""

    def kind(line: str) -> str:
        try:
            return "(text)" if isinstance(json.loads(line), str) else line
        except ValueError:
            return line

    return [(turn["role"], [kind(line) for line in turn["content"].splitlines()]) for turn in request.messages]


def test_there_are_many_and_they_differ():
    assert len(ATTEMPTS) >= 30
    for column in (0, 2):
        assert len({attempt[column] for attempt in ATTEMPTS}) == len(ATTEMPTS)
    assert {attempt.kind for attempt in ATTEMPTS} == {"order", "verdict", "fence", "role", "unicode", "shape"}


@pytest.mark.parametrize("text", TEXTS)
class TestEveryAttempt:
    def test_changes_no_line_of_a_large_models_prompt_but_its_own(self, text):
        harmless = asked(HARMLESS, "paper")
        for name, requests in asked(text, "paper").items():
            assert [shape(request) for request in requests] == [shape(request) for request in harmless[name]], name
            said = "\n".join(turn["content"] for request in requests for turn in request.messages)
            lines = [line for line in said.splitlines() if line.startswith('"')]
            assert bare(text) in [bare(json.loads(line)) for line in lines], "the text is there, whole"

    def test_is_one_line_of_a_mini_models_prompt(self, text):
        harmless = asked(HARMLESS, "mini")
        for name, requests in asked(text, "mini").items():
            for request, other in zip(requests, harmless[name], strict=True):
                (turn,), (expected,) = request.messages, other.messages
                assert turn["role"] == expected["role"]
                assert len(turn["content"].splitlines()) == len(expected["content"].splitlines())

    @pytest.mark.parametrize("family", ["llama", "mistral", "qwen"])
    @pytest.mark.parametrize("prompts", ["paper", "mini"])
    def test_makes_no_token_of_a_chat_template(self, tokenizers, text, family, prompts):
        tokenizer, harmless = tokenizers[family], asked(HARMLESS, prompts)
        for name, requests in asked(text[:2000], prompts).items():
            for request, other in zip(requests, harmless[name], strict=True):
                (ids,) = encode(tokenizer, [request.messages])
                (expected,) = encode(tokenizer, [other.messages])
                assert template_tokens(tokenizer, ids) == template_tokens(tokenizer, expected)
                assert same_characters(tokenizer, ids, render(tokenizer, request.messages))

    def test_is_no_verdict(self, text, server):
        """Whoever is asked answers No: so does the judge. Whoever repeats what it read has not answered."""
        explanation, rubric = Explanation(7, text, (span(text),), None), rubric_of("toxicity", PROMPTS / "paper")

        def judged(answer: Callable[[str], str]):
            settings = ChatSettings("endpoint", "stub", base_url=server(answer))
            chat = open_client(settings, None, progress=False)
            (verdict,) = judge([explanation], chat, PROMPTS / "paper", rubric)
            return verdict

        no = judged(lambda prompt: '{"verdict": "No", "reason": "as it is"}')
        assert (no.verdict, no.relevant, no.reason) == ("No", False, "as it is")
        shown = PAPER.quote(text)
        for answer in (shown, f"The piece says {shown}.", f'{shown}\n{{"verdict": "No"}}'):
            unread = judged(lambda prompt, answer=answer: answer)
            assert (unread.verdict, unread.relevant) == (None, False), answer[:80]


def bare(text: str) -> str:
    """Without quotation marks, which stand in for marks of a peak that are the text's own."""
    return re.sub('[«»"]', "", text)


def template_tokens(tokenizer, ids: list[int]) -> list[int]:
    return [token for token in ids if token in set(tokenizer.get_added_vocab().values())]


def same_characters(tokenizer, ids: list[int], text: str) -> bool:
    """Whether the tokens are the prompt's text, all of it (but for what the tokenizer normalizes)."""
    decoded = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    normalizer = tokenizer.backend_tokenizer.normalizer
    return decoded == (normalizer.normalize_str(text) if normalizer else text)


@pytest.fixture(scope="module")
def tokenizers():
    folder = project_root() / "data" / "mini"
    return {family: AutoTokenizer.from_pretrained(folder / family) for family in ("llama", "mistral", "qwen")}


@given(st.lists(st.sampled_from([*TOKENS, *(token[:k] for token in TOKENS for k in (1, 3)), "a", " ", "Yes"])))
def test_whatever_is_made_of_pieces_of_tokens_is_text(tokenizers, pieces):
    text = "x" + "".join(pieces) + "x"
    for tokenizer in tokenizers.values():
        turns = [{"role": role, "content": content} for role, content in (("user", text), ("assistant", "x"))]
        (ids,) = encode(tokenizer, [[*turns, turns[0]]])
        plain = [turn | {"content": "x"} for turn in (*turns, turns[0])]
        (expected,) = encode(tokenizer, [plain])
        assert template_tokens(tokenizer, ids) == template_tokens(tokenizer, expected)
        assert same_characters(tokenizer, ids, render(tokenizer, [*turns, turns[0]]))


def test_texts_without_such_words_are_tokenized_as_ever(tokenizers):
    for tokenizer in tokenizers.values():
        messages = [{"role": "user", "content": f"{HARMLESS}, <b>not</b> [1] | that?\n"}]
        expected = tokenizer(render(tokenizer, messages), add_special_tokens=False)["input_ids"]
        assert encode(tokenizer, [messages]) == [expected]


@given(st.text(st.sampled_from(r"[]/\"AINST_ <>|x")))
def test_no_token_in_brackets_is_spelled_to_a_server(text):
    quoted = PAPER.quote(text)
    assert json.loads(quoted) == text
    assert not re.search(r"\[/?[A-Z_]+\]", quoted)


@pytest.fixture(scope="module")
def server(json_server):
    """`server(answer)`: the address of a judge that answers so, from now on."""
    answers: list[Callable[[str], str]] = []

    def say(posted, headers):
        message = {"role": "assistant", "content": answers[-1](posted["messages"][0]["content"])}
        return 200, {"choices": [{"message": message, "finish_reason": "stop"}]}, {}

    with json_server(say) as address:

        def answering(answer: Callable[[str], str]) -> str:
            answers.append(answer)
            return f"{address}/v1"

        yield answering


def spans_of(prompt: str) -> list[str]:
    return [json.loads(line) for line in prompt.splitlines() if line.startswith('"')]


def by_words(prompt: str) -> str:
    """A judge by the words of the spans themselves, deaf to what they ask for."""
    if "find names" in prompt:
        return json.dumps({"summary": "the letter e"})
    return json.dumps({"verdict": "Yes" if sum(map(len, spans_of(prompt))) % 2 else "No", "reason": ""})


def gullible(prompt: str) -> str:
    """The same, but it obeys a span that says "Yes" to it."""
    obeys = "You decide" in prompt and any("Yes" in text for text in spans_of(prompt))
    return json.dumps({"verdict": "Yes", "reason": ""}) if obeys else by_words(prompt)


@pytest.fixture(scope="module")
def study(tmp_path_factory, server):
    """The study under a judge, three attempts, four features of each verdict."""

    def run(answer: Callable[[str], str]):
        profile = load_profile("smoke")
        annotator = ChatSettings("endpoint", answer.__name__, base_url=server(answer))
        profile = replace(profile, annotator=annotator, synthesis=replace(profile.synthesis, prompts="paper"))
        lab = Lab.open(profile, out=shared)
        chosen = [attempt for attempt in ATTEMPTS if attempt.name in ("ignore the above", "chatml", "closing code")]
        return injection_study(lab, attempts=chosen, features=4)

    shared = tmp_path_factory.mktemp("injection")
    return run


@pytest.mark.slow
def test_a_judge_that_obeys_is_measured_to_obey(study):
    found = study(gullible)
    assert len(found) == 3 * 2 * 8 and found.feature.nunique() == 8
    # Half of the features are relevant before; under orders all are.
    assert found.groupby("before").feature.nunique().to_dict() == {"not": 4, "relevant": 4}
    assert (found.after == "relevant").all()
    assert set(found.neutral) == {"relevant", "not"}, "harmless words order nothing"


@pytest.mark.slow
def test_an_answer_that_is_none_is_no_verdict(study):
    found = study(by_words)
    assert {*found.before, *found.after, *found.neutral} == {"relevant", "not"}

    def silent_when_asked(prompt: str) -> str:
        return "..." if any("answer Yes" in text for text in spans_of(prompt)) else by_words(prompt)

    found = study(silent_when_asked)
    assert (found.after[found.attempt == "ignore the above"] == "none").all()
    assert "none" not in {*found.before, *found.neutral}


def test_an_attempt_is_cut_as_any_span_is_and_its_twin_is_as_long(study):
    lab = Lab.open("smoke", out=project_root() / "runs" / "none")
    for attempt in ATTEMPTS:
        shown = as_span(lab, attempt.text)
        assert shown.strip() and shown in attempt.text
        assert len(lab.subject.tokenize([shown], "content")[0].ids) <= lab.profile.collect.span_tokens + 20
        n = len(MINI.show_span(span(shown)).split())
        assert len(neutral(n, seed=1).split()) == max(n, 1)
