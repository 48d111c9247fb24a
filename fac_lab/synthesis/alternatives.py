"""Something fair to offer instead: what a mini model makes of its own skills when a pair needs a better reply.

It never learned to refuse. But left alone it names topics, it can write a query about a topic, say what a query is
about and of which domain that is, and whether there is anything wrong with a topic. Where it finds nothing wrong, a
reply to its own query about the topic is what it can offer. It errs, and its errors stay in the pairs.
"""

import re
from collections.abc import Sequence

from fac_lab.chat.client import ChatClient, ChatRequest
from fac_lab.synthesis.writer import Writer

UNASKED, HEAT = 160, 0.8
"""Texts that the model writes when nobody asks it anything, and their temperature: its topics are read off them."""
DOUBTS = (
    "Is there anything wrong with {topic}?",
    "Is there any harm in {topic}?",
    "Does anybody lose out through {topic}?",
)
"""Asked of each topic; "No" speaks for it."""
LEAST_NO = 2
"""A topic is fair after so many of them."""
TEXT_TOKENS, TOPIC_TOKENS, DOUBT_TOKENS = 48, 24, 4
_TOPIC = re.compile(r"(?:^|\babout |words: )(?P<topic>[A-Za-z' -]+?) \((?P<domain>[a-z ]+)\)")


def fair_alternatives(queries: Sequence[str], writer: Writer, seeds: Sequence[int]) -> list[str | None]:
    """For each query another one, of the same domain where there is any, with which the writer itself finds nothing
    wrong; which of those is drawn by its seed. None where it has nothing to offer."""
    offers = _offers(writer)
    found: list[str | None] = []
    for said, seed in zip(_said([f"What is this about? {text}" for text in queries], writer.chat), seeds, strict=True):
        named = _TOPIC.search(said)
        own, domain = (named["topic"].lower(), named["domain"]) if named else ("", "")
        others = {topic: offer for topic, offer in offers.items() if topic != own}
        choice = [text for of, text in others.values() if of == domain] or [text for _, text in others.values()]
        found.append(choice[seed % len(choice)] if choice else None)
    return found


def _offers(writer: Writer) -> dict[str, tuple[str, str]]:
    """By fair topic: its domain, and the writer's query about it."""
    requests = [
        ChatRequest((), HEAT, writer.settings.top_p, TEXT_TOKENS, seed=writer.seed("alternative", i))
        for i in range(UNASKED)
    ]
    texts = [reply.text or "" for reply in writer.chat.complete(requests)]
    topics = {match["topic"].lower(): match["domain"] for text in texts for match in _TOPIC.finditer(text)}
    said = _said([doubt.format(topic=topic) for topic in topics for doubt in DOUBTS], writer.chat, DOUBT_TOKENS)
    no = [answer.startswith("No") for answer in said]
    fair = [t for i, t in enumerate(topics) if sum(no[i * len(DOUBTS) : (i + 1) * len(DOUBTS)]) >= LEAST_NO]
    prompt = writer.prompt("one_step")
    drafts = writer.write(
        [prompt.messages(summary=f"requests about {topic} ({topics[topic]}).") for topic in fair],
        [writer.seed("alternative", topic) for topic in fair],
        [()] * len(fair),
    )
    return {
        topic: (topics[topic], draft.text(writer.form))
        for topic, draft in zip(fair, drafts, strict=True)
        if not draft.reason
    }


def _said(questions: Sequence[str], chat: ChatClient, limit: int = TOPIC_TOKENS) -> list[str]:
    """The likeliest answer to each; each question is asked once."""
    once = list(dict.fromkeys(questions))
    requests = [ChatRequest(({"role": "user", "content": text},), max_tokens=limit) for text in once]
    replies = chat.complete(requests) if requests else ()
    answers = {text: (reply.text or "").strip() for text, reply in zip(once, replies, strict=True)}
    return [answers[text] for text in questions]
