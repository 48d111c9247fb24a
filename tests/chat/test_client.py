"""The client: order, one payment per request, cache, budget, failures."""

import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fac_lab.chat.client import ChatClient, ChatRequest
from fac_lab.errors import ArtifactError, SettingsError


def client(parrot, **options) -> ChatClient:
    return ChatClient(parrot, **{"cache": None, "progress": False} | options)


@given(st.lists(st.text(min_size=1, max_size=8), max_size=12))
@settings(max_examples=50, deadline=None)
def test_replies_come_in_order_and_each_different_request_is_sent_once(parrot_type, ask, said):
    parrot = parrot_type()
    replies = client(parrot).complete([ask("say " + words) for words in said])
    assert [reply.text for reply in replies] == [("say " + words)[::-1] for words in said]
    assert sorted(parrot.asked) == sorted({"say " + words for words in said})
    assert sum(not reply.cached for reply in replies) == len(set(said))


def test_any_text_can_be_stored(ask, parrot, tmp_path):
    said = "naïve\u2028 Zwölf 🌳 \ud800 fail"
    for prefix in ("", "fail "):
        chat = client(parrot, cache=tmp_path / "cache", failures=tmp_path / "failures.jsonl")
        chat.complete([ask(prefix + said)])
    assert client(parrot, cache=tmp_path / "cache").complete([ask(said)])[0] == chat.complete([ask(said)])[0]
    assert chat.replay_failures()[0].request == ask("fail " + said)


def test_an_answer_is_found_again_without_a_request(parrot, ask, tmp_path):
    first = client(parrot, cache=tmp_path).complete([ask("hello")])
    again = client(parrot, cache=tmp_path).complete([ask("hello")])
    assert len(parrot.calls) == 1
    assert (again[0].text, again[0].cached, first[0].cached) == ("olleh", True, False)
    assert (again[0].prompt_tokens, again[0].completion_tokens, again[0].finish) == (10, 5, "stop")


def test_what_is_stored_can_be_looked_up_without_asking(parrot, ask, tmp_path):
    client(parrot, cache=tmp_path).complete([ask("hello")])
    found, missing = client(parrot, cache=tmp_path).stored([ask("hello"), ask("bye")])
    assert (found.text, found.cached, found.request, missing) == ("olleh", True, ask("hello"), None)
    assert client(parrot).stored([ask("hello")]) == [None], "without a cache there is nothing to look in"
    assert len(parrot.calls) == 1


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"temperature": 0.5}, {"top_p": 0.5}, {"max_tokens": 7}, {"schema": {"type": "object"}}],
)
def test_whatever_changes_the_answer_is_part_of_the_key(parrot, parrot_type, ask, tmp_path, change):
    client(parrot, cache=tmp_path).complete([ask("hello")])
    client(parrot, cache=tmp_path).complete([ask("hello", **change)])
    assert len(parrot.calls) == 2
    other = parrot_type("another model")
    client(other, cache=tmp_path).complete([ask("hello")])
    assert len(other.calls) == 1
    system = ChatRequest(({"role": "system", "content": "hello"}, *ask("hello").messages))
    client(parrot, cache=tmp_path).complete([system])
    assert len(parrot.calls) == 3


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text("{ torn"),
        lambda path: path.write_bytes(b"\xff\xfe\x00"),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text(path.read_text().replace('"stop"', "null")),
        lambda path: path.write_text(path.read_text().replace("hello", "hallo", 1)),
    ],
    ids=["torn", "not text", "not an entry", "wrong type", "another question"],
)
def test_a_damaged_answer_is_dropped_logged_and_asked_again(parrot, ask, tmp_path, caplog, damage):
    client(parrot, cache=tmp_path).complete([ask("hello"), ask("there")])
    (path,) = (path for path in tmp_path.rglob("*.json") if '"hello"' in path.read_text())
    damage(path)
    replies = client(parrot, cache=tmp_path).complete([ask("hello"), ask("there")])
    assert [reply.text for reply in replies] == ["olleh", "ereht"]
    assert parrot.asked == ["there", "hello", "hello"] or parrot.asked == ["hello", "there", "hello"]
    assert str(path) in caplog.text
    assert client(parrot, cache=tmp_path).complete([ask("hello")])[0].cached


def test_what_was_answered_before_a_crash_is_kept(parrot, ask, tmp_path):
    with pytest.raises(RuntimeError, match="flown"):
        client(parrot, cache=tmp_path).complete([ask("crash"), ask("one"), ask("two")])
    parrot.mended = True
    client(parrot, cache=tmp_path).complete([ask("crash"), ask("one"), ask("two")])
    assert [request.messages[0]["content"] for request in parrot.calls[1]] == ["crash"]


def test_a_failure_is_a_reply_with_a_reason_and_is_not_cached(parrot, ask, tmp_path):
    asked = [ask("one"), ask("fail"), ask("silent"), ask("two")]
    replies = client(parrot, cache=tmp_path).complete(asked)
    assert [reply.ok for reply in replies] == [True, False, False, True]
    assert replies[1].error == "the parrot does not know" and replies[1].text is None
    assert "no reply" in replies[2].error
    assert replies[1].request == asked[1]
    client(parrot, cache=tmp_path).complete(asked)
    assert [request.messages[0]["content"] for request in parrot.calls[1]] == ["fail", "silent"]


def test_failures_are_kept_and_replayed(parrot, ask, tmp_path):
    path = tmp_path / "deep" / "failures.jsonl"
    chat = client(parrot, failures=path, cache=tmp_path / "cache")
    chat.complete([ask("fail one", seed=3, schema={"type": "object"}), ask("fine"), ask("fail two")])
    chat.complete([ask("fail two")])
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert [entry["error"] for entry in entries] == ["the parrot does not know"] * 3
    assert {entry["backend"] for entry in entries} == {"parrot"}
    with path.open("a") as file:
        file.write("not a request\n")

    replies = chat.replay_failures()
    assert [reply.ok for reply in replies] == [False, False]
    assert len(path.read_text().splitlines()) == 3
    parrot.mended = True
    replies = chat.replay_failures()
    assert {reply.text for reply in replies} == {"eno liaf", "owt liaf"}
    assert {reply.request.seed for reply in replies} == {3, 0}
    assert path.read_text() == "not a request\n"
    assert chat.replay_failures() == []


def test_a_replay_without_a_file_says_what_to_do(parrot):
    with pytest.raises(SettingsError, match="failures="):
        client(parrot).replay_failures()


def test_requests_beyond_the_budget_fail_and_cached_ones_are_free(parrot, ask, tmp_path):
    client(parrot, cache=tmp_path).complete([ask("zero")])
    chat = client(parrot, cache=tmp_path, max_requests=2, failures=tmp_path / "failures.jsonl")
    replies = chat.complete([ask(word) for word in ("zero", "one", "two", "one", "three")])
    assert [reply.ok for reply in replies] == [True, True, True, True, False]
    assert replies[4].error.startswith("budget") and "max_requests" in replies[4].error
    assert chat.requests_sent == 2
    assert not chat.complete([ask("four")])[0].ok
    richer = client(parrot, cache=tmp_path, failures=tmp_path / "failures.jsonl")
    assert [reply.text for reply in richer.replay_failures()] == ["eerht", "ruof"]


def test_the_token_budget_is_used_but_never_overrun(parrot, ask):
    # Each request costs 10 + 4 tokens; its worst case is 4 bytes + max_tokens 26 = 30.
    chat = client(parrot, max_tokens_total=100)
    replies = chat.complete([ask(f"say{i}", max_tokens=26) for i in range(9)])
    # Waves: 3 (worst case 90, spent 42), then 1 (58 left, spent 56), 1 (44 left, spent 70), 1 (30 left, 84).
    assert [len(call) for call in parrot.calls] == [3, 1, 1, 1]
    assert [reply.ok for reply in replies] == [True] * 6 + [False] * 3
    assert chat.tokens_spent == 84
    assert replies[-1].error.startswith("budget") and "84 of 100" in replies[-1].error


@given(st.lists(st.integers(0, 60), max_size=12), st.integers(0, 300), st.one_of(st.none(), st.integers(0, 8)))
@settings(max_examples=60, deadline=None)
def test_no_budget_is_ever_overrun(parrot_type, ask, lengths, tokens, requests):
    # The parrot's prompt costs 10 tokens and a reply one per byte: within the worst case by construction.
    parrot = parrot_type()
    chat = client(parrot, max_tokens_total=tokens, max_requests=requests)
    replies = chat.complete([ask("x" * (10 + n), max_tokens=10 + n, seed=i) for i, n in enumerate(lengths)])
    assert chat.tokens_spent <= tokens
    assert requests is None or len(parrot.asked) <= requests
    assert len(replies) == len(lengths)
    assert all(reply.ok or reply.error.startswith("budget") for reply in replies)


WORKER = """
import sys
from fac_lab.chat.client import ChatClient, ChatReply, ChatRequest

class Parrot:
    name = "parrot"

    def generate(self, requests, done):
        for i, request in enumerate(requests):
            said = request.messages[-1]["content"]
            done(i, ChatReply(request, said[::-1], "stop", prompt_tokens=10, completion_tokens=len(said)))

said = [f"words {i}" for i in range(60)][:: int(sys.argv[2])]
requests = [ChatRequest(({"role": "user", "content": words},)) for words in said]
replies = ChatClient(Parrot(), cache=sys.argv[1], progress=False).complete(requests)
assert [reply.text for reply in replies] == [words[::-1] for words in said]
"""


def test_two_processes_share_a_cache(parrot, ask, tmp_path):
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, tmp_path, step], stderr=subprocess.PIPE, text=True)
        for step in ("1", "-1")
    ]
    for worker in workers:
        _, complaint = worker.communicate(timeout=120)
        assert worker.returncode == 0, complaint
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".json"]
    replies = client(parrot, cache=tmp_path).complete([ask(f"words {i}") for i in range(60)])
    assert parrot.calls == [] and all(reply.cached for reply in replies)


def test_a_cache_that_cannot_be_written_names_the_cure(parrot, ask, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(ArtifactError, match="another folder"):
        client(parrot, cache=tmp_path / "cache").complete([ask("hello")])
    with pytest.raises(ArtifactError, match="another folder"):
        client(parrot, failures=tmp_path / "cache" / "failures.jsonl").complete([ask("fail")])
